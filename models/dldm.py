# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""dLDM: VideoWorld 2's dynamics-enhanced latent dynamics model, section 3 and Algorithm 1.

A clip of 1 + T frames becomes K = 1 + T/4 latent frames; N learnable queries read f_0..f_k for
each k >= 1 and give N codes of 1000; the decoder rebuilds the clip from f_0 and the codes alone.

Where Algorithm 1 is silent: the queries' attention has a learned bias over the distance k - j (the
same queries serve every k, so they need to tell the newest frame); code group k belongs to frames
4k-3..4k; spatial reduction is 8x, since our images are small.
Switches away from it: `relative` (codes of the change since f_0), `residual` (the decoder adds to
the first frame), `motion_weight` (changed pixels weigh more in the MSE), `detach_first_frame`,
`sees` (2: the public research code's, whose queries read two adjacent latent frames).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.data.pictures import sides
from vw2_ros.models.fsq import FSQ
from vw2_ros.models.parallel import gather, rank, world


@dataclass(frozen=True)
class DLDMConfig:
    """Sizes and switches of the dLDM."""

    image_size: int | tuple[int, int] = 64  # side of square frames [px], or (height, width)
    clip_frames: int = 17  # 1 + T, T a multiple of 4; the paper: 93
    # Of the encoder at 1/4 of the size, at 1/8 (half the frames), at 1/8 (a quarter of them).
    channels: tuple[int, ...] = (32, 48, 64)
    # Of the decoder at 1/8 (a quarter of the frames), at 1/4 (half of them), at 1/4 (all).
    decoder_channels: tuple[int, ...] = (64, 32, 24)
    query_width: int = 128  # of the queries' attention
    query_heads: int = 4  # of the queries' attention
    levels: tuple[int, ...] = (8, 5, 5, 5)  # of FSQ: a codebook of 1000, the paper's best
    queries: int = 4  # N, codes per latent step; the paper's best
    # Codes of the change since f_0, so that they cannot name the scene; not in Algorithm 1.
    relative: bool = False
    residual: bool = False  # the decoder adds to the first frame; Algorithm 1: makes the picture
    motion_weight: float = 0.0  # extra weight of pixels that moved; 0: Algorithm 1's plain MSE
    detach_first_frame: bool = False  # no gradient through f_0
    sees: int = 0  # latent frames that a step's queries read, up to its own; 0: all, the paper's

    def __post_init__(self) -> None:
        object.__setattr__(self, 'channels', tuple(self.channels))
        object.__setattr__(self, 'decoder_channels', tuple(self.decoder_channels))
        object.__setattr__(self, 'levels', tuple(self.levels))
        height, width = sides(self.image_size)
        object.__setattr__(self, 'image_size', height if height == width else (height, width))
        if min(self.size) < 16 or any(side % 8 for side in self.size):
            raise InvalidValueError(
                'image_size must be a multiple of 8, at least 16, or two of them. '
                f'Got {self.image_size}.'
            )
        if self.clip_frames < 5 or self.clip_frames % 4 != 1:
            raise InvalidValueError(
                f'clip_frames must be 1 + a multiple of 4, at least 5. Got {self.clip_frames}.'
            )
        if len(self.channels) != 3 or len(self.decoder_channels) != 3:
            raise InvalidValueError(
                'channels and decoder_channels must hold three sizes each. '
                f'Got {self.channels} and {self.decoder_channels}.'
            )
        if min(*self.channels, *self.decoder_channels, self.queries) < 1:
            raise InvalidValueError(f'channels and queries must be at least 1. Got {self}.')
        if self.query_width % self.query_heads:
            raise InvalidValueError(
                'query_width must be a multiple of query_heads. '
                f'Got {self.query_width} and {self.query_heads}.'
            )
        if self.sees < 0:
            raise InvalidValueError(f'sees must be at least 0. Got {self.sees}.')
        if self.motion_weight < 0:
            raise InvalidValueError(f'motion_weight must be at least 0. Got {self.motion_weight}.')

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames [px]."""
        return sides(self.image_size)

    @property
    def places(self) -> tuple[int, int]:
        """Height and width of a latent frame."""
        return self.size[0] // 8, self.size[1] // 8

    @property
    def latent_frames(self) -> int:
        """K."""
        return 1 + (self.clip_frames - 1) // 4

    @property
    def steps(self) -> int:
        """K - 1, latent steps of a clip."""
        return self.latent_frames - 1

    @property
    def codebook_size(self) -> int:
        """Number of different codes."""
        return FSQ(self.levels).codebook_size


class CausalConv3d(nn.Module):
    """3D convolution over (B, C, F, H, W) whose output frame t sees input frames <= t only.

    The frames before the first are copies of the first: a still start looks still.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        time: int = 3,
        space: int = 3,
        time_stride: int = 1,
        space_stride: int = 1,
    ) -> None:
        super().__init__()
        self.time = time
        self.conv = nn.Conv3d(
            inputs,
            outputs,
            (time, space, space),
            (time_stride, space_stride, space_stride),
            (0, (space - space_stride + 1) // 2, (space - space_stride + 1) // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.time > 1:
            x = torch.cat([x[:, :, :1].expand(-1, -1, self.time - 1, -1, -1), x], dim=2)
        return self.conv(x)


class FrameNorm(nn.Module):
    """Norm over the channels of each place of each frame: nothing crosses time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        # (B, C, F, H, W) -> channels last (free in channels_last_3d) -> back
        return self.norm(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


class Block(nn.Module):
    """x + causal convolutions: one in space, one in time."""

    def __init__(self, channels: int, time: int = 3) -> None:
        super().__init__()
        self.norm = FrameNorm(channels)
        self.space = CausalConv3d(channels, channels, time=1)
        self.time = CausalConv3d(channels, channels, time=time, space=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.time(F.gelu(self.space(self.norm(x))))


class CodeNorm(nn.Module):
    """Each number of each step's codes to mean 0 and deviation 1 over the clips of the batch.

    Codes that hardly differ between clips collapse: the decoder learns to live without them before
    they say anything. Statistics of step k come from step k alone, so nothing crosses time; in
    eval mode they are fixed running ones. Where several processes train together, the batch is
    that of all of them.
    """

    def __init__(self, steps: int, queries: int, dim: int, momentum: float = 0.02) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer('mean', torch.zeros(steps, queries, dim))
        self.register_buffer('var', torch.ones(steps, queries, dim))

    def forward(self, z: Tensor) -> Tensor:
        """(B, steps, N, C) -> the same shape."""
        B, steps = z.shape[:2]
        # One clip has no statistics.
        train = self.training and B * world() > 1
        z = gather(z) if train else z
        # (B, steps, N, C) -> (B, steps * N * C); the buffers' slices are views, updated in place
        out = F.batch_norm(
            z.flatten(1),
            self.mean[:steps].view(-1),
            self.var[:steps].view(-1),
            training=train,
            momentum=self.momentum,
        ).view_as(z)
        return out[rank() * B : (rank() + 1) * B] if train else out


class Queries(nn.Module):
    """Algorithm 1, `ldm.qformer`: N learnable queries read f_0..f_k, then an MLP."""

    def __init__(self, config: DLDMConfig) -> None:
        super().__init__()
        c = config
        W, places = c.query_width, math.prod(c.places)
        self.heads, self.relative = c.query_heads, c.relative
        self.sees = c.sees or c.latent_frames
        self.q = nn.Parameter(torch.randn(c.queries, W) * W**-0.5)
        self.norm = nn.LayerNorm(c.channels[-1])
        self.key = nn.Linear(c.channels[-1], W)
        self.value = nn.Linear(c.channels[-1], W)
        self.place = nn.Parameter(torch.randn(places, W) * 0.5)
        self.where = nn.Parameter(torch.randn(places, W) * 0.5)
        # bias[h, n, k - j]; the newest frame starts a little ahead.
        bias = -0.5 * torch.arange(c.latent_frames).float()
        self.bias = nn.Parameter(bias.expand(c.query_heads, c.queries, -1).clone())
        self.mlp = nn.Sequential(
            nn.LayerNorm(W), nn.Linear(W, 2 * W), nn.GELU(), nn.Linear(2 * W, W)
        )
        # The norm keeps FSQ's tanh out of saturation and its codes in use.
        self.out = nn.Sequential(
            nn.LayerNorm(W),
            nn.Linear(W, len(c.levels)),
            CodeNorm(c.steps, c.queries, len(c.levels)),
        )

    def forward(self, f: Tensor) -> Tensor:
        """Algorithm 1, l. 7-15: f (B, K, D, h, w) -> z (B, K-1, N, C) before quantisation.

        Differs: no list is filled (l. 8, 13); one masked softmax serves all k at once.
        """
        B, K, D, h, w = f.shape
        H, N, W = self.heads, self.q.shape[0], self.q.shape[1]
        x = self.norm(f.flatten(3).transpose(2, 3))  # (B, K, P, D)
        # (B, K, P, W) -> (B, H, K, P, W/H)
        key = (self.key(x) + self.place).view(B, K, -1, H, W // H).permute(0, 3, 1, 2, 4)
        value = (self.value(x) + self.where).view(B, K, -1, H, W // H).permute(0, 3, 1, 2, 4)
        q = self.q.view(N, H, W // H)
        # Scores do not depend on k but for the bias: compute them once, (B, H, N, K, P).
        score = torch.einsum('nhd,bhkpd->bhnkp', q, key) * (W // H) ** -0.5
        distance = torch.arange(K)[:, None] - torch.arange(K)  # (K, K): k - j. Alg. 1 l. 9
        distance = distance.to(f.device)
        bias = self.bias[:, :, distance.clamp(min=0)]  # (H, N, K, K)
        unseen = (distance < 0) | (distance >= self.sees)  # f_k is f_0..f_k. Alg. 1 l. 10
        bias = bias.masked_fill(unseen, float('-inf'))
        # (B, H, N, 1, K, P) + (H, N, K, K, 1) -> softmax over the K * P places of f_0..f_k
        weight = (score.unsqueeze(3) + bias.unsqueeze(-1)).flatten(4).softmax(dim=-1)
        z = torch.einsum('bhnks,bhsd->bknhd', weight, value.flatten(2, 3))  # Alg. 1 l. 11
        z = z.reshape(B, K, N, W)  # Alg. 1 l. 14
        # k = 0 has no code; it is what there was to see before anything moved.
        z = z[:, 1:] - z[:, :1] if self.relative else z[:, 1:]  # (B, K-1, N, W)
        z = z + self.q
        z = z + self.mlp(z)  # Alg. 1 l. 12
        return self.out(z)  # Alg. 1 l. 15


class CodeAttention(nn.Module):
    """Frames of latent step k look at the N codes of step k, and at nothing else."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(code, channels, bias=False)
        self.value = nn.Linear(code, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, C, 1 + r(K-1), h, w), z (B, K-1, N, E) -> x with the codes' message added."""
        B, C, frames, h, w = x.shape
        steps = z.shape[1]
        x = x.permute(0, 2, 3, 4, 1)  # (B, F, h, w, C)
        # Frames r(k-1)+1 .. rk belong to step k: (B, K-1, r*h*w, C)
        later = x[:, 1:].reshape(B, steps, -1, C)
        key, value = self.key(z), self.value(z)  # (B, K-1, N, C)
        score = self.query(self.norm(later)) @ key.transpose(2, 3) * C**-0.5
        later = later + self.out(score.softmax(dim=-1) @ value)
        x = torch.cat([x[:, :1], later.view(B, frames - 1, h, w, C)], dim=1)
        return x.permute(0, 4, 1, 2, 3)


class Up(nn.Module):
    """`space` times the size and `time` times the frames (frame 0 stays one frame)."""

    def __init__(self, inputs: int, outputs: int, space: int, time: int) -> None:
        super().__init__()
        self.space, self.time = space, time
        self.project = nn.Linear(inputs, outputs * time * space * space)

    def forward(self, x: Tensor) -> Tensor:
        B, _, frames, h, w = x.shape
        r, s = self.time, self.space
        x = self.project(x.permute(0, 2, 3, 4, 1))  # (B, F, h, w, r*s*s*C)
        C = x.shape[-1] // (r * s * s)
        x = x.view(B, frames, h, w, r, s, s, C).permute(0, 1, 4, 2, 5, 3, 6, 7)
        x = x.reshape(B, frames * r, h * s, w * s, C)
        # Frame 0 would become r frames: only its last is kept.
        return x[:, r - 1 :].permute(0, 4, 1, 2, 3)


class DLDM(nn.Module):
    """Encoder, queries, FSQ, decoder: the codes of a clip, and the clip of the codes."""

    def __init__(self, config: DLDMConfig) -> None:
        super().__init__()
        self.config = c = config
        b, d, e = c.channels
        # Large overlapping patches first: at full size nothing else is affordable on a CPU.
        self.encoder = nn.Sequential(
            CausalConv3d(3, b, time=1, space=8, space_stride=4),
            nn.GELU(),
            FrameNorm(b),
            CausalConv3d(b, d, time=3, space=3, time_stride=2, space_stride=2),
            nn.GELU(),
            FrameNorm(d),
            CausalConv3d(d, e, time=3, space=3, time_stride=2),
            Block(e),
            Block(e),
        )
        self.qformer = Queries(c)
        self.fsq = FSQ(c.levels)
        p, q, r = c.decoder_channels
        code = 64
        self.code_embedding = nn.Sequential(
            nn.Linear(len(c.levels), code), nn.GELU(), nn.Linear(code, code)
        )
        self.code_query = nn.Parameter(torch.randn(c.queries, code) * 0.5)
        self.from_first = nn.Conv2d(e, p, 1)
        self.place = nn.Parameter(torch.randn(p, *c.places) * 0.1)
        self.decoder = nn.ModuleList(
            [
                nn.ModuleList([Block(p), CodeAttention(p, code), Up(p, q, space=2, time=2)]),
                nn.ModuleList([Block(q), CodeAttention(q, code), Up(q, r, space=1, time=2)]),
                nn.ModuleList([Block(r), CodeAttention(r, code), Up(r, 3, space=4, time=1)]),
            ]
        )
        if c.residual:
            # Begin near "nothing changes".
            nn.init.normal_(self.decoder[-1][-1].project.weight, std=1e-3)
            nn.init.zeros_(self.decoder[-1][-1].project.bias)
        self.encoder.to(memory_format=torch.channels_last_3d)
        self.decoder.to(memory_format=torch.channels_last_3d)

    def encode(self, video: Tensor) -> Tensor:
        """Algorithm 1, l. 1-6: clip -> latent frames.

        Args:
            video: float (B, F, 3, H, W) in [0, 1], F = 1 + a multiple of 4, at most clip_frames
                (F = 1 gives f_0 alone).
        Returns:
            f, float (B, K, D, H/8, W/8), K = 1 + (F-1)/4; f_k sees frames <= 4k only.
        Raises:
            ValueError: on another shape or dtype.
        """
        c = self.config
        if (
            not video.is_floating_point()
            or video.dim() != 5
            or video.shape[2:] != (3, *c.size)
            or video.shape[1] % 4 != 1
            or video.shape[1] > c.clip_frames
        ):
            raise InvalidValueError(
                f'video must be float (B, 1 + 4n <= {c.clip_frames}, 3, '
                f'{c.size[0]}, {c.size[1]}). '
                f'Got {video.dtype} {tuple(video.shape)}.'
            )
        # (B, F, 3, H, W) -> (B, 3, F, H, W)
        x = video.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d) * 2 - 1
        return self.encoder(x).transpose(1, 2)  # (B, K, D, h, w)

    def query(self, f: Tensor) -> Tensor:
        """Algorithm 1, l. 7-15: f (B, K, D, h, w) -> z continuous (B, K-1, N, C)."""
        return self.qformer(f)

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Algorithm 1, l. 26: z -> codes on the grid (B, K-1, N, C), indices int64 (B, K-1, N)."""
        return self.fsq(z)

    def codes_to_embedding(self, indices: Tensor) -> Tensor:
        """Indices int64 (B, K-1, N) -> the codes `decode` takes, float (B, K-1, N, C)."""
        return self.fsq.indices_to_codes(indices)

    @torch.no_grad()
    def tokenize(self, video: Tensor) -> Tensor:
        """Clip float (B, F, 3, H, W) -> code indices int64 (B, K-1, N)."""
        return self.quantize(self.query(self.encode(video)))[1]

    def decode(self, codes: Tensor, f0: Tensor, first_frame: Tensor | None = None) -> Tensor:
        """Algorithm 1, l. 16-23: codes and f_0 -> the low-fidelity clip.

        Args:
            codes: float (B, K-1, N, C) on the FSQ grid. f0: float (B, D, h, w), the encoder's
                `encode(..)[:, 0]`.
            first_frame: float (B, 3, H, W) in [0, 1]; needed where the config says `residual`.
        Returns:
            float (B, F, 3, H, W), about [0, 1], not clamped; frame t sees codes of steps
            <= ceil(t / 4) only.
        Raises:
            ValueError: if first_frame is missing or a shape is another.
        """
        c = self.config
        B, steps = codes.shape[:2]
        if codes.shape[2:] != (c.queries, len(c.levels)):
            raise InvalidValueError(
                f'codes must be (B, K-1, {c.queries}, {len(c.levels)}). Got {tuple(codes.shape)}.'
            )
        x = self.change(codes, f0)
        if not c.residual:
            return x + 0.5
        if first_frame is None:
            raise InvalidValueError(
                'this dLDM decodes the change from the first frame: give first_frame '
                f'float (B, 3, {c.size[0]}, {c.size[1]}).'
            )
        return first_frame.unsqueeze(1) + x

    def change(self, codes: Tensor, f0: Tensor) -> Tensor:
        """The decoder's own output (B, F, 3, H, W), before a first frame or grey is added."""
        B, steps = codes.shape[:2]
        # Repeat f_0 for K frames.                                           Alg. 1 l. 17
        x = (self.from_first(f0) + self.place).unsqueeze(2).expand(-1, -1, steps + 1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        z = self.code_embedding(codes) + self.code_query
        for block, attend, up in self.decoder:  # Alg. 1 l. 18
            x = block(x)  # Alg. 1 l. 19
            x = attend(x, z)  # Alg. 1 l. 20-21
            x = up(x)  # Alg. 1 l. 22
        return x.transpose(1, 2)  # (B, F, 3, H, W)

    def reconstruction_loss(
        self, decoded: Tensor, video: Tensor, mse: float = 1.0, l1: float = 0.0
    ) -> Tensor:
        """Weights of MSE and L1, with `motion_weight` on what differs from the first frame."""
        error = mse * (decoded - video).square()
        if l1:
            error = error + l1 * (decoded - video).abs()
        if self.config.motion_weight:
            moved = (video - video[:, :1]).abs().amax(dim=2, keepdim=True)
            error = error * (1 + self.config.motion_weight * moved)
        return error.mean()

    def loss(
        self,
        video: Tensor,
        denoising: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        stop_gradient: bool = True,
        reconstruction: Callable[[Tensor, Tensor], Tensor] | None = None,
        labels: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Algorithm 1, main function.

        Args:
            video: float (B, clip_frames, 3, H, W) in [0, 1].
            denoising: the video diffusion model's loss, called as denoising(video, z, rec) with
                z the quantised codes with gradient and rec the detached reconstruction. None is
                the warm-up stage: the reconstruction trains the codes.
            stop_gradient: whether the reconstruction leaves the codes alone where there is a
                denoising loss; False is an ablation of the paper.
            reconstruction: instead of `reconstruction_loss`, called as reconstruction(rec, video).
            labels: a further loss of the codes, not in the paper, called as labels(z).
        Returns:
            loss, reconstruction_loss, mse (plain, detached), indices (B, K-1, N),
            reconstruction (B, F, 3, H, W) detached; and denoising_loss, label_loss where there
            is one.
        """
        f = self.encode(video)  # Alg. 1 l. 25
        z = self.query(f)
        f0 = f[:, 0].detach() if self.config.detach_first_frame else f[:, 0]
        codes, indices = self.quantize(z)  # Alg. 1 l. 26
        alone = denoising is not None and stop_gradient
        given = codes.detach() if alone else codes  # sg(z)
        decoded = self.decode(given, f0, video[:, 0])  # Alg. 1 l. 28
        reconstruction = reconstruction or self.reconstruction_loss
        loss = rec_loss = reconstruction(decoded, video)  # Alg. 1 l. 29
        out = {
            'reconstruction_loss': rec_loss.detach(),
            'indices': indices,
            'mse': (decoded - video).square().mean().detach(),
            'reconstruction': decoded.detach(),
        }
        if denoising is not None:
            denoised = denoising(video, codes, decoded.detach())  # Alg. 1 l. 30
            loss = rec_loss + denoised  # Alg. 1 l. 31
            out['denoising_loss'] = denoised.detach()
        if labels is not None:
            told = labels(codes)
            loss = loss + told
            out['label_loss'] = told.detach()
        out['loss'] = loss
        return out
