# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Imagination: a plan's codes become the video they stand for (VideoWorld 2, section 3).

| renderer  | draws with                     | quality, time of a segment on a CPU                  |
| --------- | ------------------------------ | ---------------------------------------------------- |
| `decoder` | the decoder of the dLDM        | low fidelity, milliseconds                           |
| `vdm`     | the video diffusion model      | the paper's; a second or more, never in the control  |
|           |                                | loop                                                 |

Longer videos are segments, each from the last frame of the one before, as in the paper.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vw2_ros.errors import InvalidValueError
from vw2_ros.files import file_sha256
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.policy import Policy, centre_of, frames, picture
from vw2_ros.models.run_folder import load_model

if typing.TYPE_CHECKING:  # seconds of import: only where it is used
    from vw2_ros.models.vdm import VDM

RENDERERS = ('decoder', 'vdm')
VDM_FOLDER = 'vdm'  # sub-folder of a policy's


class Imagination:
    """Draws the plans of a policy.

    Args:
        policy: its folder must hold a dLDM; its device draws.
        renderer: one of RENDERERS.
        vdm: run folder of `vw2 train vdm` or of `vw2 train disentangle`; None: `vdm/` in
            the policy's folder.
        steps: of the VDM's sampling; None: `VDM.serving_steps`. seed: of its noise.
    Attributes:
        knows_codes: False for a VDM that was trained on first frames alone (its folder has no
            dldm.safetensors): it then imagines what may come, not the plan.
        length: T, frames of a segment.
    Raises:
        ValueError: an unknown renderer, or steps < 1.
        CheckpointError: no dLDM, no VDM, a damaged one, or one of another dLDM's codes.
    """

    def __init__(
        self,
        policy: Policy,
        renderer: str = 'decoder',
        vdm: str | Path | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
    ) -> None:
        if renderer not in RENDERERS:
            raise InvalidValueError(
                f'renderer must be one of {", ".join(RENDERERS)}. Got {renderer!r}.'
            )
        if steps is not None and steps < 1:
            raise InvalidValueError(f'steps must be at least 1. Got {steps}.')
        if policy.dldm is None:
            raise CheckpointError(
                f'{policy.path} must hold dldm.safetensors to imagine. Got none.'
                ' Train one with vw2 train dldm.'
            )
        self.policy, self.renderer, self.steps = policy, renderer, steps
        self.vdm, self.vdm_sha256, self.knows_codes = None, '', True
        self.length = policy.dldm.config.clip_frames - 1
        if renderer == 'vdm':
            folder = Path(vdm).expanduser() if vdm else policy.path / VDM_FOLDER
            self.vdm, self.knows_codes = load_vdm(folder, policy.dldm)
            self.vdm.to(policy.device)
            self.vdm_sha256 = file_sha256(folder / 'vdm.safetensors')
            self.length = self.vdm.config.clip_frames - 1
            self.steps = steps or self.vdm.serving_steps
        self._generator = torch.Generator()
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Start the VDM's noise anew."""
        self._generator.manual_seed(seed)

    def render(self, rgb: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
        """One segment.

        Args:
            rgb: uint8 (H, W, 3), any size. codes: int (steps, N); None is for a VDM that knows
                none.
        Returns:
            uint8 (T, H, W, 3), the frames after `rgb`; what the model does not see stands still.
        Raises:
            ValueError: on another dtype or shape, or a code outside the codebook.
        """
        return self.policy.imagine(rgb, codes) if self.vdm is None else self._diffuse(rgb, codes)

    @torch.inference_mode()
    def _diffuse(self, rgb: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
        c = self.vdm.config
        image = picture(rgb).to(self.policy.device)  # (1, 3, H, W)
        first = F.interpolate(
            centre_of(image, c.size), c.size, mode='bilinear', antialias=True
        ).clamp(0, 1)
        z = control = None
        if self.knows_codes:
            _, z, low = self.policy.low_fidelity(rgb, codes)
            if c.control:
                control = F.interpolate(low[0], c.size, mode='bilinear', antialias=True)[None]
        video = self.vdm.sample(first, z, control, self.steps, self._generator)[0]
        image = image.repeat(self.length, 1, 1, 1)  # (T, 3, H, W)
        part = centre_of(image, c.size)
        # The change is coarse, the first frame need not be.
        change = video[1:] - video[:1]
        part += F.interpolate(change, part.shape[-2:], mode='bilinear', antialias=True)
        return frames(image)

    def chain(
        self, rgb: np.ndarray, plan: Callable[[int, np.ndarray], np.ndarray] | None, segments: int
    ) -> Iterator[np.ndarray]:
        """Segment after segment, each from the last frame of the one before.

        Args:
            rgb: uint8 (H, W, 3). plan: (number of the segment, its first frame) -> codes; None is
                for a VDM that knows none.
        Yields:
            uint8 (T, H, W, 3).
        """
        for segment in range(segments):
            video = self.render(rgb, plan and plan(segment, rgb))
            yield video
            rgb = video[-1]

    def imagine(
        self, rgb: np.ndarray, instruction: str, segments: int = 1
    ) -> Iterator[np.ndarray]:
        """Plan and draw, `segments` times; every segment is planned from its own first frame.

        Args:
            rgb: uint8 (S, S, 3), S the policy's `image_size`. instruction: plain words.
        Yields:
            uint8 (T, S, S, 3).
        Raises:
            ValueError: as `Policy.plan`.
        """
        if not self.knows_codes:
            return self.chain(rgb, None, segments)
        return self.chain(rgb, lambda _, now: self.policy.plan(now, instruction).codes, segments)


def load_vdm(folder: Path, dldm: DLDM) -> tuple[VDM, bool]:
    """The VDM of a run folder, and whether it understands codes.

    Args:
        dldm: whose codes it is to understand.
    Raises:
        CheckpointError: missing, damaged, or trained on the codes of another dLDM.
    """
    from vw2_ros.models.vdm import VDM

    if not folder.is_dir():
        raise CheckpointError(
            f'{folder} must be the run folder of a video diffusion model. Got '
            'nothing there. Train one with vw2 train vdm and name it with '
            '--vdm, or draw with --renderer decoder.'
        )
    vdm = VDM.load(folder)
    if not (folder / 'dldm.safetensors').exists():
        return vdm, False
    own = load_model(DLDM, DLDMConfig, folder, 'dldm')
    if own.config != dldm.config or not _same(own, dldm):
        raise CheckpointError(
            f'{folder} must understand the codes of this policy. Got a VDM of '
            "another dLDM. Take the one that was trained with the policy's, or "
            'draw with --renderer decoder.'
        )
    c = dldm.config
    if (vdm.config.clip_frames, vdm.config.queries, vdm.config.code_size) != (
        c.clip_frames,
        c.queries,
        len(c.levels),
    ):
        raise CheckpointError(
            f'{folder}: VDM and dLDM must have clips and codes of one shape. '
            f'Got {vdm.config} and {c}.'
        )
    return vdm, True


def _same(a: DLDM, b: DLDM) -> bool:
    """Whether two states are equal but for the rounding of float16, in which either may be stored."""
    return all(
        torch.allclose(x, y.to(x.device), rtol=2**-10, atol=2**-24)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )
