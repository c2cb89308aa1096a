# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A second try: when, for how long, and at which other instruction."""

import json

import numpy as np
import pytest
import yaml
from policy_files import PHRASES, tiny_policy

from vw2_ros.errors import InvalidValueError
from vw2_ros.files import config_file, file_sha256
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.policy import Policy
from vw2_ros.models.recovery import EVERY_S, FOR_S, STEP_S, TABLE_AFTER_S, Recovery

OTHERS = ('open the drawer', 'close the drawer', 'lift the block', 'push the block')


def test_it_comes_after_a_while_and_comes_again():
    recovery = Recovery(3.0, OTHERS)
    said = [recovery.words('open the drawer', i / 100) for i in range(2000)]
    away = np.array([words != 'open the drawer' for words in said])
    begins = np.flatnonzero(np.diff(away.astype(int), prepend=0) == 1) / 100
    np.testing.assert_allclose(begins, 3.0 + EVERY_S * np.arange(len(begins)), atol=0.011)
    assert len(begins) == 9 and away[300:510].mean() == pytest.approx(FOR_S / EVERY_S, abs=0.01)
    # one after another, and never its own
    tried = [said[round(b * 100) + 1] for b in begins]
    assert set(tried[:3]) == set(OTHERS[1:]) and tried[3:6] == tried[:3]


def test_a_stamp_that_is_a_nanosecond_short_counts():
    recovery = Recovery(88 / 30, OTHERS)
    assert recovery.words(OTHERS[0], 88 / 30 - 1e-9) != OTHERS[0]
    assert recovery.words(OTHERS[0], 87 / 30) == OTHERS[0]


@pytest.mark.parametrize(
    'recovery', [Recovery(), Recovery(0.0, OTHERS), Recovery(1.0), Recovery(1.0, OTHERS[:1])]
)
def test_without_another_instruction_or_a_time_there_is_none(recovery):
    assert all(recovery.words(OTHERS[0], s) == OTHERS[0] for s in (0.0, 1.0, 1.2, 100.0))


@pytest.mark.parametrize('after_s', [-1.0, float('nan'), float('inf')])
def test_a_time_that_is_none_is_refused(after_s):
    with pytest.raises(InvalidValueError, match='recover_after_s must be at least 0'):
        Recovery(after_s)


@pytest.mark.parametrize('followed_s', [float('nan'), float('inf'), -1.0])
def test_a_time_that_nobody_can_mean_brings_no_recovery(followed_s):
    assert Recovery(1.0, OTHERS).words(OTHERS[0], followed_s) == OTHERS[0]


def test_the_tables_recover_and_a_robot_does_not():
    def planner(name):
        content = yaml.safe_load(config_file(name).read_text())
        return content['/**/planner']['ros__parameters']['recover_after_s']

    assert planner('calvin.yaml') == TABLE_AFTER_S
    assert planner('robot.yaml') == 0.0


def test_a_policy_plans_for_the_other_instruction(tmp_path):
    tiny_policy(tmp_path / 'm')
    plain = Policy.load(tmp_path / 'm')
    policy = Policy.load(tmp_path / 'm', recover_after_s=4 * STEP_S, execute=2)
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    wanted, other = (plain.plan(rgb, words) for words in PHRASES)
    assert not np.array_equal(wanted.hidden, other.hidden)
    seen = {'rgb': rgb, 'instruction': PHRASES[0]}
    for _ in range(2):
        policy.reset()
        for plan in (wanted, wanted, other):
            actions = policy.actions(plan.hidden)
            for action in actions[:2]:
                np.testing.assert_array_equal(policy.act(seen), action)


def test_folders_of_before_have_none_and_damaged_ones_are_refused(tmp_path):
    tiny_policy(tmp_path / 'm')
    config = json.loads((tmp_path / 'm/config.json').read_text())
    assert list(config['phrases'].values()) == list(PHRASES)

    def rewritten(phrases):
        content = {k: v for k, v in config.items() if k != 'phrases'}
        content |= {} if phrases is None else {'phrases': phrases}
        (tmp_path / 'm/config.json').write_text(json.dumps(content))
        record = json.loads((tmp_path / 'm/provenance.json').read_text())
        record['files']['config.json'] = file_sha256(tmp_path / 'm/config.json')
        (tmp_path / 'm/provenance.json').write_text(json.dumps(record))
        return Policy.load(tmp_path / 'm', recover_after_s=1.0)

    assert rewritten(None).recovery.instructions == ()
    for damaged in (7, ['open'], {'open': 3}, {'open': ''}, {'open': 'a ' * 1000}):
        with pytest.raises(CheckpointError, match='config.json'):
            rewritten(damaged)
