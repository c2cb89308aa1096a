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
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

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
from vw2_ros.models.data.batches import to_device
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.training.config import TrainConfig
from vw2_ros.models.training.footprint import Footprint

KEEP_CHECKPOINTS = 2
INTERRUPTED = 130  # exit status of a run that a signal ended, as shells report it
OVERFIT = 1.03  # times its best value: from there on a held-out score has risen


# ------------------------------------------------------------------------------------------ config


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


def own_share(batch: dict) -> dict:
    """This process's samples of a batch: of n processes every n-th."""
    n = parallel.world()
    return {
        k: v[parallel.rank() :: n] if n > 1 and getattr(v, 'ndim', 0) else v
        for k, v in batch.items()
    }


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
