# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The detailed look, and data sets that are drawn anew in other looks."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from vw2_ros.errors import InvalidValueError, MissingFileError
from vw2_ros.sim.appearance import LOOKS, Appearance, wood_texture
from vw2_ros.sim.collect import collect
from vw2_ros.sim.dataset_writer import decode_png
from vw2_ros.sim.details import detailed_links, panda_pieces
from vw2_ros.sim.engine import DATA_DIR
from vw2_ros.sim.furniture import table_links
from vw2_ros.sim.meshes import part_faces
from vw2_ros.sim.play_table import PlayTable
from vw2_ros.sim.redraw import redraw
from vw2_ros.sim.scenes import SCENES
from vw2_ros.sim.session import SPLITS
from vw2_ros.sim.table import Simulator


def test_decimated_meshes_are_the_pandas():
    pieces = panda_pieces()
    assert sum(len(p['triangles']) for parts in pieces.values() for p in parts) in range(
        6000, 10001
    )
    for link, parts in pieces.items():
        own = Path(DATA_DIR) / 'franka_panda/meshes/visual' / f'{link.removeprefix("panda_")}.obj'
        lines = (line.split() for line in own.read_text().splitlines() if line.startswith('v '))
        theirs = np.array([[float(x) for x in line[1:4]] for line in lines])
        ours = np.concatenate([p['corners'] for p in parts])
        for end in (np.min, np.max):
            assert np.abs(end(ours, axis=0) - end(theirs, axis=0)).max() < 0.007, link
        for p in parts:
            assert p['triangles'].max() < len(p['corners']) == len(p['normals'])
            assert np.allclose(np.linalg.norm(p['normals'].astype(float), axis=1), 1, atol=0.01)
    # dark caps on a white arm
    assert {len(pieces[link]) for link in ('panda_link4', 'panda_link6', 'panda_hand')} == {2}
    assert pieces['panda_link6'][0]['colour'].min() == 1 > pieces['panda_link6'][1]['colour'].max()


def _highest(links, name):
    link = next(x for x in links if x.name == name)
    points = np.concatenate([f for part in link.parts for f in part_faces(part)])
    c, s = np.cos(link.roll), np.sin(link.roll)
    return link.origin[2] + (points @ [0, s, c]).max()


def test_the_switch_is_seen_where_calvins_is():
    scene = SCENES['D']
    assert _highest(detailed_links(scene), 'switch') == pytest.approx(0.548, abs=0.001)
    assert _highest(table_links(scene), 'switch') == pytest.approx(0.540, abs=0.001)


@pytest.mark.parametrize('scene', SCENES)
def test_faces_look_outwards(scene):
    for link in detailed_links(SCENES[scene]):
        for part in link.parts:
            faces = part_faces(part)
            middle = np.concatenate(faces).mean(0)
            for face in faces:
                normal = np.cross(face[1] - face[0], face[2] - face[0])
                assert normal @ (face.mean(0) - middle) > 0, (link.name, part)


def test_a_look_changes_pictures_and_nothing_else():
    with Simulator().open('D') as plain, Simulator(look='detailed').open('D') as detailed:
        assert not plain.appearance.detailed and detailed.appearance.detailed
        assert (plain.renderer, detailed.renderer) == ('pybullet_tiny', 'pybullet_tiny_detailed')
        for action in np.random.default_rng(0).uniform(-1, 1, (40, 6)):
            for table in (plain, detailed):
                table.step(np.append(action, 1.0))
        assert np.array_equal(plain.robot_obs(), detailed.robot_obs())
        assert np.array_equal(plain.scene_obs(), detailed.scene_obs())
        before = plain.render('static', 96)
        assert (before != detailed.render('static', 96)).any(-1).mean() > 0.02
        plain.set_appearance(Appearance.of('D', 'detailed'))
        assert plain.renderer == detailed.renderer
        assert np.array_equal(plain.render('static', 96), detailed.render('static', 96))
        plain.set_appearance(None)
        assert np.array_equal(plain.render('static', 96), before)


def _power(texture, low, high):
    """Share of the variance along the grain between two frequencies [lines/m]."""
    grey = texture.mean(-1) - texture.mean()
    power = np.abs(np.fft.rfft(grey, axis=1)) ** 2  # one square metre: bin k is k lines/m
    return power[:, low:high].sum() / power[:, 1:].sum()


def test_wood_in_detail_has_short_fibres():
    plain, detailed = (wood_texture(Appearance.of('D', look).wood) for look in LOOKS)
    assert _power(plain, 24, 128) < 0.01 < 0.05 < _power(detailed, 24, 128) < 0.5
    assert detailed.mean(-1).std() / detailed.mean() > 1.2 * plain.mean(-1).std() / plain.mean()
    assert np.abs(detailed.mean((0, 1)) - plain.mean((0, 1))).max() < 12


def test_random_looks_have_either_shape():
    def drawn(look):
        return [Appearance.random(np.random.default_rng(i), look=look) for i in range(30)]

    assert {a.detailed for a in drawn('detailed')} == {True, False}
    assert {a.detailed for a in drawn('plain')} == {False}
    assert [a.wood for a in drawn('plain')] == [a.wood for a in drawn('detailed')]


@pytest.mark.parametrize('arm', ['fr3', 'panda'])
def test_the_tint_of_a_robot_is_that_of_all_its_parts(arm):
    with Simulator(arm=arm, look='detailed').open('D') as table:
        white = table.render('static', 96).astype(int)
        table.set_appearance(Appearance(**{**vars(table.appearance), 'robot': (1.0, 0.5, 0.5)}))
        red = table.render('static', 96).astype(int)
        robot = (white != red).any(-1)
        assert robot.mean() > 0.02
        assert np.abs(red[robot][:, 1] - white[robot][:, 1] / 2).max() <= 3


def test_looks_are_refused():
    with pytest.raises(InvalidValueError, match='one of plain, detailed'):
        Simulator(look='fine')
    with pytest.raises(InvalidValueError, match="CALVIN's looks"):
        Simulator('calvin', '/nowhere', look='detailed')
    assert Simulator().look == LOOKS[0]


# ---------------------------------------------------------------- data sets


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    out = tmp_path_factory.mktemp('recorded') / 'plain'
    collect(
        out,
        episodes=1,
        validation_episodes=0,
        workers=1,
        shards=48,
        tasks_per_episode=1,
        progress=False,
        seed=3,
    )
    return out


def _shard(folder, split='training'):
    return np.load(folder / split / 'shards' / 'shard_00000.npz', allow_pickle=False)


def _pictures(shard):
    a, data = shard['offsets'], shard['rgb_static'].tobytes()
    return np.stack([decode_png(data[i:j]) for i, j in zip(a[:-1], a[1:])])


def test_redrawn_in_its_own_look_a_data_set_is_what_it_was(recorded, tmp_path):
    counts = redraw(recorded, tmp_path / 'again', Simulator(), progress=False)
    before, after = _shard(recorded), _shard(tmp_path / 'again')
    assert counts['training']['frames'] == len(before['frame_ids'])
    # a finger that is pushed aside is drawn in the middle
    assert (_pictures(before) != _pictures(after)).any(-1).mean() < 1e-3
    assert set(before.files) == set(after.files)
    for key in set(before.files) - {'rgb_static', 'offsets', 'landmarks'}:
        assert np.array_equal(before[key], after[key]), key
    assert np.allclose(before['landmarks'], after['landmarks'], atol=1e-6)


def test_redrawn_in_detail(recorded, tmp_path):
    out, detailed = tmp_path / 'detailed', Simulator(look='detailed')
    counts = redraw(recorded, out, detailed, progress=False)
    first = _pictures(_shard(out))
    assert (first != _pictures(_shard(recorded))).any(-1).mean() > 0.02
    config = yaml.safe_load((out / 'training/.hydra/merged_config.yaml').read_text())
    assert config['redrawn']['look'] == 'detailed'
    assert config['renderer'] == 'pybullet_tiny_detailed' == detailed.renderer
    annotations = (
        folder / 'training/lang_annotations/auto_lang_ann.npy' for folder in (recorded, out)
    )
    assert len({path.read_bytes() for path in annotations}) == 1
    # finished sessions stay
    marker = out / 'training/sessions/session_00000.json'
    when = marker.stat().st_mtime_ns
    assert (
        redraw(recorded, out, detailed, progress=False) == counts
        and marker.stat().st_mtime_ns == when
    )
    with pytest.raises(InvalidValueError, match='holds data made with'):
        redraw(recorded, out, detailed, randomize=True, progress=False)


def test_redrawn_at_random_the_camera_stays(recorded, tmp_path):
    detailed = Simulator(look='detailed')
    redraw(recorded, tmp_path / 'random', detailed, randomize=True, seed=5, progress=False)
    before, after = _shard(recorded), _shard(tmp_path / 'random')
    assert (after['appearance'] >= 0).all() and (before['appearance'] == -1).all()
    assert np.allclose(before['landmarks'], after['landmarks'], atol=1e-6)
    marker = json.loads((tmp_path / 'random/training/sessions/session_00000.json').read_text())
    assert marker['appearance'] == after['appearance'][0]
    config = (tmp_path / 'random/training/.hydra/merged_config.yaml').read_text()
    # either shape is drawn
    assert yaml.safe_load(config)['renderer'] == 'pybullet_tiny, pybullet_tiny_detailed'


def test_what_cannot_be_redrawn_is_refused(recorded, tmp_path):
    with pytest.raises(MissingFileError, match='folder of `vw2 collect`'):
        redraw(tmp_path / 'none', tmp_path / 'out', Simulator(), progress=False)
    for split in SPLITS:  # single frames, as CALVIN ships them
        hydra = tmp_path / 'frames' / split / '.hydra'
        hydra.mkdir(parents=True)
        (hydra / 'merged_config.yaml').write_text('{}')
    with pytest.raises(InvalidValueError, match='sessions of `vw2 collect --shards`. Got none in'):
        redraw(tmp_path / 'frames', tmp_path / 'out', Simulator(), progress=False)


def test_a_picture_of_a_table_in_detail_has_its_size():
    with PlayTable('A', appearance=Appearance.of('A', 'detailed')) as table:
        for camera in ('static', 'gripper'):
            rgb, depth = table.render(camera, (64, 80), depth=True)
            assert rgb.shape == (64, 80, 3) and depth.shape == (64, 80) and rgb.std() > 10
