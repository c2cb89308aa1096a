# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The plots of `vw2 inspect`, each as the bytes of a PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM
from vw2_ros.models.inspection.clips import HORIZONS, Clips, direction, video_of
from vw2_ros.models.inspection.codes import shared_codes
from vw2_ros.models.inspection.retrieval import cosine, matching_pairs
from vw2_ros.models.inspection.swaps import swap

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


def umap(flat: np.ndarray, clips: Clips) -> bytes:
    """Codes (m, 2) on a plane, coloured by the way the hand went and by scene."""
    figure = _figure(11, 5.2)
    left, right = figure.subplots(1, 2)
    ways = direction(clips.moved('hand', 'clip')[:, -1])
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


def _went(clips: Clips, i: int) -> str:
    x, y, z = 1000 * clips.moved('hand', 'clip')[i, -1]
    return f'scene {clips.scene[i]}, hand ({x:+.0f}, {y:+.0f}, {z:+.0f}) mm'


def _rgb(store: FrameStore, clips: Clips, i: int) -> np.ndarray:
    return store.rgb(clips.rows()[i])


def pairs(
    codes: np.ndarray, clips: Clips, store: FrameStore, test_scene: str, seed: int
) -> bytes | None:
    """Strips of clips beside those with the nearest code, see `matching_pairs`."""
    found = matching_pairs(codes, clips, test_scene, seed)
    if not found:
        return None
    figure = _figure(11, 1.35 * len(found))
    hand = clips.moved('hand', 'clip')[:, -1]
    for (left, right), (i, j, distance) in zip(
        figure.subplots(len(found), 2, squeeze=False), found
    ):
        _show(left, _strip(_rgb(store, clips, i)), _went(clips, i))
        _show(
            right,
            _strip(_rgb(store, clips, j)),
            f'{_went(clips, j)}; code distance '
            f'{distance:.2f}, cosine {cosine(hand[i], hand[j]):+.2f}',
        )
    return _png(figure)


def shared(indices: np.ndarray, clips: Clips, store: FrameStore, seed: int) -> bytes | None:
    """Clips of several scenes that share a code, a row for each query; see `shared_codes`."""
    rows = shared_codes(indices, clips, seed)
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


def swapped(model: DLDM, clips: Clips, store: FrameStore, pair: tuple[int, int]) -> bytes:
    """What the decoder makes of the first clip of a pair with codes of the second; see `swap`."""
    i, j = pair
    videos = video_of(store, clips, [i]), video_of(store, clips, [j])
    made = swap(model, *videos)[0]  # (N + 2, F, 3, H, W)
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


def swap_maps(maps: np.ndarray) -> bytes:
    """Mean change (N + 1, H, W) in grey levels, a picture for each query and one for all."""
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


def parts_of(result: Mapping) -> dict[str, str]:
    """Parts that a probe is tested on -> their names."""
    test = result['test_scene']
    return {'test': f'unseen scene {test}', 'seen': 'held-out episodes of the rest'} | (
        {'test_looks': f'scene {test}, unseen looks', 'looks': 'the rest, unseen looks'}
        if result['looks']
        else {}
    )


def queries_of(result: Mapping) -> dict[str, str]:
    """Parts that retrieval asks for -> their names."""
    test = result['test_scene']
    return {'test': f'queries of scene {test}', 'all': 'queries of all scenes'} | (
        {'test_looks': f'of scene {test}, unseen looks', 'looks': 'of the rest, unseen looks'}
        if result['looks']
        else {}
    )


def probes(result: Mapping) -> bytes:
    """R2 of the probes, a panel for each horizon."""

    def series(name, part):
        return lambda p, target: result['dldms'][name]['probe'][target][HORIZONS[p]][part]

    rows = [
        (f'{name}, {text}', colour, MARKS[part], series(name, part))
        for name, colour in zip(result['dldms'], COLOURS)
        for part, text in parts_of(result).items()
    ]
    titles = [f'R² {HORIZON_TITLES[h]}' for h in HORIZONS]
    return _rows_plot(result['targets'], titles, rows, (-0.5, 1.02))


def retrievals(result: Mapping) -> bytes:
    """Cosines of retrieval against chance, a panel for each horizon."""
    groups = {text: part for part, text in queries_of(result).items()}

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


def differences(result: Mapping) -> bytes:
    """Draw by how much the first dLDM exceeds each other one, a panel for each horizon."""
    groups = {f'probe R², {t}': ('probe', t) for t in result['targets']}
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
        for part, text in parts_of(result).items()
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
