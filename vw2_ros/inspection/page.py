# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 inspect`: what the codes of one or several dLDMs say, as one page, pictures and figures.

The figures are `models/inspection.py`'s; here they are gathered, drawn and shown. In the folder:

| file              | what                                                              |
| ----------------- | ----------------------------------------------------------------- |
| inspection.html   | all of it, needs nothing beside it                                |
| inspection.json   | the figures                                                       |
| *.png             | the plots, those of the n-th dLDM named <n>_*.png                 |
"""

import base64
import html
import importlib.util
import io
import os
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from vw2_ros.evaluation import report

EXTRA = {'umap': 'umap-learn', 'sklearn': 'scikit-learn', 'matplotlib': 'matplotlib'}
COLOURS = ('#3b76c4', '#e08a1e', '#2f9e62', '#b0479a', '#7a6bd1', '#8c6d46')
WAYS = {
    '-x': '#1f77b4',
    '+x': '#d62728',
    '-y': '#2ca02c',
    '+y': '#ff9f1c',
    'down': '#7b3fb5',
    'up': '#17b8c8',
    'still': '#c9ced6',
}
HORIZON_TITLES = {'step': 'over the code’s own 4 frames', 'clip': 'since the clip’s first frame'}
SHOWN = 5  # frames of a strip
MARKS = {'test': 'o', 'seen': 'oh', 'test_looks': 's', 'looks': 'sh'}  # see `_dot`


def run(
    dldms: Mapping[str, str | os.PathLike],
    data: Sequence[pathlib.Path],
    out: pathlib.Path,
    test_scene: str = 'D',
    seed: int = 0,
    clips: int = 4000,
    looks: Sequence[pathlib.Path] = (),
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
    Returns:
        what inspection.json holds.
    Raises:
        ModuleNotFoundError: the extra `inspect` is not installed. InspectionError, DataError,
            CheckpointError: see `models/inspection.py`.
    """
    missing = [pip for name, pip in EXTRA.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f'vw2 inspect needs {", ".join(missing)}: install them with '
            "pip install 'vw2_ros[inspect]'"
        )
    from vw2_ros.models.checkpoint import save_json
    from vw2_ros.models.inspection import probes as look
    from vw2_ros.models.training.loop import provenance
    from vw2_ros.progress import progress_bar

    began = time.monotonic()
    models = {name: look.load_dldm(folder) for name, folder in dldms.items()}
    frames = min(m.config.clip_frames for m in models.values())
    store = look.open_store(data, max(side for m in models.values() for side in m.config.size))
    drawn = look.draw_clips(store, frames, clips, seed)
    look.check_scenes(drawn, test_scene)
    others = fresh = None
    if looks:
        others = look.open_store(looks, max(m.config.image_size for m in models.values()))
        count = look.check_looks(store, others)
        fresh = look.draw_clips(others, frames, clips, seed)
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    seen = {}
    for number, (name, model) in enumerate(models.items(), 1):
        pictures = store.resized(model.config.size)
        codes, indices = look.read_codes_of(model, pictures, drawn)
        unseen = fresh and (
            look.read_codes_of(model, others.resized(model.config.image_size), fresh)[0],
            fresh,
        )
        with progress_bar() as bar:
            parts = bar.add_task(name, total=6)

            def done(value, bar=bar, parts=parts):
                bar.advance(parts)
                return value

            found = {
                'codes': look.usage(indices, model.config.codebook_size),
                'probe': done(look.probe(codes, drawn, test_scene, seed, unseen)),
                'scene': done(look.scene_probe(codes, drawn, seed)),
                'retrieval': done(look.retrieve(codes, drawn, test_scene, seed, looks=unseen)),
            }
            flat = done(look.embed(codes[:, -1], seed))
            maps, pair = done(look.swap_maps(model, pictures, drawn, seed))
            found['swap_grey_levels'] = [float(m.mean()) for m in maps]
            plots = {
                f'{number}_umap.png': _umap(flat, drawn, look),
                f'{number}_pairs.png': _pairs(codes, drawn, pictures, test_scene, seed, look),
                f'{number}_shared.png': _shared(indices, drawn, pictures, seed, look),
                f'{number}_swap.png': _swap(model, drawn, pictures, pair, look),
                f'{number}_swap_maps.png': _maps(maps),
            }
            done(None)
        seen[name] = {'found': found, 'plots': {k: v for k, v in plots.items() if v}}
    first, *rest = seen
    less = {other: look.differences(seen[first]['found'], seen[other]['found']) for other in rest}
    result = {
        **provenance(stage='inspect', seed=seed, seconds=round(time.monotonic() - began, 1)),
        'test_scene': test_scene,
        'data': [str(d) for d in data],
        'data_sha256': store.content_hash,
        'frames': len(store),
        'clip_frames': frames,
        'clips': len(drawn.starts),
        'scenes': _scenes_of(drawn),
        'looks': fresh
        and {
            'data': [str(d) for d in looks],
            'data_sha256': others.content_hash,
            'count': count,
            'scenes': _scenes_of(fresh),
        },
        'moving': {
            h: float((np.linalg.norm(drawn.moved('hand', h), axis=-1) > look.MOVES_M).mean())
            for h in look.HORIZONS
        },
        'dldms': {
            name: {
                'folder': str(folder),
                'config': _config_of(models[name]),
                **seen[name]['found'],
            }
            for name, folder in dldms.items()
        },
        'first_less_other': less,
    }
    result = look.figures(result)
    overall = {'probe.png': _probes(result), 'retrieval.png': _retrievals(result)}
    if rest:
        overall['differences.png'] = _differences(result)
    plots = {name: s['plots'] for name, s in seen.items()}
    for file, png in [*overall.items(), *(p for own in plots.values() for p in own.items())]:
        part = out / f'{file}.part'
        part.write_bytes(png)
        os.replace(part, out / file)
    save_json(out / 'inspection.json', result)
    report.save(out / 'inspection.html', render(result, overall, plots))
    return result


def _scenes_of(clips) -> dict[str, dict[str, int]]:
    return {
        s: {
            'clips': int((clips.scene == s).sum()),
            'episodes': len(set(clips.episode[clips.scene == s])),
        }
        for s in map(str, np.unique(clips.scene))
    }


def summary(name: str, found: Mapping, test_scene: str) -> dict[str, str]:
    """The main figures of one dLDM of the result, as lines to print."""
    test, seen = (found['probe']['hand']['clip'][part] for part in ('test', 'seen'))
    cosine = found['retrieval']['test']['clip']
    near = cosine and f'{_said(cosine["cosine"])}, chance {cosine["chance"]:.2f}'
    hand = found['probe']['hand']['clip']
    unseen = {
        f'R2 of the hand, {text}, unseen looks': _said(hand[part])
        for part, text in (('test_looks', f'scene {test_scene}'), ('looks', 'other scenes'))
        if part in hand
    }
    return {
        'dldm': name,
        f'R2 of the hand, unseen scene {test_scene}': _said(test),
        'R2 of the hand, seen scenes': _said(seen),
        **unseen,
        'cosine of the nearest code': near or '–',
        'codes used': f'{100 * found["codes"]["usage"]:.1f} % of {found["codes"]["codebook"]}',
    }


def _config_of(model) -> dict:
    c = model.config
    return {
        key: getattr(c, key)
        for key in ('image_size', 'clip_frames', 'queries', 'levels', 'relative', 'residual')
    }


# ------------------------------------------------------------------------------------------- plots


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout='constrained', facecolor='white')


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    return buffer.getvalue()


def _plain(axes) -> None:
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)


def _umap(flat: np.ndarray, clips, look) -> bytes:
    figure = _figure(11, 5.2)
    left, right = figure.subplots(1, 2)
    ways = look.direction(clips.moved('hand', 'clip')[:, -1])
    scenes = np.unique(clips.scene)
    order = np.random.default_rng(0).permutation(len(flat))  # no colour always on top
    for axes, names, of, title in (
        (left, WAYS, ways, 'coloured by the way the hand went'),
        (right, dict(zip(scenes, COLOURS)), clips.scene, 'coloured by scene'),
    ):
        axes.scatter(*flat[order].T, s=5, linewidths=0, c=[names[str(n)] for n in of[order]])
        for name, colour in names.items():
            axes.scatter([], [], s=30, c=colour, label=f'{name} ({(of == name).sum()})')
        axes.legend(
            loc='upper center',
            bbox_to_anchor=(0.5, -0.01),
            ncols=4,
            frameon=False,
            fontsize=9,
            handletextpad=0.2,
            columnspacing=1.2,
        )
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color('#d9dee7')
    return _png(figure)


def _strip(rgb: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3), SHOWN of them beside one another with white between."""
    shown = rgb[np.linspace(0, len(rgb) - 1, min(SHOWN, len(rgb))).round().astype(int)]
    gap = np.full((len(shown), shown.shape[1], 2, 3), 255, np.uint8)
    return np.concatenate(np.concatenate([shown, gap], axis=2), axis=1)[:, :-2]  # (H, n * W, 3)


def _bytes(video) -> np.ndarray:
    """Float (F, 3, H, W) in [0, 1] -> uint8 (F, H, W, 3)."""
    return (video * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _show(axes, picture: np.ndarray, text: str, **options) -> None:
    axes.imshow(picture, interpolation='bicubic', **options)
    axes.set_title(text, fontsize=9, loc='left', pad=3)
    axes.set_axis_off()


def _went(clips, i: int) -> str:
    x, y, z = 1000 * clips.moved('hand', 'clip')[i, -1]
    return f'scene {clips.scene[i]}, hand ({x:+.0f}, {y:+.0f}, {z:+.0f}) mm'


def _rgb(store, clips, i: int) -> np.ndarray:
    return store.rgb(clips.rows()[i])


def _pairs(codes, clips, store, test_scene: str, seed: int, look) -> bytes | None:
    pairs = look.matching_pairs(codes, clips, test_scene, seed)
    if not pairs:
        return None
    figure = _figure(11, 1.35 * len(pairs))
    hand = clips.moved('hand', 'clip')[:, -1]
    for (left, right), (i, j, distance) in zip(
        figure.subplots(len(pairs), 2, squeeze=False), pairs
    ):
        _show(left, _strip(_rgb(store, clips, i)), _went(clips, i))
        _show(
            right,
            _strip(_rgb(store, clips, j)),
            f'{_went(clips, j)}; code distance '
            f'{distance:.2f}, cosine {look.cosine(hand[i], hand[j]):+.2f}',
        )
    return _png(figure)


def _shared(indices, clips, store, seed: int, look) -> bytes | None:
    rows = look.shared_codes(indices, clips, seed)
    if not rows:
        return None
    width = max(len(row['clips']) for row in rows)
    figure = _figure(11, 1.0 + 1.0 * len(rows) * 11 / (3.1 * width))
    for axes, row in zip(figure.subplots(len(rows), width, squeeze=False), rows):
        for ax in axes:
            ax.set_axis_off()
        for n, (ax, i) in enumerate(zip(axes, row['clips'])):
            name = f'query {row["query"]}, code {row["code"]} ({row["count"]} clips)\n'
            ends = _rgb(store, clips, i)[[0, (clips.frames - 1) // 2, -1]]
            _show(ax, _strip(ends), (name if n == 0 else '\n') + _went(clips, i))
    return _png(figure)


def _swap(model, clips, store, pair: tuple[int, int], look) -> bytes:
    i, j = pair
    videos = look.video_of(store, clips, [i]), look.video_of(store, clips, [j])
    made = look.swap(model, *videos)[0]  # (N + 2, F, 3, H, W)
    N = len(made) - 2
    change = (made - made[:1]).abs()[:, 1:].mean(dim=(1, 2)).numpy() * 255  # (N + 2, H, W)
    rows = [
        (f'the clip: {_went(clips, i)}', videos[0][0], None),
        ('decoded from its own codes', made[0], None),
        *((f'query {n} from the other clip', made[1 + n], change[1 + n]) for n in range(N)),
        ('all queries from the other clip', made[N + 1], change[N + 1]),
        (f'the other clip: {_went(clips, j)}', videos[1][0], None),
    ]
    figure = _figure(8.6, (8.6 / (SHOWN + 1.1) + 0.22) * len(rows))
    grid = figure.subplots(len(rows), 2, width_ratios=(min(SHOWN, clips.frames) + 0.05, 1))
    top = max(float(change.max()), 1.0)
    for (left, right), (text, video, difference) in zip(grid, rows):
        _show(left, _strip(_bytes(video)), text)
        right.set_axis_off()
        if difference is not None:
            _show(
                right,
                difference,
                f'change {difference.mean():.1f}',
                cmap='magma',
                vmin=0,
                vmax=top,
            )
    return _png(figure)


def _maps(maps: np.ndarray) -> bytes:
    figure = _figure(11, 2.7)
    grid = figure.subplots(1, len(maps))
    for n, (axes, picture) in enumerate(zip(grid, maps)):
        name = f'query {n}' if n < len(maps) - 1 else 'all queries'
        _show(
            axes,
            picture,
            f'{name}: {picture.mean():.1f} of 255',
            cmap='magma',
            vmin=0,
            vmax=max(float(maps.max()), 1.0),
        )
    figure.colorbar(axes.images[0], ax=list(grid), shrink=0.8, label='mean change [grey levels]')
    return _png(figure)


def _dot(axes, y: float, found: dict | None, colour: str, mark: str, label: str = '') -> None:
    """mark: matplotlib's marker, with 'h' after it where it is hollow."""
    if found is not None:
        value, low, high = found['value'], found['low'], found['high']
        if low is not None:
            axes.plot([low, high], [y, y], color=colour, lw=2, alpha=0.55, solid_capstyle='butt')
        axes.plot(
            [value],
            [y],
            mark[0],
            ms=7,
            color=colour,
            mfc='white' if mark[1:] else colour,
            label=label or None,
        )


def _rows_plot(
    groups: Sequence[str],
    titles: Sequence[str],
    series,
    limits,
    height: float = 0.0,
    zero: bool = False,
) -> bytes:
    """Dots with intervals: a panel per title, a group per row, `series` within a group.

    series: [(label, colour, mark, get)] with mark as of `_dot` and get(title index, group) ->
    {'value', 'low', 'high'} or None.
    """
    figure = _figure(11, height or 1.3 + 0.22 * len(groups) * (len(series) + 1))
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for p, (axes, title) in enumerate(zip(panels, titles)):
        for s, (label, colour, mark, get) in enumerate(series):
            for g, group in enumerate(groups):
                y = g + 0.7 * ((s + 0.5) / len(series) - 0.5)
                _dot(axes, y, get(p, group), colour, mark, '' if g else label)
        axes.set_title(title, fontsize=11)
        axes.set_xlim(limits)
        axes.axvline(0, color='#98a2b3', lw=1.5 if zero else 0.8)
        axes.grid(axis='x', color='#e4e8ee')
        axes.set_axisbelow(True)
        for g in range(1, len(groups)):
            axes.axhline(g - 0.5, color='#e4e8ee', lw=0.8)
        _plain(axes)
    panels[0].set_yticks(range(len(groups)), groups)
    panels[0].set_ylim(len(groups) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc='outside lower center',
        frameon=False,
        ncols=min(2, len(labels)),
        fontsize=9,
    )
    return _png(figure)


def _parts(result: Mapping) -> dict[str, str]:
    test = result['test_scene']
    return {'test': f'unseen scene {test}', 'seen': 'held-out episodes of the rest'} | (
        {'test_looks': f'scene {test}, unseen looks', 'looks': 'the rest, unseen looks'}
        if result['looks']
        else {}
    )


def _queries(result: Mapping) -> dict[str, str]:
    test = result['test_scene']
    return {'test': f'queries of scene {test}', 'all': 'queries of all scenes'} | (
        {'test_looks': f'of scene {test}, unseen looks', 'looks': 'of the rest, unseen looks'}
        if result['looks']
        else {}
    )


def _probes(result: Mapping) -> bytes:
    from vw2_ros.models.inspection.probes import HORIZONS, TARGETS

    def series(name, part):
        return lambda p, target: result['dldms'][name]['probe'][target][HORIZONS[p]][part]

    rows = [
        (f'{name}, {text}', colour, MARKS[part], series(name, part))
        for name, colour in zip(result['dldms'], COLOURS)
        for part, text in _parts(result).items()
    ]
    return _rows_plot(TARGETS, [f'R² {HORIZON_TITLES[h]}' for h in HORIZONS], rows, (-0.5, 1.02))


def _retrievals(result: Mapping) -> bytes:
    from vw2_ros.models.inspection.probes import HORIZONS

    groups = {text: part for part, text in _queries(result).items()}

    def got(name):
        return lambda p, group: (_cell(name, p, group) or {}).get('cosine')

    def chance(name):
        def get(p, group):
            cell = _cell(name, p, group)
            return cell and {
                'value': cell['chance'],
                'low': cell['chance_low'],
                'high': cell['chance_high'],
            }

        return get

    def _cell(name, p, group):
        return result['dldms'][name]['retrieval'][groups[group]][HORIZONS[p]]

    rows = []
    for name, colour in zip(result['dldms'], COLOURS):
        rows += [
            (f'{name}, nearest code', colour, 'o', got(name)),
            (f'{name}, chance', '#98a2b3', 'oh', chance(name)),
        ]
    return _rows_plot(
        list(groups), [f'cosine {HORIZON_TITLES[h]}' for h in HORIZONS], rows, (-0.2, 1.02)
    )


def _differences(result: Mapping) -> bytes:
    from vw2_ros.models.inspection.probes import HORIZONS, TARGETS

    groups = {f'probe R², {t}': ('probe', t) for t in TARGETS}
    groups |= {'retrieval, cosine': ('retrieval', '')}
    first = next(iter(result['dldms']))

    def get(other, part):
        def of(p, group):
            kind, target = groups[group]
            less, h = result['first_less_other'][other], HORIZONS[p]
            if kind == 'probe':
                return less['probe'][target][h][part]
            cell = less['retrieval'].get(part, {}).get(h)
            return cell and cell['cosine']

        return of

    rows = [
        (f'{first} − {other}, {text}', colour, MARKS[part], get(other, part))
        for other, colour in zip(result['first_less_other'], COLOURS[1:])
        for part, text in _parts(result).items()
    ]
    ends = [
        abs(cell[k])
        for *_, of in rows
        for p in range(len(HORIZONS))
        for group in groups
        if (cell := of(p, group))
        for k in ('value', 'low', 'high')
        if cell[k] is not None
    ]
    reach = min(1.0, 1.1 * max([0.1, *ends]))
    return _rows_plot(
        list(groups), [HORIZON_TITLES[h] for h in HORIZONS], rows, (-reach, reach), zero=True
    )


# -------------------------------------------------------------------------------------------- page


def render(
    result: Mapping, overall: Mapping[str, bytes], plots: Mapping[str, Mapping[str, bytes]]
) -> str:
    """The page as text.

    Args:
        result: what inspection.json holds. overall: file name -> PNG of the plots over all dLDMs.
        plots: name of a dLDM -> file name -> PNG.
    """
    test, names = result['test_scene'], list(result['dldms'])
    first = result['dldms'][names[0]]
    scenes = ', '.join(
        f'{s} ({n["clips"]} clips of {n["episodes"]} episodes)'
        for s, n in result['scenes'].items()
    )
    frames = result['clip_frames']
    parts = [
        f'<h1>Inside the latents: {_text(", ".join(names))}</h1>',
        f'<p>{result["clips"]} clips of {frames} frames from scenes {_text(scenes)}. Every interval '
        'is 95 %, by bootstrap over episodes. No probe learns from scene '
        f'{_text(test)}; whether a dLDM was trained on it is a matter of its own data.</p>',
        *_looks(result),
        report.tiles(_headline(first, test)),
        '<h2>Can the motion be read from the code?</h2>',
        _plot(
            overall['probe.png'],
            'A linear probe (ridge) from the code of a step to what moved, '
            f'learned on all scenes but {test}. Filled: scene {test}. Hollow: episodes of the '
            'other scenes that were held out. 1 is perfect, 0 is no better than the mean. The '
            'decoder makes a frame from the first frame and the codes of its own step alone, so a '
            'code has to hold what changed since the clip’s first frame.',
        ),
        _probe_table(result),
        '<h2>Does the nearest code of another scene show the same motion?</h2>',
        _plot(
            overall['retrieval.png'],
            'Mean cosine between the displacement of the hand in a '
            'sample and in the one with the nearest code among all other scenes. Chance: the '
            'same neighbours dealt out anew.',
        ),
        _code_table(result),
    ]
    if 'differences.png' in overall:
        parts += [
            '<h2>The first less the others</h2>',
            _plot(
                overall['differences.png'],
                f'{names[0]} less each other dLDM, on the same '
                'clips with paired bootstrap draws; right of 0: the first is better.',
            ),
            _difference_table(result),
        ]
    says = {
        'umap': 'UMAP of the codes of each clip’s last step. Codes that carry motion and not '
        'appearance group by colour on the left, and mix on the right.',
        'pairs': f'Clips of scene {test} and the clip of another scene with the nearest last code: '
        'one for each direction, drawn from those in which the hand goes 5 cm or more, '
        'not chosen by how alike they look.',
        'shared': 'Clips of different scenes with the same code of a query at their last step: for '
        'each query one that the most scenes share, drawn. First, middle and last frame.',
        'swap': 'What the decoder makes of a clip when the codes of one query come from a clip of '
        'another scene. Right: mean change against its own codes, in grey levels. Of '
        'the pairs below the one in which all queries together change most.',
        'swap_maps': 'The same change, mean over 32 pairs of clips of different scenes.',
    }
    for name in names:
        parts.append(f'<h2>{_text(name)}</h2>')
        for file, png in plots[name].items():
            kind = pathlib.Path(file).stem.split('_', 1)[1]
            parts.append(_plot(png, says[kind]))
    parts += [
        '<h2>How it was made</h2>',
        report.settings(
            [
                *((k, result[k]) for k in ('command', 'seed', 'clips', 'data_sha256')),
                ('data', ', '.join(result['data'])),
                ('seconds', result['seconds']),
                *((name, f'{d["folder"]}: {d["config"]}') for name, d in result['dldms'].items()),
            ]
        ),
    ]
    return report.page('Inside the latents', parts)


def _looks(result: Mapping) -> list[str]:
    if not result['looks']:
        return []
    scenes = ', '.join(
        f'{s} ({n["clips"]} clips of {n["episodes"]} episodes)'
        for s, n in result['looks']['scenes'].items()
    )
    return [
        f'<p>Unseen looks (squares): {_text(scenes)}, in {result["looks"]["count"]} looks that '
        'are not among those above; whether a dLDM was trained on them is a matter of its own '
        'data. They only test.</p>'
    ]


def _text(value: object) -> str:
    return html.escape(str(value))


def _plot(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return (
        f'<figure class="plot"><img alt="{_text(caption)}" src="data:image/png;base64,{data}">'
        f'<figcaption>{_text(caption)}</figcaption></figure>'
    )


def _said(found: Mapping | None) -> str:
    if found is None:
        return '–'
    if found['low'] is None:  # too few episodes
        return f'{found["value"]:.2f}'
    return f'{found["value"]:.2f} [{found["low"]:.2f}, {found["high"]:.2f}]'


def _headline(found: Mapping, test: str) -> list[tuple[str, str]]:
    hand, cosine = found['probe']['hand']['clip'], found['retrieval']['test']['clip']
    tiles = []
    if hand['test']:
        tiles.append((f'{hand["test"]["value"]:.2f}', f'R² of the hand, unseen scene {test}'))
    if hand['seen']:
        tiles.append((f'{hand["seen"]["value"]:.2f}', 'R² of the hand, seen scenes'))
    if cosine:
        tiles.append(
            (
                f'{cosine["cosine"]["value"]:.2f}',
                f'cosine of the nearest code, chance {cosine["chance"]:.2f}',
            )
        )
    tiles.append(
        (f'{100 * found["codes"]["usage"]:.0f} %', f'of {found["codes"]["codebook"]} codes used')
    )
    return tiles


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Names to the left, figures to the right."""
    top = ''.join(
        f'<th>{_text(h)}</th>' if n == 0 else f'<td class="number soft">{_text(h)}</td>'
        for n, h in enumerate(head)
    )
    body = ''.join(
        '<tr>'
        + ''.join(
            f'<th>{_text(c)}</th>' if n == 0 else f'<td class="number">{_text(c)}</td>'
            for n, c in enumerate(row)
        )
        + '</tr>'
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def _columns(result: Mapping) -> list[tuple[str, str, str]]:
    """(heading, horizon, part) of the tables' columns."""
    from vw2_ros.models.inspection.probes import HORIZONS

    short = {
        'test': result['test_scene'],
        'seen': 'seen',
        'test_looks': f'{result["test_scene"]} in unseen looks',
        'looks': 'unseen looks',
    }
    return [(f'{short[part]}, {h}', h, part) for h in HORIZONS for part in _parts(result)]


def _probe_table(result: Mapping) -> str:
    from vw2_ros.models.inspection.probes import TARGETS

    columns = _columns(result)
    rows = [
        [f'{name}: {t}', *(_said(d['probe'][t][h][part]) for _, h, part in columns)]
        for name, d in result['dldms'].items()
        for t in TARGETS
    ]
    return _table(['R²', *(head for head, *_ in columns)], rows)


def _code_table(result: Mapping) -> str:
    names = list(result['dldms'])
    found = [result['dldms'][n] for n in names]

    def cells(part, horizon):
        for d in found:
            c = d['retrieval'][part][horizon]
            yield f'{_said(c["cosine"])}, chance {c["chance"]:.2f}, p {c["p"]:.3f}' if c else '–'

    rows = [
        [f'cosine, {who}, {h}', *cells(part, h)]
        for part, who in _queries(result).items()
        for h in ('step', 'clip')
    ]
    rows += [
        [
            f'scene told from the code (chance {1 / len(result["scenes"]):.2f})',
            *(_said(d['scene']) for d in found),
        ],
        [
            'share of the codebook used',
            *(f'{100 * d["codes"]["usage"]:.1f} % of {d["codes"]["codebook"]}' for d in found),
        ],
        [
            'perplexity of each query',
            *(', '.join(f'{p:.0f}' for p in d['codes']['perplexity']) for d in found),
        ],
        [
            'change when a query is swapped [of 255]; all',
            *(', '.join(f'{g:.1f}' for g in d['swap_grey_levels']) for d in found),
        ],
    ]
    return _table(['', *names], rows)


def _difference_table(result: Mapping) -> str:
    from vw2_ros.models.inspection.probes import TARGETS

    columns = _columns(result)
    rows = []
    for other, less in result['first_less_other'].items():
        rows += [
            [f'{other}: R², {t}', *(_said(less['probe'][t][h][part]) for _, h, part in columns)]
            for t in TARGETS
        ]
        cells = [less['retrieval'].get(part, {}).get(h) for _, h, part in columns]
        rows.append([f'{other}: cosine', *(_said(c and c['cosine']) for c in cells)])
    return _table(['first less', *(head for head, *_ in columns)], rows)
