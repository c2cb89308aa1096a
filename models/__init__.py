# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Models of VideoWorld 2: dLDM, planner, action head, and their training."""
