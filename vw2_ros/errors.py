# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The root of all errors that this package raises on purpose, and the kinds that any room may need.

A message says what was wanted, what came, and what to do:

    raise InvalidValueError('rate_hz must be > 0. Got -1. Set it in config/robot.yaml')

`vw2` prints such an error in one line. Any other exception is a fault of the program and keeps its
traceback. This module imports nothing of the package, so that every room may import it.
"""

import difflib
from collections.abc import Iterable


class VW2Error(Exception):
    """Root of the errors that this package raises on purpose."""


class InvalidValueError(VW2Error, ValueError):
    """A value that a user, a file or a message gave is not what was wanted."""


class MissingFileError(VW2Error, FileNotFoundError):
    """A file of this package, or one that a user names, is not there."""


class MissingPackageError(VW2Error, ModuleNotFoundError):
    """A package that only some commands need is not installed."""


class UsageError(InvalidValueError):
    """A command was asked for something that does not exist; exit status 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence that says that a name is unknown, with known ones that are near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"unknown {kind} '{name}'." + (f' Did you mean {" or ".join(near)}?' if near else '')


def close_matches(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence that says that a name is unknown, with near ones and all there are."""
    known = list(known)
    return f'{unknown(kind, name, known)} Known: {", ".join(known) or "none"}'
