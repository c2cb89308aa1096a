# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes of a split in CALVIN's format: which there are, and what edits leave of it.

| data of          | an episode is                                                                |
| ---------------- | ---------------------------------------------------------------------------- |
| `vw2 convert`    | a session: what one instruction of a bag showed, or a minute of it           |
| `vw2 collect`    | a demonstrated task, up to where the next one begins                         |
| elsewhere        | a language window                                                            |

A contiguous range without a window is an episode without words. What CALVIN and `vw2 collect` annotate
was seen to be solved, by their oracles; of what was recorded, nobody may have said how it ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vw2_ros.episodes import EditList, Span, read_markers

if TYPE_CHECKING:
    from vw2_ros.models.data.calvin import LanguageWindow


def split_spans(
    split: Path, ranges: np.ndarray, windows: Sequence[LanguageWindow]
) -> list[tuple[Span, list[LanguageWindow]]]:
    """The episodes of a split by itself, ascending, and the windows of each.

    Args:
        split: its folder. ranges: int64 (k, 2), first and last id of each contiguous range.
    """
    markers = read_markers(split)
    found: list[tuple[Span, list]] = []
    covered: set[int] = set()  # numbers of ranges
    inside: dict[int, list[LanguageWindow]] = {}
    for window in sorted(windows, key=lambda w: (w.start, w.end)):
        i = int(np.searchsorted(ranges[:, 0], window.start, side='right')) - 1
        inside.setdefault(i, []).append(window)
    place = {int(a): i for i, (a, _) in enumerate(ranges)}
    for marker in (m for m in markers if 'source' in m):
        mine = [place[int(a)] for a, _ in marker['ranges'] if int(a) in place]
        if not mine:
            continue  # not in the index
        its = [w for i in mine for w in inside.get(i, [])]
        words = its[0].phrase if its else marker['source'].get('instruction', '')
        start, stop = int(ranges[mine[0], 0]), int(ranges[mine[-1], 1]) + 1
        source = marker['source']
        span = Span(start, stop, words, source.get('success'))
        span = dataclasses.replace(span, correction=source.get('correction', False))
        found.append((span, its))
        covered |= set(mine)
    for i, (first, last) in enumerate(ranges.tolist()):
        if i in covered:
            continue
        its = inside.get(i, [])
        if not its:
            found.append((Span(first, last + 1), []))
        elif markers:  # ours: windows do not overlap
            bounds = [first, *(w.start for w in its[1:]), last + 1]
            parts = zip(bounds, bounds[1:], its)
            found += [(Span(a, b, w.phrase, True), [w]) for a, b, w in parts]
        else:
            same: dict[tuple[int, int], list] = {}
            for w in its:
                same.setdefault((w.start, w.end + 1), []).append(w)
            found += [(Span(*key, ws[0].phrase, True), ws) for key, ws in same.items()]
    return sorted(found, key=lambda f: f[0].key)


def edited_spans(
    split: Path, ranges: np.ndarray, windows: Sequence[LanguageWindow], edits: EditList
) -> list[Span]:
    """The episodes of a split after all edits.

    Raises:
        InvalidValueError: an edit is about an episode that is not there.
    """
    return edits.apply([span for span, _ in split_spans(split, ranges, windows)])


def outcomes(spans: Sequence[Span], windows: Sequence[LanguageWindow]) -> list[bool | None]:
    """How what windows show ended; None: nobody said.

    Args:
        spans: of the folder that has the windows.
    """
    exact = {span.key: span for span in spans if not span.dropped}
    same: dict[str, list[Span]] = {}
    for span in exact.values():
        same.setdefault(span.text, []).append(span)
    found = []
    for w in windows:
        around = [s for s in same.get(w.phrase, []) if s.start <= w.start and w.end < s.stop]
        span = exact.get((w.start, w.end + 1)) or next(iter(around), None)
        found.append(span.success if span else None)
    return found


def what_is_left(
    split: Path, ranges: np.ndarray, windows: list[LanguageWindow], edits: EditList
) -> tuple[np.ndarray, list[LanguageWindow]]:
    """Ranges and windows of a split after all edits; frames of what is dropped are in no range.

    Raises:
        InvalidValueError: an edit is about an episode that is not there.
    """
    recorded = split_spans(split, ranges, windows)
    spans = edits.apply([span for span, _ in recorded])
    kept = np.zeros(int(ranges[:, 1].max()) + 2, np.int8)  # 1: in a range, 2: and dropped
    for a, b in ranges.tolist():
        kept[a : b + 1] = 1
    for span in sorted(spans, key=lambda s: not s.dropped):  # of two that overlap, one may be kept
        part = kept[span.start : span.stop]
        part[part > 0] = 1 + span.dropped
    left = []
    for a, b in ranges.tolist():
        edges = np.flatnonzero(
            np.diff(np.concatenate([[0], kept[a : b + 1] == 1, [0]]).astype(int))
        )
        left += [(a + i, a + j - 1) for i, j in zip(edges[::2], edges[1::2])]
    left = np.array(left, np.int64).reshape(-1, 2)
    tasks = {w.phrase: w.task for w in windows}
    out = []
    for span in spans:
        its = [w for i in span.of for w in recorded[i][1]]
        if not span.dropped:
            out += _windows(span, its, left, tasks)
    return left, sorted(out, key=lambda w: (w.start, w.end))


def _windows(
    span: Span, its: list[LanguageWindow], ranges: np.ndarray, tasks: dict[str, str]
) -> list[LanguageWindow]:
    """Which frames of a span teach its words: those that did, or all where none did."""
    from vw2_ros.models.data.calvin import LanguageWindow

    if not span.taught:
        return []
    out = []
    for a, b in ranges[np.searchsorted(ranges[:, 1], span.start) :].tolist():
        a, b = max(a, span.start), min(b, span.stop - 1)
        if a > b:
            break
        parts = [(max(a, w.start), min(b, w.end), w) for w in its]
        parts = [(x, y, w) for x, y, w in parts if x <= y]
        if parts and len(span.of) > 1:
            parts = [(min(x for x, *_ in parts), max(y for _, y, _ in parts), parts[0][2])]
        elif not its:
            parts = [(a, b, None)]
        for x, y, window in parts:
            if window is not None and (window.phrase == span.text or not span.edited):
                out.append(LanguageWindow(x, y, window.task, window.phrase))
            elif x < y:
                out.append(LanguageWindow(x, y, tasks.get(span.text, span.text), span.text))
    return out
