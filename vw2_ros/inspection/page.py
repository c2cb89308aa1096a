# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The page of `vw2 inspect`: text, tables and plots; it needs no file beside it."""

from __future__ import annotations

import base64
import html
import pathlib
from collections.abc import Mapping, Sequence

from vw2_ros.evaluation import report
from vw2_ros.inspection.plots import parts_of, queries_of
from vw2_ros.models.inspection.clips import HORIZONS, TARGETS


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
        *_wild(result),
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
    captions = _captions(test)
    for name in names:
        parts.append(f'<h2>{_text(name)}</h2>')
        for file, png in plots[name].items():
            kind = pathlib.Path(file).stem.split('_', 1)[1]
            parts.append(_plot(png, captions[kind]))
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


def _captions(test: str) -> dict[str, str]:
    """Kind of plot of one dLDM -> what it shows."""
    return {
        'umap': 'UMAP of the codes of each clip’s last step. Codes that carry motion and not '
        'appearance group by colour on the left, and mix on the right.',
        'pairs': f'Clips of scene {test} and the clip of another scene with the nearest last code: '
        'one for each direction, drawn from those in which the hand goes 5 cm or more, '
        'not chosen by how alike they look.',
        'shared': 'Clips of different scenes with the same code of a query at their last step: for '
        'each query one that the most scenes share, drawn. First, middle and last frame.',
        'swap': 'What the decoder makes of a clip when the codes of one query come from a clip of '
        'another scene. Right: mean change against its own codes, in grey levels. Shown is '
        'the one of the pairs below in which all queries together change most.',
        'swap_maps': 'The same change, mean over 32 pairs of clips of different scenes.',
    }


def summary(name: str, found: Mapping, test_scene: str) -> dict[str, str]:
    """The main figures of one dLDM of the result, as lines to print."""
    test, seen = (found['probe']['hand']['clip'][part] for part in ('test', 'seen'))
    cosine = found['retrieval']['test']['clip']
    near = cosine and f'{said(cosine["cosine"])}, chance {cosine["chance"]:.2f}'
    hand = found['probe']['hand']['clip']
    unseen = {
        f'R2 of the hand, {text}, unseen looks': said(hand[part])
        for part, text in (('test_looks', f'scene {test_scene}'), ('looks', 'other scenes'))
        if part in hand
    }
    nuisances = {
        f'R2 of the {target}, unseen scene {test_scene}': said(parts['clip']['test'])
        for target, parts in found['probe'].items()
        if target not in TARGETS
    }
    return {
        'dldm': name,
        f'R2 of the hand, unseen scene {test_scene}': said(test),
        'R2 of the hand, seen scenes': said(seen),
        **unseen,
        **nuisances,
        'cosine of the nearest code': near or '–',
        'codes used': f'{100 * found["codes"]["usage"]:.1f} % of {found["codes"]["codebook"]}',
    }


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


def _wild(result: Mapping) -> list[str]:
    if not result['wild']:
        return []
    nuisances = ', '.join(t for t in result['targets'] if t not in TARGETS)
    return [
        f'<p>The clips are wild ({result["wild"]:g}): {nuisances} change within each, by signals that '
        'are known and that say nothing of the motion. Codes that carry the motion alone know '
        'nothing of them.</p>'
    ]


def _text(value: object) -> str:
    return html.escape(str(value))


def _plot(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return (
        f'<figure class="plot"><img alt="{_text(caption)}" src="data:image/png;base64,{data}">'
        f'<figcaption>{_text(caption)}</figcaption></figure>'
    )


def said(found: Mapping | None) -> str:
    """A figure in words: its value, with its interval where there is one."""
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
    short = {
        'test': result['test_scene'],
        'seen': 'seen',
        'test_looks': f'{result["test_scene"]} in unseen looks',
        'looks': 'unseen looks',
    }
    return [(f'{short[part]}, {h}', h, part) for h in HORIZONS for part in parts_of(result)]


def _probe_table(result: Mapping) -> str:
    columns = _columns(result)
    rows = [
        [f'{name}: {t}', *(said(d['probe'][t][h][part]) for _, h, part in columns)]
        for name, d in result['dldms'].items()
        for t in result['targets']
    ]
    return _table(['R²', *(head for head, *_ in columns)], rows)


def _code_table(result: Mapping) -> str:
    names = list(result['dldms'])
    found = [result['dldms'][n] for n in names]

    def cells(part, horizon):
        for d in found:
            c = d['retrieval'][part][horizon]
            yield f'{said(c["cosine"])}, chance {c["chance"]:.2f}, p {c["p"]:.3f}' if c else '–'

    rows = [
        [f'cosine, {who}, {h}', *cells(part, h)]
        for part, who in queries_of(result).items()
        for h in ('step', 'clip')
    ]
    rows += [
        [
            f'scene told from the code (chance {1 / len(result["scenes"]):.2f})',
            *(said(d['scene']) for d in found),
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
    columns = _columns(result)
    rows = []
    for other, less in result['first_less_other'].items():
        rows += [
            [f'{other}: R², {t}', *(said(less['probe'][t][h][part]) for _, h, part in columns)]
            for t in result['targets']
        ]
        cells = [less['retrieval'].get(part, {}).get(h) for _, h, part in columns]
        rows.append([f'{other}: cosine', *(said(c and c['cosine']) for c in cells)])
    return _table(['first less', *(head for head, *_ in columns)], rows)
