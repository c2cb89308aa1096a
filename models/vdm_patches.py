# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""PatchCode: a fixed linear code of video for a small VDM, in place of a learned autoencoder.

A clip is cut into space-time patches of 4 frames x 8 x 8 pixels, each relative to the same place of
the first frame. A latent holds the patch's coordinates along the principal directions of many such
patches, so there is nothing to train. The first frame is coded by itself, in patches of 8 x 8
pixels. Sizes are those of Wan's autoencoder: 8x in space, 4x in time, causal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError

SIDE, FRAMES = 8, 4  # of a patch [px], [frames]
FIRST_SIZE, SIZE = 3 * SIDE * SIDE, FRAMES * 3 * SIDE * SIDE  # numbers in a patch: 192, 768
GREY = 0.5  # what the pixels of a first frame are relative to
_LEAST_SCALE = 1e-6


class PatchCode(nn.Module):
    """Clip (B, 1 + 4n, 3, H, W) in [0, 1] <-> latents float32 (B, C, 1 + n, H / 8, W / 8).

    The latents of the first frame, and all others together, have a mean square of 1 over the clips
    that it was fitted to. One scale serves all channels, so that a direction of little weight stays
    small.

    Args:
        channels: C, how many principal directions are kept, 1 to 192.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if not 1 <= channels <= FIRST_SIZE:
            raise InvalidValueError(f'channels must lie in 1..{FIRST_SIZE}. Got {channels}.')
        self.register_buffer('first_directions', torch.eye(channels, FIRST_SIZE))  # (C, 192)
        self.register_buffer('directions', torch.eye(channels, SIZE))  # (C, 768)
        self.register_buffer(
            'scales', torch.ones(2)
        )  # of the first frame's latents, of the others

    @torch.no_grad()
    def fit(self, video: Tensor) -> None:
        """Take directions and scales from clips (B, 1 + 4n, 3, H, W) in [0, 1]."""
        parts = (self._first_patches(video[:, 0]), self._patches(video))
        for i, (patches, kept) in enumerate(zip(parts, (self.first_directions, self.directions))):
            rows = patches.reshape(-1, patches.shape[-1])  # (B * places, 192 or 768)
            moments = sum(part.double().T @ part.double() for part in rows.split(65536)) / len(
                rows
            )
            values, vectors = torch.linalg.eigh(moments)  # ascending; columns are directions
            best = vectors.T.flip(0)[: len(kept)]
            largest = best.gather(1, best.abs().argmax(1, keepdim=True))  # (C, 1)
            kept.copy_(best * largest.sign())  # the same signs on every machine
            power = values.flip(0)[: len(kept)].mean()
            self.scales[i] = power.clamp(min=_LEAST_SCALE**2).sqrt()

    def encode(self, video: Tensor) -> Tensor:
        """Clip float (B, 1 + 4n, 3, H, W) in [0, 1] -> latents float32 (B, C, 1 + n, h, w)."""
        first = self._first_patches(video[:, 0]) @ self.first_directions.T / self.scales[0]
        latents = first[:, None]  # (B, 1, h, w, C)
        if video.shape[1] > 1:
            rest = self._patches(video) @ self.directions.T / self.scales[1]  # (B, n, h, w, C)
            latents = torch.cat([latents, rest], dim=1)
        return latents.permute(0, 4, 1, 2, 3)

    def decode(self, latents: Tensor, first_frame: Tensor | None = None) -> Tensor:
        """Latents (B, C, 1 + n, h, w) -> clip float32 (B, 1 + 4n, 3, H, W), not clamped.

        Args:
            first_frame: (B, 3, H, W), what the others are relative to; None: the one in the latents.
        """
        B, _, K, h, w = latents.shape
        latents = latents.permute(0, 2, 3, 4, 1)  # (B, K, h, w, C)
        if first_frame is None:
            pixels = latents[:, 0] * self.scales[0] @ self.first_directions  # (B, h, w, 192)
            pixels = pixels.view(B, h, w, 3, SIDE, SIDE).permute(0, 3, 1, 4, 2, 5)
            first_frame = pixels.reshape(B, 3, h * SIDE, w * SIDE) + GREY
        if K == 1:
            return first_frame[:, None]
        pixels = latents[:, 1:] * self.scales[1] @ self.directions  # (B, n, h, w, 768)
        pixels = pixels.view(B, K - 1, h, w, FRAMES, 3, SIDE, SIDE).permute(0, 1, 4, 5, 2, 6, 3, 7)
        rest = pixels.reshape(B, (K - 1) * FRAMES, 3, h * SIDE, w * SIDE)
        return torch.cat([first_frame[:, None], rest + first_frame[:, None]], dim=1)

    def _first_patches(self, frame: Tensor) -> Tensor:
        """Frame (B, 3, H, W) -> patches (B, h, w, 192)."""
        B, _, H, W = frame.shape
        x = (frame - GREY).view(B, 3, H // SIDE, SIDE, W // SIDE, SIDE)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(B, H // SIDE, W // SIDE, FIRST_SIZE)

    def _patches(self, video: Tensor) -> Tensor:
        """Clip (B, 1 + 4n, 3, H, W) -> patches relative to its first frame (B, n, h, w, 768)."""
        B, F, _, H, W = video.shape
        n, h, w = (F - 1) // FRAMES, H // SIDE, W // SIDE
        x = (video[:, 1:] - video[:, :1]).reshape(B, n, FRAMES, 3, h, SIDE, w, SIDE)
        return x.permute(0, 1, 4, 6, 2, 3, 5, 7).reshape(B, n, h, w, SIZE)
