# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The codes of clips: read by a dLDM, counted, laid out on a plane, shared between scenes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.checkpoint import resolve
from vw2_ros.models.data.codes import encode_clips
from vw2_ros.models.data.store import FrameStore
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.fsq import CodeUsage
from vw2_ros.models.inspection.clips import Clips, lively
from vw2_ros.models.run_folder import load_model


def load_dldm(dir_or_name: str | Path) -> DLDM:
    """The dLDM of a run folder (`vw2 train dldm`), of a policy folder or of shipped weights.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    return load_model(DLDM, DLDMConfig, resolve(dir_or_name), 'dldm').requires_grad_(False)


def read_codes_of(
    model: DLDM, store: FrameStore, clips: Clips, batch: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the clips, of their first `clips.steps` steps.

    Args:
        store: at the model's image size. clips: not longer than the model's.
    Returns:
        values on the FSQ grid, float32 (m, steps, N * C) in [-1, 1]; indices int64 (m, steps, N).
    Raises:
        ValueError: the clips are longer than the model's.
    """
    if clips.steps > model.config.steps:
        raise InvalidValueError(
            f'clips must have at most {model.config.clip_frames} frames. Got {clips.frames}'
        )
    model.eval()
    indices = encode_clips(model, store, clips.starts, batch, frames=clips.frames).long()
    values = model.codes_to_embedding(indices).flatten(2)  # (m, steps, N, C) -> (m, steps, N * C)
    return values.numpy(), indices.numpy()


def usage(indices: np.ndarray, codebook_size: int) -> dict:
    """How much of the codebook samples (m, steps, N) use: fraction, and perplexity per query."""
    counts = CodeUsage(codebook_size, indices.shape[2])
    counts.update(torch.from_numpy(indices))
    return {
        'codebook': codebook_size,
        'samples': int(indices.shape[0] * indices.shape[1]),
        'usage': round(counts.usage(), 4),
        'perplexity': [round(p, 1) for p in counts.perplexity()],
    }


def embed(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """UMAP of codes (n, D) -> float (n, 2), the same for the same seed."""
    import umap  # compiles for seconds: only where it is used

    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            reducer = umap.UMAP(
                n_neighbors=min(30, len(codes) - 1),
                min_dist=0.1,
                n_jobs=1,
                random_state=seed,
                init='pca',
            )
            return reducer.fit_transform(codes)
    finally:
        torch.set_num_threads(threads)  # numba sets OpenMP's, which are torch's too


def shared_codes(indices: np.ndarray, clips: Clips, seed: int = 0) -> list[dict]:
    """For each query a last-step code that the most scenes share, with a clip of each scene.

    Only lively clips count. Where several codes are shared by as many scenes, one is drawn.

    Returns:
        [{'query', 'code', 'count', 'clips': [one clip of each scene that has it]}]; codes that no
        two scenes share are left out.
    """
    order = np.random.default_rng([seed, 5]).permutation(lively(clips))
    out = []
    for query in range(indices.shape[2]):
        code = indices[order, -1, query]
        # Those met first were drawn: order is random.
        _, met = np.unique(code, return_index=True)
        best = max(code[np.sort(met)], key=lambda c: len(set(clips.scene[order[code == c]])))
        same = order[code == best]
        letters, first = np.unique(clips.scene[same], return_index=True)
        if len(letters) > 1:
            out.append(
                {
                    'query': query,
                    'code': int(best),
                    'count': len(same),
                    'clips': [int(i) for i in same[first]],
                }
            )
    return out
