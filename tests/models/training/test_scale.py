# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Training on several processes gives what one gives: DDP and FSDP over two CPU processes."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import calvin_files
import numpy as np
import pytest
import scale_worker
import torch
import yaml

from vw2_ros.models import parallel
from vw2_ros.models.dldm import DLDM
from vw2_ros.models.errors import ConfigError
from vw2_ros.models.stages.planner import PlannerStage
from vw2_ros.models.stages.warmup import WarmUpSettings, WarmUpStage
from vw2_ros.models.storage import load_tensors
from vw2_ros.models.training.batches import own_share
from vw2_ros.models.training.checkpoints import checkpoints
from vw2_ros.models.training.config import TrainConfig, config_path, read_settings
from vw2_ros.models.training.footprint import Footprint, foretell, peak_flops
from vw2_ros.models.training.loop import recompute_blocks
from vw2_ros.models.training.run import run

pytest.importorskip('accelerate')

TESTS = Path(__file__).resolve().parents[2]
WITHIN = 1e-3  # of the loss of one process, at equal steps: rounding is below 1e-4
STEPS = scale_worker.STEPS
# Folders of runs (the VDM's first lesson has its own), and what is measured on held-out clips.
RUNS = {'dldm': 'loss', 'sight': 'points', 'planner': 'loss', 'head': 'xyz_l1'}
VIDEO_JOBS = ['vdm', 'disentangle'] if find_spec('diffusers') else []
if VIDEO_JOBS:
    RUNS.update({'vdm/vae': 'rebuilt_mse', 'vdm': 'loss', 'disentangle': 'denoising_loss'})

FSDP = ('--use_fsdp', '--fsdp_version', '2', '--fsdp_auto_wrap_policy', 'TRANSFORMER_BASED_WRAP')


def launch(folder, out, *jobs, options=('--multi_gpu',)):
    """Start two processes with accelerate's launcher; without a GPU they are two of the CPU."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        '-m',
        'accelerate.commands.launch',
        *options,
        '--num_processes',
        '2',
        '--num_machines',
        '1',
        '--mixed_precision',
        'no',
        '--dynamo_backend',
        'no',
        '--main_process_port',
        str(port),
        str(TESTS / 'scale_worker.py'),
        str(folder),
        str(out),
        *jobs,
    ]
    env = {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': os.pathsep.join([str(TESTS.parent), os.environ.get('PYTHONPATH', '')]),
    }
    with open(f'{out}.txt', 'w') as said:
        return subprocess.Popen(command, env=env, cwd=TESTS.parent, stderr=said, stdout=said)


def curve(run, kind='train', key='loss'):
    """The logged numbers of a run by step."""
    log = [json.loads(line) for line in (run / 'log.jsonl').open()]
    return {x['step']: x[key] for x in log if x['kind'] == kind and key in x}


def same_curve(run, wanted, rel=WITHIN, **which):
    got, wanted = curve(run, **which), curve(wanted, **which)
    assert got.keys() == wanted.keys() and wanted
    assert got == pytest.approx(wanted, rel=rel)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data, configs, and in one/ what a single process makes of them."""
    folder = tmp_path_factory.mktemp('scale')
    calvin_files.write_data(
        folder / 'data', 24, shards=True, episodes=3, frames=40, landmarks=True
    )
    content = yaml.safe_load(config_path('tiny').read_text())
    for train in (
        content['vdm']['vae'],
        *(
            content[stage]['train']
            for stage in ('dldm', 'sight', 'planner', 'head', 'vdm', 'disentangle')
        ),
    ):
        train.update(steps=STEPS, log_every=1, device='cpu', lr=3e-3)
    content['disentangle']['train']['recompute'] = True  # as many GPUs are used with
    # Of this seed's steps some see half of the clips, and some a single one: less than processes.
    content['vdm']['train']['seed'] = 1
    content['dldm']['train']['validate_every'] = STEPS // 2  # and so before the last checkpoint
    for stage in VIDEO_JOBS:  # to look takes ten times as long as to learn
        content[stage]['train']['validate_every'] = STEPS
    often = content['dldm']['train']['checkpoint_minutes'] = 1e-9  # after every step
    (folder / 'c.yaml').write_text(yaml.safe_dump(content))
    content['planner']['train'].update(steps=10**6, checkpoint_minutes=10 / often)
    (folder / 'endless.yaml').write_text(yaml.safe_dump(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('vw2_ros.models.training.checkpoints.KEEP_CHECKPOINTS', STEPS)
        run(WarmUpStage(folder / 'c.yaml', [folder / 'data']), folder / 'one' / 'dldm')
    run(
        PlannerStage(folder / 'c.yaml', [folder / 'data'], init=folder / 'one' / 'dldm'),
        folder / 'one' / 'planner',
    )
    scale_worker.main(folder, folder / 'one', 'sight', 'head')
    for stage in VIDEO_JOBS:
        scale_worker.video_stage(
            stage, folder / 'c.yaml', [folder / 'data'], folder / 'one' / stage, folder / 'one'
        )
    scale_worker.small_run(folder / 'one' / 'stopped')
    return folder


def half_done(folder, out):
    """A dLDM run of one process as it was after half of its steps."""
    at = f'checkpoints/{STEPS // 2:08d}'
    shutil.copytree(folder / 'one' / 'dldm' / at, out / at)
    shutil.copy(folder / 'one' / 'dldm' / 'log.jsonl', out)


@pytest.fixture(scope='module')
def two(folder):
    """Runs of two processes under DDP."""
    out = folder / 'two'
    half_done(folder, out / 'half')
    process = launch(
        folder, out, 'dldm', 'norm', 'sight', 'planner', 'head', *VIDEO_JOBS, 'half', 'stopped'
    )
    assert process.wait(900) == 0, Path(f'{out}.txt').read_text()
    return out


@pytest.fixture(scope='module')
def pieces(folder):
    """Runs of two processes under FSDP, the last of them ended by a SIGTERM to the launcher."""
    out = folder / 'pieces'
    half_done(folder, out / 'half')
    process = launch(folder, out, 'half', 'endless', options=FSDP)
    log = out / 'endless' / 'log.jsonl'
    while process.poll() is None and not (log.exists() and log.read_text().count('\n') > 3):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    return out


@pytest.fixture(scope='module')
def video_pieces(folder):
    """Runs of two processes under FSDP that train the VDM and codes through it."""
    out = folder / 'video_pieces'
    out.mkdir()
    process = launch(folder, out, *VIDEO_JOBS, options=FSDP)
    assert process.wait(900) == 0, Path(f'{out}.txt').read_text()
    return out


# ----------------------------------------------------------------------------------------- DDP


@pytest.mark.parametrize('stage', RUNS)
def test_two_processes_give_the_loss_of_one(folder, two, stage):
    same_curve(two / stage, folder / 'one' / stage)
    same_curve(two / stage, folder / 'one' / stage, kind='validation', key=RUNS[stage], rel=0.01)
    assert curve(two / stage, key='gradient_norm') == pytest.approx(
        curve(folder / 'one' / stage, key='gradient_norm'), rel=0.05
    )


def test_codes_are_normed_and_counted_over_all_processes(two):
    wanted = scale_worker.normed(0, 1)
    for rank in (0, 1):
        got = load_tensors(two / f'norm_{rank}.safetensors')[0]
        for name, value in wanted.items():
            own = value[rank::2] if name in ('out', 'gradient') else value
            torch.testing.assert_close(got[name], own.detach(), rtol=1e-4, atol=1e-6)


def test_one_process_writes_for_all(two):
    for stage in ('dldm', 'planner', *VIDEO_JOBS[:1]):
        assert {f'{stage}.safetensors', 'provenance.json', 'config.json'} <= {
            p.name for p in (two / stage).iterdir()
        }
        assert list(curve(two / stage)) == list(range(1, STEPS + 1))  # each step once
        assert not list(two.rglob('.*'))
    said = Path(f'{two}.txt').read_text().replace('\n', ' ')
    foretold = said.count('will have')
    assert foretold == 2 + len(VIDEO_JOBS)  # dldm, and half of it
    assert said.count('M parameters') == foretold + 2 + len(RUNS)
    assert 'on each of 2 processes' in said


def test_two_processes_go_on_where_one_was(folder, two):
    same_curve(two / 'half', folder / 'one' / 'dldm')
    before = curve(folder / 'one' / 'dldm')
    assert curve(two / 'half')[STEPS // 2] == before[STEPS // 2]


def test_a_signal_to_one_process_stops_all_and_one_goes_on(folder, two):
    run = two / 'stopped'
    assert [(two / f'status_{i}').read_text() for i in (0, 1)] == ['130', '130']
    reached = int(checkpoints(run)[-1].name)
    assert 0 < reached < STEPS and list(curve(run)) == list(range(1, reached + 1))
    scale_worker.small_run(run, resume=True)
    same_curve(run, folder / 'one' / 'stopped')
    tensors, wanted = (
        load_tensors(checkpoints(r)[-1] / 'ema.safetensors')[0]
        for r in (run, folder / 'one' / 'stopped')
    )
    for name, value in wanted.items():
        torch.testing.assert_close(tensors[name], value, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------------------------------- FSDP


def test_pieces_go_on_where_one_process_was(folder, pieces):
    same_curve(pieces / 'half', folder / 'one' / 'dldm')
    same_curve(pieces / 'half', folder / 'one' / 'dldm', kind='validation', rel=0.01)
    # what comes out is whole again: the weights that one process exports
    out, wanted = (
        load_tensors(run / 'dldm.safetensors')[0]
        for run in (pieces / 'half', folder / 'one' / 'dldm')
    )
    assert {k: v.shape for k, v in out.items()} == {k: v.shape for k, v in wanted.items()}
    name = 'decoder.0.0.space.conv.weight'
    torch.testing.assert_close(out[name], wanted[name], rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize('stage', [stage for stage in RUNS if stage.split('/')[0] in VIDEO_JOBS])
def test_pieces_of_the_vdm_give_the_loss_of_one_process(folder, video_pieces, stage):
    got, wanted = video_pieces / stage, folder / 'one' / stage
    same_curve(got, wanted)
    same_curve(got, wanted, kind='validation', key=RUNS[stage], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize('stage', VIDEO_JOBS)
def test_pieces_of_the_vdm_are_put_together(folder, video_pieces, stage):
    out, wanted = (
        load_tensors(run / stage / 'vdm.safetensors')[0] for run in (video_pieces, folder / 'one')
    )
    assert {k: v.shape for k, v in out.items()} == {k: v.shape for k, v in wanted.items()}
    name = 'transformer.transformer_blocks.0.attn1.to_q.weight'
    torch.testing.assert_close(out[name], wanted[name], rtol=0, atol=2e-3)


def test_a_signal_to_the_launcher_leaves_a_state_to_go_on_from(folder, pieces):
    endless = pieces / 'endless'
    reached = int(checkpoints(endless)[-1].name)
    assert reached == max(curve(endless)) > 3
    # After the first step the rate is another one, as it falls over more steps.
    same_start = {step: x for step, x in curve(folder / 'one' / 'planner').items() if step <= 2}
    assert {s: curve(endless)[s] for s in same_start} == pytest.approx(same_start, rel=WITHIN)
    content = yaml.safe_load((folder / 'endless.yaml').read_text())
    content['planner']['train']['steps'] = reached + 3
    (folder / 'more.yaml').write_text(yaml.safe_dump(content))
    record = run(
        PlannerStage(folder / 'more.yaml', [folder / 'data'], init=folder / 'one' / 'dldm'),
        endless,
        resume=True,
    )
    assert record['steps'] == reached + 3
    assert list(curve(endless)) == list(range(1, reached + 4))


# ---------------------------------------------------------------------------------- in one process


def test_batch_is_shared_out(monkeypatch, tmp_path):
    batch = {'x': torch.arange(6), 'rows': np.arange(12).reshape(6, 2), 'step': 3}
    assert own_share(batch)['x'].tolist() == list(range(6))
    monkeypatch.setattr(parallel, 'world', lambda: 3)
    monkeypatch.setattr(parallel, 'rank', lambda: 1)
    share = own_share(batch)
    assert share['x'].tolist() == [1, 4] and share['rows'].tolist() == [[2, 3], [8, 9]]
    assert share['step'] == 3
    with pytest.raises(ConfigError, match='multiple of the number of processes, 3. Got 8'):
        scale_worker.small_run(tmp_path)


@pytest.mark.skipif(not VIDEO_JOBS, reason='needs diffusers')
def test_each_clip_of_a_window_counts_once(monkeypatch):
    from vw2_ros.models.stages import vdm as train_vdm

    batch = {'rows': np.arange(60).reshape(12, 5), 'noise': np.arange(12)}
    sizes = set()
    for step in range(50):
        one = train_vdm.window({**batch, 'step': step}, seed=0)
        assert one['counts'].all() and len(one['rows']) == len(one['noise'])
        for world in (2, 4, 6):
            monkeypatch.setattr(train_vdm, 'world', lambda n=world: n)
            shared = train_vdm.window({**batch, 'step': step}, seed=0)
            monkeypatch.undo()
            assert len(shared['rows']) % world == 0
            assert np.array_equal(shared['rows'][shared['counts'].numpy()], one['rows'])
            sizes.add((world, len(one['rows']), len(shared['rows'])))
    assert (2, 3, 4) in sizes and (4, 3, 4) in sizes and (6, 12, 12) in sizes


def test_footprint_is_what_a_small_net_takes():
    net = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    net[0].bias.requires_grad_(False)
    seen = Footprint(net, average=True)
    seen.peak = 1e6
    with seen.step():
        with seen.forward():
            loss = net(torch.zeros(8, 4)).sum()
        loss.backward()
    assert (seen.count, seen.trained) == (97, 81)
    assert (seen.weights, seen.gradients, seen.average) == (4 * 97, 4 * 81, 4 * 97)
    assert seen.activations == 4 * 8 * (4 + 16)  # the input, and what tanh gives
    # forward; backward: the weights of both layers, and the input of the second
    assert seen.flop == 2 * 8 * (2 * 4 * 16 + 3 * 16)
    assert seen.mfu(0.5) == pytest.approx(seen.flop / 0.5e6)
    assert 'activations 0.0 of 8 samples' in seen.text(8)


def tiny_model():
    """The tiny config's dLDM and the VDM around it."""
    from vw2_ros.models.stages.disentangle import DisentangleConfig, Disentangled
    from vw2_ros.models.vdm import VDM
    from vw2_ros.models.vdm_config import CONFIGS

    config = read_settings(WarmUpSettings, 'tiny').model
    vdm = VDM(replace(CONFIGS['tiny'], clip_frames=config.clip_frames))
    return Disentangled(DLDM(config), vdm, DisentangleConfig()).eval()


@pytest.mark.skipif(not VIDEO_JOBS, reason='needs diffusers')
def test_what_a_run_will_hold_is_told_before(capsys, monkeypatch):
    holds = Footprint(tiny_model(), average=True)
    foretell('it', tiny_model, TrainConfig(batch=2))
    said = capsys.readouterr().err
    assert said == f'it will have {holds.text()}\n' and 'activations not counted' in said
    assert (
        holds.weights == pytest.approx(4 * holds.count, rel=0.05) and holds.trained < holds.count
    )
    monkeypatch.setattr(parallel, 'pieces', lambda: 2)  # under FSDP
    foretell('it', tiny_model, TrainConfig(batch=2))
    half = re.search(r'weights ([\d.]+)', capsys.readouterr().err)[1]
    assert float(half) == pytest.approx(holds.weights / 2**21, abs=0.1)


@pytest.mark.skipif(not VIDEO_JOBS, reason='needs diffusers')
def test_blocks_that_are_computed_again_take_less_and_give_the_same():
    taken, gradients = [], []
    for config in (TrainConfig(), TrainConfig(recompute=True)):
        torch.manual_seed(0)
        model = tiny_model()
        recompute_blocks(model, config)
        seen = Footprint(model, average=False)
        with seen.forward():
            loss = model.loss(torch.rand(2, 17, 3, 32, 32))['loss']
        loss.backward()
        taken.append(seen.activations)
        gradients.append(
            {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        )
    assert taken[1] < 0.9 * taken[0]
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 100
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value)


def test_peaks_of_known_gpus():
    assert peak_flops('NVIDIA H200') == 989e12
    assert peak_flops('NVIDIA A100-SXM4-80GB') == 312e12
    assert peak_flops('NVIDIA H100 PCIe') == 756e12
    assert peak_flops('NVIDIA GeForce RTX 4090') == 165e12
    assert peak_flops('Some other GPU') is None
