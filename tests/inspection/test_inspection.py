# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Looking inside the latents: hand-made codes whose answers are known, and one run on real data."""

import json
import re

import calvin_files
import numpy as np
import pytest
import torch

pytest.importorskip('sklearn', reason="pip install 'vw2_ros[inspect]'")

from vw2_ros import cli  # noqa: E402
from vw2_ros.models.checkpoint import config_to_dict, save_json, save_tensors  # noqa: E402
from vw2_ros.models.data.store import FrameStore  # noqa: E402
from vw2_ros.models.dldm import DLDM, DLDMConfig  # noqa: E402
from vw2_ros.models.inspection.probes import probes as look  # noqa: E402

STEPS = 2
TINY = DLDMConfig(
    image_size=32,
    clip_frames=9,
    channels=(4, 8, 8),
    decoder_channels=(8, 8, 4),
    query_width=16,
    query_heads=2,
)


def hand_made(scenes='ABCD', episodes=8, each=12, seed=0):
    """Clips whose motion is drawn at random; nothing but the hand and the drawer moves."""
    rng = np.random.default_rng(seed)
    m = len(scenes) * episodes * each
    still = np.zeros((m, STEPS, 1))
    motion = {
        'hand': rng.normal(scale=0.05, size=(m, STEPS, 3)),
        'gripper': still,
        'blocks': np.zeros((m, STEPS, 3)),
        'slider': still,
        'drawer': rng.normal(scale=0.02, size=(m, STEPS, 1)),
    }
    return look.Clips(
        np.arange(m) * 20,
        1 + 4 * STEPS,
        np.repeat(list(scenes), episodes * each),
        np.repeat(np.arange(len(scenes) * episodes), each),
        motion,
    )


CLIPS = hand_made()
HAND = CLIPS.motion['hand'] / 0.05  # codes that are the motion
TOLD = np.concatenate([HAND, CLIPS.motion['drawer'] / 0.02], axis=2)
NOISE = np.random.default_rng(1).normal(size=TOLD.shape)  # says nothing


def contains(found, value):
    f = found.figures()
    return f['low'] <= value <= f['high']


# ------------------------------------------------------------------------------------------ probes


def test_probe_of_codes_that_are_the_motion():
    found = look.probe(TOLD, CLIPS, 'D')
    for part in ('test', 'seen'):
        assert found['hand']['clip'][part].value > 0.999
        assert found['drawer']['clip'][part].value > 0.999
    assert found['slider']['clip'] == {'test': None, 'seen': None}  # it never moves


def test_probe_of_codes_that_say_nothing():
    found = look.probe(NOISE, CLIPS, 'D')['hand']
    for horizon in look.HORIZONS:
        assert abs(found[horizon]['test'].value) < 0.03
        assert found[horizon]['test'].figures()['high'] < 0.05


def test_probe_with_half_of_the_variance():
    codes = HAND + np.random.default_rng(2).normal(size=HAND.shape)
    found = look.probe(codes, CLIPS, 'D')['hand']['clip']
    assert found['test'].value == pytest.approx(0.5, abs=0.06) and contains(found['test'], 0.5)


def test_probe_of_codes_that_mean_something_else_in_the_test_scene():
    codes = TOLD * np.where(CLIPS.scene == 'D', -1, 1)[:, None, None]
    found = look.probe(codes, CLIPS, 'D')['hand']['clip']
    assert found['seen'].value > 0.99 and found['test'].value < -2.9  # 1 - (2y)^2 / y^2


def test_unseen_looks_are_tested_and_never_learned_from():
    """What is learned is the same with them; codes that mean nothing there are found out."""
    alone = look.probe(TOLD, CLIPS, 'D')
    fresh = hand_made(episodes=4, seed=5)
    told = np.concatenate([fresh.motion['hand'] / 0.05, fresh.motion['drawer'] / 0.02], axis=2)
    upside_down = told * np.where(fresh.scene == 'D', 1, -1)[:, None, None]
    found = look.probe(TOLD, CLIPS, 'D', looks=(upside_down, fresh))
    for part in ('test', 'seen'):
        assert found['hand']['clip'][part].figures() == alone['hand']['clip'][part].figures()
    assert found['hand']['clip']['test_looks'].value > 0.99  # scene D
    assert found['hand']['clip']['looks'].value < -2.9  # 1 - (2y)^2 / y^2
    assert found['slider']['clip']['looks'] is None
    only_d = look.probe(TOLD, CLIPS, 'D', looks=(told[fresh.scene == 'D'], hand_made('D', 4)))
    assert only_d['hand']['clip']['looks'] is None


def test_motion_of_a_step_is_what_is_added_since_the_step_before():
    step = CLIPS.moved('hand', 'step')
    assert np.allclose(step.cumsum(1), CLIPS.moved('hand', 'clip'))


def test_scene_probe():
    letters = np.eye(4)[np.unique(CLIPS.scene, return_inverse=True)[1]]
    telling = np.repeat(letters[:, None], STEPS, axis=1)
    assert look.scene_probe(telling, CLIPS).value == 1.0
    assert look.scene_probe(NOISE, CLIPS).value == pytest.approx(0.25, abs=0.12)


def test_interval_counts_episodes_not_frames():
    """Every clip ten times over tells no more; ten times the episodes do."""
    clips = hand_made(each=2)
    codes = clips.motion['hand'] / 0.05 + np.random.default_rng(2).normal(
        size=clips.motion['hand'].shape
    )
    guess, truth = 0.025 * codes[:, 0], clips.motion['hand'][:, 0]

    def width(times, shift):
        episode = np.concatenate([clips.episode + shift * t for t in range(times)])
        f = look.r_squared(
            np.tile(truth, (times, 1)), np.tile(guess, (times, 1)), episode
        ).figures()
        return f['high'] - f['low']

    assert width(10, 0) == pytest.approx(width(1, 0), rel=0.01)
    assert width(10, 1000) < 0.5 * width(1, 0)


def test_too_few_episodes_have_no_interval():
    few = CLIPS.episode < 2
    found = look.r_squared(TOLD[few, 0], TOLD[few, 0], CLIPS.episode[few])
    assert found.figures() == {'value': 1.0, 'low': None, 'high': None}


# --------------------------------------------------------------------------------------- retrieval


def test_retrieval_of_codes_that_are_the_motion():
    found = look.retrieve(HAND, CLIPS, 'D')
    for part in ('test', 'all'):
        got = found[part]['clip']
        assert got['cosine'].value > 0.85 and got['p'] < 0.01
        assert abs(got['chance']) < 0.05 and got['chance_high'] < got['cosine'].figures()['low']


def test_retrieval_of_codes_that_say_nothing():
    got = look.retrieve(NOISE, CLIPS, 'D')['all']['clip']
    assert got['p'] > 0.01 and contains(got['cosine'], got['chance'])


def test_one_code_for_everything_retrieves_at_random():
    got = look.retrieve(np.zeros_like(TOLD), CLIPS, 'D')['all']['clip']
    assert abs(got['cosine'].value) < 0.1 and got['p'] > 0.01


def test_neighbours_are_of_another_scene_and_the_nearest():
    nearest, distance = look.neighbours(HAND, CLIPS)
    assert (CLIPS.scene[nearest] != CLIPS.scene[:, None]).all()
    other = CLIPS.scene != CLIPS.scene[5]
    apart = np.linalg.norm(HAND[:, 1] - HAND[5, 1], axis=1)
    assert distance[5, 1] == pytest.approx(apart[other].min(), abs=1e-2)


def test_clips_in_unseen_looks_ask_and_are_never_found():
    fresh = hand_made('AD', episodes=4, seed=5)
    codes = fresh.motion['hand'] / 0.05
    nearest, distance = look.neighbours(codes, fresh, among=(HAND, CLIPS))
    assert (CLIPS.scene[nearest] != fresh.scene[:, None]).all()
    other = CLIPS.scene != fresh.scene[5]
    apart = np.linalg.norm(HAND[:, 1] - codes[5, 1], axis=1)
    assert distance[5, 1] == pytest.approx(apart[other].min(), abs=1e-2)
    found = look.retrieve(
        HAND,
        CLIPS,
        'D',
        permutations=5,
        looks=(codes * np.where(fresh.scene == 'D', 1, -1)[:, None, None], fresh),
    )
    assert found['test_looks']['clip']['cosine'].value > 0.85
    assert found['looks']['clip']['cosine'].value < -0.85  # those of scene A: the other way round
    alone = look.retrieve(HAND, CLIPS, 'D', permutations=5)
    assert found['all']['clip']['cosine'].figures() == alone['all']['clip']['cosine'].figures()


def test_cosine_with_what_stands_still_is_zero():
    a = np.array([[0.1, 0, 0], [0.1, 0, 0], [0.1, 0, 0]])
    b = np.array([[0.2, 0, 0], [-0.2, 0, 0], [1e-4, 0, 0]])
    assert look.cosine(a, b).tolist() == pytest.approx([1, -1, 0])


def test_paired_difference_is_narrower_than_its_parts():
    """Two codes that share their noise differ by little, surely."""
    shared = np.random.default_rng(4).normal(size=HAND.shape)
    both = [
        {
            'probe': look.probe(HAND + amount * shared, CLIPS, 'D'),
            'retrieval': look.retrieve(HAND + amount * shared, CLIPS, 'D', permutations=2),
        }
        for amount in (0.9, 1.0)
    ]
    less = look.differences(*both)
    f = less['probe']['hand']['clip']['test'].figures()
    single = both[0]['probe']['hand']['clip']['test'].figures()
    assert 0 < f['low'] < f['value'] < f['high']
    assert f['high'] - f['low'] < 0.5 * (single['high'] - single['low'])
    assert less['probe']['slider']['clip']['test'] is None
    same = look.differences(both[0], both[0])
    assert same['retrieval']['test']['clip']['cosine'].figures() == {
        'value': 0.0,
        'low': 0.0,
        'high': 0.0,
    }


# ------------------------------------------------------------------------------------------- looks


def test_direction():
    moves = [
        [-0.1, 0, 0],
        [0.1, 0.05, 0],
        [0, -0.1, 0],
        [0, 0.1, 0],
        [0, 0, -0.1],
        [0, 0.01, 0.1],
        [0.001, 0, 0],
    ]
    assert look.direction(np.array(moves)).tolist() == [*look.DIRECTIONS, 'still']


def test_shared_code_is_the_one_that_most_scenes_have():
    indices = np.arange(len(CLIPS.starts))[:, None, None] + np.array([1000, 5000])
    indices = np.repeat(indices, STEPS, axis=1)  # all different: (m, STEPS, 2)
    alike = [
        np.flatnonzero((CLIPS.scene == s) & np.isin(np.arange(len(indices)), look.lively(CLIPS)))[
            0
        ]
        for s in 'ABD'
    ]
    indices[alike, -1, 1] = 7
    (row,) = look.shared_codes(indices, CLIPS)
    assert row['query'] == 1 and row['code'] == 7 and sorted(row['clips']) == sorted(alike)


def test_swapping_a_query_is_decoding_with_the_others_codes():
    torch.manual_seed(0)
    model = DLDM(TINY).eval()
    video, other = torch.rand(2, 1, 9, 3, 32, 32)
    made = look.swap(model, video, other)
    assert made.shape == (1, 6, 9, 3, 32, 32)
    f0 = model.encode(video)[:, 0]
    codes = model.codes_to_embedding(model.tokenize(video))
    foreign = model.codes_to_embedding(model.tokenize(other))
    with torch.no_grad():
        assert torch.allclose(made[:, 0], model.decode(codes, f0).clamp(0, 1), atol=1e-6)
        codes[:, :, 2] = foreign[:, :, 2]
        assert torch.allclose(made[:, 3], model.decode(codes, f0).clamp(0, 1), atol=1e-6)
        assert torch.allclose(made[:, 5], model.decode(foreign, f0).clamp(0, 1), atol=1e-6)
    assert torch.equal(look.swap(model, video, video)[:, 5], made[:, 0])


# -------------------------------------------------------------------------------------------- data


def sessions(split, scenes, looks=None):
    """Say like `vw2 collect` which scene each range is of; two ranges make a session."""
    ranges = np.load(split / 'ep_start_end_ids.npy')
    (split / 'sessions').mkdir()
    for k in range(0, len(ranges), 2):
        marker = {'session': k // 2, 'scene': scenes[k // 2], 'ranges': ranges[k : k + 2].tolist()}
        if looks:
            marker['appearance'] = looks[k // 2]
        (split / 'sessions' / f'session_{k // 2:05d}.json').write_text(json.dumps(marker))


def test_scene_and_episode_of_a_collection(tmp_path):
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=6, frames=20)
    sessions(root / 'training', 'ABB')
    store = FrameStore([root / 'training'], 'training', 32)
    scene, episode = look.scenes_and_episodes(store)
    assert ''.join(scene[::20]) == 'AABBBB' and episode[::20].tolist() == [0, 0, 1, 1, 2, 2]


def test_looks_must_not_be_among_the_data(tmp_path):
    def store(name, scenes, looks):
        root = calvin_files.write_data(tmp_path / name, shards=True, episodes=6, frames=20)
        sessions(root / 'training', scenes, looks)
        return FrameStore([root / 'training'], 'training', 32)

    data = store('data', 'ABD', [7, 8, -1])
    assert look.looks_of(data) == {'7', '8', 'D'}
    assert look.check_looks(data, store('other', 'ABD', [9, 10, 9])) == 2
    with pytest.raises(look.InspectionError, match='looks that are not in --data. Got 8 in both'):
        look.check_looks(data, store('same', 'ABD', [9, 10, 8]))
    with pytest.raises(look.InspectionError, match='Got D in both'):
        look.check_looks(data, store('fixed', 'DDD', [-1, -1, -1]))
    with pytest.raises(look.InspectionError, match='must tell scene and appearance. Got KeyError'):
        look.check_looks(data, store('old', 'ABD', None))
    calvin = calvin_files.write_data(tmp_path / 'calvin', shards=True, episodes=2, frames=20)
    with pytest.raises(look.InspectionError, match='must tell how its table looks'):
        look.check_looks(data, FrameStore([calvin / 'training'], 'training', 32))


def test_scene_of_calvins_own_files(tmp_path):
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=4, frames=20)
    np.save(
        root / 'training' / 'scene_info.npy',
        {'calvin_scene_B': [0, 39], 'calvin_scene_A': [40, 79]},
        allow_pickle=True,
    )
    calvin_files.write_config(root / 'validation', {'scene': {'name': 'calvin_scene_D'}})
    store = look.open_store([root], 32)
    scene, episode = look.scenes_and_episodes(store)
    assert ''.join(scene[::20]) == 'BBAADDD' and episode[::20].tolist() == list(range(7))
    clips = look.draw_clips(store, 9, count=21)
    assert {s: int((clips.scene == s).sum()) for s in 'ABD'} == {'A': 7, 'B': 7, 'D': 7}
    assert (store.range_end[clips.starts] >= clips.starts + 8).all()
    _, each = np.unique(clips.episode, return_counts=True)
    assert each.max() - each.min() <= 2  # spread over the episodes
    expected = store.robot_obs[clips.starts + 4, :3] - store.robot_obs[clips.starts, :3]
    assert np.allclose(clips.motion['hand'][:, 0], expected)
    assert np.array_equal(look.draw_clips(store, 9, count=21).starts, clips.starts)
    assert not np.array_equal(look.draw_clips(store, 9, count=21, seed=1).starts, clips.starts)


def test_data_that_do_not_tell_their_scene(tmp_path):
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=2, frames=20)
    store = look.open_store([root], 32)
    with pytest.raises(look.InspectionError, match='must tell the scene of its frames: sessions/'):
        look.draw_clips(store, 9)
    for told in ('calvin_scene_ABCD', None):
        calvin_files.write_config(root / 'training', {'scene': told})
        with pytest.raises(look.InspectionError, match='must tell the scene'):
            look.draw_clips(store, 9)


def test_what_cannot_be_answered_is_refused(tmp_path):
    with pytest.raises(look.InspectionError, match='test scene E. Got scenes A, B, C, D'):
        look.check_scenes(CLIPS, 'E')
    with pytest.raises(look.InspectionError, match='all clips are of scene D: there is no other'):
        look.check_scenes(hand_made('D'), 'D')
    with pytest.raises(look.InspectionError, match='at least 4 episodes. Got 2'):
        look.check_scenes(hand_made('AD', episodes=2), 'D')
    clips = hand_made()
    clips.motion['hand'][:] = 0
    with pytest.raises(look.InspectionError, match='robot_obs of the data holds no state'):
        look.check_scenes(clips, 'D')
    root = calvin_files.write_data(tmp_path / 'd', shards=True, episodes=2, frames=20)
    with pytest.raises(look.InspectionError, match='has 93 frames, .* longest .* data 20'):
        look.draw_clips(look.open_store([root], 32), 93)


# ------------------------------------------------------------------------------------------ the run


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """Two untrained dLDMs as run folders, of different clip length and image size."""
    folder = tmp_path_factory.mktemp('runs')
    for name, config in (
        ('a', TINY),
        (
            'b',
            DLDMConfig(
                **{**config_to_dict(TINY), 'clip_frames': 13, 'residual': True, 'image_size': 16}
            ),
        ),
    ):
        torch.manual_seed(3)
        save_tensors(folder / name / 'dldm.safetensors', DLDM(config).state_dict())
        save_json(folder / name / 'config.json', {'dldm': config_to_dict(config)})
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
    page = (out / 'inspection.html').read_text()
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
    assert "episode_0000003.npz lacks 'robot_obs'" in capsys.readouterr().err


def test_embedding_is_repeatable_and_leaves_torch_its_threads():
    pytest.importorskip('umap')
    codes = np.random.default_rng(0).normal(size=(60, 4))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first, again = look.embed(codes, seed=3), look.embed(codes, seed=3)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert first.shape == (60, 2)
    np.testing.assert_array_equal(first, again)
