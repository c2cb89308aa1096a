# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The decoder against its oracle, `transformers.LlamaModel`: same weights, same results."""

import copy
import inspect

import pytest
import torch

from vw2_ros.models.llama import Llama, LlamaConfig

CONFIG = LlamaConfig(vocab_size=33, width=24, hidden=40, layers=3, heads=3, dropout=0.1)


@pytest.fixture(scope='module')
def oracle():
    """The oracle, made from seed 0, in training mode."""
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    return transformers.LlamaModel(
        transformers.LlamaConfig(
            vocab_size=CONFIG.vocab_size,
            hidden_size=CONFIG.width,
            intermediate_size=CONFIG.hidden,
            num_hidden_layers=CONFIG.layers,
            num_attention_heads=CONFIG.heads,
            num_key_value_heads=CONFIG.heads,
            attention_dropout=CONFIG.dropout,
            pad_token_id=None,
            max_position_embeddings=64,
            attn_implementation='sdpa',
        )
    ).train()


@pytest.fixture
def own():
    torch.manual_seed(0)
    return Llama(CONFIG).train()


def ask(model, x, mask, positions, cache=None):
    """Hidden states (B, S, W) of the oracle."""
    word = 'cache' if 'cache' in inspect.signature(model.forward).parameters else 'past_key_values'
    return model(
        inputs_embeds=x,
        attention_mask=mask,
        position_ids=positions[None],
        use_cache=cache is not None,
        **({} if cache is None else {word: cache}),
    ).last_hidden_state


def inputs(steps=9, batch=2):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(batch, steps, CONFIG.width, generator=g)
    real = torch.ones(batch, steps, dtype=torch.bool)
    real[1, 2:4] = False  # padding
    mask = torch.ones(steps, steps, dtype=torch.bool).tril() & real[:, None, None, :]
    positions = torch.arange(steps) + (torch.arange(steps) > 4) * 7  # with a gap, as the planner's
    return x, mask, positions


def test_a_seed_makes_the_same_weights_under_the_same_names(own, oracle):
    mine, theirs = own.state_dict(), oracle.state_dict()
    assert list(mine) == list(theirs)
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


def test_same_hidden_states(own, oracle):
    own.eval(), oracle.eval()
    assert torch.equal(own(*inputs()), ask(oracle, *inputs()))


def test_same_hidden_states_with_a_cache(own, oracle):
    from transformers import DynamicCache

    own.eval(), oracle.eval()
    x, mask, positions = inputs()
    mine, theirs = {}, DynamicCache()
    pieces = []
    for begin, end in ((0, 6), (6, 7), (7, 9)):
        part = x[:, begin:end], mask[:, :, begin:end, :end], positions[begin:end]
        pieces.append(own(*part, mine))
        assert torch.equal(pieces[-1], ask(oracle, *part, theirs))
    assert torch.allclose(torch.cat(pieces, dim=1), own(*inputs()), atol=1e-5)


@pytest.mark.parametrize('last', [1, 4, 9])
def test_only_the_last_positions_are_wanted(own, last):
    own.eval()
    x, mask, positions = inputs()
    cache, whole = {}, {}
    got = own(x, mask, positions, cache, last=last)
    assert torch.allclose(got, own(x, mask, positions, whole)[:, -last:], atol=1e-6)
    for number, kept in whole.items():  # the next positions see them all
        for mine, theirs in zip(cache[number], kept, strict=True):
            assert torch.allclose(mine, theirs, atol=1e-6)


def test_same_gradients_with_dropout(own, oracle):
    oracle.train()
    for model, call in ((own, own), (oracle, lambda *a: ask(oracle, *a))):
        model.zero_grad()
        torch.manual_seed(1)
        call(*inputs()).square().mean().backward()
    theirs = dict(oracle.named_parameters())
    for name, parameter in own.named_parameters():
        if parameter.grad is not None:
            assert torch.equal(parameter.grad, theirs[name].grad), name
    assert own.layers[0].self_attn.q_proj.weight.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_same_in_half_precision(own, oracle, dtype):
    x, mask, positions = inputs()
    theirs = copy.deepcopy(oracle).eval().to(dtype)
    got = own.eval().to(dtype)(x.to(dtype), mask, positions)
    assert got.dtype == dtype
    assert torch.equal(got, ask(theirs, x.to(dtype), mask, positions))
