# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Stage 1 of training: the dLDM's warm-up on video without labels, then the codes of that video.

    vw2 train dldm --config cpu --data DIR --out runs/dldm

VideoWorld 2, Algorithm 1 with the reconstruction loss alone (its warm-up stage), AdamW as in table
A.1. Output, beside what `fit` writes: dldm.safetensors, config.json, provenance.json, and
codes.safetensors, the codes of the clips that start at every `stride`-th frame:

| key             | dtype, shape        | meaning                                                |
| --------------- | ------------------- | ------------------------------------------------------ |
| folder          | int64 (m,)          | which data folder, index into the metadata's `folders` |
| frame_ids       | int64 (m,)          | first frame of the clip (of video: its count there)    |
| indices         | int32 (m, K-1, N)   | the clip's codes                                       |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vw2_ros.models.checkpoint import (
    MAX_STATE_BYTES,
    config_to_dict,
    load_tensors,
    save_json,
    save_tensors,
)
from vw2_ros.models.data.calvin import CALVIN_FPS
from vw2_ros.models.data.clips import clip_store
from vw2_ros.models.data.pictures import Size, of_shape, sides
from vw2_ros.models.data.store import ClipStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.fsq import CodeUsage
from vw2_ros.models.parallel import leads
from vw2_ros.models.training.loop import (
    ConfigError,
    FrameSource,
    Reporter,
    TrainConfig,
    TrainingError,
    fit,
    foretell,
    jitter_colour,
    provenance,
    sample_noise,
    stage_configs,
)
from vw2_ros.progress import progress_bar

CODES_FILE = 'codes.safetensors'


@dataclasses.dataclass(frozen=True)
class ClipConfig:
    """Which clips: `jitter` is the largest random change of contrast and brightness of a clip.

    offsets: the frames of a clip, counted from its first; empty: consecutive ones. With
    [0, 16, 16, 16, 16] the one latent step of a clip is the change over 16 frames (LAPA's latents).
    """

    jitter: float = 0.0
    stored_size: int = 96  # shorter side of the decoded frames that clips are made from [px]
    fps: float = CALVIN_FPS  # video of any rate is brought to this one; CALVIN's data have 30
    cameras: tuple = ()  # LeRobot keys, ROS topics: the first that a source has; (): its first
    offsets: tuple[int, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, 'offsets', tuple(self.offsets))
        if self.offsets and (self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any()):
            raise ConfigError(f'offsets must begin with 0 and never fall. Got {self.offsets}')
        if not 0 <= self.jitter < 1:
            raise ConfigError(f'jitter must be in [0, 1). Got {self.jitter}')
        if self.stored_size < 16:
            raise ConfigError(f'stored_size must be >= 16. Got {self.stored_size}')
        if not 0 < self.fps <= 240:
            raise ConfigError(f'fps must be in (0, 240]. Got {self.fps}')
        if not isinstance(self.cameras, tuple):
            raise ConfigError(f'cameras must be a list of names. Got {self.cameras!r}')

    def store(self, data: Sequence[Path], split: str, size: Size) -> ClipStore | None:
        """The frames of data folders of any kind (`clip_store`), resized once they are decoded.

        Args:
            size: of the frames: side of a square, or (height, width) [px]. What is decoded has its
                shape, and `stored_size`.
        Raises:
            DataError: see there; or `size` is larger than what is decoded.
        """
        store = clip_store(data, split, of_shape(size, self.stored_size), self.fps, self.cameras)
        return store and store.resized(size)

    def within(self, frames: int) -> np.ndarray:
        """int64 (frames,): the frames of a clip, counted from its first.

        Raises:
            ConfigError: there are offsets, and of another number.
        """
        if self.offsets and len(self.offsets) != frames:
            raise ConfigError(
                f'offsets must name the {frames} frames of a clip (model.clip_frames)'
                f'. Got {self.offsets}'
            )
        return np.array(self.offsets) if self.offsets else np.arange(frames)

    def rate(self, frames: int) -> float:
        """Frames per second of a clip, the mean where offsets are uneven.

        Raises:
            ConfigError: see `within`; or all offsets are 0.
        """
        span = int(self.within(frames)[-1])
        if span == 0:
            raise ConfigError(f'the last of offsets must be above 0. Got {self.offsets}')
        return self.fps * (frames - 1) / span

    def frames_per_step(self, model: DLDMConfig) -> int:
        """Frames from one latent step to the next, so many actions does a step stand for.

        Raises:
            ConfigError: the clip is no whole number of them.
        """
        span = int(self.within(model.clip_frames)[-1])
        if span == 0 or span % model.steps:
            raise ConfigError(
                f'the last of offsets must be a multiple of {model.steps}, the latent '
                f'steps of a clip. Got {span}'
            )
        return span // model.steps


@dataclasses.dataclass(frozen=True)
class DumpConfig:
    """How codes are written: of the clips at every `stride`-th frame, `batch` clips at a time."""

    stride: int = 4
    batch: int = 32

    def __post_init__(self):
        if self.stride < 1 or self.batch < 1:
            raise ConfigError(f'stride and batch must be >= 1. Got {self.stride}, {self.batch}')


def to_video(rgb: torch.Tensor) -> torch.Tensor:
    """uint8 (B, F, H, W, 3) -> float (B, F, 3, H, W) in [0, 1], memory order kept."""
    return rgb.permute(0, 1, 4, 2, 3).float() / 255.0


def main(
    config: Path | str,
    data: Sequence[Path],
    out: Path,
    resume: bool = False,
    seed: int | None = None,
    max_minutes: float | None = None,
) -> dict:
    """Train the dLDM on the training split of `data`, then write its codes.

    Args:
        config: YAML file or a name in config/train/.
        data: data folders, of any kind that video_data.py names.
        out: run folder.
        resume: go on with the run that is in `out`.
        seed, max_minutes: instead of the config's.
    Returns:
        provenance, with the last losses; {} of all processes but the first.
    Raises:
        ConfigError, DataError, TrainingError: see there. SystemExit(130): interrupted, saved.
    """
    parts = stage_configs(
        config, 'dldm', model=DLDMConfig, train=TrainConfig, clips=ClipConfig, dump=DumpConfig
    )
    model_config, clips, dump = parts['model'], parts['clips'], parts['dump']
    train = override(parts['train'], seed, max_minutes)
    device = prepare(train)
    out = Path(out)
    foretell('dldm', partial(DLDM, model_config), train)
    source = ClipSource(
        data, clips, model_config.clip_frames, model_config.size, device, train.preload
    )
    store = source.store
    torch.manual_seed(train.seed)
    model = DLDM(model_config).to(device)
    usage = CodeUsage(model_config.codebook_size, model_config.queries)

    def loss(batch: dict, progress: float) -> dict:
        result = model.loss(batch['video'])
        if device.type == 'cpu' or batch['step'] % 10 == 0:  # a look makes a GPU wait
            usage.update(result['indices'])
        return {k: v for k, v in result.items() if v.ndim == 0}

    held_out = held_out_clips(data, clips, model_config.clip_frames, model_config.size)

    def validate() -> dict:
        video = to_video(torch.from_numpy(held_out)).to(device)
        seen = CodeUsage(model_config.codebook_size, model_config.queries)
        total: dict[str, float] = {}
        for part in video.split(train.batch):
            result = model.loss(part)
            seen.update(result['indices'])
            for key, value in result.items():
                if value.ndim == 0:
                    total[key] = total.get(key, 0.0) + float(value) * len(part) / len(video)
            total['still_mse'] = total.get('still_mse', 0.0) + float(
                (part - part[:, :1]).square().mean()
            ) * len(part) / len(video)
        return {
            **total,
            'code_usage': seen.usage(),
            'perplexity': {f'query_{n}': p for n, p in enumerate(seen.perplexity())},
        }

    def on_report(reporter, step: int, scalars: dict) -> None:
        report_codes(reporter, step, usage)
        video = to_video(torch.from_numpy(held_out[:4] if len(held_out) else source.spread(4))).to(
            device
        )
        model.eval()
        with torch.no_grad():
            rebuilt = model.loss(video)['reconstruction']
        model.train()
        reporter.image('real_above_rebuilt', strips(video, rebuilt), step)

    identity = {
        'data': store.content_hash,
        'model': dataclasses.asdict(model_config),
        'seed': train.seed,
        'batch': train.batch,
    }
    ended = fit(
        'dldm',
        model,
        train,
        out,
        make_batch=partial(source.make_batch, train),
        loss=loss,
        finish=source.finish,
        resume=resume,
        identity=identity,
        on_report=on_report,
        validate=validate if len(held_out) else None,
    )
    if not leads():
        return {}
    record = provenance(
        stage='dldm',
        data=store.content_hash,
        seed=train.seed,
        steps=ended.steps,
        seconds=round(ended.seconds, 1),
        wait_share=round(ended.wait_share, 4),
        scores=ended.last,
        train=dataclasses.asdict(train),
        clips=dataclasses.asdict(clips),
    )
    save_tensors(out / 'dldm.safetensors', model.state_dict(), limit=MAX_STATE_BYTES)
    save_json(
        out / 'config.json', {'dldm': config_to_dict(model_config), 'clips': config_to_dict(clips)}
    )
    save_json(out / 'provenance.json', record)
    write_codes(model, store, out / CODES_FILE, dump, clips)
    return record


def report_codes(reporter: Reporter, step: int, usage: CodeUsage) -> None:
    """Log the use of the codes since the last report, warn of a collapse, and begin to count anew."""
    if int(usage.counts.sum()):
        reporter.report(
            step,
            {
                'code_usage': usage.usage(),
                'perplexity': {f'query_{n}': p for n, p in enumerate(usage.perplexity())},
            },
            'codes',
        )
        usage.warn_on_collapse()
        usage.counts.zero_()


def override(train: TrainConfig, seed: int | None, max_minutes: float | None) -> TrainConfig:
    """The config with what the command line says instead."""
    changes = {'seed': seed, 'max_minutes': max_minutes}
    return dataclasses.replace(train, **{k: v for k, v in changes.items() if v is not None})


def prepare(train: TrainConfig) -> torch.device:
    """Set torch's threads and how it treats numbers; returns the device."""
    if train.threads:
        torch.set_num_threads(train.threads)
    torch.set_float32_matmul_precision('high')
    torch.set_flush_denormal(True)  # sharp softmaxes are full of them, and a CPU is slow with them
    return train.torch_device()


class ClipSource:
    """Batches of clips that begin at any frame of the training split.

    Args:
        data, config: see `main`. frames: of a clip. size: see `ClipConfig.store`. device, preload:
            see `FrameSource`.
    Raises:
        DataError: see `clip_store`. TrainingError: no clip in the data.
    """

    def __init__(
        self,
        data: Sequence[Path],
        config: ClipConfig,
        frames: int,
        size: Size,
        device: torch.device,
        preload: bool = False,
    ):
        self.jitter = config.jitter
        self.store = config.store(data, 'training', size)
        self.within = config.within(frames)
        self.starts = self.store.clip_starts(self.within[-1] + 1)
        if not len(self.starts):
            raise TrainingError(
                f'no contiguous range of the data holds {self.within[-1] + 1} '
                'frames, so there is no clip to train on'
            )
        self.frames = FrameSource(self.store, device, preload)

    def make_batch(self, train: TrainConfig, step: int) -> dict:
        """Which clips a step sees, and the seeds of their noise: a function of (seed, step)."""
        rng = np.random.default_rng([train.seed, step])
        rows = self.starts[rng.integers(len(self.starts), size=train.batch)]
        batch = {**self.frames.part(rows[:, None] + self.within), 'step': step}
        if self.jitter:
            gain = rng.uniform(-self.jitter, self.jitter, (train.batch, 2)) + [1.0, 0.0]
            batch['gain'] = torch.from_numpy(gain.astype(np.float32))
        return {**batch, 'noise': rng.integers(2**63, size=train.batch)}

    def finish(self, batch: dict) -> dict:
        """On the device: video float (B, F, 3, H, W) in [0, 1], a generator of noise for each clip."""
        rgb = self.frames.images(batch)
        rgb = jitter_colour(rgb, batch['gain']) if 'gain' in batch else rgb
        return {
            'video': to_video(rgb),
            'step': batch['step'],
            'noise': sample_noise(batch, rgb.device),
        }

    def spread(self, count: int) -> np.ndarray:
        """uint8 (<= count, F, H, W, 3): clips spread over the data."""
        return _spread(self.store, self.starts, self.within, count)


def _spread(store: ClipStore, starts: np.ndarray, within: np.ndarray, count: int) -> np.ndarray:
    chosen = starts[np.linspace(0, len(starts) - 1, min(count, len(starts))).astype(int)]
    return np.ascontiguousarray(store.rgb(chosen[:, None] + within))


def held_out_clips(
    data: Sequence[Path], config: ClipConfig, frames: int, size: Size, count: int = 64
) -> np.ndarray:
    """uint8 (<= count, F, H, W, 3): clips spread over the validation split, if there is one."""
    store = config.store(data, 'validation', size)
    if store:
        within = config.within(frames)
        starts = store.clip_starts(within[-1] + 1)
        if len(starts):
            return _spread(store, starts, within, count)
    return np.zeros((0, frames, *sides(size), 3), np.uint8)


def strips(video: torch.Tensor, rebuilt: torch.Tensor) -> np.ndarray:
    """Clips (B, F, 3, H, W) and their reconstructions, every fourth frame -> one uint8 picture."""
    rows = torch.stack([video[:, ::4], rebuilt[:, ::4].to(video)], dim=1)  # (B, 2, f, 3, H, W)
    B, two, f, _, H, W = rows.shape
    # (B, 2, f, 3, H, W) -> (B, 2, H, f, W, 3) -> (B * 2 * H, f * W, 3)
    picture = rows.permute(0, 1, 4, 2, 5, 3).reshape(B * two * H, f * W, 3)
    return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()


# ------------------------------------------------------------------------------------------- codes


@torch.inference_mode()
def encode_clips(
    model: DLDM,
    store: ClipStore,
    starts: np.ndarray,
    batch: int,
    clips: ClipConfig = ClipConfig(),
    frames: int | None = None,
) -> torch.Tensor:
    """Codes of the clips of `frames` (default: the model's) from rows `starts`: int32 (m, K-1, N).

    Clips of a batch overlap, so each frame is read once. Codes of a shorter clip are the first of
    those of a longer one.
    """
    c = model.config
    device = next(model.parameters()).device
    within = clips.within(frames or c.clip_frames)
    out = torch.empty((len(starts), (len(within) - 1) // 4, c.queries), dtype=torch.int32)
    with progress_bar() as bar:
        task = bar.add_task('codes', total=len(starts))
        for first in range(0, len(starts), batch):
            part = starts[first : first + batch]
            rows, place = np.unique(part[:, None] + within, return_inverse=True)
            rgb = torch.from_numpy(store.rgb(rows)).to(device)
            video = to_video(rgb[torch.from_numpy(place.reshape(len(part), -1))])
            out[first : first + batch] = model.tokenize(video).cpu().to(torch.int32)
            bar.advance(task, len(part))
    return out


def write_codes(
    model: DLDM,
    store: ClipStore,
    path: Path,
    dump: DumpConfig,
    clips: ClipConfig = ClipConfig(),
    known: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Encode the store's clips and write them to `path` (see the head of this file).

    Args:
        known: rows and indices, as of `read_codes`; folders that they cover are not encoded.
    """
    model.eval()
    span = clips.within(model.config.clip_frames)[-1]
    rows = store.clip_starts(span + 1, dump.stride)
    if known is not None:
        rows = rows[~np.isin(store.folder_of(rows), store.folder_of(known[0]))]
    indices = encode_clips(model, store, rows, dump.batch, clips)
    if known is not None:
        rows = np.concatenate([known[0], rows])
        indices = torch.cat([torch.from_numpy(known[1]).to(indices.dtype), indices])
    hashes = [f.content_hash for f in store.folders]
    save_tensors(
        path,
        {
            'folder': torch.from_numpy(store.folder_of(rows)),
            'indices': indices,
            'frame_ids': torch.from_numpy(store.frame_ids[rows]),
        },
        metadata={'folders': json.dumps(hashes), 'stride': str(dump.stride)},
        limit=MAX_STATE_BYTES,
    )


def read_codes(path: Path, store: ClipStore) -> tuple[np.ndarray, np.ndarray]:
    """Codes that a file holds for the frames of `store`.

    Returns:
        rows int64 (m,) of the store, and indices int64 (m, K-1, N).
    Raises:
        CheckpointError: missing or damaged. TrainingError: not codes, or of other data.
    """
    tensors, metadata = load_tensors(path, limit=MAX_STATE_BYTES)
    try:
        hashes = json.loads(metadata['folders'])
        folder, ids = tensors['folder'].numpy(), tensors['frame_ids'].numpy()
        indices = tensors['indices'].numpy().astype(np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f'{path} is not a file of codes: {error}') from error
    rows, found = [], []
    for number, content in enumerate(f.content_hash for f in store.folders):
        if content in hashes:
            here = np.flatnonzero(folder == hashes.index(content))
            rows.append(store.rows_of(number, ids[here]))
            found.append(indices[here])
    if not rows:
        raise TrainingError(
            f'{path} holds codes of other data than was given; run `vw2 train dldm` on this data'
        )
    return np.concatenate(rows), np.concatenate(found)
