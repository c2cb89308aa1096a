# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a training run takes: parameters, memory and operations, measured in its first step."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vw2_ros.models import parallel
from vw2_ros.models.parallel import piece, world
from vw2_ros.models.training.config import TrainConfig

# Dense bf16 operations per second that the makers promise; the first name that fits counts.
PEAK_FLOPS = (
    ('B200', 2250e12),
    ('H200', 989e12),
    ('H100 PCIe', 756e12),
    ('H100 NVL', 835e12),
    ('H100', 989e12),
    ('A100', 312e12),
    ('L40S', 362e12),
    ('RTX 4090', 165e12),
    ('RTX 3090', 71e12),
)
MIB = 2**20


def peak_flops(gpu: str) -> float | None:
    """bf16 operations per second of a GPU by its name; None where it is not in the table."""
    return next((peak for name, peak in PEAK_FLOPS if name in gpu), None)


class Footprint:
    """Counts what one process holds and does.

    Args:
        model: on its device. average: whether an average of its weights is kept.
        bf16: whether it computes in bf16, as the peak of a GPU is meant.
        pieces: how many a model that is whole yet will be cut into.
    Attributes:
        activations: bytes kept for the backward pass; on a GPU all that the forward pass took.
        flop: operations of a step. Both are 0 before `forward` and `step` ran.
        peak: operations per second of this GPU in bf16; None: not known, or not computed so.
    """

    def __init__(self, model: nn.Module, average: bool, bf16: bool = True, pieces: int = 1):
        self.activations = self.flop = 0
        self.device = next(model.parameters()).device
        parameters = list(model.parameters())
        self.count = sum(p.numel() for p in parameters)
        self.trained = sum(p.numel() for p in parameters if p.requires_grad)
        self.weights = _bytes([*parameters, *model.buffers()]) // pieces
        self.gradients = _bytes(p for p in parameters if p.requires_grad) // pieces
        self.average = self.weights if average else 0
        self._own = {piece(p).untyped_storage().data_ptr() for p in parameters}
        self.peak = None
        if self.device.type == 'cuda' and bf16:
            self.peak = peak_flops(torch.cuda.get_device_name(self.device))

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Count operations of the first forward and backward pass, a context around both.

        Counting makes torch round otherwise here and there, so it is left where nobody asks.
        """
        if self.flop or not self.peak:
            yield
            return
        with FlopCounterMode(display=False) as counter:
            yield
        self.flop = counter.get_total_flops()

    @contextlib.contextmanager
    def forward(self) -> Iterator[None]:
        """Measure activations of the first forward pass, a context around it."""
        if self.activations:
            yield
        elif self.device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            yield
            self.activations = torch.cuda.max_memory_allocated(self.device) - before
        else:
            kept: dict[int, int] = {}

            def pack(x: torch.Tensor) -> torch.Tensor:
                storage = piece(x).untyped_storage()
                if storage.data_ptr() not in self._own:
                    kept[storage.data_ptr()] = storage.nbytes()
                return x

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
                yield
            self.activations = sum(kept.values())

    def mfu(self, step_s: float) -> float | None:
        """Share of the GPU's peak at so many seconds a step; None without a GPU that is known."""
        return self.flop / (step_s * self.peak) if self.flop else None

    def text(self, samples: int = 0) -> str:
        """Return one line for people; `samples` are those that one process had in a step."""
        fixed = {
            'weights': self.weights,
            'gradients': self.gradients,
            'optimiser': 2 * self.gradients,
            'average': self.average,
        }
        parts = [f'{name} {size / MIB:.1f}' for name, size in fixed.items() if size]
        total = sum(fixed.values()) + self.activations
        each = f' on each of {world()} processes' if world() > 1 else ''
        return (
            f'{self.count / 1e6:.2f} M parameters, {self.trained / 1e6:.2f} M trained; memory '
            f'{total / MIB:.1f} MiB{each}: {", ".join(parts)}, activations '
            + (f'{self.activations / MIB:.1f} of {samples} samples' if samples else 'not counted')
            + (f'; {self.flop / 1e9:.2f} GFLOP a step' if self.flop else '')
        )


def _bytes(tensors) -> int:
    return sum(t.numel() * t.element_size() for t in map(piece, tensors))


def foretell(stage: str, build: Callable[[], nn.Module], config: TrainConfig) -> None:
    """Print how much memory a run will take, before its model is built.

    Args:
        stage: its name. build: makes the model; called on the device `meta`, without memory.
        config: says whether an average of the weights is kept.
    """
    if parallel.leads():
        with torch.device('meta'):
            model = build()
        footprint = Footprint(model, bool(config.ema), pieces=parallel.pieces())
        print(f'{stage} will have {footprint.text()}', file=sys.stderr, flush=True)
