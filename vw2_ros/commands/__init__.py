# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The verbs of `vw2`, one file each.

A file of one verb has `EXAMPLE`, the line that its help ends with, and `run`, whose docstring and
annotations are that help; a file of several (train, bench, experiment) has `app` with all of them.
Each imports what it needs when it runs, so that `vw2 --help` answers at once.
"""
