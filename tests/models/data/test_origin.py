# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which scene a frame of CALVIN's data shows, and by which camera."""

import types

import calvin_files
import numpy as np
import pytest

from vw2_ros.models.data import DataError
from vw2_ros.models.data.calvin import CalvinFolder
from vw2_ros.models.data.origin import (
    CONFIG,
    check_origin,
    check_pictures,
    scene_of,
    scene_of_frames,
    static_camera,
)

TABLE = {'objects': {'fixed_objects': {'table': {'file': 'calvin_table_D/urdf/table.urdf'}}}}


@pytest.fixture
def folder(tmp_path):
    calvin_files.write_split(tmp_path / 'training', episodes=2, frames=10, first_id=100)
    return CalvinFolder(tmp_path / 'training')


def write_info(folder, content):
    np.save(folder.path / 'scene_info.npy', content, allow_pickle=True)


@pytest.mark.parametrize('scene', ['calvin_scene_D', 'calvin_scene_D_eval', TABLE])
def test_the_config_names_the_scene(folder, scene):
    calvin_files.write_config(folder.path, {'scene': scene})
    assert scene_of_frames(folder).tolist() == ['D'] * 20


def test_ranges_name_the_scenes_of_many_tables(folder):
    calvin_files.write_config(folder.path, {'scene': TABLE})  # the last one that was recorded
    write_info(folder, {'calvin_scene_C': [110, 119], 'calvin_scene_A': np.array([100, 109])})
    assert ''.join(scene_of_frames(folder)) == 10 * 'A' + 10 * 'C'


@pytest.mark.parametrize(
    'scene, told',
    [
        ('calvin_scene_ABC', 'A, B, C'),
        ('calvin_scene_R', 'R'),
        ('calvin_scene_D_eval', 'D'),
        (TABLE, 'D'),
        ('kitchen', 'unknown'),
        (None, 'unknown'),
    ],
)
def test_the_tables_of_a_data_set_are_told(folder, scene, told):
    calvin_files.write_config(folder.path, {'scene': scene})
    assert scene_of(types.SimpleNamespace(folders=[folder])) == told
    write_info(folder, {'calvin_scene_C': [110, 119], 'calvin_scene_A': [100, 109]})
    assert scene_of(types.SimpleNamespace(folders=[folder])) == 'A, C'
    write_info(folder, {'calvin_scene_C': [110, 118]})
    assert scene_of(types.SimpleNamespace(folders=[folder])) == 'unknown'


@pytest.mark.parametrize(
    'info, said',
    [
        ({'calvin_scene_A': [100, 118]}, 'Got none for frame 119'),
        ({'kitchen': [100, 119]}, 'must hold calvin_scene_A'),
        ({'calvin_scene_A': 7}, 'must hold calvin_scene_A'),
    ],
)
def test_wrong_ranges_are_told(folder, info, said):
    write_info(folder, info)
    with pytest.raises(DataError, match=said):
        scene_of_frames(folder)


@pytest.mark.parametrize('config', [None, {}, {'scene': 'calvin_scene_ABC'}, ['scene']])
def test_without_a_scene_it_says_where_it_looked(folder, config):
    if config is not None:
        calvin_files.write_config(folder.path, config)
    with pytest.raises(DataError, match='scene_info.npy, or one calvin_scene_A to D'):
        scene_of_frames(folder)


def test_the_camera_is_the_configs(folder):
    assert static_camera(folder) == {}
    calvin_files.write_config(folder.path, {'cameras': {'static': {'fov': 9, 'name': 'static'}}})
    assert static_camera(folder)['fov'] == 9


@pytest.mark.parametrize(
    'text, said', [(None, 'Got no such file'), ('a: [', 'Got ParserError'), ('7', 'Got 7')]
)
def test_data_that_do_not_say_what_drew_them_are_refused(folder, text, said):
    check_origin([folder.path.parent, folder.path])
    (folder.path / CONFIG).unlink()
    if text:
        (folder.path / CONFIG).write_text(text)
    with pytest.raises(DataError, match=f'{CONFIG} must say what drew the pictures.*{said}'):
        check_origin([folder.path.parent])


@pytest.mark.parametrize('shards', [False, True])
def test_pictures_too_small_for_a_policy_are_refused(tmp_path, shards):
    calvin_files.write_split(tmp_path / 'training', episodes=1, frames=8, size=64, shards=shards)
    check_pictures([tmp_path], 64)
    with pytest.raises(DataError, match=r'_0+.npz: .*at least 96 x 96 pixels.* Got 64 x 64'):
        check_pictures([tmp_path], 96)
    calvin_files.write_config(tmp_path / 'training', {'recorded': {}})
    check_pictures([tmp_path], 96)
