# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 collect`: many sessions of demonstrations, in CALVIN's on-disk format.

Worker processes record sessions (`session`) side by side. A session's number and the seed decide
everything in it, so the data do not depend on the number of workers, and a collection that was
stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.errors import InvalidValueError
from vw2_ros.sim.cameras import STATIC, STATIC_VIEW
from vw2_ros.sim.dataset_writer import check_same_settings, is_finished, read_markers, write_index
from vw2_ros.sim.phrases import train_phrases
from vw2_ros.sim.session import SPLITS, Astray, CollectSettings, record_session
from vw2_ros.sim.table import Simulator

TELL_S = 30.0  # without a terminal: how often to say how far it is
VERSION = 3  # of what is recorded; one folder holds one version


def _work(job: tuple[Path, str, int, CollectSettings, Astray | None]) -> dict:
    return record_session(*job)


def _quiet_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    os.environ['OMP_NUM_THREADS'] = '1'
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Die with the parent: a killed parent does not end its workers by itself."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGKILL)  # a session is written whole or not at all


def collect(
    out: Path | str,
    scenes: str = 'D',
    episodes: int = 100,
    workers: int = 2,
    randomize: bool = False,
    seed: int = 0,
    shards: int = 0,
    image_size: int = 200,
    depth: bool = False,
    tasks_per_episode: int = 12,
    validation_episodes: int | None = None,
    share: float = 1.0,
    progress: bool = True,
    policy: str = '',
    astray: Astray | None = None,
    simulator: Simulator | None = None,
) -> dict:
    """Collect `episodes` training sessions, and some for validation.

    Sessions that are already in `out` are kept. Ctrl-C stops after writing the index of what is
    finished; the same call goes on from there.

    Args:
        out: folder of the data set.
        workers: processes.
        validation_episodes: None: one for twenty of training, at least one.
        progress: show a progress bar on stderr; where that is no terminal, a line now and then.
        policy, astray: name of a policy, and what lets it act.
        simulator: which table; None: the play table.
        Others: see `CollectSettings`.
    Returns:
        {'training': counts, 'validation': counts, 'success': {task: [solved, all]}}.
    Raises:
        InvalidValueError: a setting makes no sense, or `out` holds data of other settings.
        KeyboardInterrupt: after Ctrl-C, with the index written.
    """
    if episodes < 1 or workers < 1:
        raise InvalidValueError(
            f'episodes and workers must be at least 1. Got {episodes}, {workers}'
        )
    settings = CollectSettings(
        scenes=scenes,
        seed=seed,
        randomize=randomize,
        shards=shards,
        image_size=image_size,
        depth=depth,
        tasks_per_session=tasks_per_episode,
        share=share,
        policy=policy,
        simulator=simulator or Simulator(),
    )
    settings.simulator.check(scenes)
    out = Path(out)
    if validation_episodes is None:
        validation_episodes = max(1, round(episodes / 20))
    number = dict(zip(SPLITS, (episodes, validation_episodes), strict=True))
    config = merged_config(settings)
    check_same_settings(out, 'expert', config['expert'])
    jobs = [
        (out, split, k, settings, astray)
        for split in SPLITS
        for k in range(number[split])
        if not is_finished(out / split, k)
    ]
    total = sum(number.values())

    def index() -> dict:
        return {split: write_index(out / split, config, train_phrases) for split in SPLITS}

    index()
    try:
        _run(jobs, workers, total, progress, index)
    finally:
        counts = index()
    return {**counts, 'success': _success(out)}


def _success(out: Path) -> dict[str, list[int]]:
    success: dict[str, list[int]] = {}
    for split in SPLITS:
        for marker in read_markers(out / split):
            for task, (solved, tried) in marker['attempts'].items():
                both = success.setdefault(task, [0, 0])
                both[0] += solved
                both[1] += tried
    return success


def merged_config(settings: CollectSettings) -> dict:
    """What `.hydra/merged_config.yaml` says of the data: CALVIN's keys, and the settings."""
    expert = {**dataclasses.asdict(settings), 'version': VERSION}
    del expert['simulator']
    if settings.share == CollectSettings.share:
        del expert['share']
    if settings.simulator.table != Simulator.table:
        expert |= {'table': settings.simulator.table, 'calvin_env': settings.simulator.facts}
    if settings.simulator.arm != Simulator.arm:
        expert['arm'] = settings.simulator.arm
    if settings.simulator.look != Simulator.look:
        expert['look'] = settings.simulator.look
    config = {
        'expert': expert,
        'scene': f'calvin_scene_{settings.scenes}',
        'control_freq': ACTION_HZ,
        'renderer': settings.simulator.renderer,
    }
    if not settings.randomize:  # else the camera is moved a little in each session
        config['cameras'] = {'static': STATIC_VIEW.config(STATIC.fov_deg)}
    return config


def _run(jobs: list, workers: int, total: int, progress: bool, index) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    context = multiprocessing.get_context('spawn')
    bar = Progress(
        TextColumn('collecting'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[frames]} frames'),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not progress,
    )
    pool = ProcessPoolExecutor(min(workers, max(1, len(jobs))), context, _quiet_worker)
    tell = progress and not bar.console.is_terminal
    try:
        with bar:
            row = bar.add_task('', total=total, completed=total - len(jobs), frames=0)
            frames, began = 0, time.monotonic()
            indexed = told = began
            # Workers start with Ctrl-C ignored, or one that is still importing would die of it.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                running = [pool.submit(_work, job) for job in jobs]
            finally:
                signal.signal(signal.SIGINT, before)
            for ended, done in enumerate(as_completed(running), 1):
                frames += done.result()['frames']
                bar.update(row, advance=1, frames=frames)
                now = time.monotonic()
                left = len(jobs) - ended
                if tell and left and now - told > TELL_S:
                    print(
                        f'collecting: {total - left} of {total} episodes, {frames} new frames, '
                        f'about {(now - began) / ended * left / 60:.0f} min left',
                        file=sys.stderr,
                        flush=True,
                    )
                    told = now
                if now - indexed > 60.0:
                    index()
                    indexed = time.monotonic()
    finally:
        # what is under way is not waited for: a session is written whole or not at all
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
