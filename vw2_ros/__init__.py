# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""VideoWorld 2 as a ROS 2 robot control stack.

In a source checkout `models/` and `sim/` lie beside this folder; an installed copy has them inside.
"""

import pathlib

_checkout = pathlib.Path(__file__).resolve().parent.parent
if (_checkout / 'package.xml').is_file():
    __path__.append(str(_checkout))
