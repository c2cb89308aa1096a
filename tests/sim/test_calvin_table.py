# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The real CALVIN as a table: the adapter over a fake of calvin_env, and over a real checkout."""

import gc
import os
import subprocess
import sys

import cv2
import fake_calvin_env
import numpy as np
import pytest
import yaml

from vw2_ros.errors import InvalidValueError, MissingFileError, MissingPackageError
from vw2_ros.models.data.origin import calvin_env_of, renderer_of
from vw2_ros.models.data.store import FrameStore
from vw2_ros.sim.appearance import Appearance
from vw2_ros.sim.calvin_checkout import PACKAGES, Checkout
from vw2_ros.sim.collect import collect
from vw2_ros.sim.errors import SimulationError
from vw2_ros.sim.expert.expert import run
from vw2_ros.sim.expert.starts import prepare
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.redraw import redraw
from vw2_ros.sim.state import FINGER_LINKS
from vw2_ros.sim.table import Simulator

STILL = (0, 0, 0, 0, 0, 0, 1)
REAL = os.environ.get('VW2_CALVIN_ENV', '')


@pytest.fixture
def folder(tmp_path):
    yield fake_calvin_env.write_checkout(tmp_path / 'calvin')
    fake_calvin_env.forget()


@pytest.fixture
def table(folder):
    with Simulator('calvin', str(folder)).open('D') as opened:
        yield opened


def test_it_measures_what_the_play_table_measures(table):
    with PlayTable('D') as ours:
        for x in (table, ours):
            x.reset()
            for _ in range(5):
                x.step((0.5, 0, 0.3, 0, 0, 0.2, -1))
        assert np.allclose(table.robot_obs(), ours.robot_obs(), atol=1e-9)
        assert np.allclose(table.scene_obs(), ours.scene_obs(), atol=1e-9)
        assert np.allclose(table.tcp_pose()[1], ours.tcp_pose()[1], atol=1e-6)
        assert table.gripper_width() == ours.gripper_width()
        assert np.allclose(table.joint_velocities(), ours.joint_velocities())
        for one, other in zip((*table.target, table.command[0]), (*ours.target, ours.command[0])):
            assert np.allclose(one, other, atol=1e-6)
        assert table.command[1] == -1.0 and (table.steps, table.time) == (5, 5 / 30)
        assert table.view().eye == pytest.approx(ours.view().eye)
        assert table.fov_deg('gripper') == ours.fov_deg('gripper')


def test_the_expert_solves_a_task_and_the_names_are_neutral(table):
    lift = 'lift_red_block_table'
    prepare(table, lift, np.random.default_rng(0))
    done = table.judge(lift)
    assert not done()
    assert run(table, lift, 240)[0] and done()
    state = table.state()
    assert state.blocks['red'].contacts == {('robot', link) for link in FINGER_LINKS}
    assert 'block_red' in state.robot_contacts and not table.disagreements
    assert ('table', 'plank') in state.blocks['blue'].contacts | state.blocks['pink'].contacts


def test_two_oracles_that_do_not_agree_are_told_of(table, monkeypatch):
    monkeypatch.setattr(fake_calvin_env.module(), 'LIES', {'open_drawer'})
    done = table.judge('open_drawer')
    assert done()  # CALVIN's counts
    assert table.disagreements == ['open_drawer, step 0: CALVIN True, this package False']
    with pytest.raises(InvalidValueError, match='unknown task'):
        table.judge('fly')


@pytest.mark.parametrize('action', [(0, 0, 0, 0, 0, 0, 0.3), (0, 0, 0, 0, 0, np.nan, 1), (1, 2)])
def test_what_an_assertion_would_end_is_refused_before_anything_moves(table, action):
    before = table.robot_obs()
    with pytest.raises(InvalidValueError):
        table.step(action)
    assert (table.robot_obs() == before).all() and table.steps == 0


@pytest.mark.parametrize('kind', ['joint_abs', 'joint_rel', 'abs'])
def test_relative_actions_go_on_from_where_others_led(table, kind):
    for _ in range(20):
        if kind == 'abs':
            at, turn = table.tcp_pose()[0] + (0.01, 0, 0), table.target[1]
            table.step((kind, np.concatenate([at, turn, [1]])))
        else:
            q = table.command[0] + 0.01 if kind == 'joint_abs' else np.full(7, 0.01)
            table.step((kind, np.append(q, 1)))
    for _ in range(5):
        table.step(STILL)
    before = table.tcp_pose()[0]
    for _ in range(20):
        table.step(STILL)
    assert np.linalg.norm(table.tcp_pose()[0] - before) < 2e-3


def test_a_reset_leaves_nothing_of_before(table):
    for _ in range(3):
        table.step((0, 0, 0, 0, 0, 0, -1))
    table.reset(np.append(table.robot_obs()[:14], 1.0))
    assert table.robot_obs()[14] == 1.0 and table.command[1] == 1.0
    obs = table.scene.default_obs()
    obs[2] = 0.02  # the button is down, the LED off
    table.reset(scene_obs=obs)
    for _ in range(3):
        table.step(STILL)
    assert table.state().led == 0
    obs[3:5] = 0.088, 0  # the switch is up, the bulb off
    table.reset(scene_obs=obs)
    assert table.state().lightbulb == table.scene_obs()[4] == 1
    obs[3:5] = 0, 1
    table.reset(scene_obs=obs)
    assert table.state().lightbulb == 0
    with pytest.raises(InvalidValueError, match='scene_obs must be 24'):
        table.reset(scene_obs=obs[:5])


def test_pictures_are_drawn_on_demand_and_shrunk_by_area(table):
    camera = fake_calvin_env.module().Camera
    before = camera.drawn
    table.reset()
    table.step(STILL)
    assert camera.drawn == before
    whole, small = table.render('static'), table.render('static', 96)
    assert whole.shape == (200, 200, 3) and small.dtype == np.uint8
    assert (cv2.resize(whole, (96, 96), interpolation=cv2.INTER_AREA) == small).all()
    assert table.render('static', 300).shape == (300, 300, 3)
    rgb, metres = table.render('gripper', 42, depth=True)
    assert rgb.shape == (42, 42, 3) and metres.shape == (42, 42) and metres.dtype == np.float32
    assert table.render('gripper').shape == (84, 84, 3)
    with pytest.raises(InvalidValueError, match='must keep its shape'):
        table.render('static', (96, 200))
    with pytest.raises(InvalidValueError, match='unknown camera'):
        table.render('wrist')
    with pytest.raises(InvalidValueError, match='looks cannot be changed'):
        table.set_appearance(Appearance.of('D'))


def test_a_closed_table_says_so(folder, capfd):
    table = Simulator('calvin', str(folder)).open('D')
    table.close()
    table.close()
    with pytest.raises(SimulationError, match='was closed'):
        table.step(STILL)
    assert capfd.readouterr().out == ''


def test_a_process_that_is_told_to_end_while_it_opens_says_nothing(folder, monkeypatch, capfd):
    Simulator('calvin', str(folder)).open('D').close()  # it is imported now
    told = []
    monkeypatch.setattr(sys, 'unraisablehook', told.append)

    def end(env):
        env.table.close()
        sys.exit(1)  # as the handler of SIGTERM in a worker

    monkeypatch.setattr(fake_calvin_env.module(), 'Scene', end)
    with pytest.raises(SystemExit):
        Simulator('calvin', str(folder)).open('D')
    gc.collect()
    assert not told and not any(capfd.readouterr())


def test_it_must_be_alone_in_its_process(folder, monkeypatch):
    Simulator('calvin', str(folder)).open('D').close()
    monkeypatch.setattr(fake_calvin_env.module(), 'CLIENT', 1)
    with pytest.raises(SimulationError, match='only simulator of its process'):
        Simulator('calvin', str(folder)).open('D')


def test_another_version_says_what_it_lacks(folder, monkeypatch):
    Simulator('calvin', str(folder)).open('D').close()
    monkeypatch.delitem(fake_calvin_env.module().LINKS, 'slide_link')
    with pytest.raises(SimulationError, match='Got none for slide_link'):
        Simulator('calvin', str(folder)).open('D')


# ---------------------------------------------------------------- the checkout


def test_the_renderer_belongs_to_the_table(folder):
    sim = Simulator('calvin', str(folder))
    assert sim.renderer == 'calvin_env_tiny' and sim.check('D') is None
    assert Simulator('calvin', str(folder), egl=True).renderer == 'calvin_env_egl'
    assert Simulator().renderer == 'pybullet_tiny' and Simulator().facts == {}


def test_egl_that_aborts_is_found_out_in_another_process(folder):
    with pytest.raises(SimulationError, match='ended by signal 6. Leave --egl out'):
        Simulator('calvin', str(folder), egl=True).check()


def test_egl_that_draws_is_taken_though_it_talks(folder, monkeypatch):
    monkeypatch.setenv(fake_calvin_env.EGL, '1')
    Simulator('calvin', str(folder), egl=True).check()


def test_a_checkout_is_known_by_its_commit_and_its_files(folder):
    found = Checkout.find(folder)
    facts = found.facts
    assert facts['commit'] == 'unknown' and len(facts['assets_sha256']) == 64
    assert Checkout.find(folder / 'calvin_env').facts == facts
    (folder / 'calvin_env/data/calvin_table_D/meshes/base.obj').write_text('another mesh')
    other = Checkout.find(folder).facts
    assert other['assets_sha256'] != facts['assets_sha256']
    assert other['code_sha256'] == facts['code_sha256']
    git = ['git', '-c', 'user.name=x', '-c', 'user.email=x@x', '-C', str(folder / 'calvin_env')]
    subprocess.run([*git, 'init', '-q'], check=True)
    subprocess.run([*git, 'commit', '-q', '--allow-empty', '-m', 'x'], check=True)
    assert len(Checkout.find(folder).facts['commit']) == 40


def test_bad_checkouts_are_told_in_one_sentence(folder, tmp_path):
    def refused(error, *said, scene='D'):
        with pytest.raises(error) as told:
            Simulator('calvin', str(folder)).check(scene)
        assert '\n' not in str(told.value) and all(s in str(told.value) for s in said)

    with pytest.raises(MissingFileError, match=f'Got none in {tmp_path} or {tmp_path}/calvin_env'):
        Simulator('calvin', str(tmp_path))
    refused(InvalidValueError, 'scene must be one of D', "Got 'A'", 'conf/scene', scene='A')
    (folder / 'calvin_env/data/calvin_table_D/meshes/base.obj').unlink()
    refused(MissingFileError, 'no ../meshes/base.obj', 'calvin_table_D.urdf')
    (folder / 'calvin_env/data/calvin_table_D/urdf/calvin_table_D.urdf').unlink()
    refused(MissingFileError, 'no calvin_table_D.urdf', 'data/calvin_table_D/urdf')
    (folder / 'calvin_env/conf/env/play_table_env.yaml').unlink()
    refused(MissingFileError, 'conf/env/play_table_env.yaml', str(folder / 'calvin_env'))
    (folder / 'calvin_env/conf/scene/calvin_scene_D.yaml').unlink()
    refused(MissingFileError, 'must have scenes', f'Got none in {folder / "calvin_env"}')


def test_missing_packages_are_named_with_what_installs_them(folder, monkeypatch):
    (folder / 'calvin_env/hydra.py').unlink()
    monkeypatch.setitem(PACKAGES, 'no_such_module', 'no-such-package')
    sim = Simulator('calvin', str(folder), egl=True)
    for begin in (sim.open, sim.check):
        with pytest.raises(MissingPackageError, match='pip install.* no-such-package'):
            begin('D')


def test_words_are_the_checkouts(folder, tmp_path):
    assert Checkout.find(folder).words()['open_drawer'] == ['please open_drawer']
    assert Checkout.find(folder / 'calvin_env').words_file == Checkout.find(folder).words_file
    bare = fake_calvin_env.write_checkout(tmp_path / 'bare', words=False)
    with pytest.raises(MissingFileError, match='new_playtable_validation.yaml. Got none in'):
        Checkout.find(bare).words()


@pytest.mark.parametrize(
    'settings, said',
    [
        (('calvin',), 'Name its folder with --calvin-env'),
        (('play_table', '', True), 'EGL goes with the table calvin'),
        (('kitchen',), 'table must be one of play_table, calvin'),
    ],
)
def test_settings_that_do_not_go_together(settings, said):
    with pytest.raises(InvalidValueError, match=said):
        Simulator(*settings)


def test_data_say_what_drew_them(folder, tmp_path):
    sim = Simulator('calvin', str(folder))
    out = tmp_path / 'data'
    settings = dict(out=out, episodes=1, workers=1, shards=32, tasks_per_episode=1, seed=1)
    path = os.pathsep.join([*sys.path])
    # in a worker: a process has one environment
    os.environ['PYTHONPATH'], before = path, os.environ.get('PYTHONPATH', '')
    try:
        counts = collect(**settings, validation_episodes=0, progress=False, simulator=sim)
    finally:
        os.environ['PYTHONPATH'] = before
    assert counts['training']['frames'] > 10
    config = yaml.safe_load((out / 'training/.hydra/merged_config.yaml').read_text())
    assert config['renderer'] == 'calvin_env_tiny'
    assert config['expert']['calvin_env'] == sim.facts and config['expert']['table'] == 'calvin'
    # and our table can show the same states, for sight to learn what is where in CALVIN's pictures
    redraw(out, tmp_path / 'ours', Simulator(), progress=False)
    theirs, ours = (FrameStore([d], 'training', 32) for d in (out, tmp_path / 'ours'))
    assert (renderer_of(theirs), renderer_of(ours)) == ('calvin_env_tiny', 'pybullet_tiny')
    assert np.array_equal(theirs.robot_obs, ours.robot_obs)
    assert np.array_equal(theirs.scene_obs, ours.scene_obs)
    middle = np.array([len(ours) // 2])
    with PlayTable('D') as table:
        table.reset(ours.robot_obs[middle[0]], ours.scene_obs[middle[0]])
        again = table.render('static', 32)
    assert (ours.rgb(middle)[0] != again).any(-1).mean() < 0.02
    # and the other way about: CALVIN draws what our table recorded
    redraw(tmp_path / 'ours', tmp_path / 'back', sim, progress=False)
    back = FrameStore([tmp_path / 'back'], 'training', 32)
    assert renderer_of(back) == 'calvin_env_tiny' and calvin_env_of(back) == [sim.facts]
    assert (back.rgb(middle)[0] != theirs.rgb(middle)[0]).any(-1).mean() < 0.02
    with pytest.raises(InvalidValueError, match='Leave --randomize out'):
        redraw(out, tmp_path / 'random', sim, randomize=True, progress=False)
    with pytest.raises(InvalidValueError, match='Choose another folder'):
        collect(**settings, progress=False)
    with pytest.raises(InvalidValueError, match='Leave --randomize out'):
        collect(**settings | {'out': tmp_path / 'other'}, randomize=True, simulator=sim)


# ---------------------------------------------------------------- the real one

_REAL = """
import sys
import numpy as np
from vw2_ros.sim.expert.expert import run
from vw2_ros.sim.expert.starts import prepare
from vw2_ros.sim.table import Simulator
with Simulator('calvin', sys.argv[1]).open('D') as table:
    for task in ('open_drawer', 'lift_red_block_table', 'turn_on_led'):
        prepare(table, task, np.random.default_rng(0))
        print(task, run(table, task, 240)[0], len(table.disagreements))
    print(table.render('static', 96).shape)
"""


@pytest.mark.skipif(
    not REAL, reason='set VW2_CALVIN_ENV to the folder of a checkout of calvin_env'
)
def test_the_expert_on_the_real_calvin():
    done = subprocess.run(
        [sys.executable, '-c', _REAL, REAL], capture_output=True, text=True, timeout=300
    )
    said = done.stdout.splitlines()
    assert said == [
        'open_drawer True 0',
        'lift_red_block_table True 0',
        'turn_on_led True 0',
        '(96, 96, 3)',
    ], done.stderr
