# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What to say for each task: training wordings, and validation wordings that no training has.

`data/phrases.json` holds patterns per family of tasks. In a family's name and patterns,
`{colour}` stands for red, blue, pink; `{side}` for right, left and `{other}` for the other side;
`{turn}` is the sense of a rotation seen from above: right is clockwise.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping
from pathlib import Path

from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.scenes import COLOURS
from vw2_ros.sim.tasks import TASKS, check_task

_FILE = Path(__file__).parent / 'data' / 'phrases.json'
_SIDES = (
    {'side': 'right', 'other': 'left', 'turn': 'clockwise'},
    {'side': 'left', 'other': 'right', 'turn': 'counterclockwise'},
)


@functools.cache
def _book(split: str) -> Mapping[str, tuple[str, ...]]:
    """Task -> wordings of 'train' or 'validation', for all 34 tasks."""
    found = {}
    for family, patterns in json.loads(_FILE.read_text()).items():
        for colour, side in itertools.product(COLOURS, _SIDES):
            slots = {'colour': colour, **side}
            found[family.format(**slots)] = tuple(p.format(**slots) for p in patterns[split])
    return {task: found[task] for task in TASKS}


def train_phrases(task: str) -> list[str]:
    """Wordings to annotate training data with (at least 12).

    Raises:
        ValueError: unknown task.
    """
    return list(_book('train')[check_task(task)])


def validation_phrases(task: str) -> list[str]:
    """Wordings to evaluate with; none is a training wording, all of their words are.

    Raises:
        ValueError: unknown task.
    """
    return list(_book('validation')[check_task(task)])


def read_phrases(path: str | Path) -> dict[str, list[str]]:
    """Read a user's wordings: a JSON object, task -> one wording or a list of them.

    Raises:
        ValueError: not readable as such, an unknown task, or an empty wording.
    """
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InvalidValueError(f'cannot read the phrases in {path}: {error}') from None
    if not isinstance(found, dict) or not found:
        raise InvalidValueError(
            'the phrases must be a JSON object, task -> list of wordings. '
            f'Got {str(found):.60} in {path}'
        )
    out = {}
    for task, wordings in found.items():
        check_task(task)
        wordings = [wordings] if isinstance(wordings, str) else wordings
        good = isinstance(wordings, list) and all(isinstance(w, str) for w in wordings)
        if not good or not wordings or not all(w.strip() for w in wordings):
            raise InvalidValueError(
                f'{task} must have a list of wordings, none empty. Got {str(wordings):.60} in {path}'
            )
        out[task] = wordings
    return out
