# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Say what is installed, what is missing and how to mend it.

`vw2 doctor`, or `python -m vw2_ros.bringup.doctor` where not even typer is there.

Standard library only, so that it works where everything else is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import Iterable, Iterator

from vw2_ros.bringup.calvin import calvin_env
from vw2_ros.bringup.checks import (
    MISSING,
    NOTE,
    OK,
    Check,
    cameras,
    gpu,
    package,
    python_packages,
    ros,
    weights,
)
from vw2_ros.bringup.running import contract, robot

PARTS = (package, python_packages, ros, robot, gpu, cameras, weights)


def checks(of: str = '', calvin: str = '', parts=None) -> Iterator[Check]:
    """Look at everything; a part that fails is reported and does not end the others.

    Args:
        of: a contract to look at too, by name or file; ''.
        calvin: folder of a checkout of calvin_env to look at too; ''.
        parts: functions to ask instead of `PARTS`.
    """
    parts = PARTS if parts is None else parts
    parts = (*parts, functools.partial(contract, of)) if of else parts
    parts = (*parts, functools.partial(calvin_env, calvin)) if calvin else parts
    for part in parts:
        try:
            yield from part()
        except Exception as error:  # the doctor must outlive any patient
            yield Check(
                part.func.__name__ if isinstance(part, functools.partial) else part.__name__,
                'check',
                MISSING,
                f'{type(error).__name__}: {error}',
                'please report this',
            )


def render(results: Iterable[Check]) -> Iterator[str]:
    """Yield the report as plain text, a line per check and one per remedy, as the checks come."""
    sign = {OK: ' ok ', NOTE: 'note', MISSING: 'MISS'}
    missing, group = [], ''
    for check in results:
        if check.group != group:
            yield from ['', check.group] if group else [check.group]
            group = check.group
        yield f'  [{sign[check.status]}] {check.name}: {check.found}'
        if check.mend:
            yield f'         -> {check.mend}'
        if check.status == MISSING:
            missing.append(check.name)
    yield ''
    yield (
        f'{len(missing)} missing: {", ".join(missing)}'
        if missing
        else 'Everything that is needed is here.'
    )


def main(argv: list[str] | None = None, parts=None) -> int:
    """Print the report, of all or of `parts`; return 0 where nothing needed is missing, else 1."""
    parser = argparse.ArgumentParser(
        prog='vw2 doctor', description='What is installed, what is missing and how to mend it.'
    )
    parser.add_argument('--json', action='store_true', help='print the checks as JSON')
    parser.add_argument('--contract', default='', help="also check a robot's contract")
    parser.add_argument('--calvin-env', default='', help='also check a checkout of calvin_env')
    args = parser.parse_args(argv)
    shown, results = itertools.tee(checks(args.contract, args.calvin_env, parts))
    if not args.json:
        for line in render(shown):
            print(line, flush=True)
    results = list(results)
    ok = not any(c.status == MISSING for c in results)
    if args.json:
        print(json.dumps({'ok': ok, 'checks': [dataclasses.asdict(c) for c in results]}, indent=2))
    return int(not ok)


if __name__ == '__main__':
    sys.exit(main())
