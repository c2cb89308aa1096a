# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 episodes`, `vw2 check` and `vw2 view`: what was recorded, looked at and decided upon."""
