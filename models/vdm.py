# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""VDM: VideoWorld 2's video diffusion model, section 3 and Algorithm 1, l. 30.

first frame + codes + the low-fidelity decoder's video -> the clip, by flow matching on the latents
of a causal video VAE: K = 1 + T/4 latent frames, code step k belongs to latent frame k. Backbone,
control branch, VAE and scheduler are diffusers' classes of Cosmos-Predict2 Video2World:

    codes -> Connector -> [null | step 1 | .. | step K-1] -> cross-attention of every block
    low-fidelity video -> sg -> VAE -> control branch -> added to the residual stream

Where the paper is silent: a learned null token stands for the step that frame 0 has not; keys of
Cosmos' cross-attention have no positions, so the connector adds a vector per step and query; the
control branch starts as a copy of the backbone's first blocks; instructions do not enter (the codes
carry them), so a pretrained Cosmos has to unlearn its text.
Switches away from it: `mask` (`full` is the public research code's), `connector` (`conv` is),
`self_attention`, `learned_null`, `control`, `control_weight` (0.5 is), `control_grey` (true is),
`detach_control`, `vae` (`patch` for small models), `predict`.

Sizes and switches stand in `vdm_config.py`, the attention to codes in `vdm_attention.py`, the
reading of pretrained Cosmos weights in `vdm_pipeline.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    CosmosControlNetModel,
    CosmosTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.models.transformers.transformer_cosmos import CosmosAttnProcessor2_0
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.config import from_dict
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.storage import MAX_STATE_BYTES, load_json, load_state, load_tensors
from vw2_ros.models.vdm_attention import Connector, FrameCausalAttention, MaskedCrossAttention
from vw2_ros.models.vdm_config import VDMConfig, cosmos_sizes
from vw2_ros.models.vdm_noise import Generators, NoiseDraws
from vw2_ros.models.vdm_patches import PatchCode
from vw2_ros.models.vdm_pipeline import load_pipeline_part

SIGMA_RANGE = {'sigma_max': 80.0, 'sigma_min': 0.002}  # in sampling, as Cosmos-Predict2 has it
LEAST_TIME = 0.05  # bounds the weight 1 / t^2 of an error of x0
CLEAN_TIME = 1e-4 / (1 + 1e-4)  # the time t that the model is told of a clean frame


class VDM(nn.Module):
    """Denoises the latents of a clip, given its first frame, its codes and a control video.

    Args:
        transformer, vae, scheduler: pretrained parts of the config's sizes; None: random ones.
    """

    def __init__(
        self,
        config: VDMConfig,
        transformer: CosmosTransformer3DModel | None = None,
        vae: AutoencoderKLWan | PatchCode | None = None,
        scheduler: FlowMatchEulerDiscreteScheduler | None = None,
    ) -> None:
        super().__init__()
        self.config = c = config
        sizes = cosmos_sizes(c)
        self.transformer = transformer or CosmosTransformer3DModel(**sizes[0])
        self.controlnet = CosmosControlNetModel(**sizes[1]) if c.control else None
        still = {'latents_mean': [0.0] * c.vae_channels, 'latents_std': [1.0] * c.vae_channels}
        if vae is None and c.vae == 'patch':
            vae = PatchCode(c.vae_channels)
        self.vae = vae or AutoencoderKLWan(**sizes[2], **still)
        self.scheduler = scheduler or FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
        self.scheduler.register_to_config(**SIGMA_RANGE)  # the pipeline does the same
        self.connector = Connector(c)
        blocks = list(self.transformer.transformer_blocks)
        if c.control:
            # Copies of the backbone's first blocks, whose outputs start at exactly nothing.
            net = self.controlnet
            net.time_embed.load_state_dict(self.transformer.time_embed.state_dict())
            net.patch_embed_base.load_state_dict(self.transformer.patch_embed.state_dict())
            for block, source in zip(net.control_blocks, blocks):
                block.load_state_dict(source.state_dict(), strict=False)
                nn.init.zeros_(block.after_proj.weight)
                nn.init.zeros_(block.after_proj.bias)
            self.transformer.register_to_config(controlnet_block_every_n=c.control_every)
            blocks += net.control_blocks
        causal = c.self_attention == 'frame_causal'
        for block in blocks:
            block.attn2.set_processor(MaskedCrossAttention())
            block.attn1.set_processor(
                FrameCausalAttention(c.places) if causal else CosmosAttnProcessor2_0()
            )
        # (2, C): mean and deviation of the VAE's latents, which diffusion sees as 0 and 1
        measured = still if c.vae == 'patch' else self.vae.config
        self.register_buffer(
            'statistics', torch.tensor([measured['latents_mean'], measured['latents_std']])
        )

    def match_dtype(self) -> None:
        """Give connector and control branch the backbone's dtype."""
        if self.transformer.dtype != torch.float32:
            for part in filter(None, (self.connector, self.controlnet)):
                part.to(self.transformer.dtype)

    # ----------------------------------------------------------------------------------- latents

    def _check(self, name: str, video: Tensor, frames: int) -> None:
        wanted = (frames, 3, *self.config.size)
        if not video.is_floating_point() or video.shape[1:] != wanted:
            raise InvalidValueError(
                f'{name} must be float (B, {", ".join(map(str, wanted))}). '
                f'Got {video.dtype} {tuple(video.shape)}.'
            )

    def _posterior(self, video: Tensor) -> Any:
        # (B, F, 3, H, W) in [0, 1] -> (B, 3, F, H, W) in [-1, 1]
        return self.vae.encode(video.transpose(1, 2).to(self.vae.dtype) * 2 - 1).latent_dist

    def encode(self, video: Tensor) -> Tensor:
        """Clip float (B, F, 3, H, W) in [0, 1], F = 1 + 4n -> latents float32 (B, C, 1+n, h, w).

        Latent frame k sees frames <= 4k only.
        """
        if self.config.vae == 'patch':
            return self.vae.encode(video.float())
        mean, std = self.statistics.view(2, 1, -1, 1, 1, 1)  # each (1, C, 1, 1, 1)
        return (self._posterior(video).mode().float() - mean) / std

    def decode(self, latents: Tensor, first_frame: Tensor | None = None) -> Tensor:
        """Latents (B, C, 1+n, h, w) -> clip float32 (B, 1+4n, 3, H, W) in [0, 1].

        Args:
            first_frame: (B, 3, H, W), where it is known; only a `patch` code makes use of it.
        """
        if self.config.vae == 'patch':
            return self.vae.decode(latents, first_frame)
        mean, std = self.statistics.view(2, 1, -1, 1, 1, 1)
        video = self.vae.decode((latents * std + mean).to(self.vae.dtype)).sample
        return (video.transpose(1, 2).float() + 1) / 2

    def autoencoder_loss(
        self, video: Tensor, kl_weight: float = 1e-6, generator: Generators = None
    ) -> Tensor:
        """MSE of each rebuilt clip (B, F, 3, H, W) + KL per pixel, (B,): trains a VAE of our own."""
        posterior = self._posterior(video)
        rebuilt = self.vae.decode(posterior.sample(generator)).sample
        mse = (rebuilt.transpose(1, 2) - (video * 2 - 1)).square().flatten(1).mean(1)
        return mse + kl_weight * posterior.kl().flatten(1).sum(1) / video[0].numel()

    @torch.no_grad()
    def measure_latents(self, video: Tensor) -> None:
        """Take the latents' mean and deviation from clips, when a VAE of our own is trained.

        A `patch` code takes its directions, too: it needs no other training.
        """
        if self.config.vae == 'patch':
            return self.vae.fit(video)
        latents = self._posterior(video).mode().float()  # (B, C, K, h, w)
        over = (0, 2, 3, 4)
        self.statistics.copy_(torch.stack([latents.mean(over), latents.std(over) + 1e-6]))

    # --------------------------------------------------------------------------------- denoising

    def _code_mask(self, tokens: int, device: torch.device) -> Tensor | None:
        """Which tokens the places of each frame see: bool (1, K * places, tokens), or None: all.

        The null token counts as step 0, so each row has at least one.
        """
        c = self.config
        if c.mask == 'full' or tokens == 1:
            return None
        frame = torch.arange(c.latent_frames * c.places, device=device)[:, None] // c.places
        step = (torch.arange(tokens, device=device) + c.queries - 1) // c.queries
        return (step <= frame if c.mask == 'cumulative' else step == frame)[None]

    def velocity(
        self,
        noisy: Tensor,
        time: Tensor,
        codes: Tensor | None = None,
        control: Tensor | None = None,
        shown: Tensor | None = None,
    ) -> Tensor:
        """Predict eps - x0, whatever the backbone predicts.

        Args:
            noisy: float (B, C, K, h, w), (1 - t) x0 + t eps, frame 0 clean. time: t, (B,) in
                (0, 1). codes: float (B, K-1, N, E) of the dLDM, or None: first frame only.
            control: latents (B, C, K, h, w) of the control video, or None. shown: bool (B,), for
                which clips the control branch adds something; None: for all.
        Returns:
            float32 (B, C, K, h, w); frame 0 means nothing.
        Raises:
            ValueError: if codes have another shape, or control is given where there is no branch.
        """
        c, dtype = self.config, self.transformer.dtype
        B, _, K, h, w = noisy.shape
        if codes is None:
            context = self.connector.null.expand(B, -1, -1)
        elif codes.shape != (B, c.steps, c.queries, c.code_size):
            raise InvalidValueError(
                f'codes must be ({B}, {c.steps}, {c.queries}, {c.code_size}). '
                f'Got {tuple(codes.shape)}.'
            )
        else:
            context = self.connector(codes.to(dtype))  # (B, 1 + (K-1) * N, W)
        clean = (torch.arange(K, device=noisy.device) == 0).view(1, 1, K, 1, 1)
        t, full = time.view(B, 1, 1, 1, 1), noisy.float()
        time = torch.where(clean, CLEAN_TIME, t)  # (B, 1, K, 1, 1)
        noisy = noisy.to(dtype)
        shared = {
            'timestep': time.to(dtype),
            'fps': c.fps,
            'attention_mask': self._code_mask(context.shape[1], noisy.device),
            'condition_mask': clean.to(dtype).expand(B, 1, K, h, w),
            'padding_mask': noisy.new_zeros(1, 1, h, w),
        }
        if control is not None and not c.control:
            raise InvalidValueError(
                f'control must be None, as there is no branch. Got {control.shape}.'
            )
        added = None
        if control is not None and c.control_weight:
            # sg: the codes learn nothing through the branch, neither by its video nor by its context
            control, seen = (
                (control.detach(), context.detach()) if c.detach_control else (control, context)
            )
            added = self.controlnet(
                controls_latents=control.to(dtype),
                latents=noisy,
                encoder_hidden_states=seen,
                conditioning_scale=c.control_weight,
                **shared,
            ).control_block_samples
            if shown is not None:
                added = [a * shown.view(B, *[1] * (a.ndim - 1)) for a in added]
        out = self.transformer(
            hidden_states=noisy,
            encoder_hidden_states=context,
            block_controlnet_hidden_states=added,
            **shared,
        ).sample.float()
        # noisy = x0 + t (eps - x0)
        return (full - out) / t if c.predict == 'x0' else out

    def encode_control(self, control: Tensor | None) -> Tensor | None:
        """The low-fidelity clip (B, clip_frames, 3, H, W), not clamped -> what the branch reads."""
        if control is None:
            return None
        self._check('control', control, self.config.clip_frames)
        keep = torch.is_grad_enabled() and not self.config.detach_control
        if self.config.control_grey:
            control = control.mean(dim=2, keepdim=True).expand_as(control)
        with torch.set_grad_enabled(keep):
            return self.encode(control.clamp(0, 1))

    def loss(
        self,
        video: Tensor,
        codes: Tensor | None = None,
        control: Tensor | None = None,
        generator: Generators = None,
        draws: NoiseDraws = NoiseDraws(),
    ) -> Tensor:
        """Algorithm 1, l. 30: the denoising loss, as `DLDM.loss` calls it.

        Args:
            video: float (B, clip_frames, 3, H, W) in [0, 1]. codes: float (B, K-1, N, E), with
                gradient. control: the low-fidelity decoder's clip, shaped like video. generator: of
            noise and time. draws: how many of them, and which.
        Returns:
            scalar.
        Raises:
            ValueError: on another shape or dtype.
        """
        self._check('video', video, self.config.clip_frames)
        with torch.no_grad():
            latents = self.encode(video)
        return self.flow_loss(latents, codes, self.encode_control(control), generator, draws)

    def flow_loss(
        self,
        latents: Tensor,
        codes: Tensor | None = None,
        control: Tensor | None = None,
        generator: Generators = None,
        draws: NoiseDraws = NoiseDraws(),
    ) -> Tensor:
        """`loss` from latents (B, C, K, h, w), for clips that are encoded once.

        `draws.edm` weighs noise levels as the public research code does. Its EDM loss is the squared
        error of x0 times (1 + s^2) / s^2 with s = t / (1 - t); x0 is off by t times what the velocity
        is off by, so that is (1 - t)^2 + t^2 times the velocity's: 1 at either end, 1/2 at t = 1/2. A
        weight of (1 + s)^2 / s^2 would be the plain loss. Kept in both: the times of LOG_SIGMA
        (the code's log s has mean ln sqrt(24) and deviation 1, and 5 % of its s lie in 200..1e5),
        and the mean without frame 0 (the code counts it, as an error of 0).
        """
        n = draws.per_clip
        x0, codes, control = (
            x if x is None or n == 1 else x.repeat(n, *[1] * (x.ndim - 1))
            for x in (latents, codes, control)
        )
        generator = generator * n if isinstance(generator, list) else generator
        B = len(x0)
        eps = randn_tensor(x0.shape, generator, x0.device)
        time = draws.time(B, generator, x0.device)
        shown = None if control is None else draws.shown(B, generator, x0.device)
        t = time.view(B, 1, 1, 1, 1)
        noisy = torch.cat([x0[:, :, :1], ((1 - t) * x0 + t * eps)[:, :, 1:]], dim=2)
        predicted = self.velocity(noisy, time, codes, control, shown)
        error = (predicted - (eps - x0))[:, :, 1:].square()
        if self.config.predict == 'x0':  # the velocity is off by 1 / t of what x0 is off by
            error = error * (t / t.clamp(min=LEAST_TIME)).square()
        return (error * ((1 - t).square() + t.square()) if draws.edm else error).mean()

    @property
    def serving_steps(self) -> int:
        """Euler steps that serve it: few where the network predicts the clip, see `predict`."""
        return 2 if self.config.predict == 'x0' else 20

    @torch.no_grad()
    def sample(
        self,
        first_frame: Tensor,
        codes: Tensor | None = None,
        control: Tensor | None = None,
        steps: int = 35,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Imagine a clip.

        Args:
            first_frame: float (B, 3, H, W) in [0, 1]. codes: float (B, K-1, N, E). control: float
                (B, clip_frames, 3, H, W) in [0, 1]. steps: of Euler's method.
        Returns:
            float32 (B, clip_frames, 3, H, W) in [0, 1]; its first frame went through the VAE only.
        Raises:
            ValueError: on another shape, dtype or steps < 1.
        """
        if steps < 1:
            raise InvalidValueError(f'steps must be at least 1. Got {steps}.')
        self._check('first_frame', first_frame[:, None], 1)
        first = self.encode(first_frame[:, None])  # (B, C, 1, h, w)
        hint = self.encode_control(control)
        # Cosmos' scheduler counts in s = t / (1 - t) and its pipeline steps x / (1 - t); Euler's
        # steps are the same ones in t and x.
        self.scheduler.set_timesteps(steps)
        times = self.scheduler.sigmas[:-1]
        times = times / (1 + times) if self.scheduler.config.use_karras_sigmas else times
        euler = FlowMatchEulerDiscreteScheduler()
        euler.set_timesteps(sigmas=times.tolist())
        B, C, _, h, w = first.shape
        noise = randn_tensor((B, C, self.config.steps, h, w), generator, first.device)
        x = torch.cat([first, times[0] * noise], dim=2)
        for time, timestep in zip(times.to(x), euler.timesteps):
            flow = self.velocity(x, time.expand(B), codes, hint)
            x = euler.step(flow, timestep, x).prev_sample
            x = torch.cat([first, x[:, :, 1:]], dim=2)  # the first frame stays clean
        return self.decode(x, first_frame)

    # ----------------------------------------------------------------------------- pretrained ones

    @classmethod
    def on(cls, prior: VDM, **switches: Any) -> VDM:
        """A model that codes are to enter: a prior's backbone, VAE and null token, the rest new.

        Args:
            prior: trained as first frame -> video; its parts are shared, not copied.
            switches: fields of the config to change: clip, codes, connector, masks, control.
        Raises:
            ValueError: if they do not fit the prior's sizes.
        """
        config = replace(prior.config, **switches)
        fixed = (
            'heads',
            'head_size',
            'layers',
            'context',
            'adaln',
            'patch',
            'predict',
            'vae',
            'vae_channels',
            'vae_width',
            'vae_blocks',
            'vae_patch',
        )
        changed = [
            name
            for name in fixed
            if name in switches and getattr(config, name) != getattr(prior.config, name)
        ]
        if changed:
            raise InvalidValueError(
                f'sizes of the prior must stay. Got another {", ".join(changed)}.'
            )
        model = cls(config, prior.transformer, prior.vae, prior.scheduler)
        model.match_dtype()
        with torch.no_grad():
            model.statistics.copy_(prior.statistics)
            if config.learned_null:
                model.connector.null.copy_(prior.connector.null)
        return model

    @classmethod
    def load(cls, folder: str | Path) -> VDM:
        """A run folder of `vw2 train`: config.json with a section "vdm", and vdm.safetensors.

        Raises:
            CheckpointError: if the folder is missing, damaged or holds no VDM.
        """
        folder = Path(folder).expanduser()
        config = load_json(folder / 'config.json')
        if not isinstance(config, dict) or 'vdm' not in config:
            raise CheckpointError(
                f'{folder}/config.json must have a section "vdm". Got '
                f'{sorted(config)}. Give a run folder of vw2 train vdm.'
            )
        try:
            model = cls(from_dict(VDMConfig, config['vdm']))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f'{folder}/config.json: {error}') from error
        path = folder / 'vdm.safetensors'
        load_state(model, load_tensors(path, limit=MAX_STATE_BYTES)[0], str(path))
        return model.eval().requires_grad_(False)

    @classmethod
    def load_pipeline(
        cls,
        folder: str | Path,
        config: VDMConfig | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> VDM:
        """Start from a diffusers pipeline folder; connector and control branch are new.

        Args:
            folder: with transformer/, vae/ and scheduler/, as Cosmos-Predict2-2B-Video2World comes
                from the hub; only its JSON and safetensors are read, and no hub is asked.
            config: clip, codes and switches; the sizes of backbone and VAE are the folder's. None:
                the paper's.
            dtype: of the weights.
        Raises:
            CheckpointError: if a part is missing, damaged, of another class or not as Predict2's.
            ValueError: if clip or switches do not fit its sizes.
        """
        folder = Path(folder).expanduser()
        transformer = load_pipeline_part(folder / 'transformer', CosmosTransformer3DModel, dtype)
        vae = load_pipeline_part(folder / 'vae', AutoencoderKLWan, dtype)
        scheduler = load_pipeline_part(folder / 'scheduler', FlowMatchEulerDiscreteScheduler)
        t, v = transformer.config, vae.config
        config = replace(
            config or VDMConfig(),
            heads=t.num_attention_heads,
            head_size=t.attention_head_dim,
            layers=t.num_layers,
            context=t.text_embed_dim,
            adaln=t.adaln_lora_dim,
            patch=t.patch_size[-1],
            rope_scale=t.rope_scale,
            predict='velocity',
            vae='wan',
            vae_channels=v.z_dim,
            vae_width=v.base_dim,
            vae_blocks=v.num_res_blocks,
            vae_patch=v.patch_size or 1,
        )
        wanted_t, _, wanted_v = cosmos_sizes(config)
        for name, saved, wanted in (('transformer', t, wanted_t), ('vae', v, wanted_v)):
            for key, value in wanted.items():
                got = type(value)(saved[key]) if isinstance(value, (list, tuple)) else saved[key]
                if got != value:
                    raise CheckpointError(
                        f'{folder / name}: {key} must be {value}, as in '
                        f'Cosmos-Predict2 Video2World. Got {got}. Take that '
                        'pipeline.'
                    )
        model = cls(config, transformer, vae, scheduler)
        model.match_dtype()
        return model
