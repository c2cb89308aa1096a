# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 teleop`: a person moves the arm by keys, a joystick or a leader arm."""
