# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`run`: what it does to any stage, shown with a small one."""

import errno
import json
import os
import signal
import types

import pytest
import torch
from toy_stage import Toy

from vw2_ros.files import BusyError, only_one
from vw2_ros.models.errors import TrainingError
from vw2_ros.models.storage import load_tensors
from vw2_ros.models.training import checkpoints as state
from vw2_ros.models.training import loop as training
from vw2_ros.models.training.batches import Prefetcher
from vw2_ros.models.training.checkpoints import checkpoints, parameter_groups
from vw2_ros.models.training.run import run


def small_problem(out, steps, config=None, resume=False, **methods):
    """A regression with dropout: the random state matters."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)
    )
    stage = Toy(model, config={'steps': steps, **(config or {})}, **methods)
    return model, run(stage, out, resume)


@pytest.mark.parametrize('wanted', [False, True])
def test_a_cpu_computes_in_bf16_where_it_is_told(tmp_path, wanted):
    model, seen = torch.nn.Linear(4, 1), []
    model.register_forward_hook(lambda _, taken, given: seen.append(given.dtype))
    run(Toy(model, config={'steps': 2, 'bf16_cpu': wanted}), tmp_path / 'run', False)
    assert set(seen) == {torch.bfloat16 if wanted else torch.float32}


def test_resumed_run_equals_uninterrupted(tmp_path):
    whole, _ = small_problem(tmp_path / 'whole', 12)

    def interrupt(step):
        if step == 8:  # made in the background, a few steps before it is used
            os.kill(os.getpid(), signal.SIGTERM)
        return Toy.batch(None, step)  # of no state

    with pytest.raises(SystemExit) as ended:
        small_problem(tmp_path / 'parts', 12, batch=interrupt)
    assert ended.value.code == 130
    reached = int(checkpoints(tmp_path / 'parts')[-1].name)
    assert 0 < reached < 12
    parts, result = small_problem(tmp_path / 'parts', 12, resume=True)
    assert result['steps'] == 12
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values()):
        assert torch.equal(a, b)
    for name in ('model', 'ema', 'optimizer'):
        a, b = (
            load_tensors(checkpoints(tmp_path / run)[-1] / f'{name}.safetensors')[0]
            for run in ('whole', 'parts')
        )
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    steps = [json.loads(line)['step'] for line in (tmp_path / 'parts' / 'log.jsonl').open()]
    assert steps == list(range(1, 13))


def test_run_learns_and_reports(tmp_path):
    _, result = small_problem(tmp_path, 300, config={'log_every': 100})
    log = [json.loads(line) for line in (tmp_path / 'log.jsonl').open()]
    assert [x['step'] for x in log] == [100, 200, 300]
    assert log[-1]['lr'] < 0.05 * 1e-2 and log[0]['lr'] > log[1]['lr']
    assert {'loss', 'gradient_norm', 'wait_share', 'samples_per_s'} <= log[0].keys()
    assert log[-1]['loss'] < log[0]['loss']
    assert 0 <= result['wait_share'] <= 1
    assert list((tmp_path / 'tensorboard').iterdir())


@pytest.mark.parametrize('scores, warns', [((1.0, 0.5, 0.8), True), ((1.0, 0.8, 0.81), False)])
def test_a_held_out_score_that_rose_is_told(tmp_path, capsys, scores, warns):
    left = iter(scores)
    small_problem(
        tmp_path,
        5,
        config={'validate_every': 2},
        samples=16,
        watch='error',
        validate=lambda: {'error': next(left)},
    )
    told = ' '.join(capsys.readouterr().err.split())
    assert ('error of held-out data was 0.5 at step 4' in told) is warns
    assert ('its samples by heart' in told) is warns
    assert 'pass 2.5 ' in told  # 5 steps of 8


def test_the_end_says_what_was_held_out(tmp_path, capsys):
    small_problem(tmp_path / 'a', 4, validate=lambda: {'error': 0.25})
    assert 'small: 4 steps done; held-out error 0.25\n' in capsys.readouterr().err
    small_problem(tmp_path / 'b', 4)
    assert 'small: 4 steps done; nothing held out to judge it by\n' in capsys.readouterr().err


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    small_problem(tmp_path, 3)

    def full(path, *_, **__):
        path.write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(state, 'save_tensors', full)
    with pytest.raises(OSError):
        small_problem(tmp_path, 6, resume=True)
    assert [p.name for p in (tmp_path / 'checkpoints').iterdir()] == ['00000003']


def test_run_in_the_way_and_other_run(tmp_path):
    small_problem(tmp_path, 3)
    with pytest.raises(TrainingError, match='--resume'):
        small_problem(tmp_path, 3)
    with pytest.raises(TrainingError, match='another a: it has 1, this run has 2'):
        small_problem(tmp_path, 3, resume=True, identity=lambda: {'a': 2})


def test_what_could_not_be_saved_is_not_trained(tmp_path, monkeypatch):
    for limit, got in ((387, '388 bytes of weights'), (775, '776 of optimiser state')):
        monkeypatch.setattr(state, 'MAX_STATE_BYTES', limit)
        with pytest.raises(TrainingError, match=f'may have {limit} bytes. Got .*{got}'):
            small_problem(tmp_path / 'out', 3)
    assert not (tmp_path / 'out').exists()
    monkeypatch.setattr(state, 'MAX_STATE_BYTES', 10_000)  # the files have heads, too
    small_problem(tmp_path / 'out', 3)


def test_damaged_checkpoint_is_named(tmp_path):
    small_problem(tmp_path, 3)
    path = checkpoints(tmp_path)[-1] / 'optimizer.safetensors'
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match='optimizer.safetensors'):
        small_problem(tmp_path, 3, resume=True)


def test_nan_stops_the_run(tmp_path):
    model = torch.nn.Linear(4, 1)

    def loss(batch):
        return {'loss': (batch['x'] * torch.nan).sum() + model.bias.sum()}

    with pytest.raises(TrainingError, match='nan: loss nan .* lower lr'):
        run(Toy(model, 'nan', {'steps': 3}, loss=loss), tmp_path)


def test_time_box_decays_to_the_end(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(
        training,
        'time',
        types.SimpleNamespace(monotonic=lambda: clock[0], perf_counter=lambda: clock[0]),
    )
    model = torch.nn.Linear(4, 1)

    def loss(batch):
        clock[0] += 1.0  # a step takes a second
        return {'loss': model(batch['x']).square().mean()}

    box = {'steps': 10**7, 'max_minutes': 1.0, 'warmup': 0, 'lr': 3e-4}
    result = run(Toy(model, 'box', box, loss=loss), tmp_path)
    log = [json.loads(line) for line in (tmp_path / 'log.jsonl').open()]
    assert result['steps'] == 60 and result['seconds'] == 60.0
    assert log[-1]['progress'] == 1.0 and log[-1]['lr'] < 0.05 * max(x['lr'] for x in log)


def test_weight_decay_is_for_matrices_only():
    model = torch.nn.ModuleDict(
        {'a': torch.nn.Linear(3, 3), 'n': torch.nn.LayerNorm(3), 'e': torch.nn.Embedding(5, 3)}
    )
    decay, rest = parameter_groups(model, 0.1)
    assert [p is model['a'].weight for p in decay['params']] == [True]
    assert len(rest['params']) == 4 and rest['weight_decay'] == 0.0


def test_prefetcher_passes_errors_on():
    def make_batch(step):
        if step == 2:
            raise OSError('disk gone')
        return {'step': step}

    batches = Prefetcher(make_batch, iter(range(10)))
    assert [batches.next()['step'], batches.next()['step']] == [0, 1]
    with pytest.raises(OSError, match='disk gone'):
        batches.next()
    batches.close()


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """The loss was finite, and the step after it was not: there is no good state to go back to."""
    model = torch.nn.Linear(4, 1)

    def loss(batch):
        out = model(batch['x']).square().mean()
        model.bias.data.fill_(torch.inf)  # as by a step that was too large
        return {'loss': out}

    stage = Toy(model, 'far', {'steps': 1}, loss=loss)
    with pytest.raises(TrainingError, match='far: .* not finite at step 1: lower lr') as raised:
        run(stage, tmp_path)
    assert 'last good' not in str(raised.value) and not checkpoints(tmp_path)


def test_a_second_run_in_a_folder_ends_at_once(tmp_path):
    with (
        only_one(tmp_path, 'vw2 train first'),
        pytest.raises(BusyError, match='one at work there: vw2 train first, process'),
    ):
        run(Toy(torch.nn.Linear(4, 1), 'second', {'steps': 1}), tmp_path)
    assert not (tmp_path / 'log.jsonl').exists()
    run(Toy(torch.nn.Linear(4, 1), 'second', {'steps': 1}), tmp_path)
