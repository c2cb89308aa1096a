# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the doctor says of a checkout of calvin_env, over a fake of it."""

import fake_calvin_env
import pytest

from vw2_ros.bringup.calvin import calvin_env
from vw2_ros.bringup.checks import MISSING, NOTE, OK


@pytest.fixture
def folder(tmp_path):
    return fake_calvin_env.write_checkout(tmp_path / 'calvin')


def looked_at(folder):
    return {check.name: check for check in calvin_env(str(folder))}


def test_a_whole_checkout_opens_and_egl_is_tried_apart(folder):
    found = looked_at(folder)
    assert found['TinyRenderer'].status == OK and 'scene D opens' in found['TinyRenderer'].found
    assert found['EGL'].status == NOTE and 'ended by signal 6' in found['EGL'].found
    assert found['packages'].status == found["CALVIN's sentences"].status == OK
    assert found['git commit'].status == NOTE and found['scenes'].found.startswith('D,')
    assert found['scene A'].status == MISSING and "Got 'A'" in found['scene A'].mend


def test_what_is_missing_is_named(folder, tmp_path):
    (folder / 'calvin_env/data/franka_panda/meshes/base.obj').unlink()
    found = looked_at(folder / 'calvin_env')
    assert found['scene D'].status == MISSING and 'base.obj' in found['scene D'].mend
    assert found['opening it'].status == NOTE and 'TinyRenderer' not in found
    (only,) = calvin_env(str(tmp_path))
    assert only.status == MISSING and str(tmp_path) in only.mend
