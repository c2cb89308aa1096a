# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A policy on another machine: the server, `vw2 serve`, and what asks it."""
