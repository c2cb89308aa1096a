# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Text, vision and planner: shapes, equal results by every path, causality, sight."""

import dataclasses

import numpy as np
import pytest
import torch

from vw2_ros.models.planner import Planner, PlannerConfig
from vw2_ros.models.text import PAD, UNK, Tokenizer, split_words
from vw2_ros.models.vision import KeypointEncoder, VisionConfig

WORDS = Tokenizer.build(
    ['open the drawer', 'push the red block to the left', 'close it'], buckets=64
)
TINY = PlannerConfig(
    vocab_size=WORDS.vocab_size,
    buckets=64,
    codebook_size=12,
    width=16,
    layers=2,
    heads=2,
    hidden=32,
    vision=VisionConfig(image_size=32, stem=4, channels=8, keypoints=8),
)


def make(**changes):
    torch.manual_seed(0)
    return Planner(dataclasses.replace(TINY, **changes)).eval()


def inputs(*texts, seed=0):
    texts = texts or ('open the drawer', 'push the red block to the left')
    g = torch.Generator().manual_seed(seed)
    rgb = torch.randint(0, 256, (len(texts), 3, 32, 32), dtype=torch.uint8, generator=g)
    codes = torch.randint(0, 12, (len(texts), 4, 4), generator=g)
    return rgb, torch.from_numpy(WORDS.encode_batch(texts)), codes


# Text


def test_words_and_padding():
    assert split_words("Push the RED block, 2 times; don't!") == [
        'push',
        'the',
        'red',
        'block',
        '2',
        'times',
        'dont',
    ]
    tokens = WORDS.encode('Open the flurb')
    assert tokens.shape == (16, 17) and tokens.dtype == np.int64
    assert tokens[2, 0] == UNK and (tokens[3:] == PAD).all()
    assert tokens[2, 1:].any() and tokens.max() <= 64
    assert WORDS.known('open the flurb') == pytest.approx(2 / 3)


def test_a_typo_shares_most_n_grams():
    def grams(word):
        return set(WORDS.encode(word)[0, 1:]) - {0}

    near = len(grams('drawer') & grams('drawr')) / len(grams('drawr'))
    far = len(grams('drawer') & grams('block')) / len(grams('block'))
    assert near > 0.5 > far


@pytest.mark.parametrize('text', ['', '   ', '!?', None, 3])
def test_an_empty_instruction_is_told(text):
    with pytest.raises(ValueError, match='instruction must'):
        WORDS.encode(text)


def test_an_instruction_of_more_words_than_are_read_is_refused():
    assert (WORDS.encode('open ' * 16)[:, 0] > UNK).all()
    with pytest.raises(ValueError, match='at most 16 words. Got 17'):
        WORDS.encode('open ' * 16 + 'drawer')


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ('拿起 the block', '放下 the block'),
        ('открой', 'закрой'),
        ('उठाओ', 'उठाना'),
        ('take ⬅ it', 'take ➡ it'),
        (
            '把红色的方块从抽屉里面拿出来再放到桌子左边上面',
            '把红色的方块从抽屉里面拿出来再放到桌子右边下面',
        ),
    ],
)
def test_words_of_any_script_are_told_apart(one, other):
    """Those that nobody knows by their n-grams, and learned ones by their ids."""
    assert not np.array_equal(WORDS.encode(one), WORDS.encode(other))
    assert WORDS.known(one) < 1
    both = Tokenizer.build([one, other], buckets=64)
    assert both.known(one) == both.known(other) == 1
    assert not np.array_equal(both.encode(one)[:, 0], both.encode(other)[:, 0])


def test_a_word_in_letters_never_seen_is_unreadable():
    assert WORDS.unreadable('拿起 the red flurb') == ['拿起']
    assert WORDS.unreadable('öffne the tür') == []  # known or not, it resembles something


def test_tokenizer_survives_a_file(tmp_path):
    WORDS.save(tmp_path / 't.json')
    again = Tokenizer.load(tmp_path / 't.json')
    text = 'open the strange drawer'
    assert np.array_equal(again.encode(text), WORDS.encode(text))


def test_new_words_come_behind_the_old_ones():
    more = WORDS.extended(['Open the hatch', 'spin the red dial'])
    assert more.words == (*WORDS.words, 'dial', 'hatch', 'spin')
    known = 'push the red block to the left'
    assert np.array_equal(more.encode(known), WORDS.encode(known))
    assert more.known('spin the hatch') == 1 > WORDS.known('spin the hatch')
    assert more.extended(['close it']).words == more.words


def test_augment_hides_words_but_keeps_padding():
    tokens = WORDS.encode_batch(['push the red block to the left'] * 200)
    noisy = WORDS.augment(tokens, np.random.default_rng(0), forget=0.3, drop_ngrams=0.2)
    real = tokens[..., 0] != PAD
    assert ((noisy[..., 0] != PAD) == real).all()
    forgotten = (noisy[..., 0] == UNK)[real].mean()
    assert 0.25 < forgotten < 0.35
    assert (tokens[..., 0] != UNK).all()  # a copy
    blank = WORDS.augment(tokens, np.random.default_rng(0), drop_word=1.0)
    assert (blank[..., 0][real] == UNK).all() and (blank[..., 1:] == 0).all()


# Vision


def test_keypoints_follow_what_they_look_at():
    torch.manual_seed(0)
    net = KeypointEncoder(VisionConfig(image_size=32, stem=8, channels=8, keypoints=4), 16)
    net.locate.log_sharpness.data.fill_(4.0)
    picture = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    picture[0, :, 10:14, 6:10] = 255
    picture[1, :, 10:14, 18:22] = 255  # 12 px to the right = 0.75 of the half width
    place, local = net.locate(picture)
    assert place.shape == (2, 4, 2) and local.shape == (2, 4, 8)
    assert place.abs().max() <= 1
    moved = place[1] - place[0]
    assert (moved[:, 0] > 0.2).any()  # x grows to the right


def test_places_under_autocast_are_finer_than_bf16():
    torch.manual_seed(0)
    net = KeypointEncoder(VisionConfig(image_size=32, stem=8, channels=8, keypoints=4), 16)
    rgb = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    exact = net.locate(rgb).place
    with torch.autocast('cpu', torch.bfloat16):
        place, local = net.locate(rgb)
    assert place.dtype == local.dtype == torch.float32
    assert not torch.equal(place, exact)  # the convolutions are in bf16
    assert not torch.equal(place, place.bfloat16().float())
    torch.testing.assert_close(place, exact, atol=0.05, rtol=0)


def test_it_learns_where_a_dot_is():
    torch.manual_seed(0)
    net = KeypointEncoder(VisionConfig(image_size=32, stem=8, channels=8, keypoints=8), 16)
    read = torch.nn.Linear(8 * 16, 2)
    optimizer = torch.optim.Adam([*net.parameters(), *read.parameters()], lr=5e-3)
    x, y = torch.randint(2, 29, (2, 16))
    rgb = torch.full((16, 3, 32, 32), 60, dtype=torch.uint8)
    for b in range(16):
        rgb[b, 0, y[b] : y[b] + 3, x[b] : x[b] + 3] = 250
    want = torch.stack([x, y], dim=1) / 16.0 - 1
    for _ in range(100):
        loss = (read(net(rgb).flatten(1)) - want).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1 * want.var()


@pytest.mark.parametrize(
    'rgb',
    [
        torch.zeros(1, 3, 32, 32),
        torch.zeros(1, 3, 32, 36, dtype=torch.uint8),
        torch.zeros(1, 32, 32, 3, dtype=torch.uint8),
        torch.zeros(3, 32, 32, dtype=torch.uint8),
    ],
)
def test_a_bad_image_is_told(rgb):
    with pytest.raises(ValueError, match='rgb must be uint8'):
        KeypointEncoder(TINY.vision, 16)(rgb)


# Planner


def test_shapes_and_loss():
    net = make()
    rgb, tokens, codes = inputs()
    out = net(rgb, tokens, codes)
    assert out.logits.shape == (2, 4, 4, 12) and out.hidden.shape == (2, 4, 16)
    loss = net.loss(rgb, tokens, codes)
    want = -out.logits.log_softmax(-1).gather(-1, codes[..., None]).mean()
    torch.testing.assert_close(loss['loss'], want)
    loss['loss'].backward()
    without = [n for n, p in net.named_parameters() if p.grad is None]
    assert not without


@torch.no_grad()
def test_the_cached_plan_equals_one_forward_on_its_own_codes():
    net = make()
    rgb, tokens, _ = inputs()
    codes, hidden = net.plan(rgb, tokens)
    assert codes.shape == (2, 4, 4) and codes.dtype == torch.int64
    out = net(rgb, tokens, codes)
    torch.testing.assert_close(out.hidden, hidden, atol=1e-5, rtol=1e-4)
    assert torch.equal(out.logits.argmax(-1), codes)
    own = net(rgb, tokens)
    assert torch.equal(own.codes, codes)
    torch.testing.assert_close(own.logits, out.logits, atol=1e-5, rtol=1e-4)


def test_own_codes_give_the_gradient_of_teacher_forcing_on_them():
    net = make()
    rgb, tokens, _ = inputs()
    own = net(rgb, tokens)
    own.hidden.square().sum().backward()
    grads = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    net(rgb, tokens, own.codes).hidden.square().sum().backward()
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(grads[name], parameter.grad, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('bidirectional', [True, False])
@torch.no_grad()
def test_padding_changes_nothing(bidirectional):
    net = make(prefix_bidirectional=bidirectional)
    rgb, tokens, codes = inputs('close it', 'push the red block to the left')
    both, alone = net(rgb, tokens, codes), net(rgb[:1], tokens[:1], codes[:1])
    torch.testing.assert_close(both.hidden[:1], alone.hidden, atol=1e-5, rtol=1e-4)
    batch, _ = net.plan(rgb, tokens)
    single, _ = net.plan(rgb[:1], tokens[:1])
    assert torch.equal(batch[:1], single)


@torch.no_grad()
def test_a_step_sees_only_the_codes_before_it():
    net = make()
    rgb, tokens, codes = inputs()
    before = net(rgb, tokens, codes).hidden
    for step in range(4):
        other = codes.clone()
        other[:, step] = (other[:, step] + 5) % 12
        after = net(rgb, tokens, other).hidden
        assert torch.equal(before[:, : step + 1], after[:, : step + 1])
        if step < 3:
            assert not torch.equal(before[:, step + 1], after[:, step + 1])


@torch.no_grad()
def test_instruction_and_image_matter():
    net = make()
    rgb, tokens, codes = inputs()
    hidden = net(rgb, tokens, codes).hidden
    assert not torch.allclose(hidden, net(rgb, tokens.flip(0), codes).hidden)
    assert not torch.allclose(hidden, net(rgb.flip(0), tokens, codes).hidden)


def test_sampling_is_seeded():
    net = make()
    rgb, tokens, _ = inputs()

    def sample(seed, temperature=5.0):
        return net.plan(rgb, tokens, temperature, torch.Generator().manual_seed(seed))[0]

    assert torch.equal(sample(1), sample(1))
    assert not torch.equal(sample(1), sample(2))
    # Nearly no temperature is greedy.
    assert torch.equal(sample(1, 1e-4), net.plan(rgb, tokens)[0])


def test_it_learns_codes_from_image_and_instruction():
    net = make().train()
    rgb, tokens, codes = inputs('open the drawer', 'close it', 'push it', 'open it')
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(60):
        loss = net.loss(rgb, tokens, codes)
        optimizer.zero_grad()
        loss['loss'].backward()
        optimizer.step()
    net.eval()
    assert torch.equal(net.plan(rgb, tokens)[0], codes)


@torch.no_grad()
def test_masked_steps_weigh_nothing():
    net = make()
    rgb, tokens, codes = inputs()
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    want = net.loss(rgb, tokens, codes, valid)['loss']
    # The last step's code is no step's input: only its loss could tell.
    codes[1, 3] = (codes[1, 3] + 1) % 12
    assert torch.equal(net.loss(rgb, tokens, codes, valid)['loss'], want)


@pytest.mark.parametrize('change', [{'width': 15}, {'layers': 0}, {'dropout': 1.0}])
def test_a_bad_config_fails_when_it_is_built(change):
    with pytest.raises(ValueError, match='Got'):
        dataclasses.replace(TINY, **change)


def test_bad_vision_config():
    for change in ({'image_size': 30}, {'keypoints': 0}, {'per_token': 3}):
        with pytest.raises(ValueError, match='Got'):
            VisionConfig(**change)


def test_bad_input():
    net = make()
    rgb, tokens, codes = inputs()
    with pytest.raises(ValueError, match='codes must be int64'):
        net(rgb, tokens, codes[:, :3])
    with pytest.raises(ValueError, match='tokens must be int64'):
        net(rgb, tokens[:1], codes)
    with pytest.raises(ValueError, match='temperature'):
        net.plan(rgb, tokens, -1.0)
