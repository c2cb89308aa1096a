# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The demo's film: the camera with words and verdict, and beside it what the planner imagines.

It is drawn after the run from the recorded states and plans, so that filming costs the nodes
nothing.
"""

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.demo.imaginer import Imaginer
from vw2_ros.demo.session import Subtask
from vw2_ros.evaluation import film
from vw2_ros.sim.table import Simulator, Table

VIDEO_HZ = 10
VERDICT_S = 1.0  # how long a verdict stands at the end of a subtask


def write(
    path: pathlib.Path,
    subtasks: list[Subtask],
    scene: str,
    imaginer: Imaginer,
    simulator: Simulator | None = None,
) -> None:
    """Write the video: the camera at 200 px with words and verdict, what the planner imagines."""
    jobs = [json.loads(text) for s in subtasks for text in _thinned(s.states)]
    with concurrent.futures.ProcessPoolExecutor(
        min(2, len(os.sched_getaffinity(0))),
        initializer=_begin_worker,
        initargs=(scene, simulator or Simulator()),
        mp_context=multiprocessing.get_context('spawn'),
    ) as pool:
        pictures = pool.map(_draw, jobs, chunksize=8)
        clips = [imaginer.clips(s.plans) for s in subtasks]
        film.write(path, _frames(subtasks, pictures, clips), VIDEO_HZ)


def _thinned(states: list[str]) -> list[str]:
    return states[:: ACTION_HZ // VIDEO_HZ]


_table: Table | None = None  # of a worker process


def _begin_worker(scene: str, simulator: Simulator) -> None:
    global _table
    _table = simulator.open(scene)


def _draw(state: dict) -> np.ndarray:
    """The static camera's picture (200, 200, 3) of a recorded state."""
    _table.reset(state['robot_obs'], state['scene_obs'])
    return _table.render('static', 200)


def _frames(subtasks, pictures, clips) -> Iterator[np.ndarray]:
    for subtask, imagined in zip(subtasks, clips):
        shown = None
        for text in _thinned(subtask.states):
            state = json.loads(text)
            shown = next(pictures), _dream(imagined, state['stamp_ns'])
            steps = state['steps'] - subtask.began
            yield _compose(subtask, *shown, steps / ACTION_HZ, film.RUNNING)
        if shown is not None:
            verdict = film.SUCCEEDED if subtask.succeeded else film.FAILED
            for _ in range(round(VERDICT_S * VIDEO_HZ)):
                yield _compose(subtask, *shown, subtask.steps / ACTION_HZ, verdict)


def _dream(clips, stamp_ns: int) -> np.ndarray | None:
    """The imagined frame that belongs to this moment."""
    for began_ns, frames in reversed(clips):
        if began_ns <= stamp_ns:
            k = round((stamp_ns - began_ns) * 1e-9 * ACTION_HZ)
            return frames[min(max(k, 1), len(frames)) - 1]
    return None


def _compose(subtask: Subtask, picture, dream, seconds: float, verdict: str) -> np.ndarray:
    """One frame of the film, uint8 (456, 816, 3): camera and words, imagination beside."""
    left = film.captioned(
        picture,
        subtask.instruction,
        f'chain {subtask.chain}, {subtask.number} of 5, {seconds:4.1f} s'
        + ('' if subtask.real_time else ' (lockstep)'),
        verdict,
    )
    side, strip = left.shape[1], left.shape[0] - left.shape[1]
    right = np.full_like(left, 28)
    if dream is not None:
        right[strip:] = cv2.resize(dream, (side, side), interpolation=cv2.INTER_LINEAR)
    title = 'imagined by the planner' if dream is not None else 'nothing imagined yet'
    cv2.putText(
        right, title, (8, 45), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA
    )
    return np.concatenate([left, np.full((left.shape[0], 16, 3), 28, np.uint8), right], axis=1)
