# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Sight is trained by itself, and planner and head then keep its keypoints."""

import json
import os
import shutil

import calvin_files
import numpy as np
import pytest
import torch
import yaml

from vw2_ros.models.checkpoint import load_checkpoint
from vw2_ros.models.data import DataError
from vw2_ros.models.data.augment import AugmentConfig, moved, shift_images
from vw2_ros.models.data.batches import FrameSource
from vw2_ros.models.data.keypoints import KEPT, Shown, find_all
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.errors import CheckpointError, ConfigError
from vw2_ros.models.policy import Policy
from vw2_ros.models.run_folder import load_sight
from vw2_ros.models.stages import sight as train_sight
from vw2_ros.models.stages.head import HeadStage
from vw2_ros.models.stages.planner import PlannerStage
from vw2_ros.models.stages.sight import SightStage
from vw2_ros.models.stages.warmup import WarmUpStage
from vw2_ros.models.storage import load_tensors
from vw2_ros.models.training.config import config_path
from vw2_ros.models.training.run import run
from vw2_ros.models.vision import KeypointEncoder, KeypointFinder, VisionConfig
from vw2_ros.sim.cameras import STATIC_VIEW
from vw2_ros.sim.dataset_writer import decode_png, encode_png
from vw2_ros.sim.landmarks import landmarks, teach
from vw2_ros.sim.scenes import SCENES


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return calvin_files.write_data(
        tmp_path_factory.mktemp('taught') / 'data',
        shards=True,
        episodes=6,
        frames=40,
        landmarks=True,
    )


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory):
    """Sight, dLDM, planner and head with the tiny config."""
    out = tmp_path_factory.mktemp('runs')
    run(SightStage('tiny', [data]), out / 'sight')
    run(WarmUpStage('tiny', [data]), out / 'dldm')
    run(PlannerStage('tiny', [data], init=out / 'dldm', sight=out / 'sight'), out / 'planner')
    run(HeadStage('tiny', [data], init=out / 'planner'), out / 'head')
    return out


def _weights(path):
    return {k.removeprefix('vision.'): v for k, v in load_tensors(path)[0].items()}


def test_keypoints_of_a_sight_run_stay(runs, data):
    seen = _weights(runs / 'sight' / 'vision.safetensors')
    planner = _weights(runs / 'planner' / 'planner.safetensors')
    policy = _weights(runs / 'head' / 'policy' / 'planner.safetensors')
    for name in ('locate.heat.weight', 'locate.convs.0.0.weight', 'locate.log_sharpness'):
        assert torch.equal(seen[name], planner[name]) and torch.equal(seen[name], policy[name])
    assert not torch.equal(seen['project'], planner['project'])
    assert not torch.equal(planner['project'], policy['project'])
    assert Policy.load(runs / 'head' / 'policy').plan(
        np.zeros((96, 96, 3), np.uint8), 'open the drawer'
    ).codes.shape == (4, 4)
    # also of a policy that learns on
    run(HeadStage('tiny', [data], init=runs / 'head' / 'policy'), runs / 'more')
    more = _weights(runs / 'more' / 'policy' / 'planner.safetensors')
    assert torch.equal(seen['locate.heat.weight'], more['locate.heat.weight'])


def test_a_run_says_how_well_it_sees(runs):
    record = json.loads((runs / 'sight' / 'provenance.json').read_text())
    assert record['stage'] == 'sight' and {'points', 'state', 'points_px'} <= set(record['scores'])
    assert (
        'sight' in json.loads((runs / 'planner' / 'provenance.json').read_text())['sight'].values()
    )


def test_sight_learns_where_the_square_is(data, tmp_path):
    content = yaml.safe_load(config_path('tiny').read_text())
    content['sight']['train'].update(steps=60, lr=1e-2, validate_every=60)
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    run(SightStage(tmp_path / 'c.yaml', [data]), tmp_path / 'out')
    log = [json.loads(line) for line in (tmp_path / 'out' / 'log.jsonl').open()]
    for name in ('points', 'state'):
        errors = [x[name] for x in log if x['kind'] == 'train']
        assert errors[-1] < 0.7 * errors[0]
    again = run(SightStage(tmp_path / 'c.yaml', [data]), tmp_path / 'out', resume=True)
    assert again['steps'] == 60


@pytest.mark.parametrize('folder', ['sight', 'head/policy'])
def test_head_from_scratch_takes_sight_too(folder, runs, data, tmp_path):
    run(HeadStage('tiny', [data], sight=runs / folder), tmp_path / 'out')
    seen = _weights(runs / 'sight' / 'vision.safetensors')
    policy = _weights(tmp_path / 'out' / 'policy' / 'planner.safetensors')
    assert torch.equal(seen['locate.heat.weight'], policy['locate.heat.weight'])


def test_a_policy_knows_the_pictures_that_its_sight_learned_from(runs, data, tmp_path):
    planner = shutil.copytree(runs / 'planner', tmp_path / 'planner')
    record = json.loads((planner / 'provenance.json').read_text())
    record['sight'] |= {'renderer': 'calvin_env_tiny', 'scene': 'R'}
    (planner / 'provenance.json').write_text(json.dumps(record))
    run(HeadStage('tiny', [data], init=planner), tmp_path / 'out')
    known = load_checkpoint(tmp_path / 'out' / 'policy').provenance
    assert 'calvin_env_tiny' in known['renderer'].split(', ') and 'R' in known['scene'].split(', ')


def test_sight_that_learns_with_the_head_may_have_a_teacher(runs, data, tmp_path):
    content = yaml.safe_load(config_path('tiny').read_text())
    content['head']['train'].update(steps=40, lr=1e-2, validate_every=40)
    content['head']['loss'] = {'points': 5.0}
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    policy = runs / 'head' / 'policy'
    run(HeadStage(tmp_path / 'c.yaml', [data], init=policy, learn_sight=True), tmp_path / 'out')
    log = [json.loads(line) for line in (tmp_path / 'out' / 'log.jsonl').open()]
    errors = [x['points'] for x in log if x['kind'] == 'train']
    assert errors[-1] < 0.7 * errors[0]
    # keypoints that stay are taught nothing
    run(HeadStage(tmp_path / 'c.yaml', [data], init=policy), tmp_path / 'fixed')
    assert '"points"' not in (tmp_path / 'fixed' / 'log.jsonl').read_text()
    untaught = calvin_files.write_data(tmp_path / 'data', shards=True, episodes=3, frames=40)
    with pytest.raises(ConfigError, match='must say where things are'):
        stage = HeadStage(tmp_path / 'c.yaml', [untaught], init=policy, learn_sight=True)
        run(stage, tmp_path / 'untaught')


def test_keypoints_are_found_once(runs, data, monkeypatch):
    c = VisionConfig(image_size=96, stem=4, channels=8, keypoints=12, frozen=True)
    vision = KeypointEncoder(c, 32)
    load_sight(vision, runs / 'sight')
    store = FrameStore([data, data])
    rows = np.array([3, 239, 240 + 7, 3])
    shown = Shown(vision, FrameSource(store, torch.device('cpu')), AugmentConfig(shift=0))
    part = shown.part(np.random.default_rng(0), rows)
    with torch.no_grad():
        wanted = vision.locate(torch.from_numpy(store.rgb(rows)).permute(0, 3, 1, 2))
    assert torch.allclose(part['place'], wanted.place, atol=1e-5)
    assert torch.allclose(part['local'], wanted.local, atol=1e-4)
    monkeypatch.setattr(KeypointFinder, 'forward', lambda *_: pytest.fail('found again'))
    Shown(vision, FrameSource(store, torch.device('cpu')), AugmentConfig())


def test_few_sets_of_keypoints_are_kept(data):
    store = FrameStore([data])
    before = os.listdir(store.decoded[0].cache)
    for seed in range(KEPT + 2):
        torch.manual_seed(seed)
        find_all(KeypointFinder(VisionConfig(stem=4, channels=4, keypoints=2)), store)
    found = [n for n in os.listdir(store.decoded[0].cache) if n.startswith('keypoints_')]
    assert len(found) == KEPT
    assert {n for n in before if not n.startswith('keypoints_')} <= set(
        os.listdir(store.decoded[0].cache)
    )


def test_points_move_with_the_picture():
    rgb = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    rgb[0, 40, 20] = 255
    changes = {'shift': torch.tensor([[3, -2]])}
    y, x = shift_images(rgb, changes['shift'])[0, :, :, 0].nonzero()[0].tolist()
    point = torch.tensor([[[20.5, 40.5]]]) / 48 - 1
    assert torch.allclose((point + moved(changes, 96) + 1) * 48, torch.tensor([x + 0.5, y + 0.5]))


def test_data_without_landmarks_is_refused(tmp_path):
    root = calvin_files.write_data(tmp_path / 'data', shards=True, episodes=2, frames=20)
    with pytest.raises(ConfigError, match=r'training must say where things are.*Got neither'):
        run(SightStage('tiny', [root]), tmp_path / 'out')


@pytest.mark.parametrize('stage', [SightStage, HeadStage])
def test_data_without_a_config_are_refused(tmp_path, stage):
    root = calvin_files.write_data(tmp_path / 'data', episodes=2, frames=20, landmarks=True)
    shutil.rmtree(root / 'training/.hydra')
    with pytest.raises(DataError, match='merged_config.yaml must say what drew the pictures'):
        run(stage('tiny', [root]), tmp_path / 'out')
    assert not (root / 'training/cache').exists()  # it is said before anything is decoded


@pytest.fixture(scope='module')
def calvins(tmp_path_factory):
    """Data as CALVIN ships them: a file for each frame, no landmarks, but a config."""
    root = tmp_path_factory.mktemp('calvin') / 'data'
    calvin_files.write_data(root, episodes=3, frames=20)
    for split in ('training', 'validation'):
        scene = {'objects': {'fixed_objects': {'table': {'file': 'calvin_table_B/urdf/x.urdf'}}}}
        calvin_files.write_config(
            root / split, {'scene': scene, 'cameras': {'static': {'fov': 9}}}
        )
    return root


def test_of_data_without_landmarks_they_are_computed(calvins, data, tmp_path):
    stage = SightStage('tiny', [data, calvins], teach)
    record = run(stage, tmp_path / 'out')
    assert np.isfinite(record['scores']['points_px'])
    for store in (stage.store, stage.held_out):
        rows = slice(store.first_row(1), len(store))
        wanted = landmarks(
            SCENES['B'], STATIC_VIEW, 9, store.robot_obs[rows], store.scene_obs[rows]
        )
        np.testing.assert_allclose(store.landmarks[rows], wanted, atol=1e-6)
        assert np.isfinite(store.scene_state).all()
    kept = FrameStore([data], 'training', 96)
    np.testing.assert_array_equal(stage.store.landmarks[: len(kept)], kept.landmarks)


def test_sight_of_a_policy_learns_on(runs, data, calvins, tmp_path):
    policy = runs / 'head' / 'policy'
    content = yaml.safe_load(config_path('tiny').read_text())
    content['sight']['train'].update(steps=1, lr=1e-12, warmup=0, weight_decay=0)
    content['planner']['vision'].update(keypoints=11)  # those of the policy hold
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    run(SightStage(tmp_path / 'c.yaml', [calvins], teach, start=policy), tmp_path / 'same')
    before = _weights(policy / 'planner.safetensors')
    after = _weights(tmp_path / 'same' / 'vision.safetensors')
    assert all(torch.allclose(before[k].float(), v, atol=1e-5) for k, v in after.items())
    assert {'locate.heat.weight', 'project', 'bias'} <= set(after)
    run(SightStage('tiny', [calvins], teach, start=policy), tmp_path / 'sight')
    record = json.loads((tmp_path / 'sight' / 'provenance.json').read_text())
    assert record['start']['stage'] == 'head'
    # it comes as a policy: the one it began with, that sees with these keypoints
    anew, old = load_checkpoint(tmp_path / 'sight' / 'policy'), load_checkpoint(policy)
    rgb = torch.randint(256, (2, 3, 96, 96), dtype=torch.uint8)
    assert anew.planner.config.vision.frozen
    places = [p.planner.vision.locate(rgb).place for p in (anew, old)]
    assert not torch.allclose(*places)
    keypoints = anew.planner.vision.locate(rgb)
    assert torch.equal(anew.planner.vision(keypoints), old.planner.vision(keypoints))
    assert all(
        torch.equal(a, b)
        for a, b in zip(anew.head.state_dict().values(), old.head.state_dict().values())
    )
    assert anew.provenance['stage'] == 'sight' and anew.provenance['start']['stage'] == 'head'
    for key in ('action_frame', 'tasks'):
        assert anew.provenance[key] == old.provenance[key]
    # and the policy takes it in place of its own, for planner and for head
    learned = _weights(tmp_path / 'sight' / 'vision.safetensors')
    assert not torch.equal(learned['locate.heat.weight'], before['locate.heat.weight'])
    sight = tmp_path / 'sight'
    run(HeadStage('tiny', [data], init=policy, sight=sight), tmp_path / 'head')
    run(
        PlannerStage('tiny', [data], init=runs / 'dldm', sight=sight, start=policy),
        tmp_path / 'planner',
    )
    for found in ('head/policy/planner', 'planner/planner'):
        weights = _weights(tmp_path / f'{found}.safetensors')
        assert torch.equal(weights['locate.heat.weight'], learned['locate.heat.weight'])
    # what reads the keypoints is the policy's, not what the sight run threw away
    assert torch.equal(weights['project'], before['project'])


def test_other_sizes_are_refused(runs, tmp_path):
    with pytest.raises(CheckpointError, match='must fit planner.vision'):
        load_sight(KeypointEncoder(VisionConfig(keypoints=12, frozen=True), 32), runs / 'sight')
    with pytest.raises(CheckpointError, match='neither a run of vw2 train sight nor a policy'):
        load_sight(KeypointEncoder(VisionConfig(), 32), runs / 'dldm')


def test_too_few_keypoints_are_refused():
    vision = KeypointEncoder(VisionConfig(image_size=32, stem=4, channels=4, keypoints=4), 16)
    with pytest.raises(ConfigError, match='keypoints must be at least 10'):
        train_sight.Probe(vision, 10, 25, 16)


def test_planner_begins_with_a_policy_for_other_codes(runs, data, tmp_path):
    content = yaml.safe_load(config_path('tiny').read_text())
    content['dldm']['model'].update(queries=2, levels=[3, 3])
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    run(WarmUpStage(tmp_path / 'c.yaml', [data]), tmp_path / 'dldm')
    run(
        PlannerStage(
            tmp_path / 'c.yaml', [data], init=tmp_path / 'dldm', start=runs / 'head' / 'policy'
        ),
        tmp_path / 'planner',
    )
    before = _weights(runs / 'head' / 'policy' / 'planner.safetensors')
    after = _weights(tmp_path / 'planner' / 'planner.safetensors')
    new = {'heads.weight', 'heads.bias', 'backbone.embed_tokens.weight'}
    assert {k for k in before if before[k].shape != after[k].shape} == new
    assert all(torch.equal(before[k], after[k]) for k in before.keys() - new)
    config = json.loads((tmp_path / 'planner' / 'config.json').read_text())['planner']
    assert config['vision']['frozen'] and config['queries'] == 2 and config['codebook_size'] == 9
    record = json.loads((tmp_path / 'planner' / 'provenance.json').read_text())
    assert record['start']['stage'] == 'head'
    content['head']['train'].update(steps=1, lr=1e-12, warmup=0, weight_decay=0)
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(content))
    run(
        HeadStage(
            tmp_path / 'c.yaml', [data], init=tmp_path / 'planner', start=runs / 'head' / 'policy'
        ),
        tmp_path / 'head',
    )
    old, new = (
        load_tensors(folder / 'policy' / 'head.safetensors')[0]
        for folder in (runs / 'head', tmp_path / 'head')
    )
    assert all(torch.allclose(old[k], new[k], atol=1e-5) for k in old)
    plan = Policy.load(tmp_path / 'head' / 'policy').plan(
        np.zeros((96, 96, 3), np.uint8), 'open the drawer'
    )
    assert plan.codes.shape == (4, 2) and plan.codes.max() < 9


def _in_other_colours(data, out):
    """The same frames, blue where they were red."""
    shutil.copytree(data, out)
    for path in out.rglob('shard_*.npz'):
        with np.load(path) as shard:
            arrays = {key: shard[key] for key in shard.files}
        at, files = arrays['offsets'], arrays['rgb_static'].tobytes()
        pngs = [encode_png(decode_png(files[a:b])[..., ::-1]) for a, b in zip(at[:-1], at[1:])]
        arrays['rgb_static'] = np.frombuffer(b''.join(pngs), np.uint8)
        arrays['offsets'] = np.cumsum([0, *map(len, pngs)])
        np.savez(path, **arrays)
    return out


def test_in_other_looks_a_policy_learns_to_see_what_it_saw(runs, data, tmp_path):
    policy = runs / 'head' / 'policy'
    other = _in_other_colours(data, tmp_path / 'other')
    content = yaml.safe_load(config_path('tiny').read_text())
    content['sight']['train'].update(steps=1, lr=1e-12, warmup=0, weight_decay=0, ema=0.0)
    content['sight']['augment'] = {'shift': 0, 'contrast': 0, 'brightness': 0}
    config = tmp_path / 'c.yaml'
    config.write_text(yaml.safe_dump(content))
    same = run(SightStage(config, [data], start=policy, pair=[data]), tmp_path / 'same')['scores']
    assert max(same['points'], same['state']) < 1e-4
    began = run(SightStage(config, [other], start=policy, pair=[data]), tmp_path / 'began')[
        'scores'
    ]
    assert began['state'] > 1e-3
    content['sight']['train'].update(steps=60, lr=3e-3)
    config.write_text(yaml.safe_dump(content))
    stage = SightStage(config, [other, data], start=policy, pair=[data, data])
    record = run(stage, tmp_path / 'out')
    assert record['scores']['state'] < began['state'] / 2 and len(record['pair']) == 2
    before, after = (
        _weights(policy / 'planner.safetensors'),
        _weights(tmp_path / 'out' / 'vision.safetensors'),
    )
    assert torch.allclose(before['project'].float(), after['project'], atol=1e-5)


def test_pairs_of_other_frames_are_refused(runs, data, calvins, tmp_path):
    policy = runs / 'head' / 'policy'
    with pytest.raises(ConfigError, match='the same frames as data'):
        run(SightStage('tiny', [data], start=policy, pair=[calvins]), tmp_path / 'out')
    with pytest.raises(ConfigError, match='one folder for each one of data'):
        SightStage('tiny', [data], start=policy, pair=[data, data])
    with pytest.raises(ConfigError, match='a policy to start from'):
        SightStage('tiny', [data], pair=[data])
