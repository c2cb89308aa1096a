# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The policy: what nodes and evaluation see of the models.

VideoWorld 2's control path: image and instruction -> latent codes (planner) -> hidden states ->
actions (head). The dLDM's decoder shows what the codes mean (`imagine`) and is not on that path.

| key | dtype, shape | range, unit |
| --- | --- | --- |
| rgb | uint8 (S, S, 3) | 0..255, static camera, S = `image_size` |
| instruction | str | 1 to 16 words of any script that training had |
| codes | int64 (steps, N) | 0..codebook_size-1 |
| hidden | float32 (steps, width) | |
| actions | float32 (steps * frames, 7) | [-1, 1]: rel xyz (x 0.02 m), rpy (x 0.05 rad), gripper |

Actions are along the axes of the arm's base or of the tool, as the data that were learned from
(`action_frame`); gripper < 0 closes, > 0 opens.

It runs on the CPU unless it is told otherwise (`device`): a plan takes milliseconds there, and the
results are the same bits on every machine of one kind.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.checkpoint import ACTION_FRAMES, DEFAULT_NAME, Checkpoint, load_checkpoint
from vw2_ros.models.data.pictures import Size, centre, is_known, kept, resize_area
from vw2_ros.models.device import find_device
from vw2_ros.models.dldm import DLDM
from vw2_ros.models.errors import CheckpointError
from vw2_ros.models.recovery import STEP_S, Recovery
from vw2_ros.timings import Timings


@dataclass(frozen=True)
class Plan:
    """Codes int64 (steps, N), hidden float32 (steps, width), timings in milliseconds."""

    codes: np.ndarray
    hidden: np.ndarray
    timings: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """A plan with its actions float32 (steps * frames, 7), timings in milliseconds."""

    actions: np.ndarray
    codes: np.ndarray
    hidden: np.ndarray
    timings: dict[str, float]


class Policy:
    """Planner and head behind one call; made by `Policy.load`.

    Args:
        checkpoint: what `load_checkpoint` gave.
        temperature: 0 greedy; above, codes are sampled.
        execute: actions of a chunk that `act` executes before it plans anew.
        seed: of the sampling.
        recover_after_s: how long an instruction is followed before it is tried anew [s], see
            `Recovery`; 0: never.
        device: `cpu`, `cuda`, or `auto`: cuda where torch finds a GPU.
    Raises:
        InvalidValueError: a value out of its range, or cuda where torch finds no GPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        temperature: float = 0.0,
        execute: int = 8,
        seed: int = 0,
        recover_after_s: float = 0.0,
        device: str = 'cpu',
    ) -> None:
        if not temperature >= 0:
            raise InvalidValueError(f'temperature must be at least 0. Got {temperature}.')
        self.device = find_device(device)
        self._planner = checkpoint.planner.to(self.device)
        self._head = checkpoint.head.to(self.device)
        self._dldm = checkpoint.dldm and checkpoint.dldm.to(self.device)
        self._tokenizer = checkpoint.tokenizer
        self.provenance, self.sha256 = checkpoint.provenance, checkpoint.sha256
        self.path = checkpoint.path
        if self.action_frame not in ('', *ACTION_FRAMES):
            raise CheckpointError(
                f'{self.path}/provenance.json: action_frame must be one of '
                f'{", ".join(ACTION_FRAMES)}. Got {self.action_frame!r}. Copy the folder again.'
            )
        self.temperature = temperature
        self.chunk = self._head.config.steps * self._head.config.frames
        if not 1 <= execute <= self.chunk:
            raise InvalidValueError(f'execute must lie in 1..{self.chunk}. Got {execute}.')
        self.execute = execute
        self.recovery = Recovery(recover_after_s, tuple(checkpoint.phrases.values()))
        self.image_size = self._planner.config.vision.image_size
        self._tokens: dict[str, torch.Tensor] = {}
        self._times = Timings()
        self._generator = torch.Generator(self.device)
        self.reset(seed)

    @classmethod
    def load(
        cls, dir_or_name: str | Path = DEFAULT_NAME, *, threads: int | None = 1, **options: Any
    ) -> Policy:
        """Load a model folder or a shipped name.

        Args:
            threads: CPU threads of torch for this whole process; None leaves them.
            options: `temperature`, `execute`, `seed`, `recover_after_s`, `device`.
        Raises:
            CheckpointError: if the folder is missing, damaged or does not fit.
        """
        if threads is not None:
            if threads < 1:
                raise InvalidValueError(f'threads must be at least 1, or None. Got {threads}.')
            torch.set_num_threads(threads)
        return cls(load_checkpoint(dir_or_name), **options)

    @property
    def parameters(self) -> int:
        """Parameters of planner and head, vision included (what runs in the control loop)."""
        return sum(p.numel() for m in (self._planner, self._head) for p in m.parameters())

    @property
    def hidden_shape(self) -> tuple[int, int]:
        """(steps, width) of the hidden states."""
        return self._head.config.steps, self._head.config.width

    @property
    def codes_shape(self) -> tuple[int, int]:
        """(steps, N) of the codes."""
        return self._planner.config.steps, self._planner.config.queries

    @property
    def codebook_size(self) -> int:
        """Codes lie in 0..codebook_size-1."""
        return self._planner.config.codebook_size

    @property
    def can_imagine(self) -> bool:
        """Whether the folder has the dLDM that `imagine` needs."""
        return self._dldm is not None

    @property
    def dldm(self) -> DLDM | None:
        """The dLDM whose codes the planner speaks, where the folder has it."""
        return self._dldm

    @property
    def action_frame(self) -> str:
        """Whose axes the actions have, 'base' or 'tool'; '': provenance.json does not say."""
        return self.provenance.get('action_frame', '')

    def check_action_frame(self, frame: str, *, must_say: bool = False) -> None:
        """Refuse a policy whose actions have other axes than a robot takes them for.

        Args:
            frame: as `Contract.action_frame`.
            must_say: also one that does not say: older weights, before a robot.
        Raises:
            CheckpointError: the arm would go other ways than the policy means.
        """
        known = self.action_frame
        if known == frame or (not known and not must_say):
            return
        wanted = f"must be {frame}, as the contract's. "
        if known:
            raise CheckpointError(
                f'action_frame of {self.path.name} {wanted}Got {known}. Write action_frame: {known} '
                'in a contract of an arm that this policy was trained for, or take other weights.'
            )
        raise CheckpointError(
            f'action_frame of {self.path.name} {wanted}Got none in {self.path}/provenance.json: these '
            'are older weights. If all data they learned from were in that frame, write '
            f'"action_frame": "{frame}" there.'
        )

    def check_images(
        self, renderer: str | None = None, image_size: int | None = None, scene: str | None = None
    ) -> bool:
        """Warn if images come from another renderer, scene ("D", "R7") or size than those trained on.

        Returns:
            True if nothing differs (or provenance.json does not say).
        """
        seen = {'renderer': renderer, 'image_size': image_size, 'scene': scene}
        differs = [key for key, got in seen.items() if not is_known(key, got, self.provenance)]
        if differs:
            told = (f'{key} {seen[key]!r} instead of {self.provenance[key]!r}' for key in differs)
            drawn = '`any_table` knows tables drawn at random; or train'
            warnings.warn(
                f'{self.path.name} WAS TRAINED ON OTHER IMAGES: {", ".join(told)}. Expect few '
                f'successes or none. {drawn if "scene" in differs else "Train"} on such images.',
                stacklevel=2,
            )
        return not differs

    def reset(self, seed: int | None = None) -> None:
        """Forget the current chunk; with a seed, start the sampling anew."""
        self._actions: np.ndarray | None = None
        self._next = self._given = 0
        if seed is not None:
            self._generator.manual_seed(seed)

    def warm_up(self, calls: int = 3) -> float:
        """Run the whole path a few times; the last call's time [ms]. Leaves no trace in the
        sampling, the current chunk or the timings."""
        state, times = self._generator.get_state(), self._times
        self._times = Timings()
        rgb = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        word = self._tokenizer.words[0]
        for _ in range(max(1, calls)):
            timings = self.infer({'rgb': rgb, 'instruction': word}).timings
        self._tokens.pop(word, None)
        self._times = times
        self._generator.set_state(state)
        return timings['total_ms']

    def _image(self, rgb: Any) -> torch.Tensor:
        """Checked image as a uint8 tensor (1, 3, S, S)."""
        S = self.image_size
        if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.shape != (S, S, 3):
            got = f'{rgb.dtype} {rgb.shape}' if isinstance(rgb, np.ndarray) else type(rgb).__name__
            raise InvalidValueError(
                f'rgb must be a numpy array uint8 ({S}, {S}, 3). Got {got}. '
                f'Resize the camera image to {S}x{S} rgb8.'
            )
        # A copy: the caller may reuse or protect its buffer. (S, S, 3) -> (1, 3, S, S)
        return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].to(self.device)

    def _text(self, instruction: str) -> torch.Tensor:
        """Tokens (1, L, 1 + G) of an instruction; the last few are kept."""
        tokens = self._tokens.get(instruction) if isinstance(instruction, str) else None
        if tokens is None:
            self.check_instruction(instruction)
            tokens = torch.from_numpy(self._tokenizer.encode(instruction))[None].to(self.device)
            if len(self._tokens) >= 64:
                self._tokens.clear()
            self._tokens[instruction] = tokens
        return tokens

    def known_words(self, instruction: str) -> float:
        """Fraction of the instruction's words that were seen in training, 0 to 1."""
        return self._tokenizer.known(instruction)

    def check_instruction(self, instruction: str, least_known: float = 0.0) -> None:
        """Refuse an instruction that a plan would not follow.

        Args:
            least_known: fraction of its words that must have been seen in training.
        Raises:
            ValueError: no text, no word, more words than are read, too few known ones, or one in
                letters that training never had.
        """
        self._tokenizer.words_of(instruction)
        if unreadable := self._tokenizer.unreadable(instruction):
            raise InvalidValueError(
                f'instruction {instruction!r:.80} must be in letters that were seen in training. '
                f'Got {", ".join(map(repr, unreadable))}. Say it in other words'
            )
        known = self.known_words(instruction)
        if known < least_known:
            raise InvalidValueError(
                f'unknown instruction {instruction!r:.80}: {known:.0%} of its words '
                'were seen in training; say it in other words'
            )

    def plan(self, rgb: np.ndarray, instruction: str, followed_s: float = 0.0) -> Plan:
        """Image and instruction -> latent codes and the hidden states that predicted them.

        Args:
            rgb: uint8 (S, S, 3). instruction: plain words.
            followed_s: how long this instruction has been followed [s], for the recovery.
        Returns:
            codes int64 (steps, N), hidden float32 (steps, width), timings {"plan_ms"}.
        Raises:
            ValueError: on another dtype or shape; of the instruction, see `check_instruction`.
        """
        began = time.perf_counter()
        words = self.recovery.words(instruction, followed_s)
        codes, hidden = self._planner.plan(
            self._image(rgb), self._text(words), self.temperature, self._generator
        )
        codes, hidden = codes[0].cpu().numpy(), hidden[0].float().cpu().numpy()
        return Plan(codes, hidden, self._times.note(plan_ms=1e3 * (time.perf_counter() - began)))

    @torch.inference_mode()
    def actions(self, hidden: np.ndarray) -> np.ndarray:
        """Hidden states float32 (steps, width) -> actions float32 (steps * frames, 7).

        Raises:
            ValueError: on another shape or a value that is not finite.
        """
        began = time.perf_counter()
        hidden = np.asarray(hidden, dtype=np.float32)
        if hidden.shape != self.hidden_shape:
            raise InvalidValueError(
                f'hidden must be float32 {self.hidden_shape}. Got {hidden.shape}.'
            )
        if not np.isfinite(hidden).all():
            raise InvalidValueError('hidden must be finite. Got NaN or infinity: drop this plan.')
        # (steps, width) -> (1, steps, width) -> (steps * frames, 7)
        states = torch.from_numpy(hidden.copy())[None].to(self.device)
        actions = self._head(states)[0].cpu().numpy()
        self._times.note(head_ms=1e3 * (time.perf_counter() - began))
        return actions

    def infer(self, observation: Mapping[str, Any], followed_s: float = 0.0) -> Prediction:
        """Predict the next chunk of actions.

        Args:
            observation: `rgb` uint8 (S, S, 3) and `instruction` str.
            followed_s: as `plan` takes it.
        Returns:
            actions, codes, hidden, and timings {"plan_ms", "head_ms", "total_ms"}.
        Raises:
            ValueError: if a key is missing or wrong; the message says what was wanted.
        """
        missing = {'rgb', 'instruction'} - set(observation)
        if missing:
            raise InvalidValueError(
                f'observation must hold rgb and instruction. Got {sorted(observation)}.'
            )
        began = time.perf_counter()
        plan = self.plan(observation['rgb'], observation['instruction'], followed_s)
        actions = self.actions(plan.hidden)
        timings = {
            **plan.timings,
            'head_ms': self._times.newest('head_ms', 1)[0],
            **self._times.note(total_ms=1e3 * (time.perf_counter() - began)),
        }
        return Prediction(actions, plan.codes, plan.hidden, timings)

    def fit(self, rgb: np.ndarray) -> np.ndarray:
        """A picture of any size brought to the one that this policy sees.

        Args:
            rgb: uint8 (H, W, 3).
        Returns:
            uint8 (S, S, 3): the largest centred square, each pixel the mean of the area it covers.
        Raises:
            InvalidValueError: another dtype or shape.
        """
        if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.shape[2:] != (3,):
            got = f'{rgb.dtype} {rgb.shape}' if isinstance(rgb, np.ndarray) else type(rgb).__name__
            raise InvalidValueError(f'rgb must be a numpy array uint8 (H, W, 3). Got {got}.')
        return resize_area(kept(rgb), self.image_size)

    def act(self, observation: Mapping[str, Any], exact_gripper: bool = False) -> np.ndarray:
        """The next action (7,): plans every `execute` calls, else reads the chunk.

        All calls since `reset` count as one instruction's.

        Args:
            observation: as `infer` takes it.
            exact_gripper: the gripper's value is -1 or +1, as CALVIN's environment wants it.
        Returns:
            float32 (7,), the caller's own.
        """
        if self._actions is None or self._next >= self.execute:
            self._actions = self.infer(observation, self._given * STEP_S).actions
            self._next = 0
        action = self._actions[self._next].copy()
        self._next, self._given = self._next + 1, self._given + 1
        if exact_gripper:
            action[6] = 1.0 if action[6] > 0 else -1.0
        return action

    def timing(self) -> dict[str, dict[str, float]]:
        """p50 and p99 [ms] and count of the last 1000 calls, by stage."""
        return self._times.summary()

    @torch.inference_mode()
    def imagine(self, rgb: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Decode codes into the video they stand for (low fidelity).

        Args:
            rgb: uint8 (H, W, 3), any size. codes: int (steps, N).
        Returns:
            uint8 (T, H, W, 3), the frames after `rgb`, T = 4 * steps. What the dLDM does not see,
            `centre_of`, stands still.
        Raises:
            ValueError: on another dtype or shape, or a code outside the codebook.
            CheckpointError: if the folder has no dLDM.
        """
        small, _, video = self.low_fidelity(rgb, codes)
        video = video[0, 1:]  # (T, 3, h, w)
        # (1, 3, H, W) -> (T, 3, H, W)
        image = picture(rgb).to(self.device).repeat(len(video), 1, 1, 1)
        part = centre_of(image, self._dldm.config.size)
        if self._dldm.config.residual:
            # The change is coarse, the first frame need not be.
            part += F.interpolate(video - small, part.shape[-2:], mode='bilinear')
        else:
            part.copy_(F.interpolate(video, part.shape[-2:], mode='bilinear'))
        return frames(image)

    @torch.inference_mode()
    def low_fidelity(
        self, rgb: np.ndarray, codes: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What `imagine` shows, as the dLDM has it, in pictures of its size, h by w.

        Args:
            rgb, codes: as of `imagine`.
        Returns:
            first frame (1, 3, h, w) in [0, 1], codes float (1, steps, N, E), and the clip
            (1, 1 + T, 3, h, w), about [0, 1].
        Raises:
            ValueError, CheckpointError: as `imagine`.
        """
        c = self._need_dldm().config
        codes = np.asarray(codes)
        if codes.shape != (c.steps, c.queries) or not np.issubdtype(codes.dtype, np.integer):
            raise InvalidValueError(
                f'codes must be integers ({c.steps}, {c.queries}). '
                f'Got {codes.dtype} {codes.shape}.'
            )
        small = _small(picture(rgb).to(self.device), c.size)
        f0 = self._dldm.encode(small[:, None])[:, 0]
        z = self._dldm.codes_to_embedding(
            torch.from_numpy(codes.astype(np.int64))[None].to(self.device)
        )
        return small, z, self._dldm.decode(z, f0, small)

    @torch.inference_mode()
    def tokenize(self, video: np.ndarray) -> np.ndarray:
        """The codes that the dLDM sees in a clip.

        Args:
            video: uint8 (1 + T, H, W, 3).
        Returns:
            int64 (steps, N).
        Raises:
            ValueError: on another dtype or shape. CheckpointError: if the folder has no dLDM.
        """
        c = self._need_dldm().config
        if len(video) != c.clip_frames:
            raise InvalidValueError(f'video must have {c.clip_frames} frames. Got {len(video)}.')
        small = torch.cat([_small(picture(rgb), c.size) for rgb in video]).to(self.device)
        return self._dldm.tokenize(small[None])[0].cpu().numpy()

    def _need_dldm(self) -> DLDM:
        if self._dldm is None:
            raise CheckpointError(
                f'{self.path} must hold dldm.safetensors to imagine. Got none. '
                'Train one with vw2 train dldm.'
            )
        return self._dldm


def centre_of(image: torch.Tensor, size: Size) -> torch.Tensor:
    """The part of pictures (..., H, W) that a model of frames of `size` sees; a view of them."""
    return image[(..., *centre(*image.shape[-2:], size))]


def _small(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(centre_of(image, size), size, mode='bilinear', antialias=True)


def picture(rgb: np.ndarray) -> torch.Tensor:
    """uint8 (H, W, 3) -> float (1, 3, H, W) in [0, 1].

    Raises:
        ValueError: on another dtype or shape.
    """
    if (
        not isinstance(rgb, np.ndarray)
        or rgb.dtype != np.uint8
        or rgb.ndim != 3
        or rgb.shape[2] != 3
    ):
        raise InvalidValueError(
            'rgb must be a numpy array uint8 (H, W, 3). '
            f'Got {getattr(rgb, "dtype", type(rgb))} '
            f'{getattr(rgb, "shape", "")}.'
        )
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


def frames(video: torch.Tensor) -> np.ndarray:
    """Float (T, 3, H, W), about [0, 1] -> uint8 (T, H, W, 3)."""
    video = (video.clamp(0, 1) * 255).round().to(torch.uint8)
    return video.permute(0, 2, 3, 1).contiguous().cpu().numpy()
