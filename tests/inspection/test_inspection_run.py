# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 inspect` on real data."""

import json
import re

import calvin_files
import numpy as np
import pytest
import torch
from inspection_clips import TINY

pytest.importorskip('sklearn', reason="pip install 'vw2_ros[inspect]'")

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.config import to_dict  # noqa: E402
from vw2_ros.models.dldm import DLDM, DLDMConfig  # noqa: E402
from vw2_ros.models.storage import save_json, save_tensors  # noqa: E402


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """Two untrained dLDMs as run folders, of different clip length and image shape."""
    folder = tmp_path_factory.mktemp('runs')
    for name, config in (
        ('a', TINY),
        (
            'b',
            DLDMConfig(
                **{**to_dict(TINY), 'clip_frames': 13, 'residual': True, 'image_size': (16, 24)}
            ),
        ),
    ):
        torch.manual_seed(3)
        save_tensors(folder / name / 'dldm.safetensors', DLDM(config).state_dict())
        save_json(folder / name / 'config.json', {'dldm': to_dict(config)})
    return folder


def collected(out, **options):
    from vw2_ros.sim.collect import collect

    collect(
        out,
        scenes='CD',
        workers=1,
        shards=32,
        tasks_per_episode=1,
        validation_episodes=0,
        progress=False,
        **options,
    )
    return out


@pytest.fixture(scope='module')
def two_scenes(tmp_path_factory):
    """What the expert does in scenes C and D."""
    return collected(tmp_path_factory.mktemp('data') / 'cd', episodes=10)


@pytest.fixture(scope='module')
def new_looks(tmp_path_factory):
    """The same scenes, each episode in a look of its own."""
    return collected(tmp_path_factory.mktemp('looks') / 'cd', episodes=2, randomize=True, seed=1)


def test_inspect_two_dldms_on_two_scenes(runs, two_scenes, new_looks, tmp_path, capsys):
    pytest.importorskip('umap')
    pytest.importorskip('matplotlib')
    out = tmp_path / 'out'
    assert (
        cli.main(
            [
                'inspect',
                '--dldm',
                f'long={runs / "b"},short={runs / "a"}',
                '--data',
                str(two_scenes),
                '--looks',
                str(new_looks),
                '--out',
                str(out),
                '--clips',
                '200',
                '--wild',
                '1',
                '--json',
                str(tmp_path / 'f.json'),
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert 'unseen scene D' in printed and 'scene D, unseen looks' in printed
    assert str(out / 'inspection.html') in printed
    result = json.loads((tmp_path / 'f.json').read_text())
    assert result == json.loads((out / 'inspection.json').read_text())
    assert result['clip_frames'] == 9 and set(result['scenes']) == {'C', 'D'}
    assert {s['clips'] for s in result['scenes'].values()} == {100}
    assert result['looks']['count'] == 2 and set(result['looks']['scenes']) == {'C', 'D'}
    assert result['moving']['clip'] > 0.5
    for found in result['dldms'].values():
        hand = found['probe']['hand']['clip']['test']
        assert hand['low'] <= hand['value'] <= hand['high'] < 1
        assert 0 < found['codes']['usage'] <= 1 and len(found['codes']['perplexity']) == 4
        assert len(found['swap_grey_levels']) == 5
    one, two = (
        found['probe']['hand']['clip']['test']['value'] for found in result['dldms'].values()
    )
    less = result['first_less_other']['short']['probe']['hand']['clip']['test']
    assert less['value'] == pytest.approx(one - two, abs=2e-4) and less['low'] <= less['high']
    for part in ('test_looks', 'looks'):
        one, two = (
            found['probe']['hand']['clip'][part]['value'] for found in result['dldms'].values()
        )
        less = result['first_less_other']['short']['probe']['hand']['clip'][part]
        assert less == {'value': pytest.approx(one - two, abs=2e-4), 'low': None, 'high': None}
        assert result['first_less_other']['short']['retrieval'][part]['clip']
    assert result['targets'][5:] == ['exposure', 'colour', 'shake', 'shadow', 'mover']
    for found in result['dldms'].values():
        assert set(found['probe']) == set(result['targets'])
    page = (out / 'inspection.html').read_text()
    assert 'The clips are wild (1)' in page and 'short: exposure' in page
    assert 'R2 of the shake, unseen scene D' in printed
    assert 'in 2 looks' in page and 'D in unseen looks, clip' in page
    pngs = sorted(p.name for p in out.glob('*.png'))
    assert {
        '1_umap.png',
        '2_swap.png',
        '1_swap_maps.png',
        'probe.png',
        'differences.png',
        'retrieval.png',
    } <= set(pngs)
    assert page.count('<img ') == len(pngs) == page.count('src="data:image/png;base64,')
    assert not re.search(r'(src|href)="(?!data:)', page)  # needs nothing beside it


def test_errors_of_the_command(runs, two_scenes, tmp_path, capsys):
    def refused(*arguments, status=1):
        assert (
            cli.main(
                ['inspect', '--data', str(two_scenes), '--out', str(tmp_path / 'o'), *arguments]
            )
            == status
        )
        err = capsys.readouterr().err.splitlines()[-1]
        assert err.startswith('vw2: error: ')
        return err

    assert 'looks that are not in --data. Got C, D in both' in refused(
        '--dldm', str(runs / 'a'), '--looks', str(two_scenes)
    )
    assert 'is not a folder' in refused('--dldm', str(runs / 'a'), '--looks', 'no', status=2)
    assert 'no clip of the test scene A. Got scenes C, D' in refused(
        '--dldm', str(runs / 'a'), '--test-scene', 'A'
    )
    assert "unknown policy 'play_tabel'. Did you mean play_table" in refused(
        '--dldm', 'play_tabel', status=2
    )
    assert "names 'x' twice" in refused('--dldm', f'x={runs / "a"},x={runs / "b"}', status=2)
    assert 'config.json must exist' in refused('--dldm', str(tmp_path))


def test_frames_without_state_are_named(tmp_path, runs, capsys):
    root = calvin_files.write_data(tmp_path / 'd', episodes=2, frames=20)
    calvin_files.write_config(root / 'training', {'scene': 'calvin_scene_D'})
    path = root / 'training' / 'episode_0000003.npz'
    with np.load(path) as frame:
        kept = {k: frame[k] for k in frame.files if k != 'robot_obs'}
    np.savez(path, **kept)
    assert (
        cli.main(
            [
                'inspect',
                '--dldm',
                str(runs / 'a'),
                '--data',
                str(root),
                '--out',
                str(tmp_path / 'o'),
            ]
        )
        == 1
    )
    assert (
        "episode_0000003.npz must hold 'robot_obs'. Got no such array" in capsys.readouterr().err
    )
