# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""docs/bench.md: its commands are run one after another, on a bag that another program wrote."""

import json
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest

pytest.importorskip('rosbags')
from bag_files import Motion, write  # noqa: E402
from printed_commands import in_shell  # noqa: E402

from vw2_ros import cli  # noqa: E402
from vw2_ros.bringup import system  # noqa: E402
from vw2_ros.models.policy import Policy  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDS = ((0.0, 'open the drawer'), (2.0, ''), (2.2, 'wave'), (4.2, ''), (4.4, 'close it'))


def commands():
    page = (ROOT / 'docs/bench.md').read_text()
    return re.search(r'^```sh\n(.*?)^```', page, re.DOTALL | re.MULTILINE)[1]


def test_each_command_of_the_page(tmp_path, monkeypatch, capsys):
    """Recording has tests of its own; here a bag of rosbags stands for it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / 'config/arms/panda.yaml', 'my_arm.yaml')
    motion = Motion(seconds=6.6, joint_hz=30, words=WORDS)
    write(tmp_path / 'bags/monday', motion.messages())
    (tmp_path / 'quick.yaml').write_text(
        'head:\n  train: {steps: 2, batch: 2, warmup: 1, threads: 1, validate_every: 2}\n'
    )
    run = [words[0] for words in in_shell(commands())]
    assert run == ['record', *['episodes', 'check', 'episodes', 'episodes', 'episodes'], *run[6:]]
    for words in in_shell(commands()):
        if words[0] == 'record' or (words[0] == 'view' and not rerun_is_there()):
            continue
        words = ['quick.yaml' if word == 'cpu' else word for word in words]
        assert cli.main(words) == 0, words
    said = capsys.readouterr().out
    assert 'dropped 1: "wave"' in said and 'now 2: "close the drawer"' in said
    marks = [
        json.loads(p.read_text()) for p in pathlib.Path('data/mine/training/sessions').iterdir()
    ]
    learned = {a['task'] for m in marks for a in m['annotations']}
    assert learned == {'open the drawer', 'close the drawer'}
    for name in ('episode_000.png', 'episode_001.mp4'):
        assert pathlib.Path('out/episodes', name).is_file()
    launch = next(line for line in commands().splitlines() if line.startswith('ros2 launch'))
    arguments = dict(word.split(':=', 1) for word in shlex.split(launch) if ':=' in word)
    arguments['weights'] = arguments['weights'].replace('$PWD', str(tmp_path))
    started = [process.executable for process in system.robot(**arguments)]
    assert {'camera_node', 'planner_node', 'action_node'} <= set(started)
    policy = Policy.load(arguments['weights'])
    rgb = np.zeros((policy.image_size, policy.image_size, 3), np.uint8)
    actions = policy.actions(policy.plan(rgb, 'close the drawer').hidden)
    assert np.asarray(actions).shape == (16, 7) and np.isfinite(actions).all()


def rerun_is_there():
    try:
        import rerun  # noqa: F401
    except ImportError:
        return False
    return True
