# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Latent planner: VideoWorld 2's autoregressive transformer, section 3 and appendix A.

instruction + first image + codes so far -> the codes of the next step. The hidden states that
predict the codes are what the action head reads (appendix A, "Latent pre-training on CALVIN").

Differs: the N codes of a step are predicted together by N heads from one position, not one after
another (a third of the decoding time); a step's input is the sum of its N code embeddings.

    [ w_1 .. w_L | i_1 .. i_P | start | step 1 | step 2 | step 3 ]
                                  |       |        |        |
                                hidden 1  2        3        4   -> N heads -> codes of steps 1..4
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.llama import Cache, Llama, LlamaConfig
from vw2_ros.models.parallel import common_count
from vw2_ros.models.text import TextEmbedding
from vw2_ros.models.vision import KeypointEncoder, Keypoints, VisionConfig


@dataclass(frozen=True)
class PlannerConfig:
    """Sizes of the planner."""

    # Of the `Tokenizer`, which sets them.
    vocab_size: int = 512
    buckets: int = 2048  # of hashed letter groups
    max_words: int = 16  # of an instruction
    # Of the dLDM, which sets them.
    steps: int = 4  # K - 1, latent steps of a plan
    queries: int = 4  # N, codes per step
    codebook_size: int = 1000  # product of the FSQ levels
    # Of the Llama backbone.
    width: int = 192
    layers: int = 4
    heads: int = 6
    hidden: int = 512  # of its MLPs
    dropout: float = 0.0  # of its attention
    # Instruction and image tokens see each other both ways; the codes stay causal.
    prefix_bidirectional: bool = True
    vision: VisionConfig = field(default_factory=VisionConfig)

    def __post_init__(self) -> None:
        sizes = (
            self.vocab_size,
            self.buckets,
            self.max_words,
            self.steps,
            self.queries,
            self.codebook_size,
            self.width,
            self.layers,
            self.heads,
            self.hidden,
        )
        if min(sizes) < 1:
            raise InvalidValueError(f'every size must be at least 1. Got {self}.')
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise InvalidValueError(
                f'width / heads must be an even integer. Got {self.width} / {self.heads}.'
            )
        if not 0 <= self.dropout < 1:
            raise InvalidValueError(f'dropout must lie in [0, 1). Got {self.dropout}.')


class PlannerOutput(NamedTuple):
    """logits (B, steps, N, codebook), hidden (B, steps, width), codes int64 (B, steps, N)."""

    logits: Tensor
    hidden: Tensor
    codes: Tensor


class Planner(nn.Module):
    """Llama over [instruction | image | steps], one position per latent step."""

    def __init__(self, config: PlannerConfig) -> None:
        super().__init__()
        self.config = c = config
        self.text = TextEmbedding(c.vocab_size, c.buckets, c.width)
        self.vision = KeypointEncoder(c.vision, c.width)
        # Row 0 is the start of a plan, then one table of codes per query.
        rows = 1 + c.queries * c.codebook_size
        self.backbone = Llama(LlamaConfig(rows, c.width, c.hidden, c.layers, c.heads, c.dropout))
        nn.init.normal_(self.backbone.embed_tokens.weight, std=0.5)
        # RoPE tells order; these tell what kind of token it is.
        self.kind = nn.Parameter(torch.randn(3, c.width) * 0.1)
        self.heads = nn.Linear(c.width, c.queries * c.codebook_size)
        offsets = 1 + torch.arange(c.queries) * c.codebook_size
        self.register_buffer('_offsets', offsets, persistent=False)

    def _check(self, rgb: Tensor | Keypoints, tokens: Tensor) -> None:
        c = self.config
        if (
            tokens.dtype != torch.int64
            or tokens.dim() != 3
            or tokens.shape[1] > c.max_words
            or tokens.shape[0] != rgb.shape[0]
        ):
            raise InvalidValueError(
                f'tokens must be int64 (B, L <= {c.max_words}, 1 + ngrams) with the '
                f"image's batch. Got {tokens.dtype} {tuple(tokens.shape)} for rgb "
                f'{tuple(rgb.shape)}.'
            )

    def _prefix(self, rgb: Tensor | Keypoints, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embed [instruction | image]: x (B, S, W), real (B, S) bool, positions (S,)."""
        self._check(rgb, tokens)
        # Cut the padding that no instruction of the batch needs; the image keeps its positions.
        length = int((tokens[..., 0] != 0).sum(dim=1).max())
        words, real = self.text(tokens[:, :length])
        image = self.vision(rgb) + self.kind[1]
        x = torch.cat([words + self.kind[0], image], dim=1)
        real = torch.cat([real, real.new_ones(image.shape[:2])], dim=1)
        start = self.config.max_words
        positions = torch.cat(
            [
                torch.arange(length, device=x.device),
                torch.arange(start, start + image.shape[1], device=x.device),
            ]
        )
        return x, real, positions

    def _steps(self, codes: Tensor) -> Tensor:
        """Codes (B, k, N) -> step inputs (B, k, W)."""
        return self.backbone.embed_tokens(codes + self._offsets).sum(dim=2) + self.kind[2]

    def _start(self, batch: int) -> Tensor:
        """The input that asks for step 1: (B, 1, W)."""
        return (self.backbone.embed_tokens.weight[0] + self.kind[2]).expand(batch, 1, -1)

    def _mask(self, real: Tensor, steps: int) -> Tensor:
        """Attention mask (B, 1, S + steps, S + steps), True where a query may look."""
        B, S = real.shape
        total = S + steps
        allowed = torch.ones(total, total, dtype=torch.bool, device=real.device).tril()
        if self.config.prefix_bidirectional:
            allowed[:S, :S] = True
        keys = torch.cat([real, real.new_ones(B, steps)], dim=1)
        # A padding word still looks at the first word: no empty row in the softmax.
        return allowed & keys[:, None, None, :]

    def _logits(self, hidden: Tensor) -> Tensor:
        B, k, _ = hidden.shape
        # (B, k, N * codebook) -> (B, k, N, codebook)
        return self.heads(hidden).view(B, k, self.config.queries, self.config.codebook_size)

    def forward(
        self, rgb: Tensor | Keypoints, tokens: Tensor, codes: Tensor | None = None
    ) -> PlannerOutput:
        """Predict every step of a plan, with gradient.

        Args:
            rgb: uint8 (B, 3, S, S), the image at the plan's start, or the keypoints found in it.
            tokens: int64 (B, L, 1 + ngrams) of `Tokenizer.encode_batch`.
            codes: int64 (B, steps, N), teacher forcing: step k sees codes[:, :k]. None: step k
                sees the model's own greedy choices, as when it plans (for training the head on
                the hidden states that it will meet).
        Returns:
            logits, hidden, and the codes that were fed (None given: the greedy choices).
        Raises:
            ValueError: on another dtype or shape.
        """
        if codes is None:
            return self._rollout(rgb, tokens, 0.0, None)
        c = self.config
        if codes.dtype != torch.int64 or codes.shape != (rgb.shape[0], c.steps, c.queries):
            raise InvalidValueError(
                f'codes must be int64 (B, {c.steps}, {c.queries}). '
                f'Got {codes.dtype} {tuple(codes.shape)}.'
            )
        x, real, positions = self._prefix(rgb, tokens)
        B = x.shape[0]
        x = torch.cat([x, self._start(B), self._steps(codes[:, :-1])], dim=1)
        first = c.max_words + c.vision.tokens
        positions = torch.cat([positions, torch.arange(first, first + c.steps, device=x.device)])
        mask = self._mask(real, c.steps)
        hidden = self.backbone(x, mask, positions, last=c.steps)  # (B, steps, W)
        return PlannerOutput(self._logits(hidden), hidden, codes)

    def _rollout(
        self,
        rgb: Tensor | Keypoints,
        tokens: Tensor,
        temperature: float,
        generator: torch.Generator | None,
    ) -> PlannerOutput:
        """Step after step on the model's own codes, each new step one position."""
        c = self.config
        x, real, positions = self._prefix(rgb, tokens)
        B, S, _ = x.shape
        first = c.max_words + c.vision.tokens
        cache: Cache = {}
        x = torch.cat([x, self._start(B)], dim=1)
        positions = torch.cat([positions, positions.new_tensor([first])])
        mask = self._mask(real, 1)
        hiddens, logits, codes = [], [], []
        for k in range(c.steps):
            hidden = self.backbone(x, mask, positions, cache, last=1)
            hiddens.append(hidden)
            logits.append(self._logits(hidden))
            codes.append(self._choose(logits[-1].detach(), temperature, generator))
            if k + 1 < c.steps:
                x = self._steps(codes[-1])
                positions = positions.new_tensor([first + k + 1])
                keys = torch.cat([real, real.new_ones(B, k + 2)], dim=1)
                mask = keys[:, None, None, :]  # (B, 1, 1, S + k + 2)
        return PlannerOutput(torch.cat(logits, 1), torch.cat(hiddens, 1), torch.cat(codes, 1))

    @staticmethod
    def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
        """logits (B, 1, N, codebook) -> codes (B, 1, N)."""
        if temperature == 0:
            return logits.argmax(dim=-1)
        chance = (logits.float() / temperature).softmax(dim=-1)
        # (B, 1, N, V) -> (B * N, V) -> (B, 1, N)
        flat = torch.multinomial(chance.flatten(0, 2), 1, generator=generator)
        return flat.view(logits.shape[:3])

    @torch.inference_mode()
    def plan(
        self,
        rgb: Tensor,
        tokens: Tensor,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Choose a plan with a KV cache: prefix once, then one position per step.

        Args:
            temperature: 0 is greedy; above, codes are sampled with `generator`.
        Returns:
            codes int64 (B, steps, N), hidden float (B, steps, width).
        Raises:
            ValueError: on another dtype or shape, or a negative temperature.
        """
        if not temperature >= 0:
            raise InvalidValueError(f'temperature must be at least 0. Got {temperature}.')
        out = self._rollout(rgb, tokens, temperature, generator)
        return out.codes, out.hidden

    def loss(
        self, rgb: Tensor, tokens: Tensor, codes: Tensor, valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy of the next codes.

        Args:
            codes: int64 (B, steps, N). valid: bool (B, steps), False where a step has no code.
        Returns:
            loss (scalar), accuracy (scalar, detached), hidden (B, steps, width).
        """
        out = self(rgb, tokens, codes)
        # (B, steps, N, V) -> (B, V, steps, N), as cross_entropy wants it
        nll = F.cross_entropy(out.logits.permute(0, 3, 1, 2), codes, reduction='none')
        hit = (out.logits.argmax(dim=-1) == codes).float()
        weight = torch.ones_like(nll) if valid is None else valid[..., None].expand_as(nll).float()
        total = common_count(weight.sum()) if self.training else weight.sum().clamp(min=1)
        return {
            'loss': (nll * weight).sum() / total,
            'accuracy': ((hit * weight).sum() / total).detach(),
            'hidden': out.hidden,
        }
