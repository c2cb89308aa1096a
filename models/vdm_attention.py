# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How codes enter the VDM's blocks: the connector, and Cosmos' attention under masks."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from diffusers.models.controlnets import controlnet_cosmos
from diffusers.models.transformers import transformer_cosmos
from torch import Tensor, nn

from vw2_ros.models.vdm_config import VDMConfig


def _nearest(mask: Tensor, size: list[int], interpolation: str) -> Tensor:
    return F.interpolate(mask, size=size, mode=interpolation)


# Two forwards of diffusers resize a mask with torchvision, which this package does without.
for _module in (transformer_cosmos, controlnet_cosmos):
    if not hasattr(_module, 'transforms'):
        _module.transforms = SimpleNamespace(
            functional=SimpleNamespace(resize=_nearest),
            InterpolationMode=SimpleNamespace(NEAREST='nearest'),
        )


class MaskedCrossAttention(transformer_cosmos.CosmosAttnProcessor2_0):
    """Cosmos' cross-attention with a mask per query; the weights stay as they are.

    The models take a mask of keys (B, S) and give it two axes; a mask (1, Q, S) then arrives as
    (1, 1, 1, Q, S).
    """

    def __call__(
        self,
        attn,
        hidden_states,
        encoder_hidden_states=None,
        attention_mask=None,
        image_rotary_emb=None,
    ):
        if attention_mask is not None:
            attention_mask = attention_mask.squeeze(1)  # (1, 1, Q, S)
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask)


class FrameCausalAttention(transformer_cosmos.CosmosAttnProcessor2_0):
    """Cosmos' self-attention where a place of frame t sees frames <= t only.

    Args:
        places: tokens of one latent frame.
    """

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places = places

    def __call__(
        self,
        attn,
        hidden_states,
        encoder_hidden_states=None,
        attention_mask=None,
        image_rotary_emb=None,
    ):
        frame = torch.arange(hidden_states.shape[1], device=hidden_states.device) // self.places
        mask = (frame[:, None] >= frame)[None, None]  # (1, 1, Q, Q)
        return super().__call__(attn, hidden_states, None, mask, image_rotary_emb)


class Connector(nn.Module):
    """Codes -> what the cross-attention reads: MLP, causal self-attention, a null token in front."""

    def __init__(self, config: VDMConfig) -> None:
        super().__init__()
        c, W = config, config.context
        self.heads = W // 64 if W % 64 == 0 else 1
        self.mlp = nn.Sequential(nn.Linear(c.code_size, W), nn.GELU(), nn.Linear(W, W))
        self.place = nn.Parameter(torch.randn(c.steps, c.queries, W) * 0.1)
        self.attention = self.conv = None
        if c.connector == 'conv':
            self.conv = nn.Conv2d(W, W, (3, 1), padding=(1, 0))
        if c.connector == 'mlp_self':
            self.attention = nn.ModuleDict(
                {'norm': nn.LayerNorm(W), 'qkv': nn.Linear(W, 3 * W), 'out': nn.Linear(W, W)}
            )
        self.norm = nn.LayerNorm(W)
        self.null = nn.Parameter(
            torch.randn(1, 1, W) if c.learned_null else torch.zeros(1, 1, W),
            requires_grad=c.learned_null,
        )

    def forward(self, codes: Tensor) -> Tensor:
        """(B, K-1, N, E) -> (B, 1 + (K-1) * N, W); step k sees steps <= k only, but for `conv`."""
        B, steps, N, _ = codes.shape
        x = self.mlp(codes) + self.place  # (B, steps, N, W)
        if self.conv is not None:
            # (B, steps, N, W) -> (B, W, steps, N) -> back
            x = x + self.conv(F.gelu(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x.flatten(1, 2)  # (B, steps * N, W)
        if self.attention is not None:
            step = torch.arange(steps * N, device=x.device) // N
            # (B, S, 3 * W) -> (3, B, heads, S, W / heads)
            qkv = self.attention['qkv'](self.attention['norm'](x))
            qkv = qkv.view(B, steps * N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(*qkv, attn_mask=step[:, None] >= step)
            # (B, heads, S, W / heads) -> (B, S, W)
            x = x + self.attention['out'](y.transpose(1, 2).flatten(2))
        return torch.cat([self.null.expand(B, -1, -1), self.norm(x)], dim=1)
