# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Contracts for tests that count in periods of 30 Hz, as actions do."""

from dataclasses import replace

from vw2_ros.arms.contract import Contract


def panda_at(rate_hz: float = 30.0) -> Contract:
    """The shipped Panda, commanded so often."""
    contract = Contract.load('panda')
    return replace(
        contract,
        limits=replace(contract.limits, period_s=1 / rate_hz),
        command=replace(contract.command, rate_hz=rate_hz),
    )
