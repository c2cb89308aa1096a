# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How near an imagined video is to the true one: SSIM, PSNR and LPIPS, as VideoWorld 2 reports.

SSIM (Wang et al. 2004) and PSNR are scikit-image's (`pip install 'vw2_ros[metrics]'`). LPIPS
(Zhang et al. 2018) is there where the package `lpips` (extra `lpips`) and the weights of
torchvision's AlexNet (as a loss: VGG-16) are on this disk (torch.hub's checkpoints); nothing is
downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vw2_ros.errors import InvalidValueError, MissingPackageError

MOST_DB = 100.0  # what equal videos are said to have, instead of infinity


def ssim(true: np.ndarray, imagined: np.ndarray) -> float:
    """Mean structural similarity over the frames, in colour; 1 is equal.

    Args:
        true, imagined: uint8 (T, H, W, 3), H and W at least 7.
    Raises:
        ValueError: shapes or types differ. ModuleNotFoundError: scikit-image is not installed.
    """
    from skimage.metrics import structural_similarity

    _check(true, imagined)
    return float(
        np.mean(
            [
                structural_similarity(a, b, channel_axis=-1, data_range=255)
                for a, b in zip(true, imagined)
            ]
        )
    )


def psnr(true: np.ndarray, imagined: np.ndarray) -> float:
    """Peak signal to noise ratio [dB], mean over the frames, each at most MOST_DB.

    Args:
        true, imagined: uint8 (T, H, W, 3).
    Raises:
        ValueError: shapes or types differ. ModuleNotFoundError: scikit-image is not installed.
    """
    from skimage.metrics import peak_signal_noise_ratio

    _check(true, imagined)
    with np.errstate(divide='ignore'):
        return float(
            np.mean(
                [
                    min(MOST_DB, peak_signal_noise_ratio(a, b, data_range=255))
                    for a, b in zip(true, imagined)
                ]
            )
        )


def _check(true: np.ndarray, imagined: np.ndarray) -> None:
    for video in (true, imagined):
        if video.dtype != np.uint8 or video.ndim != 4 or video.shape != true.shape:
            raise InvalidValueError(
                'videos must both be uint8 (T, H, W, 3). '
                f'Got {true.dtype} {true.shape} and {video.dtype} {video.shape}.'
            )


def lpips_network(net: str) -> nn.Module | None:
    """LPIPS in evaluation mode, its weights fixed, or None where it is not on disk.

    Args:
        net: `alex` or `vgg`, whose features are compared.
    Returns:
        called with two float (N, 3, H, W) in [0, 1] and normalize=True it gives (N, 1, 1, 1), 0 for
        equal pictures.
    """
    try:
        import lpips

        known = lpips.pretrained_networks.tv
        weights = {'alex': known.AlexNet_Weights, 'vgg': known.VGG16_Weights}[net].IMAGENET1K_V1
    except (ImportError, AttributeError):  # not installed, or a torchvision before 0.13
        return None
    if not (Path(torch.hub.get_dir()) / 'checkpoints' / Path(weights.url).name).is_file():
        return None
    return lpips.LPIPS(net=net, verbose=False).eval().requires_grad_(False)


def load_lpips() -> Callable[[np.ndarray, np.ndarray], float] | None:
    """LPIPS with AlexNet as a function like `ssim` (0 is equal), or None where it is not on disk."""
    network = lpips_network('alex')
    if network is None:
        return None

    @torch.inference_mode()
    def measure(true: np.ndarray, imagined: np.ndarray) -> float:
        _check(true, imagined)
        # (T, H, W, 3) in 0..255 -> (T, 3, H, W) in [0, 1]
        a, b = (
            torch.from_numpy(np.ascontiguousarray(v)).permute(0, 3, 1, 2) / 255
            for v in (true, imagined)
        )
        return float(network(a, b, normalize=True).mean())

    return measure


def metrics() -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """The metrics that this machine has, by name.

    Raises:
        MissingPackageError: scikit-image is not installed; the message says how to get it.
    """
    try:
        import skimage.metrics  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            'the metrics of imagined video need scikit-image. Got none. Install it with '
            "pip install 'vw2_ros[metrics]'"
        ) from error
    perceptual = load_lpips()
    return {'ssim': ssim, 'psnr': psnr, **({'lpips': perceptual} if perceptual else {})}
