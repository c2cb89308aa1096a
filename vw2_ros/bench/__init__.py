# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How fast the policy and the nodes are, and how good imagined video is: `vw2 bench`."""
