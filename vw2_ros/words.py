# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The words of a text, in any script: what the policy reads, and what counts as an instruction."""

from __future__ import annotations

import itertools
import unicodedata

MOST_WORDS = 16  # of an instruction, for a policy whose config does not say otherwise
_DROPPED = frozenset("'\u2018\u2019\u02bc")  # apostrophes: "don't" is one word


def split_words(text: str) -> list[str]:
    """Lower-case words and numbers of a text, punctuation dropped.

    A word is a run of letters of any script, with their marks. Scripts that are written without
    spaces give one word per run. Other symbols than those of ASCII (arrows, emoji) are words, too:
    nothing that tells two texts apart is dropped but case, punctuation and spaces. Spellings that
    Unicode holds to be the same (NFKC) are the same word.
    """
    text = unicodedata.normalize('NFKC', unicodedata.normalize('NFKC', text).casefold())
    kinds: list[tuple[str, str]] = []
    for character in text:
        category = unicodedata.category(character)
        if character in _DROPPED or category == 'Cf':  # joiners and soft hyphens
            continue
        if category[0] == 'M':  # belongs to what it stands on
            kind = kinds[-1][0] if kinds and kinds[-1][0] else 'L'
        elif category == 'Nd':
            kind, character = 'N', str(unicodedata.decimal(character))
        elif category[0] in 'LN' or (category[0] == 'S' and not character.isascii()):
            kind = category[0]
        else:
            kind = ''
        kinds.append((kind, character))
    runs = itertools.groupby(kinds, lambda pair: pair[0])
    return [''.join(character for _, character in run) for kind, run in runs if kind]
