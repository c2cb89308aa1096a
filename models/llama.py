# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Llama decoder (Touvron et al. 2023, section 2.2): the planner's backbone.

RMSNorm before each block, rotary positions on queries and keys, SwiGLU between them. The names of
the parameters, the initial weights and the results are those of `transformers.LlamaModel`, whose
import alone takes 6 s of CPU time: longer than a robot's node may take to start.

Differs: the caller gives embeddings, positions and a mask; all heads have their own keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROPE_BASE = 10000.0
NORM_EPSILON = 1e-6
INITIAL_STD = 0.02

# Keys and values (B, H, S, W / H) of each layer, of all positions so far; `forward` appends to it.
Cache = dict[int, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of the decoder; `PlannerConfig` checks them."""

    vocab_size: int  # rows of the embedding table
    width: int  # of the residual stream
    hidden: int  # of the SwiGLU
    layers: int
    heads: int  # width / heads must be even: rotary positions turn pairs
    dropout: float = 0.0  # of the attention weights, in training


class RMSNorm(nn.Module):
    """x / rms(x), scaled per channel; computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + NORM_EPSILON)
        return self.weight * y.to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x[i], x[i + half]) of x (B, H, S, D) by its position's angle (1, 1, S, D)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Multi-head attention with rotary positions."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width, bias=False)
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        mask: Tensor,
        cache: Cache | None,
        layer: int,
        last: int,
    ) -> Tensor:
        """(B, S, W) -> (B, last, W): all positions are looked at, by the last ones alone."""
        B, _, W = x.shape
        # (B, S, W) -> (B, S, H, W / H) -> (B, H, S, W / H)
        q, k, v = (
            project(y).view(B, y.shape[1], self.heads, -1).transpose(1, 2)
            for project, y in ((self.q_proj, x[:, -last:]), (self.k_proj, x), (self.v_proj, x))
        )
        q, k = rotate(q, *(part[:, :, -last:] for part in turn)), rotate(k, *turn)
        if cache is not None:
            if layer in cache:
                before_k, before_v = cache[layer]
                k, v = torch.cat([before_k, k], dim=2), torch.cat([before_v, v], dim=2)
            cache[layer] = k, v
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask[..., -last:, :], dropout_p=dropout
        )
        # (B, H, last, W / H) -> (B, last, H, W / H) -> (B, last, W)
        return self.o_proj(y.transpose(1, 2).reshape(B, last, W))


class SwiGLU(nn.Module):
    """Feed-forward block: silu(gate x) * up x."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    """Attention and feed-forward block, each behind a norm, each added to the stream."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = SwiGLU(config)
        self.input_layernorm = RMSNorm(config.width)
        self.post_attention_layernorm = RMSNorm(config.width)

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        mask: Tensor,
        cache: Cache | None,
        layer: int,
        last: int,
    ) -> Tensor:
        """(B, S, W) -> (B, last, W)."""
        seen = self.self_attn(self.input_layernorm(x), turn, mask, cache, layer, last)
        x = x[:, -last:] + seen
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """A stack of decoder layers over embeddings that the caller makes."""

    _no_split_modules = ['DecoderLayer']  # what FSDP cuts into pieces as one

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width)
        size = config.width // config.heads
        inverse = 1.0 / ROPE_BASE ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
        self.register_buffer('_inverse', inverse, persistent=False)  # radians per position
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=INITIAL_STD)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        positions: Tensor,
        cache: Cache | None = None,
        last: int | None = None,
    ) -> Tensor:
        """Hidden states of embeddings.

        Args:
            x: (B, S, W). positions: int64 (S,).
            mask: bool, broadcast to (B, 1, S, all positions so far), True where a query may look.
            cache: positions before these; gets these too.
            last: how many positions' hidden states are wanted, from the end; None: of all. The last
                layer is spared the others, which nobody looks at any more.
        Returns:
            (B, last, W), normalized.
        """
        angles = positions[:, None].float() * self._inverse.float()  # (S, D / 2)
        angles = torch.cat([angles, angles], dim=-1)[None, None]  # (1, 1, S, D)
        turn = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for number, layer in enumerate(self.layers, 1):
            wanted = last if last and number == len(self.layers) else x.shape[1]
            x = layer(x, turn, mask, cache, number, wanted)
        return self.norm(x)
