# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The words of annotated data, as tokens to learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.models.data.augment import AugmentConfig
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.text import Tokenizer


class Phrasebook:
    """Tokens of every wording of every task, ready to be drawn from.

    Args:
        phrases: task -> wordings. Tasks are numbered in the order of the mapping.
    """

    def __init__(self, phrases: dict[str, list[str]], tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.count = np.array([len(p) for p in phrases.values()])
        shape = (len(phrases), self.count.max(), tokenizer.max_length, tokenizer.width)
        self.tokens = np.zeros(shape, np.int64)
        for i, wordings in enumerate(phrases.values()):
            self.tokens[i, : len(wordings)] = tokenizer.encode_batch(wordings)

    def draw(
        self, task: np.ndarray, rng: np.random.Generator, augment: AugmentConfig | None = None
    ) -> np.ndarray:
        """int64 (n, L, width): a random wording of each task; all zero where task is -1."""
        phrase = (rng.random(len(task)) * self.count[task]).astype(np.int64)
        tokens = self.tokens[task, phrase]
        if augment:
            tokens = self.tokenizer.augment(
                tokens,
                rng,
                forget=augment.forget,
                drop_ngrams=augment.drop_ngrams,
                drop_word=augment.drop_word,
            )
            task = np.where(rng.random(len(task)) < augment.null_instruction, -1, task)
        tokens[task < 0] = 0
        return tokens


def phrases_of(store: FrameStore) -> dict[str, list[str]]:
    """task -> its distinct wordings in the annotations; both sorted."""
    found: dict[str, set[str]] = {}
    for folder in store.folders:
        for window in folder.windows:
            found.setdefault(window.task, set()).add(window.phrase)
    return {task: sorted(found[task]) for task in sorted(found)}


def unseen_tasks(roots: Iterable[Path | str], tasks: Sequence[str]) -> str:
    """Why held-out data judge nothing: none of their tasks was learned."""
    some = ', '.join(tasks[:3]) + (f' and {len(tasks) - 3} more' if len(tasks) > 3 else '')
    return (
        f'no score: {", ".join(str(Path(root) / "validation") for root in roots)} shows no task '
        f'that was learned, but {some}'
    )
