# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Wordings: enough, distinct, and validation ones that training never has."""

import collections
import json
import re

import pytest

from vw2_ros.sim.phrases import read_phrases, train_phrases, validation_phrases
from vw2_ros.sim.tasks import TASKS


def words(phrase):
    return re.findall('[a-z]+', phrase.lower())


@pytest.mark.parametrize('task', TASKS)
def test_enough_wordings_that_differ(task):
    train, validation = train_phrases(task), validation_phrases(task)
    assert len(set(train)) == len(train) >= 12
    assert len(set(validation)) == len(validation) >= 1
    assert not {' '.join(words(p)) for p in train} & {' '.join(words(p)) for p in validation}
    for phrase in train + validation:
        assert '{' not in phrase and 2 <= len(words(phrase)) <= 14
    assert len({words(p)[0] for p in train}) >= 8  # not one sentence over and over


def test_no_wording_means_two_tasks():
    count = collections.Counter(
        p for t in TASKS for p in {*train_phrases(t), *validation_phrases(t)}
    )
    assert [p for p, n in count.items() if n > 1] == []


def test_validation_says_new_sentences_in_known_words():
    known = {w for t in TASKS for p in train_phrases(t) for w in words(p)}
    new = {w for t in TASKS for p in validation_phrases(t) for w in words(p)} - known
    assert new == set()


def test_colour_and_side_are_those_of_the_task():
    for task in TASKS:
        for phrase in train_phrases(task) + validation_phrases(task):
            said = set(words(phrase))
            for colour in ('red', 'blue', 'pink'):
                assert (colour in said) == (colour in task.split('_')), (task, phrase)
            if task.startswith(('rotate', 'push', 'move')) and task != 'push_into_drawer':
                side = task.split('_')[-1]
                turn = {'right': 'clockwise', 'left': 'counterclockwise'}
                other = {'right': 'left', 'left': 'right'}[side]
                assert turn[other] not in said
                assert said & {side, turn[side]} or 'uncover' in said, (task, phrase)


def test_unknown_task():
    for f in (train_phrases, validation_phrases):
        with pytest.raises(ValueError, match='Did you mean open_drawer'):
            f('open_drawers')


def test_read_phrases(tmp_path):
    path = tmp_path / 'p.json'
    path.write_text(json.dumps({'open_drawer': 'pull it', 'turn_on_led': ['a b', 'c']}))
    assert read_phrases(path) == {'open_drawer': ['pull it'], 'turn_on_led': ['a b', 'c']}
    for bad in (
        '{',
        '[]',
        '{}',
        '{"juggle": ["x"]}',
        '{"open_drawer": []}',
        '{"open_drawer": [""]}',
    ):
        path.write_text(bad)
        with pytest.raises(ValueError):
            read_phrases(path)
    with pytest.raises(ValueError, match='cannot read'):
        read_phrases(tmp_path / 'none.json')
