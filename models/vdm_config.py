# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Sizes and switches of the VDM, and what diffusers' classes are built with from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.vdm_patches import FIRST_SIZE

KINDS = {
    'mask': ('cumulative', 'current', 'full'),
    'connector': ('mlp_self', 'mlp', 'conv'),
    'self_attention': ('bidirectional', 'frame_causal'),
    'vae': ('wan', 'patch'),
    'predict': ('velocity', 'x0'),
}


@dataclass(frozen=True)
class VDMConfig:
    """Sizes and switches of the VDM; the defaults are the paper's (Cosmos-Predict2 2B, 480p)."""

    # The clip.
    height: int = 480  # of the frames [px], a multiple of 8 * patch
    width: int = 832  # of the frames [px], a multiple of 8 * patch
    clip_frames: int = 93  # 1 + T, T a multiple of 4
    fps: float = 16  # frames/s that the time positions are told; training sets that of its clips

    # The codes, as the dLDM has them.
    queries: int = 4  # N, codes per latent step
    code_size: int = 4  # numbers per code

    # The backbone.
    heads: int = 16
    head_size: int = 128
    layers: int = 28
    context: int = 1024  # width of what the cross-attention reads
    adaln: int = 256  # rank of the time modulation
    patch: int = 2  # side of a token, in latent places
    rope_scale: tuple[float, ...] = (1.0, 3.0, 3.0)  # of the time, height and width positions

    # How the codes enter.
    mask: str = 'cumulative'  # frame t sees steps <= t; `current`: step t alone; `full`: all steps
    connector: str = 'mlp_self'  # MLP + causal self-attention over steps; `mlp`: without it;
    # `conv`: convolutions over steps instead, not causal
    learned_null: bool = True  # the null token is learned, else zeros
    self_attention: str = (
        'bidirectional'  # as Cosmos was trained, so codes leak to earlier frames;
    )
    # `frame_causal`: frame t sees frames <= t, for a VDM that is trained from scratch

    # The control branch, which sees the low-fidelity video.
    control: bool = True  # whether there is one
    control_blocks: int = 3  # that spread evenly over the layers
    control_weight: float = 1.0  # scale of what it adds; 0.5 in the public research code
    control_grey: bool = False  # it sees the video without colours
    detach_control: bool = True  # no gradient through its video and its codes (the paper's sg)

    # What the backbone predicts, as Cosmos does: `velocity`; `x0`: the clean latents, which a small
    # model learns sooner. Either is trained by the velocity's error.
    predict: str = 'velocity'

    # The VAE: 8x in space, 4x in time.
    vae: str = 'wan'  # Wan's, learned; `patch`: principal directions of patches, see `PatchCode`
    vae_channels: int = 16  # of the latents
    vae_width: int = 96  # base width
    vae_blocks: int = 2  # residual blocks per level
    vae_patch: int = (
        1  # side of the pixel squares that it starts from; 2: as Wan 2.2's VAE, with its
    )
    # shortcuts past every level, which learns much sooner

    def __post_init__(self) -> None:
        object.__setattr__(self, 'rope_scale', tuple(self.rope_scale))
        if min(v for v in vars(self).values() if type(v) is int) < 1:
            raise InvalidValueError(f'every size must be at least 1. Got {self}.')
        side, branched = 8 * self.patch, len(range(0, self.layers, self.control_every))
        for name, holds, wanted in (
            ('height', self.height % side == 0, f'a multiple of 8 * patch = {side}'),
            ('width', self.width % side == 0, f'a multiple of 8 * patch = {side}'),
            (
                'clip_frames',
                self.clip_frames >= 5 and self.clip_frames % 4 == 1,
                '1 + a multiple of 4, at least 5',
            ),
            ('fps', self.fps > 0, 'above 0'),
            # a third of it turns with each axis
            ('head_size', self.head_size >= 12 and self.head_size % 2 == 0, 'even, >= 12'),
            (
                'rope_scale',
                len(self.rope_scale) == 3 and min(self.rope_scale) > 0,
                'three positive numbers',
            ),
            *(
                (name, getattr(self, name) in known, f'one of {known}')
                for name, known in KINDS.items()
            ),
            (
                'control_blocks',
                branched == self.control_blocks,
                f'a number that spreads evenly over {self.layers} layers',
            ),
            ('control_weight', self.control_weight >= 0, 'at least 0'),
            ('vae_patch', self.vae_patch in (1, 2), '1 or 2'),
            (
                'vae_channels',
                self.vae == 'wan' or self.vae_channels <= FIRST_SIZE,
                f'at most {FIRST_SIZE} where vae is patch',
            ),
        ):
            if not holds:
                raise InvalidValueError(f'{name} must be {wanted}. Got {getattr(self, name)!r}.')

    def identity(self) -> dict[str, Any]:
        """Return what runs are told apart by: younger fields only where they are not the default,
        so that a run which was begun before them goes on.
        """
        younger = {'vae': 'wan', 'predict': 'velocity'}
        return {k: v for k, v in asdict(self).items() if younger.get(k) != v}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames [px]."""
        return self.height, self.width

    @property
    def latent_frames(self) -> int:
        """K."""
        return 1 + (self.clip_frames - 1) // 4

    @property
    def steps(self) -> int:
        """K - 1, latent steps of a clip."""
        return self.latent_frames - 1

    @property
    def places(self) -> int:
        """Tokens of one latent frame."""
        return (self.height // (8 * self.patch)) * (self.width // (8 * self.patch))

    @property
    def control_every(self) -> int:
        """Every how many layers the control branch adds to the backbone."""
        return -(-self.layers // self.control_blocks)


_SMALL = VDMConfig(
    height=64,
    width=64,
    clip_frames=17,
    heads=4,
    head_size=32,
    layers=6,
    context=128,
    adaln=64,
    rope_scale=(1.0, 1.0, 1.0),
    control_blocks=3,
    self_attention='frame_causal',
    vae_width=16,
    vae_blocks=1,
    vae_patch=2,
)


# For the tests, for two CPU cores, for one GPU, and as the paper has it.
CONFIGS = {
    'tiny': replace(
        _SMALL,
        height=32,
        width=32,
        clip_frames=13,
        heads=2,
        head_size=16,
        layers=2,
        context=32,
        adaln=16,
        control_blocks=1,
        vae_width=4,
        vae_channels=8,
    ),
    'cpu': _SMALL,
    'gpu': replace(_SMALL, height=96, width=96, heads=6, context=192, adaln=32, vae_width=24),
    'paper': VDMConfig(),
}


def cosmos_sizes(c: VDMConfig) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What CosmosTransformer3DModel, CosmosControlNetModel and AutoencoderKLWan are built with.

    One channel tells which frames are clean, one (always 0 here) which places are padding.
    """
    shared = {
        'num_attention_heads': c.heads,
        'attention_head_dim': c.head_size,
        'mlp_ratio': 4.0,
        'text_embed_dim': c.context,
        'adaln_lora_dim': c.adaln,
        'rope_scale': c.rope_scale,
        'patch_size': (1, c.patch, c.patch),
        'extra_pos_embed_type': None,
        'use_crossattn_projection': False,
        'img_context_dim_in': None,
    }
    transformer = {
        **shared,
        'in_channels': c.vae_channels + 1,
        'out_channels': c.vae_channels,
        'num_layers': c.layers,
        'concat_padding_mask': True,
    }
    control = {
        **shared,
        'in_channels': c.vae_channels + 2,
        'latent_channels': c.vae_channels + 2,
        'model_channels': c.heads * c.head_size,
        'n_controlnet_blocks': c.control_blocks,
    }
    squares = c.vae_patch == 2  # they halve the size already, so one level less has to
    pixels = 12 if squares else 3
    vae = {
        'base_dim': c.vae_width,
        'z_dim': c.vae_channels,
        'num_res_blocks': c.vae_blocks,
        'dim_mult': [1, 2, 2] if squares else [1, 2, 4, 4],
        'temperal_downsample': [True, True] if squares else [False, True, True],
        'in_channels': pixels,
        'out_channels': pixels,
        'patch_size': 2 if squares else None,
        'is_residual': squares,
    }
    return transformer, control, vae
