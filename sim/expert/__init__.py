# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The scripted expert for the 34 tasks: what it sees, how it moves, grasps and solves a task."""
