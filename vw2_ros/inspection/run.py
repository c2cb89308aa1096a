# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 inspect`: what the codes of one or several dLDMs say, as one page, pictures and figures.

`vw2_ros.models.inspection` finds the figures. Here they are gathered, drawn (`plots.py`) and shown
(`page.py`). In the folder:

| file              | what                                                              |
| ----------------- | ----------------------------------------------------------------- |
| inspection.html   | all of it, needs nothing beside it                                |
| inspection.json   | the figures                                                       |
| *.png             | the plots, those of the n-th dLDM named <n>_*.png                 |
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from vw2_ros.errors import MissingPackageError
from vw2_ros.files import write_whole
from vw2_ros.inspection import page, plots
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM
from vw2_ros.models.inspection.clips import (
    HORIZONS,
    MOVES_M,
    Clips,
    check_looks,
    check_scenes,
    draw_clips,
    open_stores,
)
from vw2_ros.models.inspection.codes import embed, load_dldm, read_codes_of, usage
from vw2_ros.models.inspection.intervals import differences, figures
from vw2_ros.models.inspection.probes import probe, scene_probe
from vw2_ros.models.inspection.retrieval import retrieve
from vw2_ros.models.inspection.swaps import swap_maps
from vw2_ros.models.storage import save_json
from vw2_ros.models.training.provenance import provenance
from vw2_ros.progress import progress_bar

EXTRA = {'umap': 'umap-learn', 'sklearn': 'scikit-learn', 'matplotlib': 'matplotlib'}


@dataclasses.dataclass(frozen=True)
class Sample:
    """Clips that were drawn, and their frames as each dLDM takes them.

    Attributes:
        stores: size (height, width) [px] -> the frames at it. clips: of any of the stores.
    """

    stores: Mapping[tuple[int, int], FrameStore]
    clips: Clips

    @property
    def store(self) -> FrameStore:
        """The frames at one of the sizes."""
        return next(iter(self.stores.values()))

    def scenes(self) -> dict[str, dict[str, int]]:
        """Scene -> number of clips and of episodes."""
        scene, episode = self.clips.scene, self.clips.episode
        return {
            s: {'clips': int((scene == s).sum()), 'episodes': len(set(episode[scene == s]))}
            for s in map(str, np.unique(scene))
        }


def inspect(
    dldms: Mapping[str, str | os.PathLike],
    data: Sequence[pathlib.Path],
    out: pathlib.Path,
    test_scene: str = 'D',
    seed: int = 0,
    clips: int = 4000,
    looks: Sequence[pathlib.Path] = (),
    wild: float = 0.0,
) -> dict:
    """Look inside the codes of each dLDM on the same clips, and write what was seen to `out`.

    Args:
        dldms: label -> run folder, policy folder or name of shipped weights; the first is compared
            with each of the others.
        data: CALVIN folders with frames of several scenes.
        test_scene: the scene that no probe learns from.
        clips: how many are drawn, spread over scenes and episodes.
        looks: folders of `vw2 collect` in looks that are not in `data` and that no dLDM learned
            from: what was learned on `data` is tested on as many clips of these, too.
        wild: how much the looks change within the clips, see `ClipConfig`; the probes then look for
            what changes them, too.
    Returns:
        what inspection.json holds.
    Raises:
        MissingPackageError: the extra `inspect` is not installed.
        InspectionError, DataError, CheckpointError: see `vw2_ros.models.inspection`.
    """
    missing = [pip for name, pip in EXTRA.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f'vw2 inspect needs {", ".join(missing)}. Got none of them. Install them with '
            "pip install 'vw2_ros[inspect]'"
        )
    began = time.monotonic()
    models = {name: load_dldm(folder) for name, folder in dldms.items()}
    sizes = [model.config.size for model in models.values()]
    frames = min(model.config.clip_frames for model in models.values())
    stores = open_stores(data, sizes, wild)
    seen = Sample(stores, draw_clips(stores[sizes[0]], frames, clips, seed))
    check_scenes(seen.clips, test_scene)
    unseen, count = None, 0
    if looks:
        others = open_stores(looks, sizes, wild)
        count = check_looks(seen.store, others[sizes[0]])
        unseen = Sample(others, draw_clips(others[sizes[0]], frames, clips, seed))
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    found, drawn = {}, {}
    for number, (name, model) in enumerate(models.items(), 1):
        found[name], pngs = _look_inside(name, model, seen, unseen, test_scene, seed)
        drawn[name] = {f'{number}_{kind}.png': png for kind, png in pngs.items() if png}
    first, *rest = found
    result = figures(
        {
            **provenance(stage='inspect', seed=seed, seconds=round(time.monotonic() - began, 1)),
            **_of_data(seen, data, test_scene),
            'wild': wild,
            'targets': seen.clips.targets,
            'looks': unseen
            and {
                'data': [str(d) for d in looks],
                'data_sha256': unseen.store.content_hash,
                'count': count,
                'scenes': unseen.scenes(),
            },
            'moving': {
                h: float((np.linalg.norm(seen.clips.moved('hand', h), axis=-1) > MOVES_M).mean())
                for h in HORIZONS
            },
            'dldms': {
                name: {'folder': str(folder), 'config': _config_of(models[name]), **found[name]}
                for name, folder in dldms.items()
            },
            'first_less_other': {other: differences(found[first], found[other]) for other in rest},
        }
    )
    _write(out, result, drawn)
    return result


def _look_inside(
    name: str, model: DLDM, seen: Sample, unseen: Sample | None, test_scene: str, seed: int
) -> tuple[dict, dict[str, bytes | None]]:
    """Figures of one dLDM, and its plots: kind -> PNG, None where there is nothing to show."""
    clips, store = seen.clips, seen.stores[model.config.size]
    codes, indices = read_codes_of(model, store, clips)
    looks = None
    if unseen:
        there = read_codes_of(model, unseen.stores[model.config.size], unseen.clips)[0]
        looks = there, unseen.clips
    with progress_bar() as bar:
        parts = bar.add_task(name, total=6)

        def done(value):
            bar.advance(parts)
            return value

        found = {
            'codes': usage(indices, model.config.codebook_size),
            'probe': done(probe(codes, clips, test_scene, seed, looks)),
            'scene': done(scene_probe(codes, clips, seed)),
            'retrieval': done(retrieve(codes, clips, test_scene, seed, looks=looks)),
        }
        flat = done(embed(codes[:, -1], seed))
        maps, pair = done(swap_maps(model, store, clips, seed))
        found['swap_grey_levels'] = [float(m.mean()) for m in maps]
        pngs = {
            'umap': plots.umap(flat, clips),
            'pairs': plots.pairs(codes, clips, store, test_scene, seed),
            'shared': plots.shared(indices, clips, store, seed),
            'swap': plots.swapped(model, clips, store, pair),
            'swap_maps': plots.swap_maps(maps),
        }
        done(None)
    return found, pngs


def _of_data(seen: Sample, data: Sequence[pathlib.Path], test_scene: str) -> dict:
    return {
        'test_scene': test_scene,
        'data': [str(d) for d in data],
        'data_sha256': seen.store.content_hash,
        'frames': len(seen.store),
        'clip_frames': seen.clips.frames,
        'clips': len(seen.clips.starts),
        'scenes': seen.scenes(),
    }


def _config_of(model: DLDM) -> dict:
    c = model.config
    return {
        key: getattr(c, key)
        for key in ('image_size', 'clip_frames', 'queries', 'levels', 'relative', 'residual')
    }


def _write(out: pathlib.Path, result: Mapping, drawn: Mapping[str, Mapping[str, bytes]]) -> None:
    """Plots over all dLDMs, plots of each, inspection.json, inspection.html."""
    overall = {'probe.png': plots.probes(result), 'retrieval.png': plots.retrievals(result)}
    if result['first_less_other']:
        overall['differences.png'] = plots.differences(result)
    for file, png in [*overall.items(), *(p for own in drawn.values() for p in own.items())]:
        write_whole(out / file, png)
    save_json(out / 'inspection.json', result)
    write_whole(out / 'inspection.html', page.render(result, overall, drawn))
