# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The demo: its account of what was tried, its film, and the whole of it through the nodes."""

import json

import av
import numpy as np
import pytest

pytest.importorskip('rclpy')
from ros_helpers import tiny_weights  # noqa: E402

from vw2_ros.demo import run as demo  # noqa: E402
from vw2_ros.demo import session, video
from vw2_ros.demo.imaginer import Imaginer  # noqa: E402
from vw2_ros.sim.play_table import PlayTable  # noqa: E402


def test_every_chain_that_was_tried_counts():
    tried = [
        session.Subtask(7, 1, 'open_drawer', 'open it', True, False, 360),
        session.Subtask(8, 1, 'close_drawer', 'close it', True, True, 40),
        session.Subtask(8, 2, 'open_drawer', 'open it', True, True, 50),
        session.Subtask(8, 3, 'turn_on_led', 'light up', True, False, 360),
    ]
    result = demo.figures(tried, 'D', 'abc', 'pybullet_tiny')
    assert result['chains'] == 2 and result['avg_len'] == 1.0
    assert result['success_at'] == [0.5, 0.5, 0, 0, 0]
    assert result['per_task']['open_drawer'] == {'success': 1, 'trials': 2}
    assert result['mean_success'] == pytest.approx((0.5 + 1 + 0) / 3)
    assert result['checkpoint_sha256'] == 'abc' and result['scene'] == 'D'
    assert [len(r['subtasks']) for r in result['rollouts']] == [1, 3]
    assert [[s.chain for s in shown] for shown in demo.filmed(tried)] == [[8, 8, 8], [7]]
    assert [[s.chain for s in shown] for shown in demo.filmed(tried[1:])] == [[8, 8, 8]]
    again = [*tried[:1], session.Subtask(7, 1, 'open_drawer', 'open it', False, True, 99)]
    result = demo.figures(again, 'D', 'abc', 'pybullet_tiny')  # once more in lockstep: both count
    assert result['chains'] == 2 and result['avg_len'] == 0.5
    assert [r['real_time'] for r in result['rollouts']] == [True, False]


def test_film_shows_camera_and_imagination(tmp_path):
    weights = tiny_weights(tmp_path / 'weights')
    subtask = session.Subtask(0, 1, 'open_drawer', 'open the drawer', True, True, 30)
    rgb = np.full((32, 32, 3), 90, np.uint8)
    with PlayTable('D') as table:
        for step in range(30):
            table.step(np.array([1, 0, 0, 0, 0, 0, 1.0]))
            subtask.states.append(
                json.dumps(
                    {
                        'stamp_ns': 10**9 + step * 10**9 // 30,
                        'steps': table.steps,
                        'robot_obs': table.robot_obs().tolist(),
                        'scene_obs': table.scene_obs().tolist(),
                    }
                )
            )
    subtask.plans.append((10**9 + 10, np.ones((4, 4), np.uint16), rgb))
    with Imaginer(weights, 'pybullet_tiny', 'D') as imaginer:
        video.write(tmp_path / 'video.mp4', [subtask], 'D', imaginer)
        clip = imaginer.clips(subtask.plans)[0][1]
        while imaginer.newest is None:
            imaginer.offer(*subtask.plans[0][1:])
        np.testing.assert_array_equal(imaginer.newest, clip)
    with av.open(str(tmp_path / 'video.mp4')) as container:
        frames = [f.to_ndarray(format='rgb24') for f in container.decode(video=0)]
    assert len(frames) == 30 // 3 + 10  # ten a second, then a second of the verdict
    assert frames[0].shape == (456, 816, 3)
    camera = [f[60:450, :400].astype(int) for f in frames]
    assert np.abs(camera[0] - camera[9]).mean() > 0.3  # the arm moved
    beside = [f[60:450, 420:].mean() for f in frames]
    assert beside[0] < 40 < beside[3]  # nothing imagined before the first plan
    assert not list(tmp_path.glob('.*'))


def test_imagined_frame_of_a_moment():
    clips = [(10**9, list('abcd')), (2 * 10**9, list('wxyz'))]
    period_ns = 10**9 // 30
    assert video._dream(clips, 10**9 - 1) is None
    assert video._dream(clips, 10**9) == 'a'
    assert video._dream(clips, 10**9 + 3 * period_ns) == 'c'
    assert video._dream(clips, 10**9 + 9 * period_ns) == 'd'
    assert video._dream(clips, 2 * 10**9 + period_ns) == 'w'


def test_demo_wants_trained_weights(tmp_path):
    with pytest.raises(ValueError, match="not 'expert'"):
        demo.run(tmp_path, policy='expert')


@pytest.mark.slow
def test_demo_of_an_untrained_model_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(session, 'RETRY_UNTIL_S', 0.0)
    weights = tiny_weights(tmp_path / 'weights', image_size=96)
    assert demo.run(tmp_path / 'out', policy=weights) == 1
    result = json.loads((tmp_path / 'out/result.json').read_text())
    assert result['chains'] >= 2 and result['avg_len'] == 0
    assert {r['real_time'] for r in result['rollouts']} == {True, False}
    assert (tmp_path / 'out/video.mp4').stat().st_size > 10_000
    assert '<video' in (tmp_path / 'out/report.html').read_text()
