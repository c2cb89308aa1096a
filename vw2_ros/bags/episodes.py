# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes of a bag: from one instruction to the next, how they ended, and what was decided since.

They are told by the arrival of messages, which a bag always has. A message on the topic `outcome`
(success, failure, discard) is about the last episode with words that began before it.

Where a person takes the arm from a policy (topic `leader`), an episode of its own begins, a correction.
It ends when he lets go. What the policy did for the same instruction just before counts as failed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from vw2_ros import names
from vw2_ros.bags.bag import Bag, BagError, cdr_reader
from vw2_ros.episodes import BEGIN, END, EditList, Span

SUCCESS, FAILURE, DISCARD = OUTCOMES = ('success', 'failure', 'discard')


def topic_called(topics: dict[str, str], name: str) -> str:
    """The topic of this name, in any namespace; '' where there is none.

    Raises:
        BagError: there are several.
    """
    found = [t for t in topics if t == f'/{name}' or t.endswith(f'/{name}') or t == name]
    if len(found) > 1:
        raise BagError(
            f'several topics are called {name}: {", ".join(sorted(found))}. '
            'Record those of one robot only'
        )
    return found[0] if found else ''


def bag_spans(bag: Bag, instruction: str = '', edits: EditList | None = None) -> list[Span]:
    """The episodes of a bag and what lies between them, in order, without a gap.

    Args:
        instruction: what the whole bag shows, where it does not say itself.
        edits: None: those beside the bag.
    Returns:
        spans of arrival [ns].
    Raises:
        BagError: several topics for one thing. InvalidValueError: see `EditList`.
    """
    edits = EditList(bag.path) if edits is None else edits
    return edits.apply(_recorded(bag, ' '.join(instruction.split())))


def left_out(bag: Bag) -> list[tuple[int, int]]:
    """Intervals of arrival [ns], from and before, that are dropped."""
    return [span.key for span in bag_spans(bag) if span.dropped]


def _recorded(bag: Bag, instruction: str) -> list[Span]:
    spoken = list(_texts(bag, names.INSTRUCTION))
    if any(text for _, text in spoken):
        instruction = ''
    else:
        spoken = []
    events = [(at, text, None) for at, text in spoken]
    events += [(at, None, leader) for at, leader in _texts(bag, names.LEADER)]
    now, marks = (instruction, ''), [(BEGIN, (instruction, ''))]
    for at, text, leader in sorted(events, key=lambda event: event[0]):
        now = (
            now[0] if text is None else text,
            now[1] if leader is None else _led(now[1], leader),
        )
        if now != marks[-1][1]:
            marks.append((max(at, marks[-1][0] + 1), now))
    ends = [*(at for at, _ in marks[1:]), END]
    spans = [
        Span(at, end, '' if led == names.NOBODY else text, correction=led == names.CORRECTION)
        for (at, (text, led)), end in zip(marks, ends)
    ]
    for i, (before, after) in enumerate(zip(spans, spans[1:])):
        if after.correction and not before.correction and before.text == after.text != '':
            # what the policy did before a person took over is nothing to learn from
            spans[i] = dataclasses.replace(before, success=False)
    for at, outcome in _texts(bag, names.OUTCOME):
        about = [i for i, s in enumerate(spans) if s.start <= at and (s.text or len(spans) == 1)]
        if not about or outcome not in OUTCOMES:
            continue
        if outcome == DISCARD:
            spans[about[-1]] = dataclasses.replace(spans[about[-1]], dropped=True)
        else:
            spans[about[-1]] = dataclasses.replace(
                spans[about[-1]], success=outcome == SUCCESS, dropped=False
            )
    return spans


def _led(before: str, leader: str) -> str:
    """What a message on `leader` makes of an episode: a correction, what follows one, or neither."""
    if leader == names.CORRECTION:
        return leader
    return names.NOBODY if leader == names.NOBODY and before else ''


def _texts(bag: Bag, name: str) -> Iterator[tuple[int, str]]:
    """(arrival [ns], text) of each message of a topic of strings."""
    topic = topic_called(bag.topics, name)
    read = cdr_reader()
    for _, kind, received_ns, data in bag.messages([topic]) if topic else ():
        try:
            yield received_ns, ' '.join(read(data, kind).data.split())
        except Exception:  # a message of another type, or damaged
            continue
