# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""ROS 2 bags, for all that reads them: convert and training. No ROS needed.

| file        | what is in it                                                                |
| ----------- | ---------------------------------------------------------------------------- |
| find.py     | which bags a folder holds, and which files look like bags and are none       |
| bag.py      | one bag: its topics and messages, as far as it is whole                      |
| images.py   | which image topic is the camera, and its messages as pictures                |
| stamps.py   | when a message was made: one rule                                            |
| streams.py  | rate, gaps and skew of a stretch                                             |
| episodes.py | its episodes, how they ended, and what was decided since                     |
"""
