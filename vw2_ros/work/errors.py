# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Errors of work, and how they travel: some exceptions do not unpickle elsewhere."""

from vw2_ros.errors import UsageError, VW2Error

Told = tuple[str, str]  # kind, text


class WorkError(VW2Error, RuntimeError):
    """A job failed, or a process that did jobs died."""


_KINDS = {kind.__name__: kind for kind in (UsageError, WorkError)}


def told(error: Exception) -> Told:
    """An error as it goes to another process."""
    if isinstance(error, UsageError):
        return UsageError.__name__, str(error)
    return WorkError.__name__, f'{type(error).__name__}: {error}'


def raised(error: Told) -> VW2Error:
    """The error that was told."""
    kind, text = error
    return _KINDS[kind](text)
