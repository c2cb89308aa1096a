# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A small stage of training: what `run` does, without what a model of the project needs."""

import numpy as np
import torch

from vw2_ros.models.training.config import TrainConfig
from vw2_ros.models.training.stage import Stage


class Toy(Stage):
    """A regression: the sum of four numbers, with any model that takes them.

    Args:
        model: optimised by `run`. name: in the log.
        config: fields of TrainConfig. methods: functions to put in place of the methods so named.
    """

    def __init__(self, model, name='small', config=None, **methods):
        small = {'batch': 8, 'lr': 1e-2, 'warmup': 3, 'ema': 0.9, 'log_every': 1, 'device': 'cpu'}
        self.model, self.name = model, name
        self.train = TrainConfig(**{**small, **(config or {})})
        for key, value in methods.items():
            setattr(self, key, value)

    def build(self):
        return self.model

    def identity(self):
        return {'a': 1}

    def batch(self, step):
        x = np.random.default_rng([7, step]).normal(size=(8, 4)).astype(np.float32)
        return {'x': torch.from_numpy(x)}

    def loss(self, batch):
        target = batch['x'].sum(1, keepdim=True)
        return {'loss': (self.model(batch['x']) - target).square().mean()}
