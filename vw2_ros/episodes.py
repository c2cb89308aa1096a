# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which episodes a recording has: what it says by itself, and what was decided since.

A recording is a bag, or one split of a data set. It is never rewritten. What `vw2 episodes` decides
stands in a file beside it, `edits.json`, as a list of edits, which is written whole or not at all.
All that reads recordings (convert, training, inspection, ...) goes through `EditList.apply`.

| edit    | what it does                                        |
| ------- | --------------------------------------------------- |
| drop    | leaves spans out                                    |
| restore | takes that back                                     |
| label   | says what spans show (`text`), and how it ended (`success`) |
| merge   | makes one span of several that follow each other    |
| split   | makes two spans of one, at `at`                     |

Positions are nanoseconds of arrival in a bag, and frame ids in a data set.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from vw2_ros.errors import InvalidValueError
from vw2_ros.files import only_one, write_whole

FILE = 'edits.json'
VERSION = 1  # of the file
KINDS = ('drop', 'restore', 'label', 'merge', 'split')
BEGIN, END = 0, (1 << 63) - 1  # of a bag: before its first message, and after its last


@dataclasses.dataclass(frozen=True)
class Span:
    """A stretch of a recording that shows one thing: an episode."""

    start: int  # its first position
    stop: int  # the one after its last
    text: str = ''  # the instruction; '' where nobody said one
    success: bool | None = None  # how it ended; None: nobody said
    dropped: bool = False  # left out by all that reads
    # numbers of the spans, as the recording has them by itself, that it was made of
    of: tuple[int, ...] = ()
    edited: bool = False  # it is not as it was recorded
    correction: bool = False  # a person took the arm from a policy, and showed how it is done

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from other spans of the recording."""
        return self.start, self.stop

    @property
    def taught(self) -> str:
        """The instruction that a policy may learn from it: none where it failed."""
        return '' if self.success is False else self.text


@dataclasses.dataclass(frozen=True)
class Edit:
    """One decision about spans of a recording."""

    do: str  # one of KINDS
    spans: tuple[tuple[int, int], ...]  # `key` of each span that it is about
    when_ns: int  # of the command that made it, since the epoch: what undo takes back
    text: str | None = None  # label, merge, split (of the second part); None: as it was
    success: bool | None = None  # label; None: as it was
    at: int = 0  # split: where the second part begins

    def __post_init__(self):
        if self.do not in KINDS:
            raise InvalidValueError(f'an edit must be one of {", ".join(KINDS)}. Got {self.do!r}')
        if not self.spans or any(not 0 <= a < b for a, b in self.spans):
            raise InvalidValueError(f'an edit must be about spans. Got {self.spans}')


class EditList:
    """The edits of one recording.

    Args:
        recording: a bag (folder or file), or the folder of a split.
    Raises:
        InvalidValueError: its file of edits is damaged.
    """

    def __init__(self, recording: Path | str):
        self.recording = Path(recording)
        self.path = (
            self.recording.with_name(f'{self.recording.name}.{FILE}')
            if self.recording.is_file()
            else self.recording / FILE
        )
        self.edits = self._read()

    def _read(self) -> list[Edit]:
        try:
            content = json.loads(self.path.read_text(encoding='utf-8'))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        try:
            if content['version'] != VERSION:
                raise InvalidValueError(f'version {content["version"]}, wanted {VERSION}')
            return [
                Edit(**{**edit, 'spans': tuple((int(a), int(b)) for a, b in edit['spans'])})
                for edit in content['edits']
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InvalidValueError:
        return InvalidValueError(
            f'{self.path} must say which episodes were dropped or changed. Got a file that cannot '
            f'be read: {error}. Mend it, or remove it and decide anew'
        )

    def apply(self, spans: Sequence[Span]) -> list[Span]:
        """The spans as they are after all edits, in order.

        Args:
            spans: as the recording has them by itself.
        Raises:
            InvalidValueError: an edit is about a span that is not there.
        """
        out = [dataclasses.replace(span, of=(i,)) for i, span in enumerate(spans)]
        for edit in self.edits:
            out = self._applied(edit, out)
        return out

    def _applied(self, edit: Edit, spans: list[Span]) -> list[Span]:
        place = {span.key: i for i, span in enumerate(spans)}
        missing = [key for key in edit.spans if key not in place]
        if missing:
            raise InvalidValueError(
                f'{self.path} must be about episodes that are there. Got an edit ({edit.do}) of '
                f'{missing[0][0]} to {missing[0][1]}, which is none. The recording has changed: '
                'remove the file and decide anew'
            )
        where = sorted(place[key] for key in edit.spans)
        if edit.do == 'merge':
            return self._merged(edit, spans, where)
        if edit.do == 'split':
            return self._split(edit, spans, where[0])
        changes: dict = {'edited': True}
        if edit.do == 'label':
            changes |= {} if edit.text is None else {'text': edit.text}
            changes |= {} if edit.success is None else {'success': edit.success}
        else:
            changes['dropped'] = edit.do == 'drop'
        return [
            dataclasses.replace(span, **changes) if i in where else span
            for i, span in enumerate(spans)
        ]

    def _merged(self, edit: Edit, spans: list[Span], where: list[int]) -> list[Span]:
        parts = [spans[i] for i in where]
        if any(a.stop != b.start for a, b in zip(parts, parts[1:])):
            raise InvalidValueError(
                f'{self.path}: episodes to merge must follow each other. Got '
                f'{[part.key for part in parts]}'
            )
        words = edit.text if edit.text is not None else next((p.text for p in parts if p.text), '')
        said = [part.success for part in parts if part.text and part.success is not None]
        whole = Span(
            parts[0].start,
            parts[-1].stop,
            words,
            said[-1] if said else None,
            of=tuple(sorted({i for part in parts for i in part.of})),
            edited=True,
            correction=any(part.correction for part in parts if part.text),
        )
        return [*spans[: where[0]], whole, *spans[where[-1] + 1 :]]

    def _split(self, edit: Edit, spans: list[Span], where: int) -> list[Span]:
        span = spans[where]
        if not span.start < edit.at < span.stop:
            raise InvalidValueError(
                f'{self.path}: an episode must be split inside. Got {edit.at}, it is from '
                f'{span.start} to {span.stop}'
            )
        words = span.text if edit.text is None else edit.text
        first = dataclasses.replace(span, stop=edit.at, edited=True)
        second = dataclasses.replace(span, start=edit.at, text=words, edited=True)
        return [*spans[:where], first, second, *spans[where + 1 :]]

    def change(self, changed: Callable[[list[Edit]], Sequence[Edit]], what: str) -> None:
        """Read the edits anew, change them, and write them; one program at a time.

        Args:
            changed: edits -> edits. what: is at work, for the message that others get.
        Raises:
            BusyError: another program is at work there. InvalidValueError: the file is damaged.
        """
        with only_one(self.path.parent, what):
            for left in self.path.parent.glob(f'.{self.path.name}.*.part'):
                left.unlink(missing_ok=True)  # of a program that was killed
            self.edits = list(changed(self._read()))
            if not self.edits:
                self.path.unlink(missing_ok=True)
                return
            told = [
                {k: v for k, v in dataclasses.asdict(edit).items() if v is not None}
                for edit in self.edits
            ]
            write_whole(
                self.path,
                json.dumps({'version': VERSION, 'edits': told}, indent=1, ensure_ascii=False)
                + '\n',
            )

    def without(self, gone: Callable[[int], bool]) -> list[Edit]:
        """The edits, but for what they say of spans that are no longer there.

        Args:
            gone: start of a span -> whether it is.
        """
        kept = []
        for edit in self.edits:
            spans = tuple(key for key in edit.spans if not gone(key[0]))
            if spans == edit.spans or (spans and edit.do not in ('merge', 'split')):
                kept.append(dataclasses.replace(edit, spans=spans))
        return kept

    @property
    def of_frames(self) -> str:
        """What of the edits decides which frames there are; '' where there is none."""
        told = [(e.do, e.spans, e.at) for e in self.edits if e.do != 'label']
        return repr(told) if told else ''


# ----------------------------------------------------------------- sessions of a data set


def marker_path(split: Path, session: int) -> Path:
    """Where the marker of a finished session of a data set lies."""
    return Path(split) / 'sessions' / f'session_{session:05d}.json'


def read_markers(split: Path) -> list[dict]:
    """Markers of the finished sessions of a split, in order of session number."""
    paths = sorted(Path(split).glob('sessions/session_*.json'))
    return [json.loads(path.read_text()) for path in paths]
