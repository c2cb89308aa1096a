# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Cameras of every kind -> pictures that the policy sees."""
