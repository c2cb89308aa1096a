# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 doctor --camera`: a camera of others, as the policy will see it."""

import json
import subprocess
import sys

import cv2
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('pybullet')

from camera_driver import driver

from vw2_ros.bench import camera_driver
from vw2_ros.bringup import camera_view


def doctor(*arguments):
    done = subprocess.run(
        [sys.executable, '-m', 'vw2_ros.cli', 'doctor', '--json', *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, {c['name']: c for c in json.loads(done.stdout)['checks']}


def test_the_table_is_much_like_what_was_trained_on(tmp_path):
    picture = tmp_path / 'new' / 'camera.png'
    with driver('--table', profile=True):
        code, said = doctor('--camera', camera_driver.TOPIC, '--out', str(picture))
    assert code == 0 and said['images']['found'].startswith('rgb8 at ')
    assert said['comparison']['found'] == 'much like what play_table was trained on'
    assert 'difference' not in said
    assert str(picture) in said['as the policy sees it']['found']
    assert cv2.imread(str(picture)).shape[0] > 480


def test_another_picture_and_another_topic(tmp_path, monkeypatch):
    monkeypatch.setattr(camera_view, 'LISTEN_S', 1.0)
    picture = tmp_path / 'camera.png'
    with driver('--size', '80x60', '--rate', '5'):
        told = list(camera_view.checks(camera_driver.TOPIC, 'play_table', picture))
        assert picture.is_file()
        said = {check.name: check.status for check in told}
        assert said['images'] == said['difference'] == 'note'
        told = list(camera_view.checks(camera_driver.INFO, 'play_table', picture))
    assert f'There are /{camera_driver.TOPIC}.' in told[0].found and told[0].status == 'missing'


def test_nothing_there(tmp_path, monkeypatch):
    monkeypatch.setattr(camera_view, 'FIND_S', 1.0)
    (told,) = camera_view.checks('/nobody/image_raw', 'play_table', tmp_path / 'camera.png')
    assert 'Got no such topic' in told.found and told.status == 'missing'
