# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Words of any script."""

import unicodedata

import pytest

from vw2_ros.words import split_words


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ("Push the RED block, 2 times; don't!", 'push the red block 2 times dont'),
        ('block2 drawer/left_side', 'block 2 drawer left side'),
        ('Открой ящик!', 'открой ящик'),
        ('拿起 the red block', '拿起 the red block'),
        ('打开抽屉。', '打开抽屉'),
        ('खोलो दराज', 'खोलो दराज'),  # its vowels are marks
        ('เปิดลิ้นชัก', 'เปิดลิ้นชัก'),
        ('افتح الدرج', 'افتح الدرج'),
        ('می\u200cخواهم', 'میخواهم'),  # a joiner is no space
        ('Schließe die Tür', 'schliesse die tür'),
        ('ＯＰＥＮ ２ doors', 'open 2 doors'),
        ('٢ blocks', '2 blocks'),
        ('go ⬅ now', 'go ⬅ now'),
        ('don’t', 'dont'),
        (' …!? ', ''),
    ],
)
def test_split(text, words):
    assert split_words(text) == words.split()


def test_one_spelling_of_equal_texts():
    for text in ('tür', 'откро\u0439', 'が', 'Ångström'):
        composed, parts = (unicodedata.normalize(form, text) for form in ('NFC', 'NFD'))
        assert composed != parts and split_words(composed) == split_words(parts)
