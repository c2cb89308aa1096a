# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What every simulated table offers, and that one place chooses it."""

import inspect

import fake_calvin_env
import numpy as np
import pytest

from vw2_ros.arms import open_arm
from vw2_ros.sim.expert.expert import run
from vw2_ros.sim.expert.starts import prepare
from vw2_ros.sim.state import FINGER_LINKS
from vw2_ros.sim.table import TABLES, Table, open_table, table_class

FACTS = ('renderer', 'scene', 'arm', 'steps', 'disagreements')


@pytest.fixture
def settings(tmp_path):
    """What each table wants beside its scene."""
    yield {'play_table': {}, 'calvin': {'calvin_env': fake_calvin_env.write_checkout(tmp_path)}}
    fake_calvin_env.forget()


@pytest.mark.parametrize('name', TABLES)
def test_a_table_offers_what_the_protocol_says(name, settings):
    asked = {n: v for n, v in vars(Table).items() if callable(v) or isinstance(v, property)}
    wanted = {n for n in asked if not n.startswith('_')} | {'__enter__', '__exit__'}
    with open_table('D', name=name, **settings[name]) as table:
        assert not {n for n in (*wanted, *FACTS) if not hasattr(table, n)}
        for method in (n for n in wanted if inspect.isfunction(asked[n]) and n[0] != '_'):
            ours = list(inspect.signature(getattr(type(table), method)).parameters)
            assert ours == list(inspect.signature(asked[method]).parameters), method
        assert table.arm is open_arm() and table.scene.name == 'D'
        assert table.robot_obs().shape == (8 + len(table.arm.joints),)
        assert table.scene_obs().shape == (24,)


def test_the_renderer_is_known_before_the_table_is_opened():
    assert table_class().renderer == table_class('play_table').renderer == 'pybullet_tiny'


def test_another_table_or_scene_is_refused():
    with pytest.raises(ValueError, match="table must be one of play_table, calvin. Got 'kitchen'"):
        open_table('D', name='kitchen')
    with pytest.raises(ValueError, match="unknown scene 'Z'"):
        open_table('Z')


def test_contacts_have_neutral_names():
    lift = 'lift_red_block_table'
    with open_table('D') as table:
        prepare(table, lift, np.random.default_rng(0))
        assert run(table, lift, 240)[0]
        state = table.state()
    assert state.blocks['red'].contacts == {('robot', link) for link in FINGER_LINKS}
    assert 'block_red' in state.robot_contacts
