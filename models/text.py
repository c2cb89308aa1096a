# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Instructions as tokens: whole words, and hashed character n-grams for words never seen.

VideoWorld 2 takes a language model's tokenizer. Ours needs no pretrained part: a word is the sum
of its own embedding and the mean embedding of its character n-grams (as in fastText, Bojanowski et
al. 2017), so that a typo or a new inflection lands near the word it resembles.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.words import MOST_WORDS, split_words

PAD, UNK = 0, 1


class Tokenizer:
    """Word ids and n-gram bucket ids, fixed width.

    One instruction is int64 (max_length, 1 + max_ngrams): column 0 is the word id (0 padding,
    1 unknown), the others are n-gram buckets (0 none, else 1..buckets).

    Args:
        words: the known words, in id order starting at 2.
        max_length: words that an instruction may have.
        buckets: number of hash buckets for n-grams.
        max_ngrams: n-grams kept per word. Where its 3-grams alone are more, the last is the word as
            a whole, so that long words that begin alike stay apart.
    """

    def __init__(
        self,
        words: Iterable[str],
        *,
        max_length: int = MOST_WORDS,
        buckets: int = 2048,
        max_ngrams: int = 16,
    ) -> None:
        self.words = tuple(words)
        if len(set(self.words)) != len(self.words):
            raise InvalidValueError('words must be distinct.')
        if not all(type(n) is int and n > 0 for n in (max_length, buckets, max_ngrams)):
            raise InvalidValueError(
                'max_length, buckets and max_ngrams must be whole numbers of at least 1. '
                f'Got {max_length}, {buckets}, {max_ngrams}.'
            )
        self.max_length, self.buckets, self.max_ngrams = max_length, buckets, max_ngrams
        self._ids = {word: i + 2 for i, word in enumerate(self.words)}

    @classmethod
    def build(cls, phrases: Iterable[str], *, min_count: int = 1, **options) -> Tokenizer:
        """Collect the vocabulary of the training phrases (sorted: the same phrases, same ids)."""
        counts = Counter(word for phrase in phrases for word in split_words(phrase))
        return cls(sorted(w for w, n in counts.items() if n >= min_count), **options)

    def extended(self, phrases: Iterable[str]) -> Tokenizer:
        """The same words under the same ids, and behind them those of `phrases` that are new."""
        new = {word for phrase in phrases for word in split_words(phrase)} - self._ids.keys()
        return type(self)(
            self.words + tuple(sorted(new)),
            max_length=self.max_length,
            buckets=self.buckets,
            max_ngrams=self.max_ngrams,
        )

    @property
    def vocab_size(self) -> int:
        """Word ids, with padding and unknown."""
        return len(self.words) + 2

    @property
    def width(self) -> int:
        """Columns of a token row."""
        return 1 + self.max_ngrams

    def _ngrams(self, word: str) -> list[int]:
        marked = f'<{word}>'
        grams = [marked[i : i + n] for n in (3, 4, 2) for i in range(len(marked) - n + 1)]
        if len(word) > self.max_ngrams:
            grams[self.max_ngrams - 1] = marked
        # crc32, not hash(): the same bucket in every process.
        return [1 + zlib.crc32(g.encode()) % self.buckets for g in grams[: self.max_ngrams]]

    def words_of(self, instruction: str) -> list[str]:
        """The words of an instruction, known or not: 1 to max_length.

        Raises:
            ValueError: if the instruction is not a string, holds no word or too many.
        """
        if not isinstance(instruction, str):
            raise InvalidValueError(
                f'instruction must be a string of words. Got {type(instruction).__name__}.'
            )
        words = split_words(instruction)
        if not words:
            raise InvalidValueError(
                'instruction must hold at least one word, e.g. "open the drawer". '
                f'Got {instruction!r}.'
            )
        if len(words) > self.max_length:
            raise InvalidValueError(
                f'instruction must have at most {self.max_length} words. Got {len(words)}: '
                f'{instruction!r:.200}. Say it in fewer.'
            )
        return words

    def unreadable(self, instruction: str) -> list[str]:
        """Words of which training has seen no letter: what n-grams they have means nothing."""
        letters = set().union(*self.words)
        return [word for word in split_words(instruction) if letters.isdisjoint(word)]

    def encode(self, instruction: str) -> np.ndarray:
        """One instruction -> int64 (max_length, width), padded with zeros.

        Raises:
            ValueError: see `words_of`.
        """
        words = self.words_of(instruction)
        tokens = np.zeros((self.max_length, self.width), dtype=np.int64)
        for row, word in zip(tokens, words):
            grams = self._ngrams(word)
            row[0] = self._ids.get(word, UNK)
            row[1 : 1 + len(grams)] = grams
        return tokens

    def encode_batch(self, instructions: Iterable[str]) -> np.ndarray:
        """Instructions -> int64 (B, max_length, width)."""
        return np.stack([self.encode(text) for text in instructions])

    def known(self, instruction: str) -> float:
        """Fraction of the instruction's words that are in the vocabulary, 0 to 1."""
        words = split_words(instruction)
        return sum(w in self._ids for w in words) / max(len(words), 1)

    def augment(
        self,
        tokens: np.ndarray,
        rng: np.random.Generator,
        *,
        forget: float = 0.1,
        drop_ngrams: float = 0.1,
        drop_word: float = 0.0,
    ) -> np.ndarray:
        """Training noise on (..., max_length, width), a copy.

        forget: chance that a word's id becomes unknown while its n-grams stay, so that the n-grams
        learn to carry the meaning; drop_ngrams: chance that an n-gram is hidden, as by a typo;
        drop_word: chance that a word is blanked altogether.
        """
        out = tokens.copy()
        real = out[..., 0] != PAD
        out[..., 0][real & (rng.random(real.shape) < forget)] = UNK
        out[..., 1:][rng.random(out[..., 1:].shape) < drop_ngrams] = 0
        blank = real & (rng.random(real.shape) < drop_word)
        out[blank] = 0
        out[..., 0][blank] = UNK
        return out

    def to_dict(self) -> dict:
        """All that `from_dict` needs, JSON-ready."""
        return {
            'words': list(self.words),
            'max_length': self.max_length,
            'buckets': self.buckets,
            'max_ngrams': self.max_ngrams,
        }

    @classmethod
    def from_dict(cls, saved: dict) -> Tokenizer:
        """Inverse of `to_dict`."""
        return cls(
            saved['words'],
            max_length=saved['max_length'],
            buckets=saved['buckets'],
            max_ngrams=saved['max_ngrams'],
        )

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + '\n')

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read what `save` wrote."""
        return cls.from_dict(json.loads(Path(path).read_text()))


class TextEmbedding(nn.Module):
    """Token rows -> vectors: word embedding + mean of the n-grams' embeddings."""

    def __init__(self, vocab_size: int, buckets: int, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab_size, width, padding_idx=PAD)
        self.ngram = nn.Embedding(buckets + 1, width, padding_idx=0)
        nn.init.normal_(self.word.weight[1:], std=0.5)
        nn.init.normal_(self.ngram.weight[1:], std=1.0)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """int64 (B, L, 1 + G) -> float (B, L, width), and the mask of real words (B, L)."""
        word, grams = tokens[..., 0], tokens[..., 1:]
        count = (grams != 0).sum(dim=-1, keepdim=True).clamp(min=1)
        # The padding rows of both tables are zero: they add nothing to the sums.
        x = self.word(word) + self.ngram(grams).sum(dim=-2) / torch.sqrt(count.float())
        return x, word != PAD
