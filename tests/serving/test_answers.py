# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a policy server answers, without a network."""

import numpy as np
import pytest
from policy_files import tiny_policy

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.policy import Policy
from vw2_ros.serving.answers import Answers
from vw2_ros.serving.remote import compressed

WORDS = 'open the drawer'


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
    weights = tmp_path_factory.mktemp('answers') / 'weights'
    tiny_policy(weights)
    return Policy.load(weights)


def seen(seed, size=200, **more):
    rgb = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return {'images': {'rgb_static': rgb}, 'task_description': WORDS, **more}


def plan_of(policy, question):
    rgb = policy.fit(question['images']['rgb_static'])
    return policy.infer({'rgb': rgb, 'instruction': WORDS}).actions


def test_a_harness_gets_metres_and_radians_of_one_plan_after_another(policy):
    answers = Answers(policy, execute=3)
    wanted = plan_of(policy, seen(0))
    got = [answers.answer(seen(i), 'a')['actions'] for i in range(3)]
    for action, unit in zip(got, wanted):
        np.testing.assert_allclose(action[:3], 0.02 * unit[:3], rtol=1e-6)
        np.testing.assert_allclose(action[3:6], 0.05 * unit[3:6], rtol=1e-6)
        assert action[6] == np.sign(unit[6]) and action.dtype == np.float32
    after = answers.answer(seen(3), 'a')['actions']  # three were executed: a new plan
    np.testing.assert_allclose(after[:3], 0.02 * plan_of(policy, seen(3))[0, :3], rtol=1e-6)


def test_sessions_and_subtasks_have_plans_of_their_own(policy):
    answers = Answers(policy)
    first = answers.answer(seen(0), 'a')['actions']
    np.testing.assert_array_equal(answers.answer(seen(0), 'b')['actions'], first)
    again = answers.answer(seen(0, episode_restart=True), 'a')['actions']
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(answers.answer(seen(0), 'b')['actions'], first)  # its second
    answers.forget('b')
    np.testing.assert_array_equal(answers.answer(seen(0), 'b')['actions'], first)


def test_a_session_s_subtask_is_tried_anew(policy):
    patient = Policy.load(policy.path, recover_after_s=0.2)
    answers = Answers(patient, execute=3)
    asked = [seen(i) for i in range(7)]
    got = [answers.answer(question, 'a')['actions'] for question in asked]
    rgb = policy.fit(asked[6]['images']['rgb_static'])  # after 6 steps, .2 s
    other = patient.actions(policy.plan(rgb, 'push the red block left').hidden)
    np.testing.assert_allclose(got[6][:3], 0.02 * other[0, :3], rtol=1e-6)
    again = answers.answer({**asked[6], 'episode_restart': True}, 'a')['actions']
    np.testing.assert_allclose(again[:3], 0.02 * plan_of(policy, asked[6])[0, :3], rtol=1e-6)


def test_a_robot_gets_what_the_policy_says(policy):
    answers = Answers(policy)
    rgb = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    plan = answers.answer({'ask': 'plan', 'picture': compressed(rgb), 'instruction': WORDS}, 'a')
    wanted = policy.plan(rgb, WORDS)
    np.testing.assert_array_equal(plan['hidden'], wanted.hidden)
    np.testing.assert_array_equal(plan['codes'], wanted.codes)
    assert plan['sha256'] == policy.sha256 and plan['ms'] > 0
    patient = Answers(Policy.load(policy.path, recover_after_s=1.0))
    question = {'ask': 'plan', 'picture': compressed(rgb), 'instruction': WORDS}
    for followed_s, words in ((0.9, WORDS), (1.1, 'push the red block left')):
        plan_then = patient.answer({**question, 'followed_s': followed_s}, 'a')
        np.testing.assert_array_equal(plan_then['hidden'], policy.plan(rgb, words).hidden)
    actions = answers.answer({'ask': 'actions', 'hidden': plan['hidden']}, 'a')['actions']
    np.testing.assert_array_equal(actions, policy.actions(wanted.hidden))
    facts = answers.answer({'ask': 'facts'}, 'a')
    assert (facts['image_size'], facts['chunk']) == (32, policy.chunk)
    question = {'ask': 'instruction', 'instruction': WORDS, 'least_known': 1.0}
    assert answers.answer(question, 'a')['refused'] == ''
    refused = answers.answer({**question, 'instruction': 'drown the otter'}, 'a')['refused']
    assert 'unknown instruction' in refused


@pytest.mark.parametrize(
    'question, said',
    [
        ({'ask': 'dinner'}, 'ask must be one of facts'),
        ({}, 'images must be there'),
        ({'images': {'left': 0, 'right': 0}, 'task_description': WORDS}, 'one picture only'),
        ({'images': {}, 'task_description': WORDS}, 'Got none'),
        ({'images': {'rgb_static': np.zeros((8, 8))}, 'task_description': WORDS}, 'uint8'),
        ({'images': {'x': np.zeros((8, 8, 3), np.uint8)}}, 'task_description must be there'),
        ({'ask': 'plan', 'picture': [1], 'instruction': WORDS}, 'picture must be there'),
        ({'ask': 'plan', 'picture': b'RIFF', 'instruction': WORDS}, 'picture'),
        (
            {
                'ask': 'plan',
                'picture': compressed(np.zeros((9, 9, 3), np.uint8)),
                'instruction': WORDS,
            },
            'rgb must be a numpy array uint8 .32, 32, 3.',
        ),
        ({'ask': 'actions', 'hidden': np.full((4, 16), np.nan)}, 'finite'),
    ],
)
def test_bad_questions_are_told(policy, question, said):
    with pytest.raises(InvalidValueError, match=said):
        Answers(policy).answer(question, 'a')


def test_actions_of_other_axes_are_no_harness_s(tmp_path):
    tiny_policy(tmp_path / 'weights', provenance={'action_frame': 'tool'})
    with pytest.raises(CheckpointError, match='action_frame'):
        Answers(Policy.load(tmp_path / 'weights')).answer(seen(0), 'a')


def test_more_actions_than_a_plan_has_are_refused(policy):
    with pytest.raises(InvalidValueError, match=f'1..{policy.chunk}. Got 99'):
        Answers(policy, execute=99)
