# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Where models run: the names of devices that configs, parameters and options take."""

import torch

from vw2_ros.errors import InvalidValueError

DEVICES = ('auto', 'cpu', 'cuda')


def find_device(name: str) -> torch.device:
    """The device of a name; `auto` is cuda where torch finds a GPU, else the CPU.

    Raises:
        InvalidValueError: another name, or cuda where torch finds no GPU.
    """
    if name not in DEVICES:
        raise InvalidValueError(f'device must be one of {", ".join(DEVICES)}. Got {name!r}.')
    found = torch.cuda.is_available() if name != 'cpu' else False
    if name == 'cuda' and not found:
        raise InvalidValueError(
            "device must be one that torch finds. Got 'cuda', and torch finds no GPU. "
            'Say auto or cpu.'
        )
    return torch.device('cuda' if found else 'cpu')
