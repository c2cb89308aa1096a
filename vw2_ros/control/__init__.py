# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The control loop and its safety gate: pure, no ROS, no torch."""
