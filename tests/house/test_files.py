# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where the files lie that are not Python; files are written whole or not at all."""

import json
import pathlib

import pytest

from vw2_ros import files
from vw2_ros.errors import MissingFileError, VW2Error

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_json_is_written_whole(tmp_path):
    path = tmp_path / 'new' / 'result.json'
    files.write_json(path, {'a': 1.5})
    assert json.loads(path.read_text()) == {'a': 1.5}
    assert [p.name for p in path.parent.iterdir()] == ['result.json']


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.txt'
    files.write_whole(path, 'old')
    with pytest.raises(OSError, match='full'), files.whole(path) as beside:
        beside.write_text('ne')
        raise OSError('full')
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]
    files.write_whole(path, b'\x00')
    assert path.read_bytes() == b'\x00'


def test_a_file_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(FileNotFoundError, match='there are: .*fastdds.xml') as raised:
        files.config_file('none.yaml')
    assert isinstance(raised.value, VW2Error)
    assert files.share_dir() == ROOT and files.checkout() == ROOT


def test_a_config_is_a_file_or_a_name(tmp_path):
    assert files.named_config('train', 'tiny') == ROOT / 'config/train/tiny.yaml'
    own = tmp_path / 'own.yaml'
    own.touch()
    assert files.named_config('train', own) == own
    with pytest.raises(MissingFileError, match="unknown config 'tinny'. Did you mean tiny"):
        files.named_config('train', 'tinny')
    with pytest.raises(
        MissingFileError, match='unknown scale .* YAML file, or one of cpu, gpu, tiny'
    ):
        files.named_config('experiment', 'tinny', 'scale')


def test_the_shipped_weights_are_named():
    assert files.shipped_weights() == ['calvin_d', 'play_table']
