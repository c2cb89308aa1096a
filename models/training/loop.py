# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One run's optimisation (VideoWorld 2, table A.1, scaled to the size at hand).

AdamW with warm-up and cosine decay, gradient clipping, an average of the weights (EMA), and
checkpoints. `run` says in which order it happens.

Everything random is a function of (seed, step), so a run that was interrupted and resumed ends
with the same weights as one that was not. The one exception is `max_minutes`: with it the
schedule follows the clock, so that a run boxed in time still decays to its end.

Under `accelerate launch` a step's batch is the same one, shared between the processes, so that
the loss is that of one process but for rounding. Noise that a loss draws is therefore a sample's
own, see `sample_noise`; only dropout, which no shipped config has, differs from process to process.

Files in the run folder:
    checkpoints/<step>/{model,ema,optimizer}.safetensors, state.json    newest two
    log.jsonl            one JSON object per report: losses, rates, scores
    tensorboard/         the same, and pictures
    pictures/            the pictures, as <name>_<step>.png
"""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vw2_ros.models import parallel
from vw2_ros.models.data.batches import to_device
from vw2_ros.models.errors import ConfigError, TrainingError
from vw2_ros.models.training.batches import Prefetcher, own_share
from vw2_ros.models.training.checkpoints import (
    Average,
    TrainingState,
    check_size,
    checkpoints,
    parameter_groups,
)
from vw2_ros.models.training.config import TrainConfig
from vw2_ros.models.training.footprint import Footprint
from vw2_ros.models.training.reporter import Reporter, Silence
from vw2_ros.models.training.stage import Stage

INTERRUPTED = 130  # exit status of a run that a signal ended, as shells report it
OVERFIT = 1.03  # times its best value: from there on a held-out score has risen


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


def recompute_blocks(model: nn.Module, config: TrainConfig) -> None:
    """Let the models inside that can keep a block's input alone, where the config says so."""
    for part in model.modules() if config.recompute else ():
        if getattr(part, '_supports_gradient_checkpointing', False):
            part.enable_gradient_checkpointing()


class Training:
    """The optimisation of a stage's model, as a context: signals wait, and files are closed.

    At the end of it, after `hand_over`, the model holds the averaged weights.

    Args:
        stage: what is trained. model: of it, on the device. out: run folder.
        resume: go on from the newest checkpoint in `out` if there is one.
    Attributes:
        step: steps done. together: the model on all processes.
        seconds: in the loop, in all; wait_share: share of this call's spent waiting for data.
        scores: last losses, and the last scores of held-out data.
    Raises:
        TrainingError: the loss is not finite; the folder holds another run; the checkpoint is of
            other data or another config; the model is too large to be saved.
        ConfigError: the batch cannot be shared evenly between the processes.
        SystemExit: with status 130 after SIGINT or SIGTERM of any process; the state was saved.
    """

    def __init__(self, stage: Stage, model: nn.Module, out: Path, resume: bool):
        config = stage.train
        if config.batch % parallel.world():
            raise ConfigError(
                f'batch must be a multiple of the number of processes, '
                f'{parallel.world()}. Got {config.batch}'
            )
        check_size(model)
        recompute_blocks(model, config)
        out.mkdir(parents=True, exist_ok=True)
        self.stage, self.model, self.out, self.config = stage, model, out, config
        self.device = next(model.parameters()).device
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, config.weight_decay),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            fused=self.device.type in ('cpu', 'cuda'),
        )
        self.together = parallel.Together(model, self.optimizer)
        self.average = Average(model, config.ema) if config.ema else None
        identity = {**stage.identity(), 'seed': config.seed, 'batch': config.batch}
        self.state = TrainingState(model, self.average, self.optimizer, identity)
        self.step, self._before_s = self._begin(resume)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.footprint = Footprint(model, self.average is not None, config.bf16)
        self.reporter = Reporter(out, stage.name, self.step) if parallel.leads() else Silence()
        self._batches = Prefetcher(
            stage.batch,
            iter(range(self.step, config.steps)),
            lambda batch: stage.finish(to_device(own_share(batch), self.device)),
            config.prefetch,
        )
        self._interruption = Interruption()
        self._begun = time.monotonic()
        self._first_step, self._rate = self.step, config.lr
        self._clock_s = self._before_s  # of the first process, as all of them last heard
        self._saved_at_s = self._before_s
        self._window = (self._begun, self.step, 0.0)  # since the last report: time, step, waited
        self._watched: list[tuple[float, int]] = []
        self.scores: dict = {}
        self._scalars: dict = {}

    def _begin(self, resume: bool) -> tuple[int, float]:
        """Step and seconds to go on from, with the newest checkpoint's state if there is one."""
        if parallel.leads():
            for leftover in (self.out / 'checkpoints').glob('.*.part'):
                shutil.rmtree(leftover, ignore_errors=True)
        saved = checkpoints(self.out)
        found = parallel.everyones(saved[-1].name if saved else 'none')
        if len(set(found)) > 1:
            raise TrainingError(
                f'all processes must see the same {self.out}, on a disk that the machines '
                f'share. Got the newest checkpoints {", ".join(found)}'
            )
        if saved and not resume:
            raise TrainingError(
                f'{self.out} holds a run already ({saved[-1].name} steps); go on with '
                '--resume, or give another --out'
            )
        return self.state.restore(saved[-1]) if saved else (0, 0.0)

    def __enter__(self) -> Training:
        self._interruption.__enter__()
        self.model.train()
        return self

    def __exit__(self, *error) -> None:
        self._interruption.__exit__(*error)
        self._batches.close()
        self.reporter.close()

    # ------------------------------------------------------------------------------- time

    @property
    def elapsed_s(self) -> float:
        """Seconds that this process spent in the loop, with those before an interruption."""
        return self._before_s + time.monotonic() - self._begun

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1, by its steps or by its time, whichever is more."""
        c = self.config
        share = self._clock_s / (60.0 * c.max_minutes) if c.max_minutes else 0.0
        return max(self.step / c.steps, share)

    # ------------------------------------------------------------------------------ a step

    def batches(self) -> Iterator[dict]:
        """Batches to learn from, each with torch's generator and the rate of its step set."""
        c = self.config
        while self.step < c.steps and self.progress < 1.0:
            batch = self._batches.next()
            torch.manual_seed(c.seed * 1_000_003 + self.step + (parallel.rank() << 40))
            self._rate = c.learning_rate(self.step, self.progress)
            for group in self.optimizer.param_groups:
                group['lr'] = self._rate
            yield batch

    def counted(self) -> contextlib.AbstractContextManager:
        """Return the context for a forward and a backward pass; the first ones are measured."""
        return self.footprint.step()

    @contextlib.contextmanager
    def forward(self) -> Iterator[None]:
        """Return the context for a forward pass: in bf16 where the config says so."""
        config, kind = self.config, self.device.type
        bf16 = {'cuda': config.bf16, 'cpu': config.bf16_cpu}.get(kind, False)
        with torch.autocast(kind, torch.bfloat16, enabled=bf16), self.footprint.forward():
            yield

    def backward(self, loss: torch.Tensor) -> None:
        """Compute the gradients of a loss; those of the step before are dropped."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()

    def update(self, scalars: dict) -> None:
        """One step of the optimiser; then report, save and validate where it is time to.

        Args:
            scalars: of `Stage.loss`, after `backward`.
        """
        c = self.config
        norm = parallel.full(nn.utils.clip_grad_norm_(self.parameters, c.clip))
        if self.step == self._first_step:
            self.reporter.say(self.footprint.text(c.batch // parallel.world()))
        report_due = (self.step + 1) % c.log_every == 0 or self.step + 1 == c.steps
        scalars = {k: v.detach() if torch.is_tensor(v) else v for k, v in scalars.items()}
        # On a GPU each look at a number waits for it: only when it is reported anyway.
        if report_due or self.device.type == 'cpu':
            self._check_finite(scalars['loss'], norm)
        self.optimizer.step()
        if self.average:
            self.average.update(self.model, self.step)
        self.step += 1
        self._scalars = scalars
        wanted = self._interruption.signal is not None
        stop, self._clock_s = parallel.agree(wanted, self.elapsed_s)
        if report_due:
            self._report(norm)
        else:
            self.reporter.advance(self.progress)
        if stop:
            self._stop()
        if self._clock_s - self._saved_at_s > 60.0 * c.checkpoint_minutes:
            self._save()
            self._saved_at_s = self._clock_s
        if c.validate_every and self.step % c.validate_every == 0:
            self._validate()

    def _check_finite(self, loss: torch.Tensor, norm: torch.Tensor) -> None:
        if not math.isfinite(float(norm) + float(loss)):
            self._diverged(f'loss {float(loss)} with gradient norm {float(norm)}')

    def _diverged(self, what: str) -> None:
        c, saved = self.config, checkpoints(self.out)
        raise TrainingError(
            f'{self.stage.name}: {what} at step {self.step}: lower lr (now {c.lr}) or clip '
            f'({c.clip})' + (f'; the last good state is {saved[-1]}' if saved else '')
        )

    # --------------------------------------------------------------------------- what is told

    def _report(self, norm: torch.Tensor) -> None:
        """Write losses and pace since the last report to log and bar."""
        c, now = self.config, time.monotonic()
        begun, first, waited = self._window
        window_s = max(now - begun, 1e-9)
        wait = (self._batches.waited_s - waited) / window_s
        pace = window_s / (self.step - first)
        mfu = self.footprint.mfu(pace)
        self._scalars = parallel.mean_scalars({k: float(v) for k, v in self._scalars.items()})
        self.reporter.report(
            self.step,
            {
                **self._scalars,
                'lr': self._rate,
                'gradient_norm': float(norm),
                'progress': self.progress,
                'elapsed_s': self.elapsed_s,
                'wait_share': wait,
                'samples_per_s': c.batch / pace,
                **({'mfu': mfu} if mfu else {}),
            },
        )
        samples = self.stage.samples
        passes = f'pass {self.step * c.batch / samples:.1f} ' if samples else ''
        self.reporter.advance(
            self.progress,
            f'step {self.step} {passes}'
            f'loss {self._scalars["loss"]:.4f} '
            f'{pace:.2f} s/step, {c.batch / pace:.0f} samples/s, '
            + (f'MFU {100 * mfu:.0f} %, ' if mfu else '')
            + f'waiting {100 * wait:.0f} %',
        )
        self._window = (now, self.step, self._batches.waited_s)

    def _validate(self) -> dict:
        """Scores of held-out data, and what else the stage shows."""
        with torch.no_grad(), self._averaged():
            values = self.together.look(self.stage.validate)
        if values:
            self.reporter.report(self.step, values, 'validation')
        if self.stage.watch in values:
            self._watched.append((values[self.stage.watch], self.step))
        self.together.look(partial(self.stage.report, self.reporter, self.step))
        return values

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The model in evaluation mode, with the averaged weights where they are kept."""
        if self.average:
            with self.average.applied_to(self.model):
                yield
            return
        self.model.eval()
        try:
            yield
        finally:
            self.model.train()

    # -------------------------------------------------------------------------- how it ends

    def _save(self) -> None:
        """Write a checkpoint; never one of weights that are not finite."""
        finite = (parallel.piece(v).isfinite().all() for v in self.model.state_dict().values())
        if not all(map(bool, finite)):
            self._diverged('weights that are not finite')
        self.state.save(self.out, self.step, self.elapsed_s, self.config.seed)

    def _stop(self) -> None:
        self._save()
        parallel.wait()  # the launcher ends all when one ends
        self.reporter.warn(f'interrupted at step {self.step}; saved, go on with --resume')
        raise SystemExit(INTERRUPTED)

    def finish(self) -> None:
        """Save and validate after the last step, and say how it went."""
        self._save()
        scores = self._validate()
        told = [f'held-out {k} {v:.4g}' for k, v in scores.items() if not isinstance(v, dict)]
        self.reporter.say(f'{self.step} steps done; ' + (', '.join(told) or self.stage.unjudged))
        watch = self.stage.watch
        if self._watched and self._watched[-1][0] > OVERFIT * min(self._watched)[0]:
            best, at = min(self._watched)
            self.reporter.warn(
                f'{watch} of held-out data was {best:.4g} at step {at}, and is '
                f'{self._watched[-1][0]:.4g}: it learns its samples by heart. Take fewer '
                'steps, or give it more data'
            )
        self.scores = {**{k: float(v) for k, v in self._scalars.items()}, **scores}

    def hand_over(self) -> None:
        """Give the model its averaged weights, whole on every process, in evaluation mode."""
        seconds = time.monotonic() - self._begun
        self.seconds = self._before_s + seconds
        self.wait_share = self._batches.waited_s / max(seconds, 1e-9)
        if self.average:
            self.model.load_state_dict(self.average.tensors)
        self.together.make_whole()
        self.model.eval()
