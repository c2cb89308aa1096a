# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The rows are the paper's."""

import math

from vw2_ros.experiment.rows import ABLATION, merged
from vw2_ros.experiment.scale import Scale


def test_ablation_has_the_papers_rows():
    """Each row's config says what its name says; what it does not say is as in the first row."""
    configs = {row.name: merged(Scale.load('cpu').config(), row.change) for row in ABLATION}

    def differs(name, *keys):
        found = configs[name]
        for key in keys:
            found = found.get(key, {})
        return found

    codes = {
        name: math.prod(differs(name, 'dldm', 'model', 'levels'))
        for name in configs
        if name.startswith('codebook-')
    }
    assert codes == {'codebook-8': 8, 'codebook-4096': 4096, 'codebook-64k': 64000}
    for key, prefix in (('queries', 'queries-'), ('clip_frames', 'clip-')):
        sizes = {
            name: differs(name, 'dldm', 'model', key)
            for name in configs
            if name.startswith(prefix)
        }
        sizes.pop('clip-2', None)  # one step of codes between frames 0 and 16, as LAPA's
        assert (
            sizes == {name: int(name.removeprefix(prefix)) for name in sizes} and len(sizes) == 3
        )
    assert differs('clip-2', 'dldm', 'clips', 'offsets') == [0, 16, 16, 16, 16]
    assert differs('vdm-alone', 'disentangle', 'loss') == {
        'backbone': 'full',
        'stop_gradient': False,
    }
    assert differs('vdm-alone', 'disentangle', 'vdm') == {'control': False}
    assert differs('connector-mlp-mask-full', 'disentangle', 'vdm') == {
        'connector': 'mlp',
        'mask': 'full',
    }
    assert {
        differs(f'vdm-{b}', 'disentangle', 'loss', 'backbone')
        for b in ('random', 'frozen', 'lora')
    } == {'random', 'frozen', 'lora'}
