# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A bag, data and a run become a Rerun file that holds what they hold."""

import json
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
chunk = pytest.importorskip('rerun.chunk', reason='vw2 view needs the extra [view]')
from bag_files import START_S, STORE, TWO, header, write  # noqa: E402
from calvin_files import write_split  # noqa: E402

from vw2_ros import cli  # noqa: E402


def vw2(*words):
    return cli.main([str(word) for word in words])


def codes(at_s, values):
    h, w = values.shape
    return 'sensor_msgs/msg/Image', STORE.types['sensor_msgs/msg/Image'](
        header(at_s), h, w, '16UC1', 0, 2 * w, values.astype('<u2').view(np.uint8).reshape(-1)
    )


def shown(file):
    """entity -> rows of a file."""
    found = {}
    for part in chunk.RrdReader(file).stream():
        if not part.is_static:
            found[part.entity_path] = found.get(part.entity_path, 0) + part.num_rows
    return found


def views(file):
    """How many views the layout of a file has."""
    reader = chunk.RrdReader(file)
    (layout,) = reader.blueprints()
    paths = {part.entity_path for part in reader.stream(store=layout)}
    return sum(path.startswith('/view/') and path.count('/') == 2 for path in paths)


def test_a_bag(tmp_path, monkeypatch, capsys):
    log = tmp_path / 'ros/vw2/action.jsonl'
    log.parent.mkdir(parents=True)
    when = [datetime.fromtimestamp(START_S + s, timezone.utc).isoformat() for s in (1.0, 9e4)]
    lines = [{'time': t, 'node': '/action', 'event': 'stop', 'reason': 'asked for'} for t in when]
    log.write_text(''.join(json.dumps(line) + '\n' for line in lines) + '{"cut')
    monkeypatch.setenv('ROS_HOME', str(tmp_path / 'ros'))
    messages = TWO.messages()
    messages += [
        (START_S + s, '/latent_plan', codes(START_S + s, np.arange(16).reshape(4, 4)))
        for s in (0.5, 1.5)
    ]
    write(tmp_path / 'bag', messages)
    assert vw2('view', tmp_path / 'bag', '--out', tmp_path / 'bag.rrd') == 0
    found = shown(tmp_path / 'bag.rrd')
    assert found['/image_raw'] == 121 and found['/latent_plan'] == 2
    assert found['/joint_states'] >= 400 and found['/joint_commands'] >= 120
    assert found['/instruction'] == 3 and found['/episodes'] == 2
    assert found['/events'] == 1  # the other is of another time
    # camera, joints, commands, first codes; what was said; the codes
    assert views(tmp_path / 'bag.rrd') == 6
    assert 'Open it: rerun' in capsys.readouterr().out


def test_data(tmp_path):
    write_split(tmp_path / 'data/training', episodes=2, frames=20, size=16)
    assert vw2('view', tmp_path / 'data', '--out', tmp_path / 'data.rrd') == 0
    found = shown(tmp_path / 'data.rrd')
    assert found['/static'] == 40 and found['/actions'] >= 40 and found['/joints'] >= 40


def test_a_run(tmp_path, capsys):
    run = tmp_path / 'run'
    (run / 'pictures').mkdir(parents=True)
    reports = [{'stage': 'head', 'kind': 'train', 'step': s, 'loss': 1 / s} for s in (1, 2, 3)]
    (run / 'log.jsonl').write_text('\n'.join(map(json.dumps, reports)) + '\n{"st')
    cv2.imwrite(str(run / 'pictures/clip_000002.png'), np.zeros((8, 8, 3), np.uint8))
    assert vw2('view', run, '--out', tmp_path / 'run.rrd') == 0
    found = shown(tmp_path / 'run.rrd')
    assert found['/train/loss'] == 3 and found['/pictures/clip'] == 1
    assert views(tmp_path / 'run.rrd') == 2
    assert vw2('view', tmp_path / 'none', '--out', tmp_path / 'x.rrd') == 1
    assert 'neither' in capsys.readouterr().err.lower()
