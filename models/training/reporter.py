# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What a run tells: a progress bar with ETA, log.jsonl, TensorBoard, pictures."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from vw2_ros.files import write_whole
from vw2_ros.models.fsq import CodeUsage


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
        write_whole(self.path, ''.join(line + '\n' for line in kept))

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
    """The reporter of every process but the first: it tells nothing."""

    def __init__(self):
        pass

    def _nothing(self, *_) -> None:
        pass

    advance = report = image = say = warn = close = _nothing


def _bar():
    """The progress bar. A narrow terminal cuts the note, not the time that is left."""
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


def report_codes(reporter: Reporter, step: int, usage: CodeUsage) -> None:
    """Log the use of the codes since the last report, warn of a collapse, and begin to count anew."""
    if int(usage.counts.sum()):
        reporter.report(step, usage.scores(), 'codes')
        usage.warn_on_collapse()
        usage.counts.zero_()


def strips(video: torch.Tensor, rebuilt: torch.Tensor) -> np.ndarray:
    """Clips (B, F, 3, H, W) and their reconstructions, every fourth frame -> one uint8 picture."""
    rows = torch.stack([video[:, ::4], rebuilt[:, ::4].to(video)], dim=1)  # (B, 2, f, 3, H, W)
    B, two, f, _, H, W = rows.shape
    # (B, 2, f, 3, H, W) -> (B, 2, H, f, W, 3) -> (B * 2 * H, f * W, 3)
    picture = rows.permute(0, 1, 4, 2, 5, 3).reshape(B * two * H, f * W, 3)
    return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()


# ------------------------------------------------------------------------------------------- codes
