# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Evaluation on the table calvin, over a fake of calvin_env: what the result and the record say."""

import json
import types

import fake_calvin_env
import pytest

from vw2_ros.errors import InvalidValueError
from vw2_ros.evaluation.rollouts import Options
from vw2_ros.evaluation.run import run
from vw2_ros.models.data.origin import calvin_env_of, renderer_of
from vw2_ros.sim.table import Simulator


@pytest.fixture
def sim(tmp_path):
    yield Simulator('calvin', str(fake_calvin_env.write_checkout(tmp_path / 'calvin')))
    fake_calvin_env.forget()


def options(sim, out, **more):
    chosen = dict(policy='expert', tasks=('open_drawer',), rollouts=1, words='calvin')
    return Options(**chosen | more, simulator=sim, out=out)


def test_the_result_says_on_what_and_in_whose_words(sim, tmp_path):
    out = tmp_path / 'out'
    result = run(options(sim, out))
    assert result['mean_success'] == 1.0 and result['disagreements'] == 0
    assert (result['table'], result['renderer']) == ('calvin', 'calvin_env_tiny')
    assert result['calvin_env'] == sim.facts and result['words'] == 'calvin'
    assert result['trained_on'] is None
    (record,) = out.glob('record-*.jsonl')
    settings, line = map(json.loads, record.read_text().splitlines())
    assert settings['settings']['calvin_env'] == sim.facts
    assert line['subtasks'][0]['instruction'] == 'please open_drawer'
    # another checkout, or other words, have another record
    (sim.checkout.root / 'data/calvin_table_D/meshes/base.obj').write_text('another mesh')
    run(options(sim, out))
    run(options(sim, out, words='play_table'))
    assert len(list(out.glob('record-*.jsonl'))) == 3


def test_steps_at_which_the_oracles_differ_are_counted(sim, tmp_path, monkeypatch):
    with sim.open('D'):
        monkeypatch.setattr(fake_calvin_env.module(), 'LIES', {'close_drawer'})
    result = run(options(sim, tmp_path / 'out', tasks=('close_drawer', 'open_drawer')))
    assert result['per_task']['close_drawer'] == {'success': 1, 'trials': 1}
    assert result['disagreements'] == 1
    (record,) = (tmp_path / 'out').glob('record-*.jsonl')
    assert 'close_drawer, step 1: CALVIN True, this package False' in record.read_text()


def test_words_of_calvin_want_a_checkout(sim, tmp_path):
    with pytest.raises(InvalidValueError, match='Name one with --calvin-env'):
        options(Simulator(), tmp_path)
    with pytest.raises(InvalidValueError, match='words must be one of play_table, calvin'):
        options(sim, tmp_path, words='klingon')
    # they go with the play table too
    assert options(Simulator(calvin_env=sim.calvin_env), tmp_path).words == 'calvin'


@pytest.mark.parametrize(
    'config, renderer',
    [
        ('env: {use_egl: true}', 'calvin_env_egl'),
        ('env: {use_egl: false}', 'calvin_env_tiny'),
        ('renderer: calvin_env_tiny', 'calvin_env_tiny'),
        ('scene: x', 'unknown'),
    ],
)
def test_the_renderer_of_a_data_set_is_told_by_its_config(tmp_path, config, renderer):
    (tmp_path / '.hydra').mkdir()
    (tmp_path / '.hydra/merged_config.yaml').write_text(config)
    assert renderer_of(types.SimpleNamespace(folders=[types.SimpleNamespace(path=tmp_path)])) == (
        renderer
    )


def test_the_checkouts_that_data_are_of_are_told(tmp_path):
    folders = []
    for number, facts in enumerate(({'commit': 'a'}, {'commit': 'b'}, {'commit': 'a'}, None)):
        (tmp_path / f'{number}/.hydra').mkdir(parents=True)
        content = {'expert': {'calvin_env': facts}} if facts else {'expert': 'nobody'}
        (tmp_path / f'{number}/.hydra/merged_config.yaml').write_text(json.dumps(content))
        folders.append(types.SimpleNamespace(path=tmp_path / str(number)))
    store = types.SimpleNamespace(folders=folders)
    assert calvin_env_of(store) == [{'commit': 'a'}, {'commit': 'b'}]
