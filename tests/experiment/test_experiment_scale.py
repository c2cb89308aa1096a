# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Scales: read, scaled to minutes, refused."""

import pytest
import yaml
from experiment_files import ROOT

from vw2_ros.experiment.jobs import JobGraph
from vw2_ros.experiment.rows import CALVIN_TABLE, merged
from vw2_ros.experiment.scale import Scale, _scaled


def test_every_scale_and_base_is_read():
    for path in (ROOT / 'config' / 'experiment').glob('*.yaml'):
        scale = Scale.load(path.stem)
        base = yaml.safe_load((ROOT / 'config' / 'train' / f'{scale.base}.yaml').read_text())
        assert scale.config() == merged(base, scale.train)
        JobGraph(CALVIN_TABLE, scale.seeds, scale.config(), scale.data, scale.chains)


def test_minutes_scale_steps_and_boxes():
    scale = Scale.load('tiny')
    config = scale.config(scale.minutes * 2)
    assert config['dldm']['train']['steps'] == 2 * scale.config()['dldm']['train']['steps']
    boxed = _scaled(
        {'train': {'max_minutes': 3, 'steps': 10, 'batch': 4}, 'sight': {'steps': 0}}, 0.01
    )
    assert boxed == {'train': {'max_minutes': 0.03, 'steps': 1, 'batch': 4}, 'sight': {'steps': 0}}


@pytest.mark.parametrize(
    'content, said',
    [
        ({'base': 'tiny', 'minutes': 1}, 'data'),
        ({'nonsense': 1}, 'nonsense'),
        ([1], 'mapping'),
        ({'base': 'tiny', 'minutes': 0, 'data': {'d': {}}}, 'minutes must be > 0. Got 0'),
        ({'base': 'tiny', 'minutes': 1, 'data': {'d': {}}, 'seeds': 0}, 'seeds .* Got 0'),
        (
            {'base': 'tiny', 'minutes': 1, 'data': {'d': {}}, 'once': ['vdm']},
            'once must hold .*sight',
        ),
        ({'base': 'tiny', 'minutes': 1, 'data': {'x': {}}}, "labelled data set 'd'"),
        (
            {'base': 'tiny', 'minutes': 1, 'data': {'d': {}}, 'few_labels': 1.0},
            'few_labels .* Got 1',
        ),
        (
            {'base': 'tiny', 'minutes': 1, 'data': {'d': {}}, 'train': {'haed': {}}},
            "unknown section 'haed'. Did you mean head",
        ),
    ],
)
def test_bad_scale(tmp_path, content, said):
    path = tmp_path / 'scale.yaml'
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=said):
        Scale.load(str(path)).config()
