# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Errors of the models and of their training; `vw2_ros.errors` has the root of all."""

from vw2_ros.errors import InvalidValueError, VW2Error


class ConfigError(InvalidValueError):
    """A training config is missing or wrong; the message says what was wanted and what came."""


class CheckpointError(VW2Error, RuntimeError):
    """A model folder is missing, damaged or of another shape; the message says what to do."""


class TrainingError(VW2Error, RuntimeError):
    """Training cannot go on; the message says why and what to do."""
