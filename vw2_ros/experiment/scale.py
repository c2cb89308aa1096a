# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How large an experiment is: config/experiment/*.yaml."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from vw2_ros.errors import InvalidValueError, close_matches
from vw2_ros.experiment.rows import KINDS, LABELLED, PRETRAINED, merged
from vw2_ros.files import named_config, read_yaml


@dataclass(frozen=True)
class Scale:
    """How large an experiment is: a file of config/experiment/.

    Raises:
        ValueError: a number that makes no sense.
    """

    base: str  # training config that all rows share
    data: Mapping  # name -> options of `vw2 collect`, or the path of a data set
    minutes: float  # what training one row takes, about, on the machine that the scale is for
    # kind -> minutes that one such job takes there, about, `eval` with `chains` chains: to tell the
    # cost beforehand
    stage_minutes: Mapping = field(default_factory=dict)
    train: Mapping = field(default_factory=dict)  # keys that differ from the base
    seeds: int = 1  # how often each row is trained
    once: tuple[str, ...] = PRETRAINED  # kinds that are trained once, with seed 0, for all seeds
    chains: int = 200  # of the evaluation
    jobs: int = 1  # jobs at a time; on a cluster, as many as it has room for
    # processes of a job that collects or evaluates; on a cluster, CPUs that any job takes
    workers: int = 1
    # share of the labelled windows that rows with few labels learn from: as many as the paper's
    # tenth of CALVIN's has are a larger share of a smaller data set
    few_labels: float = 0.1

    def __post_init__(self):
        for name in ('seeds', 'jobs', 'workers'):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise InvalidValueError(
                    f'{name} must be a whole number >= 1. Got {getattr(self, name)!r}'
                )
        if not isinstance(self.chains, int) or not 0 <= self.chains <= 1000:
            raise InvalidValueError(f'chains must lie in 0..1000. Got {self.chains!r}')
        object.__setattr__(self, 'once', tuple(self.once))
        if not set(PRETRAINED) <= set(self.once) <= set(KINDS):
            raise InvalidValueError(
                f'once must hold {PRETRAINED}, and else names of {KINDS}. Got {self.once}'
            )
        if not 0 < self.few_labels < 1:
            raise InvalidValueError(f'few_labels must be in (0, 1). Got {self.few_labels!r}')
        if not self.minutes > 0:
            raise InvalidValueError(f'minutes must be > 0. Got {self.minutes!r}')
        if set(self.stage_minutes) - set(KINDS) or not all(
            isinstance(m, (int, float)) and m >= 0 for m in self.stage_minutes.values()
        ):
            raise InvalidValueError(
                f'stage_minutes must map names of {KINDS} to minutes. Got {self.stage_minutes}'
            )
        if not isinstance(self.data, Mapping) or LABELLED not in self.data:
            raise InvalidValueError(
                f'data must name a labelled data set {LABELLED!r}. Got {self.data!r}'
            )

    @classmethod
    def load(cls, name: str) -> 'Scale':
        """Read a YAML file, or one of config/experiment/ by name.

        Raises:
            MissingFileError: no such file.
            ValueError: not YAML, or a key that is unknown or missing.
        """
        path = named_config('experiment', name, 'scale')
        try:
            return cls(**read_yaml(path))
        except (TypeError, ValueError) as error:
            keys = ', '.join(f.name for f in dataclasses.fields(cls))
            raise InvalidValueError(f'{path} must be a mapping of {keys}: {error}') from error

    def config(self, minutes: float | None = None) -> dict:
        """The config of all rows, its steps and time boxes scaled to `minutes` for a row.

        Raises:
            ValueError: `train` has a section that the base has not.
        """
        path = named_config('train', self.base)
        base = read_yaml(path)
        for section in self.train:
            if section not in base:
                raise InvalidValueError(close_matches('section', section, base) + f' ({path})')
        return _scaled(merged(base, self.train), (minutes or self.minutes) / self.minutes)


def _scaled(config: Mapping, factor: float) -> dict:
    out = dict(config)
    for key, value in config.items():
        if isinstance(value, Mapping):
            out[key] = _scaled(value, factor)
        elif key == 'steps' and value:
            out[key] = max(1, round(value * factor))
        elif key == 'max_minutes':
            out[key] = value * factor
    return out
