# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The training loop that all stages share (VideoWorld 2, table A.1, scaled to the size at hand).

`fit` runs AdamW with warm-up and cosine decay, gradient clipping, an average of the weights (EMA),
and checkpoints. What a stage gives it: a model, `make_batch(step)` and `loss(batch)`.

Everything random is a function of (seed, step), so a run that was interrupted and resumed ends
with the same weights as one that was not. The one exception is `max_minutes`: with it the
schedule follows the clock, so that a run boxed in time still decays to its end.

Under `accelerate launch` a step's batch is the same one, shared between the processes, so that
the loss is that of one process but for rounding. Noise that a loss draws is therefore a sample's
own, see `sample_noise`; only dropout, which no shipped config has, differs from process to process.

Files in the output folder:
    checkpoints/<step>/{model,ema,optimizer}.safetensors, state.json    newest two
    log.jsonl            one JSON object per report: losses, rates, scores
    tensorboard/         the same, and pictures
    pictures/            the pictures, as <name>_<step>.png
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from torch import nn

from vw2_ros.errors import InvalidValueError, VW2Error
from vw2_ros.models import parallel
from vw2_ros.models.checkpoint import (
    MAX_STATE_BYTES,
    CheckpointError,
    load_json,
    load_state,
    load_tensors,
    save_json,
    save_tensors,
)
from vw2_ros.models.training.footprint import Footprint

KEEP_CHECKPOINTS = 2
INTERRUPTED = 130  # exit status of a run that a signal ended, as shells report it
OVERFIT = 1.03  # times its best value: from there on a held-out score has risen


class ConfigError(InvalidValueError):
    """A training config is missing or wrong; the message says what was wanted and what came."""


class TrainingError(VW2Error, RuntimeError):
    """Training cannot go on; the message says why and what to do."""


# ------------------------------------------------------------------------------------------ config


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to optimise. Rates are per step; `max_minutes` bounds the wall time of the loop."""

    steps: int = 1000
    batch: int = 16
    lr: float = 3e-4
    final_lr: float = 0.02  # share of lr that is left at the end
    warmup: int = 100  # steps of linear warm-up
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.999  # decay of the averaged weights; 0: no averaging
    max_minutes: float = 0.0  # 0: no limit
    checkpoint_minutes: float = 5.0
    validate_every: int = 0  # steps; 0: only at the end
    log_every: int = 20
    seed: int = 0
    threads: int = 0  # torch threads; 0: as many as there are cores
    device: str = 'auto'  # auto, cpu, cuda
    bf16: bool = True  # on a GPU
    recompute: bool = (
        False  # the VDM's blocks again in the backward pass: a third slower, less memory
    )
    preload: bool = False  # hold all frames in the device's memory
    prefetch: int = 4  # batches made ahead

    def __post_init__(self):
        for name in ('steps', 'batch', 'log_every', 'prefetch'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} must be >= 1. Got {getattr(self, name)}')
        for name in ('warmup', 'weight_decay', 'max_minutes', 'validate_every', 'threads'):
            if getattr(self, name) < 0:
                raise ConfigError(f'{name} must be >= 0. Got {getattr(self, name)}')
        for name in ('lr', 'clip', 'checkpoint_minutes'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'{name} must be > 0. Got {getattr(self, name)}')
        for name in ('beta1', 'beta2', 'ema', 'final_lr'):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f'{name} must be in [0, 1). Got {getattr(self, name)}')
        if self.device not in ('auto', 'cpu', 'cuda'):
            raise ConfigError(f'device must be auto, cpu or cuda. Got {self.device!r}')

    def torch_device(self) -> torch.device:
        """The device to train on; under `accelerate launch` this process's own.

        Raises:
            ConfigError: cuda was asked for and is not there.
        """
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise ConfigError('device is cuda, but torch finds no GPU; use device: auto or cpu')
        use = 'cuda' if self.device != 'cpu' and torch.cuda.is_available() else 'cpu'
        return parallel.join(use)

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up over steps, times a cosine over progress in [0, 1] down to final_lr."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        decay = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return self.lr * warm * (self.final_lr + (1.0 - self.final_lr) * decay)


def from_dict(cls: type, values: dict | None, where: str = ''):
    """Build a config dataclass from what a YAML file says, refusing unknown keys.

    Raises:
        ConfigError: an unknown key (with the nearest known one), or a value of the wrong type.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    converted = {}
    if not isinstance(values or {}, dict):
        raise ConfigError(f'{where} must be a mapping. Got {values!r}')
    for key, value in (values or {}).items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f'; did you mean {near[0]!r}?' if near else f'; known: {", ".join(fields)}'
            raise ConfigError(f'{where}: unknown key {key!r}{hint}')
        hint = hints[key]
        try:
            if hint is float:
                value = float(value)  # YAML 1.1 reads 1e-4 as a string
            elif hint is int:
                if int(value) != float(value):
                    raise InvalidValueError('not a whole number')
                value = int(value)
            elif hint is bool and not isinstance(value, bool):
                raise InvalidValueError('not true or false')
            elif isinstance(value, list):
                value = tuple(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f'{where}.{key} must be {hint.__name__}. Got {value!r}') from error
        converted[key] = value
    try:
        return cls(**converted)
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{where}: {error}') from error


def config_path(config: Path | str) -> Path:
    """The YAML file that `config` means: a path, or a name such as tiny, cpu, gpu, paper.

    Names are looked up in `config/train/` of the checkout and of `share/vw2_ros` where installed.

    Raises:
        ConfigError: no such file or name.
    """
    path = Path(config)
    if path.is_file():
        return path
    known: dict[str, Path] = {}
    roots = [*Path(__file__).resolve().parents, Path(sys.prefix)]
    roots += [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    for root in roots:
        for folder in (root / 'config' / 'train', root / 'share' / 'vw2_ros' / 'config' / 'train'):
            for file in sorted(folder.glob('*.yaml')) if folder.is_dir() else ():
                known.setdefault(file.stem, file)
    if str(config) in known:
        return known[str(config)]
    raise ConfigError(
        f'there is no training config {str(config)!r}: give a YAML file or one of '
        f'{", ".join(sorted(known)) or "(none installed)"}'
    )


def load_config(config: Path | str, stage: str) -> dict:
    """The section of one stage ('dldm', 'planner', 'head' or 'vdm') of a training config.

    Raises:
        ConfigError: no such file, not YAML, or no such section.
    """
    path = config_path(config)
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} is not YAML: {error}') from error
    if not isinstance(content, dict) or not isinstance(content.get(stage), dict):
        raise ConfigError(f'{path} has no section {stage!r}')
    return content[stage]


def stage_configs(config: Path | str, stage: str, **classes: type) -> dict:
    """Build each part of a stage's section, e.g. stage_configs('cpu', 'dldm', train=TrainConfig).

    Raises:
        ConfigError: a part or key that is not known, or a bad value.
    """
    section = load_config(config, stage)
    unknown = set(section) - set(classes)
    if unknown:
        raise ConfigError(
            f'{stage}: unknown part {sorted(unknown)[0]!r}; known: {", ".join(classes)}'
        )
    return {
        name: (section.get(name) or {})
        if cls is dict
        else from_dict(cls, section.get(name), f'{stage}.{name}')
        for name, cls in classes.items()
    }


# -------------------------------------------------------------------------------------- provenance


def git_commit() -> str:
    """Commit of the source that runs ('+changes' if edited since), 'unknown' if installed."""
    folder = Path(__file__).resolve().parents[1]
    try:

        def git(*arguments: str) -> str:
            return subprocess.run(
                ['git', '-C', str(folder), *arguments],
                check=True,
                text=True,
                capture_output=True,
                timeout=10,
            ).stdout.strip()

        commit = git('rev-parse', 'HEAD')
        changed = git('status', '--porcelain', '--untracked-files=no', '--', str(folder))
        return commit + ('+changes' if changed else '')
    except (OSError, subprocess.SubprocessError):
        return 'unknown'


def provenance(**facts) -> dict:
    """What made a checkpoint: command, commit, versions, and the facts given."""
    program = Path(sys.argv[0]).name
    return {
        'command': ' '.join([program, *sys.argv[1:]]),
        'git_commit': git_commit(),
        'torch': torch.__version__,
        'created': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        **facts,
    }


# ----------------------------------------------------------------------------------------- batches


class Prefetcher:
    """Makes batches in a background thread, a few steps ahead.

    Args:
        make_batch: step -> dict of tensors on the CPU.
        steps: which steps, in order.
        finish: what is done to a batch last, e.g. moving it to the device.
        depth: how many batches are held ready.
    """

    def __init__(
        self,
        make_batch: Callable[[int], dict],
        steps: Iterator[int],
        finish: Callable[[dict], dict] = lambda batch: batch,
        depth: int = 4,
    ):
        self._queue: queue.Queue = queue.Queue(depth)
        self._closed = threading.Event()
        self.waited_s = 0.0

        def work() -> None:
            try:
                for step in steps:
                    if not self._put(finish(make_batch(step))):
                        return
            except BaseException as error:  # handed to the consumer, who raises it
                self._put(error)

        self._thread = threading.Thread(target=work, name='batches', daemon=True)
        self._thread.start()

    def _put(self, item) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def next(self) -> dict:
        """The next batch. Raises what make_batch raised."""
        begun = time.perf_counter()
        item = self._queue.get()
        self.waited_s += time.perf_counter() - begun
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Stop the thread; batches made ahead are dropped."""
        self._closed.set()
        self._thread.join(timeout=10.0)


def to_device(batch: dict, device: torch.device) -> dict:
    """Move the tensors of a batch; from pinned memory and without waiting on a GPU."""
    if device.type == 'cpu':
        return batch
    return {
        k: v.pin_memory().to(device, non_blocking=True) if torch.is_tensor(v) else v
        for k, v in batch.items()
    }


def own_share(batch: dict) -> dict:
    """This process's samples of a batch: of n processes every n-th."""
    n = parallel.world()
    return {
        k: v[parallel.rank() :: n] if n > 1 and getattr(v, 'ndim', 0) else v
        for k, v in batch.items()
    }


def sample_noise(batch: dict, device: torch.device) -> list[torch.Generator]:
    """A generator of noise for each sample of a batch, from its seeds `noise`, int64 (B,).

    `make_batch` draws the seeds for the whole batch, so a sample has its noise wherever it goes.
    """
    return [torch.Generator(device).manual_seed(int(seed)) for seed in batch['noise']]


class FrameSource:
    """Images of a store for batches, from the memory map or preloaded into the device's memory.

    Args:
        store: has `rgb(rows)`, see data.FrameStore.
        device: where batches go.
        preload: copy all images to the device now.
    """

    def __init__(self, store, device: torch.device, preload: bool = False):
        self.store, self.device = store, device
        self._all = None
        if preload:
            self._all = torch.empty((len(store), *store.size, 3), dtype=torch.uint8, device=device)
            for rows in np.array_split(np.arange(len(store)), -(-len(store) // 4096)):
                self._all[rows[0] : rows[-1] + 1] = torch.from_numpy(store.rgb(rows)).to(device)

    def part(self, rows: np.ndarray) -> dict:
        """What a batch must carry so that `images` finds the pictures of `rows`."""
        if self._all is None:
            return {'rows': rows}  # read by `images`: of a batch that is shared, only the own ones
        return {'rows': torch.from_numpy(rows)}

    def images(self, batch: dict) -> torch.Tensor:
        """uint8 (*rows.shape, h, w, 3) on the device."""
        if self._all is not None:
            return self._all[batch['rows']]
        return to_device({'rgb': torch.from_numpy(self.store.rgb(batch['rows']))}, self.device)[
            'rgb'
        ]


def shift_images(rgb: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move each picture by whole pixels, repeating the edge: (B, H, W, 3), int (B, 2) as (y, x)."""
    B, H, W, _ = rgb.shape
    if rgb.is_cuda:  # one kernel; on a CPU the gather takes seven times as long as copies
        y = (torch.arange(H, device=rgb.device) - shift[:, :1]).clamp(0, H - 1)  # (B, H)
        x = (torch.arange(W, device=rgb.device) - shift[:, 1:]).clamp(0, W - 1)  # (B, W)
        pictures = torch.arange(B, device=rgb.device)
        return rgb[pictures[:, None, None], y[:, :, None], x[:, None, :]]
    most = int(shift.abs().max())
    padded = rgb.index_select(1, torch.arange(-most, H + most).clamp(0, H - 1))
    left, right = (padded[:, :, i : i + 1].expand(-1, -1, most, -1) for i in (0, W - 1))
    padded = torch.cat([left, padded, right], dim=2)
    out = torch.empty_like(rgb)
    for picture, moved, (y, x) in zip(padded, out, shift.tolist()):
        moved.copy_(picture[most - y : most - y + H, most - x : most - x + W])
    return out


def jitter_colour(rgb: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """uint8 (B, ..., 3) -> the same with contrast gain[:, 0] about grey and offset gain[:, 1]."""
    shape = (-1, *[1] * (rgb.ndim - 1))
    contrast, offset = gain[:, 0].view(shape), gain[:, 1].view(shape)
    offset = 127.5 * (1 - contrast) + 255.0 * offset
    return rgb.float().mul_(contrast).add_(offset).clamp_(0, 255).to(torch.uint8)


# -------------------------------------------------------------------------- weights and their mean


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


# ------------------------------------------------------------------------------------- checkpoints


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


def recompute_blocks(model: nn.Module, config: TrainConfig) -> None:
    """Let the models inside that can keep a block's input alone, where the config says so."""
    for part in model.modules() if config.recompute else ():
        if getattr(part, '_supports_gradient_checkpointing', False):
            part.enable_gradient_checkpointing()


def foretell(stage: str, build: Callable[[], nn.Module], config: TrainConfig) -> None:
    """Say what a run of the model that `build` makes will hold, before any of it is there."""
    if parallel.leads():
        with torch.device('meta'):
            model = build()
        footprint = Footprint(model, bool(config.ema), pieces=parallel.pieces())
        print(f'{stage} will have {footprint.text()}', file=sys.stderr, flush=True)


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


def save_checkpoint(
    out: Path,
    step: int,
    model: nn.Module,
    average: Average | None,
    optimizer: torch.optim.Optimizer,
    state: dict,
) -> Path:
    """Write `<out>/checkpoints/<step>/` beside, then rename; older ones than two are removed.

    It holds the whole state, whatever the number of processes; all of them must call this.
    """
    names = {p: n for n, p in model.named_parameters()}
    files = {'model': model.state_dict(), 'optimizer': _optimizer_tensors(optimizer, names)}
    if average:
        files['ema'] = average.tensors
    final = out / 'checkpoints' / f'{step:08d}'
    if parallel.world() > 1:
        files = {name: parallel.complete(tensors) for name, tensors in files.items()}
        if not parallel.leads():
            return final
    folder = final.parent
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f'.{step:08d}.{os.getpid()}.part'
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        for name, tensors in files.items():
            save_tensors(beside / f'{name}.safetensors', tensors, limit=MAX_STATE_BYTES)
        save_json(beside / 'state.json', {**state, 'step': step})
        shutil.rmtree(final, ignore_errors=True)
        os.replace(beside, final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for old in checkpoints(out)[:-KEEP_CHECKPOINTS]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(out: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(p for p in (out / 'checkpoints').glob('[0-9]*') if p.is_dir())


# --------------------------------------------------------------------------------------- the loop


class Interruption:
    """Turns the first SIGINT or SIGTERM into a flag, so that the loop can save and stop."""

    def __init__(self):
        self.signal: int | None = None
        self._before: dict = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number, frame) -> None:
        self.signal = number
        if parallel.world() == 1:
            signal.signal(number, self._before[number])  # a second one acts at once
        # else: a launcher passes on what the process got already, and has patience of its own

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Reporter:
    """Progress bar with ETA, log.jsonl and TensorBoard of one run."""

    def __init__(self, out: Path, stage: str, first_step: int):
        self.path, self.pictures = out / 'log.jsonl', out / 'pictures'
        self.stage = stage
        self._forget_after(first_step)
        self._log = open(self.path, 'a')
        self.board = _tensorboard(out / 'tensorboard', first_step)
        self._bar = _bar()
        self._bar.start()
        self._task = self._bar.add_task(stage, total=1.0, note='')
        self._plain_at = time.monotonic()

    def _forget_after(self, step: int) -> None:
        """Drop what an interrupted run reported past its last checkpoint."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text().splitlines():
            try:
                if json.loads(line)['step'] <= step:
                    kept.append(line)
            except ValueError:  # cut short
                break
        beside = self.path.with_suffix('.part')
        beside.write_text(''.join(line + '\n' for line in kept))
        os.replace(beside, self.path)

    def advance(self, progress: float, note: str | None = None) -> None:
        """Move the bar to `progress` in [0, 1]; a note is printed where there is no terminal."""
        self._bar.update(
            self._task,
            completed=min(1.0, progress),
            **({'note': note} if note is not None else {}),
        )
        if note and not self._bar.console.is_terminal:
            if time.monotonic() - self._plain_at > 20.0:
                self._plain_at = time.monotonic()
                print(f'{self.stage} {100 * progress:5.1f} % {note}', file=sys.stderr, flush=True)

    def report(self, step: int, values: dict, prefix: str = 'train') -> None:
        """One line of log.jsonl and one point per curve."""
        flat = {k: round(float(v), 6) for k, v in values.items() if not isinstance(v, dict)}
        nested = {k: v for k, v in values.items() if isinstance(v, dict)}
        self._log.write(
            json.dumps({'stage': self.stage, 'kind': prefix, 'step': step, **flat, **nested})
            + '\n'
        )
        self._log.flush()
        if self.board:
            for key, value in flat.items():
                self.board.add_scalar(f'{prefix}/{key}', value, step)
            for key, group in nested.items():
                for name, value in group.items():
                    self.board.add_scalar(f'{prefix}_{key}/{name}', value, step)

    def image(self, name: str, picture: np.ndarray, step: int) -> None:
        """uint8 (H, W, 3)."""
        self.pictures.mkdir(exist_ok=True)
        cv2.imwrite(str(self.pictures / f'{name}_{step:06d}.png'), picture[..., ::-1])
        if self.board:
            self.board.add_image(name, picture, step, dataformats='HWC')

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(f'{self.stage}: {text}', highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        self._bar.console.print(f'[yellow]warning:[/] {text}', soft_wrap=True)

    def close(self) -> None:
        """End the bar, the log and the curves."""
        self._bar.stop()
        self._log.close()
        if self.board:
            self.board.close()


class Silence(Reporter):
    """The reporter of a process that another one speaks for."""

    def __init__(self):
        pass

    def _nothing(self, *_) -> None:
        pass

    advance = report = image = say = warn = close = _nothing


def _bar():
    """The bar; in a narrow terminal it is the note that is cut, and not the time that is left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    return Progress(
        TextColumn('{task.description}'),
        BarColumn(12),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn(
            '{task.fields[note]}', table_column=Column(ratio=1, no_wrap=True, overflow='ellipsis')
        ),
        console=Console(stderr=True),
        refresh_per_second=2,
        expand=True,
    )


def _tensorboard(folder: Path, first_step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print('tensorboard is not installed: curves are in log.jsonl only', file=sys.stderr)
        return None
    return SummaryWriter(str(folder), purge_step=first_step or None)


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a run ended: steps done, seconds in the loop, share of them spent waiting for data."""

    steps: int
    seconds: float
    wait_share: float
    last: dict


def fit(
    stage: str,
    model: nn.Module,
    config: TrainConfig,
    out: Path,
    *,
    make_batch: Callable[[int], dict],
    loss: Callable[[dict, float], dict],
    resume: bool,
    identity: dict,
    validate: Callable[[], dict] | None = None,
    finish: Callable[[dict], dict] = lambda batch: batch,
    on_report: Callable[[Reporter, int, dict], None] | None = None,
    samples: int = 0,
    watch: str = '',
) -> Fit:
    """Optimise `model` (already on the device); at the end it holds the averaged weights.

    Args:
        stage: name for the progress bar and the log.
        out: run folder; see the head of this file.
        make_batch: step -> dict of tensors. Runs in a background thread; must depend on nothing
            but the step, so that a resumed run goes on as if never interrupted.
        loss: (batch, progress in [0, 1]) -> {'loss': scalar to minimise, further scalars to log}.
        resume: go on from the newest checkpoint in `out` if there is one.
        identity: what must be equal for a checkpoint to fit (data hash, model config ...).
        validate: called with the averaged weights in place; returns scalars or {name: {key: x}}.
        finish: last touch to a batch on the device (augmentation), in the background too.
        on_report: called with (reporter, step, last scalars) at each validation.
        samples: how many there are to learn from, where that is known: the bar then counts passes.
        watch: a scalar of `validate` where less is better: a warning ends a run in which it rose.
    Raises:
        TrainingError: the loss is not finite; the folder holds another run; the checkpoint is of
            other data or another config; the model is too large to be saved.
        ConfigError: the batch cannot be shared evenly between the processes.
        SystemExit: with status 130 after SIGINT or SIGTERM of any process; the state has been
            saved.
    """
    if config.batch % parallel.world():
        raise ConfigError(
            f'batch must be a multiple of the number of processes, '
            f'{parallel.world()}. Got {config.batch}'
        )
    check_size(model)
    recompute_blocks(model, config)
    out.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    fused = device.type in ('cpu', 'cuda')
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config.weight_decay),
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        fused=fused,
    )
    together = parallel.Together(model, optimizer)
    average = Average(model, config.ema) if config.ema else None
    step, before_s = 0, 0.0
    if parallel.leads():
        for leftover in (out / 'checkpoints').glob('.*.part'):
            shutil.rmtree(leftover, ignore_errors=True)
    saved = checkpoints(out)
    found = parallel.everyones(saved[-1].name if saved else 'none')
    if len(set(found)) > 1:
        raise TrainingError(
            f'all processes must see the same {out}, on a disk that the machines '
            f'share. Got the newest checkpoints {", ".join(found)}'
        )
    if saved and not resume:
        raise TrainingError(
            f'{out} holds a run already ({saved[-1].name} steps); go on with '
            '--resume, or give another --out'
        )
    if saved:
        step, before_s = _restore(saved[-1], model, average, optimizer, identity)
    parameters = [p for p in model.parameters() if p.requires_grad]
    autocast = torch.autocast(
        device.type, torch.bfloat16, enabled=config.bf16 and device.type == 'cuda'
    )
    footprint = Footprint(model, average is not None, config.bf16)
    reporter = Reporter(out, stage, step) if parallel.leads() else Silence()
    batches = Prefetcher(
        make_batch,
        iter(range(step, config.steps)),
        lambda batch: finish(to_device(own_share(batch), device)),
        config.prefetch,
    )
    begun = time.monotonic()
    window_begun, window_step, window_waited = begun, step, 0.0
    first_step, clock_s = step, before_s  # of the first process, as all of them last heard
    saved_at_s = before_s
    scalars: dict = {}
    watched: list[tuple[float, int]] = []

    def elapsed_s() -> float:
        return before_s + time.monotonic() - begun

    def progress() -> float:
        share = clock_s / (60.0 * config.max_minutes) if config.max_minutes else 0.0
        return max(step / config.steps, share)

    def save() -> None:
        save_checkpoint(
            out,
            step,
            model,
            average,
            optimizer,
            {'elapsed_s': elapsed_s(), 'seed': config.seed, 'identity': identity},
        )

    def check() -> dict:
        values = _validate(model, average, partial(together.look, validate)) if validate else {}
        if values:
            reporter.report(step, values, 'validation')
        if watch in values:
            watched.append((values[watch], step))
        if on_report:
            together.look(partial(on_report, reporter, step, scalars))
        return values

    try:
        with Interruption() as interruption:
            model.train()
            while step < config.steps and progress() < 1.0:
                batch = batches.next()
                torch.manual_seed(config.seed * 1_000_003 + step + (parallel.rank() << 40))
                rate = config.learning_rate(step, progress())
                for group in optimizer.param_groups:
                    group['lr'] = rate
                with footprint.step():
                    with autocast, footprint.forward():
                        scalars = together.train(partial(loss, batch, progress()))
                    optimizer.zero_grad(set_to_none=True)
                    scalars['loss'].backward()
                norm = parallel.full(nn.utils.clip_grad_norm_(parameters, config.clip))
                if step == first_step:
                    reporter.say(footprint.text(config.batch // parallel.world()))
                report_due = (step + 1) % config.log_every == 0 or step + 1 == config.steps
                scalars = {k: v.detach() if torch.is_tensor(v) else v for k, v in scalars.items()}
                # On a GPU each look at a number waits for it: only when it is reported anyway.
                if (report_due or device.type == 'cpu') and not math.isfinite(
                    float(norm) + float(scalars['loss'])
                ):
                    raise TrainingError(
                        f'{stage}: loss {float(scalars["loss"])} with gradient norm {float(norm)} '
                        f'at step {step}: lower lr (now {config.lr}) or clip ({config.clip}); the '
                        f'last good state is in {out / "checkpoints"}'
                    )
                optimizer.step()
                if average:
                    average.update(model, step)
                step += 1
                stop, clock_s = parallel.agree(interruption.signal is not None, elapsed_s())
                if report_due:
                    now = time.monotonic()
                    window_s = max(now - window_begun, 1e-9)
                    wait = (batches.waited_s - window_waited) / window_s
                    pace = window_s / (step - window_step)
                    mfu = footprint.mfu(pace)
                    scalars = parallel.mean_scalars({k: float(v) for k, v in scalars.items()})
                    reporter.report(
                        step,
                        {
                            **scalars,
                            'lr': rate,
                            'gradient_norm': float(norm),
                            'progress': progress(),
                            'elapsed_s': elapsed_s(),
                            'wait_share': wait,
                            'samples_per_s': config.batch / pace,
                            **({'mfu': mfu} if mfu else {}),
                        },
                    )
                    passes = f'pass {step * config.batch / samples:.1f} ' if samples else ''
                    reporter.advance(
                        progress(),
                        f'step {step} {passes}'
                        f'loss {scalars["loss"]:.4f} '
                        f'{pace:.2f} s/step, {config.batch / pace:.0f} samples/s, '
                        + (f'MFU {100 * mfu:.0f} %, ' if mfu else '')
                        + f'waiting {100 * wait:.0f} %',
                    )
                    window_begun, window_step, window_waited = now, step, batches.waited_s
                else:
                    reporter.advance(progress())
                if stop:
                    save()
                    parallel.wait()  # the launcher ends all when one ends
                    reporter.warn(f'interrupted at step {step}; saved, go on with --resume')
                    raise SystemExit(INTERRUPTED)
                if clock_s - saved_at_s > 60.0 * config.checkpoint_minutes:
                    save()
                    saved_at_s = clock_s
                if config.validate_every and step % config.validate_every == 0:
                    check()
            save()
            scores = check()
            reporter.say(
                f'{step} steps done; '
                + (
                    ', '.join(
                        f'held-out {k} {v:.4g}'
                        for k, v in scores.items()
                        if not isinstance(v, dict)
                    )
                    or 'nothing held out to judge it by'
                )
            )
            if watched and watched[-1][0] > OVERFIT * min(watched)[0]:
                best, at = min(watched)
                reporter.warn(
                    f'{watch} of held-out data was {best:.4g} at step {at}, and is '
                    f'{watched[-1][0]:.4g}: it learns its samples by heart. Take fewer '
                    'steps, or give it more data'
                )
    finally:
        batches.close()
        reporter.close()
    seconds = time.monotonic() - begun
    if average:
        model.load_state_dict(average.tensors)
    together.make_whole()
    model.eval()
    last = {k: float(v) for k, v in scalars.items()}
    return Fit(step, before_s + seconds, batches.waited_s / max(seconds, 1e-9), {**last, **scores})


def _validate(model: nn.Module, average: Average | None, validate: Callable[[], dict]) -> dict:
    with torch.no_grad():
        if average is None:
            model.eval()
            try:
                return validate()
            finally:
                model.train()
        with average.applied_to(model):
            return validate()


def _restore(
    folder: Path,
    model: nn.Module,
    average: Average | None,
    optimizer: torch.optim.Optimizer,
    identity: dict,
) -> tuple[int, float]:
    try:
        state = load_json(folder / 'state.json')
        tensors = {
            name: load_tensors(folder / f'{name}.safetensors', limit=MAX_STATE_BYTES)[0]
            for name in ('model', 'optimizer', *(['ema'] if average else []))
        }
    except CheckpointError as error:
        raise TrainingError(
            f'cannot go on from {folder}: {error} Remove that folder to go back '
            'to the checkpoint before.'
        ) from error
    wanted = json.loads(json.dumps(identity))  # tuples become lists, as in the file
    for key, value in wanted.items():
        if state['identity'].get(key) != value:
            raise TrainingError(
                f'{folder} was made with another {key}: it has '
                f'{state["identity"].get(key)}, this run has {value}; give '
                'another --out, or the same data and config'
            )
    own = model.state_dict()
    load_state(
        model,
        {name: parallel.cut(value, own.get(name)) for name, value in tensors['model'].items()},
        str(folder),
    )
    if average:
        for name, value in tensors['ema'].items():
            average.tensors[name].copy_(parallel.cut(value, average.tensors[name]))
    _restore_optimizer(optimizer, dict(model.named_parameters()), tensors['optimizer'])
    return int(state['step']), float(state['elapsed_s'])
