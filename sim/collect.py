# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 collect`: many sessions of demonstrations, in CALVIN's on-disk format.

Sessions (`session`) are recorded side by side, here or wherever else work runs (`vw2_ros.work`). A
session's number and the seed decide everything in it, so the data do not depend on the number of
workers, and a collection that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.episodes import read_markers
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.appearance import renderers
from vw2_ros.sim.cameras import STATIC, STATIC_VIEW
from vw2_ros.sim.dataset_writer import check_same_settings, is_finished, write_index
from vw2_ros.sim.phrases import train_phrases
from vw2_ros.sim.session import SPLITS, Astray, CollectSettings, record_session
from vw2_ros.sim.table import Simulator
from vw2_ros.work.place import LOCAL, Perform, open_place

TELL_S = 30.0  # without a terminal: how often to say how far it is
VERSION = 7  # of what is recorded; one folder holds one version


@dataclasses.dataclass(frozen=True)
class Sessions:
    """The work (`vw2_ros.work.place.Work`) whose jobs are sessions: (split, number)."""

    settings: CollectSettings
    astray: Astray | None
    facts: Mapping[str, str]  # of the simulator, on the machine that asks
    reads: tuple[str, ...] = ()  # what `astray` reads
    last: str = 'sessions/*'  # the markers

    def moved(self, at: Mapping[str, str]) -> Sessions:
        """The same with what `astray` reads elsewhere."""
        return dataclasses.replace(self, astray=self.astray.moved(at)) if self.reads else self

    @contextlib.contextmanager
    def opened(self) -> Iterator[Perform]:
        """What records a session and gives its marker."""
        self.settings.simulator.check(self.settings.scenes, self.facts)
        yield lambda job, out: record_session(out, *job, self.settings, self.astray)


def _recorded(
    settings: CollectSettings,
    astray: Astray | None,
    jobs: list[tuple[str, int]],
    out: Path,
    on: str,
    workers: int | None,
) -> Iterator[dict]:
    """Record the sessions; yield their markers as they end."""
    reads = astray.reads if astray else ()
    work = Sessions(settings, astray, settings.simulator.facts, reads)
    with open_place(on, workers) as place:
        yield from place.perform(work, jobs, out)


def collect(
    out: Path | str,
    scenes: str = 'D',
    episodes: int = 100,
    workers: int | None = None,
    randomize: bool = False,
    seed: int = 0,
    shards: int = 0,
    image_size: int = 200,
    depth: bool = False,
    tasks_per_episode: int = 12,
    validation_episodes: int | None = None,
    share: float = 1.0,
    progress: bool = True,
    policy: str = '',
    astray: Astray | None = None,
    tasks: tuple[str, ...] = (),
    simulator: Simulator | None = None,
    on: str = LOCAL,
) -> dict:
    """Collect `episodes` training sessions, and some for validation.

    Sessions that are already in `out` are kept. Ctrl-C stops after writing the index of what is
    finished; the same call goes on from there.

    Args:
        out: folder of the data set.
        workers: sessions at a time; None: two here, on a cluster as many as its CPUs.
        validation_episodes: None: one for twenty of training, at least one.
        progress: show a progress bar on stderr; where that is no terminal, a line now and then.
        policy, astray: name of a policy, and what lets it act.
        simulator: which table; None: the play table.
        on: where, see `check_place`.
        Others: see `CollectSettings`.
    Returns:
        {'training': counts, 'validation': counts, 'success': {task: [solved, all]}}.
    Raises:
        InvalidValueError: a setting makes no sense, or `out` holds data of other settings.
        WorkError: a session could not be recorded.
        KeyboardInterrupt: after Ctrl-C, with the index written.
    """
    workers = 2 if workers is None and on == LOCAL else workers
    if episodes < 1 or (workers is not None and workers < 1):
        raise InvalidValueError(
            f'episodes and workers must be at least 1. Got {episodes}, {workers}'
        )
    settings = CollectSettings(
        scenes=scenes,
        seed=seed,
        randomize=randomize,
        shards=shards,
        image_size=image_size,
        depth=depth,
        tasks_per_session=tasks_per_episode,
        share=share,
        policy=policy,
        tasks=tasks,
        simulator=simulator or Simulator(),
    )
    settings.simulator.check(scenes)
    out = Path(out)
    if validation_episodes is None:
        validation_episodes = max(1, round(episodes / 20))
    number = dict(zip(SPLITS, (episodes, validation_episodes), strict=True))
    config = merged_config(settings)
    check_same_settings(out, 'expert', config['expert'])
    jobs = [(s, k) for s in SPLITS for k in range(number[s]) if not is_finished(out / s, k)]

    def index() -> dict:
        return {split: write_index(out / split, config, train_phrases) for split in SPLITS}

    index()
    try:
        if jobs:
            markers = _recorded(settings, astray, jobs, out, on, workers)
            _follow(markers, len(jobs), sum(number.values()), progress, index)
    finally:
        counts = index()
    return {**counts, 'success': _success(out)}


def _success(out: Path) -> dict[str, list[int]]:
    success: dict[str, list[int]] = {}
    for split in SPLITS:
        for marker in read_markers(out / split):
            for task, (solved, tried) in marker['attempts'].items():
                both = success.setdefault(task, [0, 0])
                both[0] += solved
                both[1] += tried
    return success


def merged_config(settings: CollectSettings) -> dict:
    """What `.hydra/merged_config.yaml` says of the data: CALVIN's keys, and the settings."""
    expert = {**dataclasses.asdict(settings), 'version': VERSION}
    del expert['simulator']
    if settings.share == CollectSettings.share:
        del expert['share']
    if not settings.tasks:
        del expert['tasks']
    else:
        expert['tasks'] = list(settings.tasks)
    if settings.simulator.table != Simulator.table:
        expert |= {'table': settings.simulator.table, 'calvin_env': settings.simulator.facts}
    if settings.simulator.arm != Simulator.arm:
        expert['arm'] = settings.simulator.arm
    if settings.simulator.look != Simulator.look:
        expert['look'] = settings.simulator.look
    config = {
        'expert': expert,
        'scene': f'calvin_scene_{settings.scenes}',
        'control_freq': ACTION_HZ,
        'renderer': settings.simulator.renderer,
    }
    if settings.randomize:
        config['renderer'] = renderers(settings.simulator.look, randomize=True)
    if not settings.randomize:  # else the camera is moved a little in each session
        config['cameras'] = {'static': STATIC_VIEW.config(STATIC.fov_deg)}
    return config


def _follow(markers: Iterator[dict], wanted: int, total: int, progress: bool, index) -> None:
    """Take the markers of `wanted` of `total` sessions as they come, and show how far it is."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn('collecting'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[frames]} frames'),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not progress,
    )
    tell = progress and not bar.console.is_terminal
    with bar, contextlib.closing(markers):
        row = bar.add_task('', total=total, completed=total - wanted, frames=0)
        frames, began = 0, time.monotonic()
        indexed = told = began
        for ended, marker in enumerate(markers, 1):
            frames += marker['frames']
            bar.update(row, advance=1, frames=frames)
            now = time.monotonic()
            left = wanted - ended
            if tell and left and now - told > TELL_S:
                print(
                    f'collecting: {total - left} of {total} episodes, {frames} new frames, '
                    f'about {(now - began) / ended * left / 60:.0f} min left',
                    file=sys.stderr,
                    flush=True,
                )
                told = now
            if now - indexed > 60.0:
                index()
                indexed = time.monotonic()
