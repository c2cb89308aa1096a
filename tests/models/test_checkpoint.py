# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Model folders: round trip, damage, limits."""

import json

import pytest
import torch
from policy_files import tiny_dldm, tiny_head, tiny_planner, tiny_policy, tiny_words
from safetensors import SafetensorError

from vw2_ros.files import file_sha256
from vw2_ros.models import storage
from vw2_ros.models.checkpoint import folder_sha256, load_checkpoint
from vw2_ros.models.config import from_dict, to_dict
from vw2_ros.models.dldm import DLDMConfig
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.planner import PlannerConfig
from vw2_ros.models.vision import VisionConfig


def write(folder, **options):
    torch.manual_seed(0)
    words, head, dldm = tiny_words(), tiny_head(), tiny_dldm()
    head.set_normalization(torch.arange(6) / 7, torch.arange(1, 7) / 3)
    planner = tiny_planner(words)
    options.setdefault('provenance', {'command': 'test', 'renderer': 'tiny'})
    sha256 = tiny_policy(folder, words=words, planner=planner, head=head, dldm=dldm, **options)
    return planner, head, dldm, sha256


def test_round_trip_is_exact(tmp_path):
    planner, head, dldm, sha256 = write(tmp_path / 'm')
    loaded = load_checkpoint(tmp_path / 'm')
    for ours, theirs in ((planner, loaded.planner), (head, loaded.head), (dldm, loaded.dldm)):
        assert ours.config == theirs.config
        for key, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key]), key
    assert loaded.sha256 == sha256 == folder_sha256(tmp_path / 'm')
    assert loaded.provenance['command'] == 'test'
    assert not any(p.requires_grad for p in loaded.planner.parameters())
    assert [p.name for p in tmp_path.iterdir()] == ['m']


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_half_storage_keeps_statistics_exact(tmp_path, dtype):
    planner, head, _, _ = write(tmp_path / 'm', dtype=dtype)
    loaded = load_checkpoint(tmp_path / 'm')
    weight = loaded.planner.heads.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, planner.heads.weight, atol=1e-2, rtol=1e-2)
    assert torch.equal(loaded.head.mean, head.mean) and torch.equal(loaded.head.std, head.std)


def test_saving_again_replaces_the_folder(tmp_path):
    write(tmp_path / 'm')
    (tmp_path / 'm' / 'stray').write_text('x')
    write(tmp_path / 'm', provenance={'command': 'second'})
    assert load_checkpoint(tmp_path / 'm').provenance['command'] == 'second'
    assert not (tmp_path / 'm' / 'stray').exists()
    assert [p.name for p in tmp_path.iterdir()] == ['m']


def test_a_file_over_the_limit_is_refused_and_the_old_folder_stays(tmp_path, monkeypatch):
    write(tmp_path / 'm')
    before = folder_sha256(tmp_path / 'm')
    monkeypatch.setattr(
        storage.save_tensors,
        '__kwdefaults__',
        {**storage.save_tensors.__kwdefaults__, 'limit': 1000},
    )
    with pytest.raises(CheckpointError, match='would be .* bytes'):
        write(tmp_path / 'm')
    assert folder_sha256(tmp_path / 'm') == before
    assert [p.name for p in tmp_path.iterdir()] == ['m']


@pytest.mark.parametrize(
    'name',
    [
        'planner.safetensors',
        'head.safetensors',
        'dldm.safetensors',
        'config.json',
        'tokenizer.json',
        'provenance.json',
    ],
)
@pytest.mark.parametrize('harm', ['truncate', 'flip', 'remove', 'empty'])
def test_damage_is_told(tmp_path, name, harm):
    write(tmp_path / 'm')
    path = tmp_path / 'm' / name
    data = path.read_bytes()
    if harm == 'truncate':
        path.write_bytes(data[: len(data) // 2])
    elif harm == 'flip':
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 0xFF]) + data[-1:])
    elif harm == 'empty':
        path.write_bytes(b'')
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match='must .*Got'):
        load_checkpoint(tmp_path / 'm')


def reseal(folder):
    """Make provenance.json agree with the files again, as a careless editor would."""
    provenance = json.loads((folder / 'provenance.json').read_text())
    provenance['files'] = {name: file_sha256(folder / name) for name in provenance['files']}
    (folder / 'provenance.json').write_text(json.dumps(provenance))


@pytest.mark.parametrize(
    'change, told',
    [
        (lambda c: c['planner'].update(width=32), 'must be'),
        (lambda c: c['planner'].update(layers=2), 'missing'),
        (lambda c: c['planner'].update(colour=1), 'colour'),
        (lambda c: c['head'].update(hidden='many'), 'must describe'),
        (lambda c: c.pop('head'), 'must describe'),
        (lambda c: c.update(format=99), 'format'),
        # what would take all memory, or no end of time
        (lambda c: c['planner'].update(layers=10**9), 'Got layers 1000000000'),
        (lambda c: c['head'].update(hidden=10**9), 'Got hidden 1000000000'),
        (lambda c: c['dldm'].update(image_size=10**6), 'Got image_size 1000000'),
        (lambda c: c['normalization'].update(std=[0.0] * 6), 'above 0'),
    ],
)
def test_a_config_that_does_not_fit_is_told(tmp_path, change, told):
    write(tmp_path / 'm')
    config = json.loads((tmp_path / 'm' / 'config.json').read_text())
    change(config)
    (tmp_path / 'm' / 'config.json').write_text(json.dumps(config))
    reseal(tmp_path / 'm')
    with pytest.raises(CheckpointError, match=told):
        load_checkpoint(tmp_path / 'm')


def test_weights_that_are_not_finite_are_refused(tmp_path):
    write(tmp_path / 'm')
    path = tmp_path / 'm' / 'head.safetensors'
    tensors, _ = storage.load_tensors(path)
    tensors['mlp.0.weight'][0, 0] = float('nan')
    storage.save_tensors(path, tensors)
    reseal(tmp_path / 'm')
    with pytest.raises(CheckpointError, match='finite'):
        load_checkpoint(tmp_path / 'm')


def test_a_truncated_file_with_a_matching_digest_is_told(tmp_path):
    write(tmp_path / 'm')
    path = tmp_path / 'm' / 'planner.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    reseal(tmp_path / 'm')
    with pytest.raises(CheckpointError, match='whole safetensors file'):
        load_checkpoint(tmp_path / 'm')


def test_the_run_that_holds_a_policy_names_it(tmp_path):
    write(tmp_path / 'run' / 'policy')
    with pytest.raises(CheckpointError, match='run of vw2 train head: say .*run/policy'):
        load_checkpoint(tmp_path / 'run')


def test_a_run_of_another_stage_is_no_policy(tmp_path):
    storage.save_json(tmp_path / 'config.json', {'planner': {}, 'dldm': {}})
    with pytest.raises(CheckpointError, match='must be a policy.* with dldm, planner in its'):
        load_checkpoint(tmp_path)


def test_an_unknown_name_lists_the_shipped_ones(tmp_path):
    with pytest.raises(CheckpointError, match="shipped names .*'no_such_policy'"):
        load_checkpoint('no_such_policy')


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError('I/O error: No space left on device (os error 28)')

    monkeypatch.setattr(storage, 'save_file', full)
    with pytest.raises(CheckpointError, match='a.safetensors could not be written: .*No space'):
        storage.save_tensors(tmp_path / 'a.safetensors', {'x': torch.zeros(2)})
    assert not list(tmp_path.iterdir())


def test_tensors_keep_integers_and_metadata(tmp_path):
    tensors = {'n': torch.arange(5), 'w': torch.randn(2, 3), 'b': torch.tensor([True])}
    storage.save_tensors(tmp_path / 't.safetensors', tensors, metadata={'step': '7'})
    back, metadata = storage.load_tensors(tmp_path / 't.safetensors')
    assert metadata == {'step': '7'}
    assert all(torch.equal(tensors[k], back[k]) for k in tensors)


def test_configs_survive_json():
    config = PlannerConfig(width=64, heads=4, vision=VisionConfig(image_size=48))
    saved = json.loads(json.dumps(to_dict(config)))
    assert from_dict(PlannerConfig, saved) == config
    with pytest.raises(
        ValueError, match="DLDMConfig: unknown key 'imagesize'. Did you mean image_size"
    ):
        from_dict(DLDMConfig, {'imagesize': 64})
