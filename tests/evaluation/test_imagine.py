# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Imagination: both renderers, chained segments, `vw2 imagine`, and its figures."""

import dataclasses
import json
import math
import shutil
import sys
from types import SimpleNamespace

import av
import calvin_files
import cv2
import numpy as np
import pytest
import torch
from policy_files import tiny_dldm, tiny_planner, tiny_policy, tiny_words

from vw2_ros import cli
from vw2_ros.bench import imagination as bench_imagination
from vw2_ros.demo import imagine
from vw2_ros.evaluation import film
from vw2_ros.models import video_quality
from vw2_ros.models.config import to_dict
from vw2_ros.models.data import DataError
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.imagination import Imagination
from vw2_ros.models.key_steps import KeyStepConfig, KeySteps
from vw2_ros.models.policy import Policy
from vw2_ros.models.storage import save_json, save_tensors

pytest.importorskip('diffusers')
pytest.importorskip('skimage')

from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import CONFIGS  # noqa: E402

SIZE, T = 32, 16
WORDS = 'open the drawer'


def small_dldm(seed=0):
    torch.manual_seed(seed)
    net = tiny_dldm(levels=(8, 5, 5, 5), residual=True)
    torch.nn.init.normal_(net.decoder[-1][-1].project.weight, std=0.1)  # it draws what one can see
    return net


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('policy') / 'm'
    torch.manual_seed(0)
    words = tiny_words(p for ps in calvin_files.PHRASES.values() for p in ps)
    planner = tiny_planner(words, SIZE, codebook_size=1000)
    tiny_policy(path, words=words, planner=planner, dldm=small_dldm())
    return path


@pytest.fixture
def policy(folder):
    return Policy.load(folder)


@pytest.fixture(scope='module')
def vdm_folder(tmp_path_factory):
    """A VDM as disentangling leaves it: beside the dLDM whose codes it understands, in float16."""
    path = tmp_path_factory.mktemp('vdm') / 'm'
    write_vdm(path, small_dldm())
    return path


def write_vdm(path, dldm=None, **changes):
    torch.manual_seed(1)
    net = VDM(dataclasses.replace(CONFIGS['tiny'], **{'clip_frames': 1 + T, **changes}))
    for block in net.controlnet.control_blocks:
        torch.nn.init.normal_(block.after_proj.weight, std=0.2)
    save_tensors(path / 'vdm.safetensors', net.state_dict(), dtype='float16')
    config = {'vdm': to_dict(net.config)}
    if dldm is not None:
        save_tensors(path / 'dldm.safetensors', dldm.state_dict(), dtype='float16')
        config['dldm'] = to_dict(dldm.config)
    save_json(path / 'config.json', config)


def picture(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def some_codes(seed=0):
    return np.random.default_rng(seed).integers(0, 1000, (4, 4))


# ------------------------------------------------------------------ renderers


def test_the_decoder_draws_as_the_policy_does(policy):
    drawn = Imagination(policy).render(picture(), some_codes())
    assert drawn.shape == (T, SIZE, SIZE, 3)
    assert np.array_equal(drawn, policy.imagine(picture(), some_codes()))


def test_segments_begin_where_the_last_one_ended(policy):
    imagination = Imagination(policy)
    parts = list(imagination.imagine(picture(), WORDS, 3))
    now = picture()
    for part in parts:
        assert np.array_equal(part, policy.imagine(now, policy.plan(now, WORDS).codes))
        now = part[-1]
    assert len(parts) == 3 and not np.array_equal(parts[0], parts[1])


def test_a_clip_gives_the_codes_that_its_dldm_sees(policy):
    clip = np.random.default_rng(3).integers(0, 256, (1 + T, 16, 16, 3), np.uint8)
    float_clip = torch.from_numpy(clip).permute(0, 3, 1, 2)[None].float() / 255
    assert np.array_equal(policy.tokenize(clip), policy.dldm.tokenize(float_clip)[0].numpy())
    with pytest.raises(ValueError, match='17 frames. Got 16'):
        policy.tokenize(clip[1:])


def test_the_vdm_draws_the_plan(policy, vdm_folder):
    imagination = Imagination(policy, 'vdm', vdm_folder, steps=2)
    assert imagination.knows_codes and imagination.length == T
    drawn = imagination.render(picture(), some_codes())
    assert drawn.shape == (T, SIZE, SIZE, 3) and drawn.dtype == np.uint8
    imagination.reset(0)
    assert np.array_equal(imagination.render(picture(), some_codes()), drawn)
    imagination.reset(0)
    assert not np.array_equal(imagination.render(picture(), some_codes(1)), drawn)
    imagination.reset(1)
    assert not np.array_equal(imagination.render(picture(), some_codes()), drawn)
    assert imagination.render(picture(size=50), some_codes()).shape == (T, 50, 50, 3)


def test_the_vdm_is_given_codes_and_the_decoders_video(policy, vdm_folder):
    imagination = Imagination(policy, 'vdm', vdm_folder, steps=2)
    small, z, low = policy.low_fidelity(picture(), some_codes())
    first = torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 255
    video = imagination.vdm.sample(
        first,
        z,
        torch.nn.functional.interpolate(low[0], (SIZE, SIZE), mode='bilinear', antialias=True)[
            None
        ],
        steps=2,
        generator=torch.Generator().manual_seed(0),
    )
    drawn = imagination.render(picture(), some_codes())
    wanted = first + video[0, 1:] - video[0, :1]  # what changes, on the picture as it is
    wanted = (wanted.clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(drawn - wanted).max() <= 1


def test_a_vdm_without_a_dldm_knows_no_codes(policy, folder, tmp_path):
    write_vdm(tmp_path / 'prior', clip_frames=13)
    imagination = Imagination(policy, 'vdm', tmp_path / 'prior', steps=1)
    assert not imagination.knows_codes and imagination.length == 12
    parts = list(imagination.imagine(picture(), WORDS, 2))
    imagination.reset(0)
    other = list(imagination.imagine(picture(), 'close it', 2))
    assert np.array_equal(parts, other) and parts[0].shape == (12, SIZE, SIZE, 3)


def test_the_vdm_beside_the_policy_is_the_default(folder, vdm_folder, tmp_path):
    with pytest.raises(CheckpointError, match='vdm must be the run folder .* --renderer decoder'):
        Imagination(Policy.load(folder), 'vdm')
    shutil.copytree(folder, tmp_path / 'm')
    shutil.copytree(vdm_folder, tmp_path / 'm' / 'vdm')
    imagination = Imagination(Policy.load(tmp_path / 'm'), 'vdm')
    assert imagination.knows_codes and imagination.steps == 20  # it predicts velocities


def test_the_shipped_vdm_understands_the_shipped_policy():
    imagination = Imagination(Policy.load(), 'vdm')
    assert imagination.knows_codes and imagination.vdm.config.predict == 'x0'
    assert imagination.vdm.config.fps == 30  # as it was trained
    assert imagination.steps == 2  # it predicts the clip


def test_a_vdm_of_other_codes_is_refused(policy, tmp_path):
    write_vdm(tmp_path / 'other', small_dldm(seed=5))
    with pytest.raises(CheckpointError, match='codes of this policy. Got a VDM of another dLDM'):
        Imagination(policy, 'vdm', tmp_path / 'other')
    write_vdm(tmp_path / 'short', small_dldm(), clip_frames=13)
    with pytest.raises(CheckpointError, match='clips and codes of one shape'):
        Imagination(policy, 'vdm', tmp_path / 'short')


def test_damaged_and_wrong_requests_are_told(policy, folder, vdm_folder, tmp_path):
    with pytest.raises(ValueError, match="renderer must be one of decoder, vdm. Got 'gan'"):
        Imagination(policy, 'gan')
    with pytest.raises(ValueError, match='steps must be at least 1. Got 0'):
        Imagination(policy, steps=0)
    with pytest.raises(CheckpointError, match='section "vdm". Got .*planner'):
        VDM.load(folder)
    save_json(tmp_path / 'x' / 'config.json', {'vdm': {'layers': 0}})
    with pytest.raises(CheckpointError, match='every size must be at least 1'):
        VDM.load(tmp_path / 'x')
    shutil.copytree(vdm_folder, tmp_path / 'cut')
    weights = tmp_path / 'cut' / 'vdm.safetensors'
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match='whole safetensors'):
        Imagination(policy, 'vdm', tmp_path / 'cut')


# ---------------------------------------------------------------- vw2 imagine


def test_a_picture_of_any_size_is_cut_as_the_nodes_do(tmp_path):
    wide = np.zeros((60, 100, 3), np.uint8)
    wide[:, 20:80] = (200, 100, 50)  # the centred square, rgb
    cv2.imwrite(str(tmp_path / 'wide.png'), wide[..., ::-1])
    assert (imagine.read_image(tmp_path / 'wide.png', 32) == (200, 100, 50)).all()
    cv2.imwrite(str(tmp_path / 'grey.png'), np.full((16, 16), 7, np.uint8))
    assert (imagine.read_image(tmp_path / 'grey.png', 32) == 7).all()
    (tmp_path / 'no.png').write_text('no picture')
    with pytest.raises(ValueError, match='no.png must be a picture'):
        imagine.read_image(tmp_path / 'no.png', 32)


@pytest.mark.parametrize('kind', ['.jpg', '.png', '.webp'])
def test_half_a_picture_is_refused(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(kind, noise)[1].tobytes()
    path = tmp_path / f'a{kind}'
    path.write_bytes(data)
    assert imagine.read_image(path, 32).shape == (32, 32, 3)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match='the whole file. Got something else: .* is cut off'):
        imagine.read_image(path, 32)


def test_depth_is_no_picture_to_imagine_from(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((16, 16), 900, np.uint16))
    with pytest.raises(ValueError, match='one channel of uint16, which is depth'):
        imagine.read_image(tmp_path / 'a.png', 32)


def test_clip_and_strip_are_written(folder, vdm_folder, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'a.png'), picture(size=70))
    out = tmp_path / 'new' / 'clip.mp4'
    arguments = [
        'imagine',
        '--image',
        str(tmp_path / 'a.png'),
        '--instruction',
        WORDS,
        '--out',
        str(out),
        '--policy',
        str(folder),
        '--segments',
        '2',
    ]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert 'seconds_of_video' in said and 'less than half' not in said
    with av.open(str(out)) as container:
        shown = [f.to_ndarray(format='rgb24') for f in container.decode(video=0)]
    assert len(shown) == imagine.HELD + 2 * T and shown[0].shape == (456, 400, 3)
    assert shown[0][:56].max() > 150  # the words above the picture
    assert np.abs(shown[0][56:].astype(int) - shown[-1][56:]).mean() > 1
    strip = cv2.imread(str(out.with_suffix('.png')))
    assert strip.shape == (28 + 2 * 128, 5 * 128, 3)
    assert sorted(p.name for p in out.parent.iterdir()) == ['clip.mp4', 'clip.png']
    before = out.read_bytes()
    assert (
        cli.main([*arguments, '--renderer', 'vdm', '--vdm', str(vdm_folder), '--steps', '1']) == 0
    )
    assert out.read_bytes() != before
    arguments[arguments.index(WORDS)] = 'frotz plugh'
    assert cli.main(arguments) == 0
    assert 'knows less than half of these words' in capsys.readouterr().out


def test_a_prior_says_that_it_ignores_the_instruction(folder, tmp_path):
    write_vdm(tmp_path / 'prior')
    cv2.imwrite(str(tmp_path / 'a.png'), picture())
    told = imagine.run(
        tmp_path / 'a.png',
        WORDS,
        tmp_path / 'c.mp4',
        segments=1,
        renderer='vdm',
        vdm=tmp_path / 'prior',
        steps=1,
        policy=str(folder),
    )
    assert 'without codes' in told['note']


def test_what_cannot_be_imagined_is_told_in_one_line(folder, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'a.png'), picture())
    for changes, status, message in (
        ({'--image': str(tmp_path / 'b.png')}, 2, 'b.png is not a file'),
        ({'--out': 'clip.avi'}, 2, 'must end in .mp4. Got clip.avi'),
        ({'--renderer': 'vmd'}, 2, "unknown renderer 'vmd'. Did you mean vdm"),
        ({'--instruction': ' '}, 1, 'instruction'),
        ({'--renderer': 'vdm'}, 1, 'vdm must be the run folder'),
    ):
        given = {
            '--image': str(tmp_path / 'a.png'),
            '--instruction': WORDS,
            '--policy': str(folder),
            '--out': str(tmp_path / 'c.mp4'),
            **changes,
        }
        assert cli.main(['imagine', *(x for pair in given.items() for x in pair)]) == status
        err = capsys.readouterr().err.splitlines()
        assert message in err[-1] and err[-1].startswith('vw2: error: ')
        assert not (tmp_path / 'c.mp4').exists()


# -------------------------------------------------------------------- figures


def test_equal_videos_are_equal():
    clip = np.stack([picture(i) for i in range(3)])
    assert video_quality.ssim(clip, clip) == 1.0
    assert video_quality.psnr(clip, clip) == video_quality.MOST_DB


def test_figures_of_hand_made_pairs():
    a, b = (np.full((2, 16, 16, 3), v, np.uint8) for v in (100, 110))
    assert video_quality.psnr(a, b) == pytest.approx(20 * math.log10(255 / 10))
    c1 = (0.01 * 255) ** 2
    assert video_quality.ssim(a, b) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))
    # one frame of two is equal: the mean of both
    half = np.concatenate([a[:1], b[:1]])
    assert video_quality.psnr(a, half) == pytest.approx(
        (video_quality.MOST_DB + 20 * math.log10(25.5)) / 2
    )


def test_videos_of_two_shapes_are_refused():
    clip = np.zeros((2, 16, 16, 3), np.uint8)
    for other in (clip[:1], clip[:, :8], clip.astype(float)):
        with pytest.raises(ValueError, match='videos must both be uint8'):
            video_quality.ssim(clip, other)


def test_lpips_is_left_out_where_it_is_not_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    assert set(video_quality.metrics()) == {'ssim', 'psnr'}
    monkeypatch.setitem(sys.modules, 'skimage.metrics', None)
    with pytest.raises(ModuleNotFoundError, match='vw2_ros.metrics'):
        video_quality.metrics()


def test_lpips_is_loaded_as_fixed_where_it_is_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    weights = SimpleNamespace(url='https://host/vgg16.pth')
    known = SimpleNamespace(
        AlexNet_Weights=SimpleNamespace(
            IMAGENET1K_V1=SimpleNamespace(url='https://host/alexnet.pth')
        ),
        VGG16_Weights=SimpleNamespace(IMAGENET1K_V1=weights),
    )
    asked = []
    monkeypatch.setitem(
        sys.modules,
        'lpips',
        SimpleNamespace(
            pretrained_networks=SimpleNamespace(tv=known),
            LPIPS=lambda net, verbose: asked.append(net) or torch.nn.Linear(1, 1),
        ),
    )
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'vgg16.pth').touch()
    assert video_quality.lpips_network('alex') is None
    network = video_quality.lpips_network('vgg')
    assert asked == ['vgg'] and not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_a_plot_shows_every_line():
    lines = {'one': [1.0, 2.0, 3.0], 'two': [3.0, 2.0, 1.0]}
    shown = film.plot(lines, 'title')
    for colour in film._LINES[:2]:
        rows, columns = np.nonzero((shown == colour).all(axis=2))
        assert len(rows) > 50 and np.ptp(columns) > 150
    first = np.nonzero((shown[:, :200] == film._LINES[0]).all(axis=2))[0].mean()
    last = np.nonzero((shown[:, 230:350] == film._LINES[0]).all(axis=2))[0].mean()
    assert first > last + 50  # it rises
    assert film.plot({'flat': [2.0]}, '').shape == shown.shape


# ----------------------------------------------------------- bench imagination


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return calvin_files.write_data(tmp_path_factory.mktemp('held_out') / 'data', shards=True)


def options(data, folder, out, **changes):
    return bench_imagination.BenchOptions(
        data=data, out=out, policy=str(folder), segments=2, **{'clips': 3, **changes}
    )


def judge(path, says):
    """A classifier that says the same of every pair."""
    torch.manual_seed(0)
    model = KeySteps(
        KeyStepConfig(image_size=32, channels=(4, 8, 8), reduced=8, hidden=16),
        sorted(calvin_files.PHRASES),
    )
    torch.nn.init.zeros_(model.head[-1].weight)
    torch.nn.init.constant_(model.head[-1].bias, 9.0 if says else -9.0)
    model.save(path, {'scores': {'accuracy': 0.75}})
    return path


def test_bench_measures_every_segment(data, folder, tmp_path):
    out = tmp_path / 'o'
    result = bench_imagination.run(
        options(data, folder, out, key_steps=judge(tmp_path / 'k', True))
    )
    for kind in ('still', 'true_codes', 'planned_codes'):
        assert len(result[f'ssim_{kind}']) == len(result[f'psnr_{kind}']) == 2
        assert all(-1 <= x < 1 for x in result[f'ssim_{kind}'])
    # the square goes on: a still picture gets worse
    assert result['psnr_still'][0] > result['psnr_still'][1]
    assert result['clips'] == 3 and result['frames_per_segment'] == T
    # windows of 34 frames do not end within two segments of 16
    assert 'goal_true' not in result and result['key_steps_accuracy'] == 0.75
    assert cv2.imread(str(out / 'curves.png')).shape == (320, 960, 3)
    assert cv2.imread(str(out / 'strip.png')).shape == (28 + 3 * 3 * 128, 8 * 128, 3)


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'provenance.json must tell how good the classifier is. Got no such file'),
        ('{"stage": "keysteps"}', "must hold the scores .* KeyError: 'scores'"),
        ('[]', 'must hold the scores .* TypeError'),
    ],
)
def test_a_classifier_without_its_scores_is_refused_at_once(folder, tmp_path, content, message):
    provenance = judge(tmp_path / 'k', True) / 'provenance.json'
    provenance.unlink()
    if content:
        provenance.write_text(content)
    nowhere = options(tmp_path / 'nowhere', folder, tmp_path / 'o', key_steps=tmp_path / 'k')
    with pytest.raises(CheckpointError, match=message):  # before any data are looked for
        bench_imagination.run(nowhere)
    assert not (tmp_path / 'o').exists()


def test_still_is_measured_against_the_true_frames(data, folder, policy):
    imagination = Imagination(policy)
    store = bench_imagination_store(data)
    clip = bench_imagination.find_clips(store, T, 2, 1)[0]
    videos = bench_imagination.imagined(imagination, store, clip, 2)
    first = store.rgb(np.array([clip.start]))
    true = store.rgb(clip.start + 1 + np.arange(2 * T))
    assert np.array_equal(videos['true'], true)
    lines = bench_imagination.measured(videos, {'psnr': video_quality.psnr}, 2)
    assert lines['psnr_still'][1] == video_quality.psnr(true[T:], first.repeat(T, axis=0))
    # true codes: those of the clip, on top of the last imagined frame
    now = first[0]
    for segment in range(2):
        part = np.concatenate(
            [first if segment == 0 else true[T - 1 : T], true[segment * T : (segment + 1) * T]]
        )
        now = policy.imagine(now, policy.tokenize(part))[-1]
    assert np.array_equal(videos['true_codes'][-1], now)


def bench_imagination_store(data):
    from vw2_ros.models.data.store import FrameStore

    return FrameStore([data], 'validation', SIZE)


def test_clips_are_told_the_words_of_their_window(data, tmp_path):
    copy = tmp_path / 'data'
    shutil.copytree(data, copy)
    content = {
        'language': {'ann': ['one', 'two', 'three'], 'task': ['a', 'b', 'a']},
        'info': {'episodes': [], 'indx': [(0, 12), (13, 39), (45, 60)]},
    }
    np.save(
        copy / 'validation' / 'lang_annotations' / 'auto_lang_ann.npy', content, allow_pickle=True
    )
    store = bench_imagination_store(copy)
    clips = {c.start: c for c in bench_imagination.find_clips(store, T, 2, 9)}
    assert set(clips) == {0, 45}  # 13 + 32 goes past frame 39
    assert clips[0].phrases == ('one', 'two') and clips[0].task == 'a' and clips[0].end == 12
    assert clips[45].phrases == ('three', 'three')
    with pytest.raises(ValueError, match='48 frames to follow .* 3 held-out ones. Got none'):
        bench_imagination.find_clips(store, T, 3, 9)


@pytest.mark.parametrize('says', [True, False])
def test_goals_are_judged_at_the_end_of_the_window(data, policy, tmp_path, says):
    model = KeySteps.load(judge(tmp_path / 'k', says))
    videos = {
        'true': np.zeros((32, 32, 32, 3), np.uint8),
        'still': np.zeros((32, 32, 32, 3), np.uint8),
    }
    clip = bench_imagination.Clip('clip/0', 0, ('x', 'x'), 'open_drawer', 20)
    assert bench_imagination.judged(videos, clip, model) == {'goal_true': says, 'goal_still': says}
    assert bench_imagination.judged(videos, dataclasses.replace(clip, task=''), model) == {}
    assert bench_imagination.judged(videos, clip, None) == {}


def test_summary_is_the_mean_of_the_clips():
    lines = [
        {'rollout': 'a', 'ssim_still': [0.5, 0.25], 'goal_true': True, 'wall_s': 1},
        {'rollout': 'b', 'ssim_still': [0.75, 0.5], 'goal_true': False},
        {'rollout': 'c', 'ssim_still': [1.0, 0.75]},
    ]
    assert bench_imagination.summarise(lines) == {
        'ssim_still': [0.75, 0.5],
        'goal_true': 0.5,
        'goal_clips': 2,
    }
    still = [[20.0, 18.0], [22.0, 19.0], [24.0, 20.0], [26.0, 15.0]]
    lines = [
        {'rollout': str(i), 'psnr_still': s, 'psnr_true_codes': [s[0] + 1, s[1] + gain]}
        for i, (s, gain) in enumerate(zip(still, (-1.0, 0.0, 2.0, 3.0)))
    ]
    first, second = bench_imagination.summarise(lines)['psnr_over_still_true_codes']
    assert first == [1, 1, 1]  # the clips' own spread is no part of it
    assert second[0] == 1 and -1 <= second[1] < 0.2 and 1.8 < second[2] <= 3


def test_bench_goes_on_from_its_record(data, folder, tmp_path):
    first = bench_imagination.run(options(data, folder, tmp_path / 'o', clips=2))
    record = next((tmp_path / 'o').glob('record-*.jsonl'))
    lines = record.read_text().splitlines()
    record.write_text('\n'.join(lines[:-1]) + '\n')  # cut off before the last clip
    again = bench_imagination.run(options(data, folder, tmp_path / 'o', clips=2))
    assert len(record.read_text().splitlines()) == len(lines)
    drop = {'seconds'}
    assert {k: v for k, v in again.items() if k not in drop} == {
        k: v for k, v in first.items() if k not in drop
    }


def test_bench_of_a_prior_has_no_codes(data, folder, tmp_path):
    write_vdm(tmp_path / 'prior')
    result = bench_imagination.run(
        options(
            data, folder, tmp_path / 'o', clips=1, renderer='vdm', vdm=tmp_path / 'prior', steps=1
        )
    )
    assert 'ssim_no_codes' in result and 'ssim_true_codes' not in result


def test_bench_beside_a_prior_draws_without_codes_too(data, folder, tmp_path, capsys):
    write_vdm(tmp_path / 'prior')
    alone = bench_imagination.run(options(data, folder, tmp_path / 'a', clips=1))
    both = bench_imagination.run(
        options(data, folder, tmp_path / 'b', clips=1, steps=1, prior=tmp_path / 'prior')
    )
    assert both['psnr_true_codes'] == alone['psnr_true_codes']
    prior = bench_imagination.run(
        options(
            data, folder, tmp_path / 'c', clips=1, renderer='vdm', vdm=tmp_path / 'prior', steps=1
        )
    )
    assert both['psnr_no_codes'] == prior['psnr_no_codes']  # the same noise
    assert cv2.imread(str(tmp_path / 'b' / 'strip.png')).shape[0] == 28 + 4 * 128

    def refused(*more):
        assert (
            cli.main(
                [
                    'bench',
                    'imagination',
                    '--data',
                    str(data),
                    '--policy',
                    str(folder),
                    '--out',
                    str(tmp_path / 'd'),
                    *map(str, more),
                ]
            )
            == 1
        )
        return capsys.readouterr().err.splitlines()[-1]

    write_vdm(tmp_path / 'short', clip_frames=13)
    assert 'must draw 16 frames, as the renderer. Got 12' in refused('--prior', tmp_path / 'short')
    write_vdm(tmp_path / 'coded', small_dldm())
    assert 'knows no codes' in refused('--prior', tmp_path / 'coded')
    assert 'Got the same of both' in refused(
        '--prior', tmp_path / 'prior', '--renderer', 'vdm', '--vdm', tmp_path / 'prior'
    )


def test_bench_by_the_command(data, folder, tmp_path, capsys):
    out = tmp_path / 'o'
    assert (
        cli.main(
            [
                'bench',
                'imagination',
                '--data',
                str(data),
                '--policy',
                str(folder),
                '--clips',
                '1',
                '--segments',
                '1',
                '--out',
                str(out),
            ]
        )
        == 0
    )
    assert 'psnr_planned_codes' in capsys.readouterr().out
    assert json.loads((out / 'result.json').read_text())['renderer'] == 'decoder'


def test_bench_without_held_out_frames(data, folder, tmp_path):
    shutil.copytree(data / 'training', tmp_path / 'data' / 'training')
    with pytest.raises(DataError, match='validation must hold held-out frames'):
        bench_imagination.run(options(tmp_path / 'data', folder, tmp_path / 'o'))
    with pytest.raises(ValueError, match='at least 1. Got 2, 0, None'):
        options(data, folder, tmp_path / 'o', clips=0)
    with pytest.raises(ValueError, match='at least 1. Got 2, 2, 0'):
        options(data, folder, tmp_path / 'o', clips=2, steps=0)
