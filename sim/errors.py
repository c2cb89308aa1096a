# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Errors of the simulation; `vw2_ros.errors` has the root of all."""

from vw2_ros.errors import VW2Error


class SimulationError(VW2Error, RuntimeError):
    """The simulation cannot do what it was asked for; the message says why and what to do."""
