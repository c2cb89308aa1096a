# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 doctor --calvin-env DIR` says of a checkout of calvin_env.

    python -m vw2_ros.sim.calvin_report DIR

prints JSON lines with the keys `name`, `status` (ok, note or missing), `found` and `mend`. The doctor
runs it in a process of its own, and this one opens the environment in yet another: an EGL plugin
without a graphics card aborts its process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from vw2_ros.errors import VW2Error
from vw2_ros.sim.calvin_checkout import PACKAGES, Checkout
from vw2_ros.sim.scenes import SCENES

OK, NOTE, MISSING = 'ok', 'note', 'missing'


def report(folder: str) -> Iterator[tuple[str, str, str, str]]:
    """(name, status, what was found, what mends it) of each thing that is looked at."""
    try:
        checkout = Checkout.find(folder)
    except VW2Error as error:
        yield 'checkout', MISSING, 'not found', str(error)
        return
    yield 'checkout', OK, str(checkout.root), ''
    if checkout.commit:
        yield 'git commit', OK, checkout.commit, ''
    else:
        yield (
            'git commit',
            NOTE,
            'none: results will name the SHA-256 of its files only',
            'optional: clone it with its history',
        )
    openable = yield from _scenes(checkout)
    missing = checkout.missing_packages()
    if missing:
        how = f'pip install {" ".join(missing)}'
        yield 'packages', MISSING, f'not found: {", ".join(missing)}', how
    else:
        yield 'packages', OK, f'{", ".join(PACKAGES.values())}; gymnasium stands in for gym', ''
    words = checkout.words_file
    try:
        yield "CALVIN's sentences", OK, f'{len(checkout.words())} tasks in {words}', ''
    except VW2Error as error:
        yield "CALVIN's sentences", NOTE, 'not found', f'optional, for --words calvin: {error}'
    yield 'data set', OK, 'not needed: no .hydra/merged_config.yaml is read', ''
    if missing or not openable:
        yield 'opening it', NOTE, 'not tried', 'mend what is missing first'
        return
    yield from _opened(checkout, openable[-1])


def _scenes(checkout: Checkout):
    """Yield what there is of the scenes and their assets; return those that can be opened."""
    openable = []
    for scene in SCENES:
        try:
            checkout.config(scene)
            openable.append(scene)
        except VW2Error as error:
            yield f'scene {scene}', MISSING, 'not complete', str(error)
    if openable:
        yield 'scenes', OK, f'{", ".join(openable)}, with their assets', ''
    return openable


def _opened(checkout: Checkout, scene: str) -> Iterator[tuple[str, str, str, str]]:
    began = time.monotonic()
    problem = checkout.problem(scene)
    if problem:
        yield (
            'TinyRenderer',
            MISSING,
            f'scene {scene}: {problem}',
            'is the checkout as it was cloned?',
        )
    else:
        took = f'scene {scene} opens, steps and draws, {time.monotonic() - began:.1f} s in all'
        yield (
            'TinyRenderer',
            OK,
            f'{took}; links, blocks and cameras have the names that they had',
            '',
        )
    problem = checkout.problem(scene, egl=True)
    if problem:
        yield 'EGL', NOTE, problem, 'optional: without --egl, TinyRenderer draws'
    else:
        yield 'EGL', OK, 'draws, with --egl', ''


if __name__ == '__main__':
    for line in report(sys.argv[1]):
        print(json.dumps(dict(zip(('name', 'status', 'found', 'mend'), line))), flush=True)
