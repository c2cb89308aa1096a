# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Programs that show what a policy does: `vw2 demo` and `vw2 imagine`."""
