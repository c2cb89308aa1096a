# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Weights for the nodes under test."""

import pytest


@pytest.fixture(scope='session')
def weights(tmp_path_factory):
    """Folder of an untrained model of the smallest size; only where there is ROS."""
    from node_peers import SIZE
    from ros_helpers import tiny_weights

    return tiny_weights(tmp_path_factory.mktemp('weights') / 'tiny', SIZE)
