# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where work runs: in processes of this machine, or on the nodes of a Ray cluster."""
