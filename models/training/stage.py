# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a stage of training must say about itself, so that `run` can train it."""

from __future__ import annotations

import typing
from pathlib import Path

import torch
from torch import Tensor, nn

from vw2_ros.models.training.config import TrainConfig
from vw2_ros.models.training.reporter import Reporter


class Stage(typing.Protocol):
    """One stage of training. `run` calls its methods in the order in which they stand here.

    Attributes:
        name: of the stage in logs and provenance.
        train: how to optimise.
        samples: how many there are to learn from, where that is known: the bar then counts passes.
        watch: a scalar of `validate` where less is better: a warning ends a run in which it rose.
        unjudged: why `validate` has no scores, where it has none.
    """

    name: str
    train: TrainConfig
    samples: int = 0
    watch: str = ''
    unjudged: str = 'nothing held out to judge it by'

    def read(self, out: Path, device: torch.device, resume: bool) -> None:
        """Open the data, and the runs that this one builds on.

        Args:
            out: run folder. resume: whether this goes on with the run in it.
        """

    def build(self) -> nn.Module:
        """The model to optimise, on the device. New weights come from torch's generator."""
        ...

    def identity(self) -> dict:
        """What must be equal for a checkpoint to fit, `data` (its hash) and the model's config."""
        ...

    def batch(self, step: int) -> dict:
        """Samples of a step, tensors on the CPU. Called in a background thread.

        Must depend on nothing but seed and step, so that a resumed run goes on as if it had never
        been interrupted.
        """
        ...

    def finish(self, batch: dict) -> dict:
        """Last touch to a batch on the device (augmentation), in the background too."""
        return batch

    def loss(self, batch: dict) -> dict[str, Tensor]:
        """`loss`, the scalar to minimise, and further scalars to log."""
        ...

    def validate(self) -> dict:
        """Scores of held-out data, scalars or {name: {key: x}}; {} where nothing is held out.

        Called with the averaged weights in place.
        """
        return {}

    def report(self, reporter: Reporter, step: int) -> None:
        """Further curves and pictures, after each validation."""

    def facts(self) -> dict:
        """What provenance says of this stage alone; `scores` are added to those of `validate`."""
        return {}

    def save(self, out: Path, record: dict) -> None:
        """Write what later stages need. `record` is the provenance and may be added to."""
