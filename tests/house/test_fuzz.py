# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Damaged bags, tars, films, LeRobot sets, npz files and checkpoints: no error but our own.

`tests/fuzzing.py` does the same for as long as wanted.
"""

import pathlib
import tempfile

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('webdataset')
pytest.importorskip('pyarrow')
hypothesis = pytest.importorskip('hypothesis')

from fuzzing import KINDS, TARGETS, Edit, Fuzz  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

EDITS = st.lists(
    st.builds(
        Edit,
        file=st.integers(0, 63),
        kind=st.sampled_from(KINDS),
        where=st.floats(0, 1, exclude_max=True, allow_subnormal=False),
        value=st.integers(0, 1 << 16),
    ),
    min_size=1,
    max_size=4,
)


def check(target, examples):
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(target, pathlib.Path(folder))

        @hypothesis.settings(max_examples=examples, deadline=None, derandomize=True, database=None)
        @hypothesis.given(EDITS)
        def damaged(edits):
            fuzz.try_edits(edits)

        damaged()


@pytest.mark.parametrize('target', TARGETS)
def test_only_our_errors_come_out(target):
    check(target, 6)


@pytest.mark.slow
@pytest.mark.parametrize('target', TARGETS)
def test_only_our_errors_come_out_of_many(target):
    check(target, 1000)
