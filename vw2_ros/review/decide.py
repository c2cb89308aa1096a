# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 episodes` decides, written beside the recordings; see `vw2_ros.episodes`.

Each change of a recording is one file that is written whole, so a kill leaves it as it was before or
as it is after.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from vw2_ros.episodes import Edit
from vw2_ros.errors import InvalidValueError, UsageError
from vw2_ros.review.recordings import Entry, Recording

WHAT = 'vw2 episodes'


def chosen(entries: Sequence[Entry], numbers: Sequence[str]) -> list[Entry]:
    """The episodes that a user means, e.g. ['3', '5-9', '12,14'].

    Raises:
        UsageError: no numbers, or no such episode.
    """
    wanted: set[int] = set()
    beyond = max((entry.number for entry in entries), default=-1) + 1
    for word in (w for words in numbers for w in words.split(',') if w):
        first, _, last = word.partition('-')
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise UsageError(f'episodes are numbers, e.g. 3 or 5-9. Got {word!r}')
        begin, end = int(first), int(last or first)
        wanted |= {*range(begin, min(end, beyond) + 1), *([end] if end >= begin else [])}
    missing = sorted(wanted - {entry.number for entry in entries})
    if missing or not wanted:
        there = f'0 to {len(entries) - 1}' if entries else 'none'
        raise UsageError(f'there are episodes {there}. Got {missing or "no number"}')
    return [entry for entry in entries if entry.number in wanted]


def drop(entries: Sequence[Entry], restore: bool = False) -> list[Entry]:
    """Leave episodes out, or take that back; those for which something changed."""
    changed = [entry for entry in entries if entry.span.dropped == restore]
    _write(changed, 'restore' if restore else 'drop')
    return changed


def relabel(entries: Sequence[Entry], text: str | None, success: bool | None) -> None:
    """Say what episodes show (None: as it was), and how they ended (None: as it was)."""
    _write(entries, 'label', text=text, success=success)


def merge(first: Entry, last: Entry, text: str | None = None) -> None:
    """Make one episode of two, and of all that lies between.

    Raises:
        InvalidValueError: they do not follow each other in one recording, or one was dropped.
    """
    spans = first.recording.spans() if first.recording is last.recording else []
    inside = [s for s in spans if first.span.start <= s.start and s.stop <= last.span.stop]
    if len(inside) < 2 or any(a.stop != b.start for a, b in zip(inside, inside[1:])):
        raise InvalidValueError(
            f'episodes to merge must follow each other without a cut. Got {first.number} of '
            f'{first.recording.name} and {last.number} of {last.recording.name}. Merge them in the '
            'bag, and convert it again'
        )
    if any(span.dropped for span in inside):
        raise InvalidValueError(
            f'episodes to merge must not be dropped. Got {first.number} to {last.number}, with one '
            'that is. Restore it first'
        )
    whole = dataclasses.replace(first, span=inside[0])
    _write([whole], 'merge', text=text, spans=tuple(span.key for span in inside))


def split(entry: Entry, seconds: float, text: str | None = None) -> None:
    """Make two episodes of one, so many seconds after it began; `text`: of the second.

    Raises:
        InvalidValueError: that is not inside it.
    """
    length = entry.facts['seconds']
    if not 0 < seconds < length:
        raise InvalidValueError(
            f'episode {entry.number} must be split inside. Got {seconds:g} s of {length:g} s'
        )
    at = entry.recording.position(entry.span, seconds)
    _write([entry], 'split', at=at, text=text)


def undo(recordings: Sequence[Recording]) -> tuple[str, int]:
    """Take the last command back.

    Returns:
        what it did, and to how many episodes.
    Raises:
        InvalidValueError: nothing was decided.
    """
    last = max((e.when_ns for r in recordings for e in r.edits.edits), default=None)
    if last is None:
        raise InvalidValueError('there must be a decision to take back. Got none here')
    undone = [e for r in recordings for e in r.edits.edits if e.when_ns == last]
    for recording in recordings:
        _change(recording, lambda edits: [e for e in edits if e.when_ns != last])
    return undone[0].do, sum(len(edit.spans) for edit in undone)


def _write(entries: Sequence[Entry], do: str, spans: tuple = (), **how) -> None:
    when_ns = time.time_ns()
    for recording in dict.fromkeys(entry.recording for entry in entries):
        keys = tuple(e.span.key for e in entries if e.recording is recording)
        edit = Edit(do, spans or keys, when_ns, **how)
        _change(recording, lambda edits, edit=edit: [*edits, edit])


def _change(recording: Recording, changed: Callable[[list[Edit]], list[Edit]]) -> None:
    seen = recording.edits.edits

    def checked(edits: list[Edit]) -> list[Edit]:
        if edits != seen:
            raise InvalidValueError(
                f'{recording.name} must be as it was listed. Got one that was changed meanwhile: '
                'look at it again'
            )
        return changed(edits)

    if changed(seen) != seen:
        recording.edits.change(checked, WHAT)
