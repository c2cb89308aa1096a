# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""ROS 2 nodes: thin shells around the pure rooms."""
