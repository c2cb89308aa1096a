# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A policy server, asked by vla-eval's own harness and by a robot's nodes, over a real socket."""

import contextlib
import socket
import threading
import time

import numpy as np
import pytest
from policy_files import tiny_policy

pytest.importorskip('vla_eval', reason='the extra [serve] is not installed')

from vla_eval import api
from vla_eval.benchmarks.base import StepBenchmark, StepResult
from vla_eval.specs import GRIPPER_CLOSE_NEG, IMAGE_RGB, LANGUAGE, POSITION_DELTA, ROTATION_EULER

from vw2_ros import cli
from vw2_ros.errors import InvalidValueError
from vw2_ros.evaluation.calvin_model import CustomModel
from vw2_ros.models.policy import Policy
from vw2_ros.serving import remote
from vw2_ros.serving.answers import Answers
from vw2_ros.serving.remote import NoAnswerError, RemotePolicy, open_policy
from vw2_ros.serving.server import PolicyServer

WORDS = ('open the drawer', 'push the red block left')
STEPS = 5  # of a subtask


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('served') / 'weights'
    tiny_policy(folder)
    return str(folder)


@contextlib.contextmanager
def served(weights, port=0, execute=4):
    with api.serve_background(
        PolicyServer(Answers(Policy.load(weights), execute)), port=port
    ) as s:
        yield s


class TwoSubtasks(StepBenchmark):
    """A small benchmark on vla-eval's API: noise to look at, two subtasks an episode."""

    heard = []  # actions of the newest episode

    def get_tasks(self):
        return [{'name': 'first', 'seed': 0}, {'name': 'second', 'seed': 1}]

    def reset(self, task):
        self.heard.clear()
        self.rng = np.random.default_rng(task['seed'])
        return self.picture()

    def picture(self):
        return self.rng.integers(0, 256, (200, 200, 3), np.uint8)

    def step(self, action):
        self.heard.append(np.array(action['actions']))
        done = len(self.heard) == 2 * STEPS
        return StepResult(self.picture(), float(done), done, {})

    def make_obs(self, raw_obs, task):
        step = len(self.heard)
        obs = {'images': {'rgb_static': raw_obs}, 'task_description': WORDS[step // STEPS]}
        return {**obs, 'episode_restart': True} if step == STEPS else obs

    def get_step_result(self, step_result):
        # the same pictures before CALVIN's CustomModel, which is tested by itself
        model, rng = (
            CustomModel(self.weights, execute=4),
            np.random.default_rng(self._task['seed']),
        )
        wanted = []
        for step in range(2 * STEPS):
            if step == STEPS:
                model.reset()
            obs = {'rgb_obs': {'rgb_static': rng.integers(0, 256, (200, 200, 3), np.uint8)}}
            wanted.append(model.step(obs, WORDS[step // STEPS]))
        wanted = np.array(wanted) * [*[0.02] * 3, *[0.05] * 3, 1]
        return {'success': bool(np.allclose(self.heard, wanted, atol=1e-7))}

    def get_metadata(self):
        return {'max_steps': 2 * STEPS}

    def get_action_spec(self):
        return {
            'position': POSITION_DELTA,
            'rotation': ROTATION_EULER,
            'gripper': GRIPPER_CLOSE_NEG,
        }

    def get_observation_spec(self):
        return {'rgb_static': IMAGE_RGB, 'language': LANGUAGE}


def test_the_harness_runs_a_benchmark_against_it(weights, monkeypatch, caplog):
    monkeypatch.setattr(TwoSubtasks, 'weights', weights, raising=False)
    config = {
        'benchmarks': [{'benchmark': f'{__name__}:TwoSubtasks', 'episodes_per_task': 1}],
        'render': 'gpu',  # its word for: as the benchmark is
    }
    with served(weights) as server:
        (result,) = api.run(config, server_url=server.url, docker=False, no_save=True)
    assert [t['mean_success'] for t in result['tasks']] == [1.0, 1.0]
    assert 'mismatch' not in caplog.text.lower()


def test_a_robot_s_policy_gives_the_same_bits(weights):
    policy = Policy.load(weights)
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    with served(weights) as server:
        asked = open_policy(server.url, deadline_s=30.0)
        plan, wanted = asked.plan(rgb, WORDS[0]), policy.plan(rgb, WORDS[0])
        np.testing.assert_array_equal(plan.codes, wanted.codes)
        np.testing.assert_array_equal(plan.hidden, wanted.hidden)
        np.testing.assert_array_equal(asked.actions(plan.hidden), policy.actions(wanted.hidden))
        same = ('sha256', 'image_size', 'chunk', 'hidden_shape', 'parameters')
        assert all(getattr(asked, name) == getattr(policy, name) for name in same)
        assert asked.path.name == policy.path.name and asked.warm_up() > 0
        asked.check_instruction(WORDS[0], 0.5)
        asked.check_action_frame('base')
        with pytest.raises(InvalidValueError, match='unknown instruction'):
            asked.check_instruction('drown the otter', 0.5)
        with pytest.raises(InvalidValueError, match='action_frame'):
            asked.check_action_frame('tool')
        with pytest.raises(NoAnswerError, match='refused.*rgb must be'):
            asked.plan(rgb[:9], WORDS[0])
        times = asked.timing()
        assert times['plan_answer_ms']['p50'] >= times['plan_ms']['p50'] > 0
        asked.close()
    with pytest.raises(InvalidValueError, match='temperature must be 0'):
        open_policy('ws://localhost:1', temperature=1.0)
    assert open_policy(weights, deadline_s=1.0).sha256 == policy.sha256


class Slow:
    """A policy that waits before it plans."""

    def __init__(self, policy):
        self.policy, self.go = policy, threading.Event()
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self.policy, name)

    def plan(self, rgb, instruction, followed_s=0.0):
        self.asked += 1
        self.go.wait(30.0)
        return self.policy.plan(rgb, instruction)


def test_an_answer_after_the_deadline_is_nobody_s(weights):
    slow = Slow(Policy.load(weights))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    with api.serve_background(PolicyServer(Answers(slow))) as server:
        asked = RemotePolicy(server.url, deadline_s=0.1)
        for rgb in pictures[:3]:
            with pytest.raises(NoAnswerError, match='must answer within 100 ms. Got no answer'):
                asked.plan(rgb, WORDS[0])
        slow.go.set()
        asked.deadline_s = 30.0
        plan = asked.plan(pictures[3], WORDS[0])
        np.testing.assert_array_equal(plan.hidden, slow.policy.plan(pictures[3], WORDS[0]).hidden)
        # while it was silent no questions were piled up for it: one on each connection, and this one
        assert slow.asked == 3


def test_it_finds_a_server_that_was_started_anew(weights, tmp_path):
    rgb = np.zeros((32, 32, 3), np.uint8)
    with served(weights) as server:
        asked, port = RemotePolicy(server.url, deadline_s=5.0), server.port
        asked.plan(rgb, WORDS[0])
    with pytest.raises(NoAnswerError, match='must be a policy server. Got'):
        asked.plan(rgb, WORDS[0])
    with served(weights, port):
        asked.plan(rgb, WORDS[0])
    tiny_policy(tmp_path / 'other', dldm=False)  # other files, so another hash
    with served(str(tmp_path / 'other'), port):
        with contextlib.suppress(NoAnswerError):  # the connection that was lost
            asked.plan(rgb, WORDS[0])
        with pytest.raises(NoAnswerError, match='must have the weights.*load_weights'):
            asked.plan(rgb, WORDS[0])


def test_a_connection_that_went_silent_is_given_up(weights, monkeypatch):
    monkeypatch.setattr(remote, 'GIVE_UP_S', 0.2)
    slow = Slow(Policy.load(weights))
    rgb = np.zeros((32, 32, 3), np.uint8)
    with api.serve_background(PolicyServer(Answers(slow))) as server:
        asked = RemotePolicy(server.url, deadline_s=0.05)
        with pytest.raises(NoAnswerError):
            asked.plan(rgb, WORDS[0])
        silent = {c for c in asked._connections if c.asked}
        time.sleep(0.3)
        slow.go.set()
        asked.deadline_s = 30.0
        asked.plan(rgb, WORDS[0])
        assert silent and not set(asked._connections) & silent


class Lossy:
    """Carries bytes between robot and server, but no answers on a connection that is stuck."""

    def __init__(self, port):
        self.port, self.stuck, self.sizes = port, set(), []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = 'ws://127.0.0.1:%d' % self.listener.getsockname()[1]
        self.ends = []
        self.start(self.accept)

    def start(self, what, *args):
        threading.Thread(target=what, args=args, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                robot, number = self.listener.accept()[0], len(self.ends)
                server = socket.create_connection(('127.0.0.1', self.port))
                self.ends.append((robot, server))
                self.start(self.carry, robot, server, None)
                self.start(self.carry, server, robot, number)

    def carry(self, source, target, number):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                while number in self.stuck:  # until the lost packet is sent again
                    time.sleep(0.01)
                target.sendall(data)
                if number is None:
                    self.sizes.append(len(data))

    def close(self):
        for end in (self.listener, *(e for pair in self.ends for e in pair)):
            end.close()


@pytest.fixture
def lossy(weights):
    with served(weights) as server:
        made = Lossy(server.port)
        yield made
        made.close()


@pytest.mark.parametrize('stuck', [0, 1])
def test_an_answer_that_is_stuck_on_one_connection_comes_on_the_other(
    weights, lossy, stuck, monkeypatch
):
    monkeypatch.setattr(remote, 'GIVE_UP_S', 60.0)
    policy, asked = Policy.load(weights), RemotePolicy(lossy.address, deadline_s=30.0)
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    for rgb in pictures[:3]:
        asked.plan(rgb, WORDS[0])
    lossy.stuck = {stuck}
    for rgb in pictures[3:5]:  # the second is not even asked there
        plan = asked.plan(rgb, WORDS[0])
        np.testing.assert_array_equal(plan.hidden, policy.plan(rgb, WORDS[0]).hidden)
    lossy.stuck = set()
    plan = asked.plan(pictures[5], WORDS[0])  # the late answer is not taken for this one's
    np.testing.assert_array_equal(plan.hidden, policy.plan(pictures[5], WORDS[0]).hidden)
    assert len(lossy.ends) == 2


def test_a_picture_is_sent_compressed(lossy):
    asked = RemotePolicy(lossy.address, deadline_s=30.0)
    rgb = np.repeat(np.arange(32, dtype=np.uint8)[:, None, None] * 8, 32, 1).repeat(3, 2)
    before = len(lossy.sizes)
    asked.plan(rgb, WORDS[0])
    assert sum(lossy.sizes[before:]) < rgb.nbytes / 2


def test_nobody_there_and_somebody_else_are_told():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        address = 'ws://127.0.0.1:%d' % listener.getsockname()[1]
    with pytest.raises(NoAnswerError, match='must be a policy server. Got ConnectionRefused'):
        RemotePolicy(address)


def test_a_taken_port_is_one_line(weights, capsys):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = str(listener.getsockname()[1])
        assert cli.main(['serve', '--policy', weights, '--port', port, '--execute', '4']) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and 'in use' in said[0]


def test_options_of_serve_are_checked(weights, capsys):
    assert cli.main(['serve', '--policy', weights, '--execute', '99']) == 2
    assert '--execute must be at most' in capsys.readouterr().err
