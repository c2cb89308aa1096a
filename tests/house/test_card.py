# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Cards: one form for all that commands make."""

import hashlib

import pytest
import yaml

from vw2_ros.card import Card, wilson, write_card


def test_a_card_says_what_is_known(tmp_path):
    (tmp_path / 'head.safetensors').write_bytes(b'weights')
    card = Card(
        title='mine: head',
        what='For a test.',
        command='vw2 train head --out mine',
        data={'data/a|b': 'abc'},
        facts={'seed': 0, 'look': '', 'scene': 'D'},
        scores={'xyz_l1': 0.123456},
        success={'open_drawer': (3, 4), 'close_drawer': (4, 4)},
        films=['videos/a b.mp4'],
        files=['head.safetensors', 'gone.safetensors'],
        header={'tags': ['LeRobot']},
    )
    text = write_card(tmp_path, card).read_text()
    head, _, body = text.removeprefix('---\n').partition('---\n')
    assert yaml.safe_load(head) == {'tags': ['LeRobot']}
    assert '```sh\nvw2 train head --out mine\n```' in body
    assert r'| data/a\|b | abc |' in body and '| xyz_l1 | 0.12346 |' in body
    assert '7 of 8 tries, 88 % (95 % interval 53 to 98).' in body
    assert '| open_drawer | 3 of 4 |' in body
    assert '* [videos/a b.mp4](<videos/a b.mp4>)' in body
    sha256 = hashlib.sha256(b'weights').hexdigest()
    assert f'| head.safetensors | {sha256} |' in body and 'gone' not in body
    assert '| seed | 0 |' in body and 'look' not in body


def test_what_is_not_known_is_left_out(tmp_path):
    text = write_card(tmp_path, Card('a', 'b', 'c')).read_text()
    assert text == '# a\n\nb\n\n## Command\n\n```sh\nc\n```\n'


@pytest.mark.parametrize(
    ('solved', 'tried', 'low', 'high'), [(0, 10, 0.0, 0.278), (122, 136, 0.834, 0.938)]
)
def test_the_interval_is_wilsons(solved, tried, low, high):
    assert wilson(solved, tried) == pytest.approx((low, high), abs=5e-3)
