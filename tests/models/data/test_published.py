# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Files as the authors of VideoWorld 2 publish them: read, refused, planned from, looked at."""

import json
import os

import calvin_files
import pytest
import torch
from video_files import pictures, write_video

from vw2_ros import cli
from vw2_ros.models.checkpoint import load_checkpoint
from vw2_ros.models.data.clips import clip_store
from vw2_ros.models.data.codes import OtherDataError
from vw2_ros.models.data.published import clips_of_videos, config_of, misfits, read_published
from vw2_ros.models.errors import CheckpointError, TrainingError
from vw2_ros.models.inspection.published import look_into

NAMES = ('paper_boat_0', 'paper_boat_1', 'tower_0', 'tower_1')
CLIPS, LENGTH = 2, 16  # of each video; codes of a clip, which then has 17 frames


@pytest.fixture(scope='module')
def codes(tmp_path_factory):
    """Codes of each video by its name; those of one task are alike."""
    torch.manual_seed(0)
    by_task = {
        'paper_boat': torch.randint(1000, (LENGTH,)),
        'tower': torch.randint(1000, (LENGTH,)),
    }
    made = {}
    for name in NAMES:
        made[name] = by_task[name[:-2]].repeat(CLIPS, 1)
        made[name][:, 0] = torch.randint(1000, (CLIPS,))
    path = tmp_path_factory.mktemp('published') / 'VideoCraft-dLDM-codes.pt'
    torch.save(made, path)
    return path, made


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """The clips' files; of one video they are missing."""
    root = tmp_path_factory.mktemp('videos')
    for number, name in enumerate(NAMES[:3]):
        for i in range(CLIPS):
            write_video(root / f'{name}_{i}.mp4', pictures(20, first=20 * number + 5 * i))
    return root


def test_both_layouts_hold_the_same_codes(codes, tmp_path):
    path, made = codes
    found, weights = read_published(path)
    assert weights is None and list(found) == list(NAMES)
    assert found['tower_0'].shape == (CLIPS, LENGTH // 4, 4)
    # 4 codes of each step, one step after another
    assert found['tower_0'][1, 2].tolist() == made['tower_0'][1, 8:12].tolist()
    assert config_of(found).clip_frames == 17
    infos = [(many.tolist(), f'clips/{name}.mp4') for name, many in made.items()]
    torch.save(infos, tmp_path / 'latent_code_infos.pt')
    same, _ = read_published(tmp_path / 'latent_code_infos.pt')
    assert list(same) == list(NAMES) and all(torch.equal(same[n], found[n]) for n in NAMES)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ('harm',)


def test_what_is_no_such_file_is_refused_with_what_came(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for held, error, message in (
        (Harmful(), CheckpointError, 'refused'),
        ({'a': [[1, 2, 3, 4], [1, 2]]}, TrainingError, 'another nesting'),
        (
            {'a': torch.zeros(2, 6, dtype=torch.int64)},
            TrainingError,
            r'multiple of 4. Got .*\(2, 6\)',
        ),
        ({'a': torch.tensor([[0, 1, 2, 1000]])}, TrainingError, r'\[0, 1000\).*0 to 1000'),
        ({'a': torch.zeros(1, 4).long(), 'b': torch.zeros(1, 8).long()}, TrainingError, '8 of b'),
        ([([0, 1, 2, 3], 'b'), ([0, 1, 2, 3], 'o')], TrainingError, r'single letters \(b, o\)'),
        ({1: [[0, 1, 2, 3]]}, TrainingError, 'Got dict of neither'),
        (7, TrainingError, 'Got int of neither'),
    ):
        torch.save(held, tmp_path / 'f.pt')
        with pytest.raises(error, match=message):
            read_published(tmp_path / 'f.pt')
    assert not (tmp_path / 'harm').exists()
    (tmp_path / 'f.pt').write_bytes((tmp_path / 'f.pt').read_bytes()[:40])
    with pytest.raises(CheckpointError, match='Download it again'):
        read_published(tmp_path / 'f.pt')


def test_codes_find_the_clips_they_are_of(codes, videos, tmp_path):
    found, _ = read_published(codes[0])
    splits = [clip_store([videos], split, 32) for split in ('training', 'validation')]
    rows = [clips_of_videos(found, store, codes[0]) for store in splits]
    assert sorted(len(r) for r, _ in rows) == [1, 5]  # one of six is held out
    for store, (at, indices) in zip(splits, rows):
        assert set(at) == set(store.clip_starts(20))
        assert indices.shape[1:] == (LENGTH // 4, 4)
    write_video(tmp_path / 'v/other_0.mp4', pictures(20))
    with pytest.raises(OtherDataError, match='paper_boat_0_0.mp4. Got videos other_0'):
        clips_of_videos(found, clip_store([tmp_path / 'v'], 'training', 32), codes[0])


def test_a_planner_and_a_head_learn_from_published_codes(codes, videos, tmp_path, capsys):
    words = ['train', 'planner', '--config', 'tiny', '--codes', str(codes[0])]
    out = ['--data', str(videos), '--out', str(tmp_path / 'planner')]
    assert cli.main([*words, *out, '--init', str(videos)]) == 2
    assert 'leave out --init' in capsys.readouterr().err
    assert cli.main([*words, *out]) == 0
    record = json.loads((tmp_path / 'planner/provenance.json').read_text())
    assert record['samples'] == 5 and record['codes'][0] == codes[0].name
    assert record['scores']['loss'] > 0  # of the clip that is held out
    data = calvin_files.write_data(tmp_path / 'data', shards=True, episodes=3, frames=40)
    words = ['train', 'head', '--config', 'tiny', '--data', str(data)]
    assert cli.main([*words, '--out', str(tmp_path / 'head')]) == 0
    policy = load_checkpoint(tmp_path / 'head/policy')
    assert policy.dldm is None and policy.planner.config.steps == LENGTH // 4


def test_a_published_file_is_looked_at(codes, tmp_path, capsys):
    words = ['inspect', '--codes', str(codes[0]), '--json', str(tmp_path / 'f.json')]
    assert cli.main(words) == 0
    assert 'same task in 100 %, chance 33 %' in capsys.readouterr().out
    found = json.loads((tmp_path / 'f.json').read_text())
    assert found['clips'] == 8 and found['clip_frames'] == 17
    assert cli.main([*words, '--dldm', 'play_table']) == 2


def test_the_weights_that_do_not_fit_are_named(tmp_path, codes, videos, capsys):
    held = {
        'encoder.conv_in.weight': torch.zeros(8, 3, 1, 3, 3),
        'encoder.conv_in.bias': torch.zeros(8),
        'qformer.q': torch.zeros(4, 999),
    }
    for prefix in ('', 'ldm_net.'):
        whole = {**{prefix + k: v for k, v in held.items()}, **({'net.x': held['qformer.q']})}
        torch.save({k: whole[k] for k in whole if prefix or k in held}, tmp_path / 'x_ldm.pt')
        codes_there, weights = read_published(tmp_path / 'x_ldm.pt')
        assert codes_there is None and set(weights) == set(held)
    found = look_into(tmp_path / 'x_ldm.pt')
    assert found['parts']['encoder'] == {'tensors': 2, 'parameters': 224} and not found['fitting']
    assert cli.main(['inspect', '--codes', str(tmp_path / 'x_ldm.pt')]) == 0
    printed = capsys.readouterr().out
    assert 'encoder.conv_in.bias (8,): no such tensor here' in printed
    assert 'qformer.q (4, 999): (4, ' in printed
    linear = torch.nn.Linear(3, 2)
    assert not misfits(linear.state_dict(), linear)
    words = ['train', 'planner', '--config', 'tiny', '--codes', str(tmp_path / 'x_ldm.pt')]
    assert cli.main([*words, '--data', str(videos), '--out', str(tmp_path / 'p')]) == 1
    assert 'vw2 inspect --codes' in capsys.readouterr().err
