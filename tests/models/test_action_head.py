# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Action head: shapes, loss, masks, normalisation."""

import pytest
import torch

from vw2_ros.models.action_head import ActionHead, ActionHeadConfig


def make(**options):
    torch.manual_seed(0)
    return ActionHead(ActionHeadConfig(width=8, hidden=16, **options))


def test_shapes_and_range():
    head = make()
    head.set_normalization(torch.zeros(6), torch.full((6,), 100.0))
    actions = head(torch.randn(3, 4, 8) * 10)
    assert actions.shape == (3, 16, 7)
    assert actions.abs().max() <= 1


def test_each_hidden_state_gives_its_own_frames():
    head, hidden = make(), torch.randn(1, 4, 8)
    other = hidden.clone()
    other[:, 2] += 1
    changed = (head(hidden) != head(other)).any(dim=-1)[0]
    assert changed.tolist() == [8 <= t < 12 for t in range(16)]


def test_statistics_scale_the_output_and_the_loss():
    head, hidden = make(), torch.randn(2, 4, 8) * 0.1
    raw = head(hidden)[..., :6]
    mean, std = torch.linspace(-0.2, 0.2, 6), torch.linspace(0.1, 0.5, 6)
    head.set_normalization(mean, std)
    torch.testing.assert_close(head(hidden)[..., :6], raw * std + mean)
    target = head(hidden).detach()
    assert head.loss(hidden, target)['arm'] < 1e-10
    target[..., 0] += 0.1  # x is 0.1 wide: one deviation of one of six
    assert head.loss(hidden, target)['arm'] == pytest.approx(1 / 6, rel=1e-4)


@pytest.mark.parametrize('kind', ['bce', 'mse'])
def test_it_learns_arm_and_gripper(kind):
    head = make(gripper_loss=kind)
    hidden = torch.randn(16, 4, 8)
    actions = torch.tanh(torch.randn(16, 16, 7))
    actions[..., 6] = actions[..., 6].sign()
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    first = head.loss(hidden, actions)['loss'].item()
    for _ in range(150):
        out = head.loss(hidden, actions)
        optimizer.zero_grad()
        out['loss'].backward()
        optimizer.step()
    assert out['loss'] < 0.6 * first
    assert out['gripper_accuracy'] > 0.85
    agree = (head(hidden)[..., 6].sign() == actions[..., 6]).float().mean()
    assert agree == pytest.approx(out['gripper_accuracy'].item(), abs=0.05)


def test_masked_frames_weigh_nothing():
    head, hidden = make(), torch.randn(2, 4, 8)
    actions = torch.rand(2, 16, 7)
    valid = torch.ones(2, 16, dtype=torch.bool)
    valid[0, 10:] = False
    want = head.loss(hidden, actions, valid)['loss']
    actions[0, 10:] = -1
    assert torch.equal(head.loss(hidden, actions, valid)['loss'], want)
    none = head.loss(hidden, actions, torch.zeros(2, 16, dtype=torch.bool))
    assert none['loss'] == 0


def test_bad_input():
    with pytest.raises(ValueError, match='gripper_loss'):
        make(gripper_loss='hinge')
    with pytest.raises(ValueError, match=r'hidden must be \(B, 4, 8\)'):
        make()(torch.zeros(1, 3, 8))
    with pytest.raises(ValueError, match='actions must be'):
        make().loss(torch.zeros(1, 4, 8), torch.zeros(1, 8, 7))
    with pytest.raises(ValueError, match='above 0'):
        make().set_normalization(torch.zeros(6), torch.zeros(6))
    with pytest.raises(ValueError, match='six numbers'):
        make().set_normalization(torch.zeros(7), torch.ones(7))
