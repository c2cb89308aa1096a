# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The state of a run: weights, their average, the optimiser. Saved whole, restored exactly."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import torch
from torch import nn

from vw2_ros.files import whole_folder
from vw2_ros.models import parallel
from vw2_ros.models.errors import CheckpointError, TrainingError
from vw2_ros.models.storage import (
    MAX_STATE_BYTES,
    load_json,
    load_state,
    load_tensors,
    save_json,
    save_tensors,
)

KEEP_CHECKPOINTS = 2


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups for AdamW: matrices decay; biases, norms, embeddings, learned tokens do not."""
    plain: set[str] = set()
    for name, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.LayerNorm, nn.GroupNorm)):
            plain.update(
                f'{name}.{p}' if name else p for p, _ in module.named_parameters(recurse=False)
            )
    decay, rest = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        leaf = name.rsplit('.', 1)[-1]
        if name in plain or parameter.ndim < 2 or leaf not in ('weight', 'kernel'):
            rest.append(parameter)
        else:
            decay.append(parameter)
    return [{'params': decay, 'weight_decay': weight_decay}, {'params': rest, 'weight_decay': 0.0}]


class Average:
    """Exponential moving average of a model's parameters; buffers are copied."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.tensors = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model; quickly in the first steps, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                mine.append(parallel.piece(self.tensors[name]))
                theirs.append(parallel.piece(value))
            else:
                self.tensors[name].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)

    def applied_to(self, model: nn.Module):
        """Context in which the model holds the averaged weights."""
        return _Swapped(model, self.tensors)


class _Swapped:
    def __init__(self, model: nn.Module, tensors: dict[str, torch.Tensor]):
        self.model, self.tensors = model, tensors

    def __enter__(self) -> nn.Module:
        self.own = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.was_training = self.model.training
        self.model.load_state_dict(self.tensors)
        return self.model.eval()

    def __exit__(self, *_) -> None:
        self.model.load_state_dict(self.own)
        self.model.train(self.was_training)


def check_size(model: nn.Module) -> None:
    """Refuse a model whose checkpoints could not be saved, before it is trained.

    Raises:
        TrainingError: the weights, or the optimiser's two moments, are larger than a file may be.
    """
    weights = sum(v.nbytes for v in model.state_dict().values())
    moments = sum(2 * p.nbytes for p in model.parameters() if p.requires_grad)
    if max(weights, moments) > MAX_STATE_BYTES:
        raise TrainingError(
            f'a file of a checkpoint may have {MAX_STATE_BYTES} bytes. Got a model '
            f'with {weights} bytes of weights and {moments} of optimiser state: '
            'train less of it, or a smaller one'
        )


def checkpoints(out: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(p for p in (out / 'checkpoints').glob('[0-9]*') if p.is_dir())


@dataclasses.dataclass
class TrainingState:
    """All that a run needs to go on as if it had never been interrupted.

    Attributes:
        model, average, optimizer: what changes with each step; average is None where none is kept.
        identity: what must be equal for a checkpoint to fit (data hash, model config ...).
    """

    model: nn.Module
    average: Average | None
    optimizer: torch.optim.Optimizer
    identity: dict

    def save(self, out: Path, step: int, elapsed_s: float, seed: int) -> Path:
        """Write `<out>/checkpoints/<step>/` beside, then rename; older ones than two are removed.

        It holds the whole state, whatever the number of processes; all of them must call this.
        """
        names = {p: n for n, p in self.model.named_parameters()}
        files = {
            'model': self.model.state_dict(),
            'optimizer': _optimizer_tensors(self.optimizer, names),
        }
        if self.average:
            files['ema'] = self.average.tensors
        final = out / 'checkpoints' / f'{step:08d}'
        if parallel.world() > 1:
            files = {name: parallel.complete(tensors) for name, tensors in files.items()}
            if not parallel.leads():
                return final
        with whole_folder(final) as beside:
            for name, tensors in files.items():
                save_tensors(beside / f'{name}.safetensors', tensors, limit=MAX_STATE_BYTES)
            save_json(
                beside / 'state.json',
                {'elapsed_s': elapsed_s, 'seed': seed, 'identity': self.identity, 'step': step},
            )
        for old in checkpoints(out)[:-KEEP_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def restore(self, folder: Path) -> tuple[int, float]:
        """Take over what `save` wrote to `folder`; returns its step and seconds.

        Raises:
            TrainingError: it is damaged, or of another run (see `identity`).
        """
        try:
            state = load_json(folder / 'state.json')
            tensors = {
                name: load_tensors(folder / f'{name}.safetensors', limit=MAX_STATE_BYTES)[0]
                for name in ('model', 'optimizer', *(['ema'] if self.average else []))
            }
        except CheckpointError as error:
            raise TrainingError(
                f'cannot go on from {folder}: {error} Remove that folder to go back '
                'to the checkpoint before.'
            ) from error
        wanted = json.loads(json.dumps(self.identity))  # tuples become lists, as in the file
        for key, value in wanted.items():
            if state['identity'].get(key) != value:
                raise TrainingError(
                    f'{folder} was made with another {key}: it has '
                    f'{state["identity"].get(key)}, this run has {value}; give '
                    'another --out, or the same data and config'
                )
        own = self.model.state_dict()
        load_state(
            self.model,
            {name: parallel.cut(value, own.get(name)) for name, value in tensors['model'].items()},
            str(folder),
        )
        if self.average:
            for name, value in tensors['ema'].items():
                self.average.tensors[name].copy_(parallel.cut(value, self.average.tensors[name]))
        _restore_optimizer(
            self.optimizer, dict(self.model.named_parameters()), tensors['optimizer']
        )
        return int(state['step']), float(state['elapsed_s'])


def _optimizer_tensors(optimizer: torch.optim.Optimizer, names: dict) -> dict[str, torch.Tensor]:
    return {
        f'{names[parameter]}//{key}': torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def _restore_optimizer(
    optimizer: torch.optim.Optimizer,
    parameters: dict[str, nn.Parameter],
    tensors: dict[str, torch.Tensor],
) -> None:
    for name, value in tensors.items():
        owner, key = name.rsplit('//', 1)
        parameter = parameters[owner]
        if key == 'step':  # stays on the CPU unless the fused kernel wants it beside
            fused = any(group.get('fused') for group in optimizer.param_groups)
            optimizer.state[parameter][key] = value.to(parameter.device if fused else 'cpu')
        else:  # in the parameter's own memory order, which the fused kernel relies on
            optimizer.state[parameter][key] = (
                torch.empty_like(parameter).copy_(parallel.cut(value, parameter)).detach()
            )
