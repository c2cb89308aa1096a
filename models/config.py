# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Config dataclasses from what a YAML file says."""

from __future__ import annotations

import dataclasses
import difflib
import typing

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.errors import ConfigError


def from_dict(cls: type, values: dict | None, where: str = ''):
    """Build a config dataclass from what a YAML file says, refusing unknown keys.

    Raises:
        ConfigError: an unknown key (with the nearest known one), or a value of the wrong type.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    converted = {}
    if not isinstance(values or {}, dict):
        raise ConfigError(f'{where} must be a mapping. Got {values!r}')
    for key, value in (values or {}).items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f'; did you mean {near[0]!r}?' if near else f'; known: {", ".join(fields)}'
            raise ConfigError(f'{where}: unknown key {key!r}{hint}')
        hint = hints[key]
        try:
            if hint is float:
                value = float(value)  # YAML 1.1 reads 1e-4 as a string
            elif hint is int:
                if int(value) != float(value):
                    raise InvalidValueError('not a whole number')
                value = int(value)
            elif hint is bool and not isinstance(value, bool):
                raise InvalidValueError('not true or false')
            elif isinstance(value, list):
                value = tuple(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f'{where}.{key} must be {hint.__name__}. Got {value!r}') from error
        converted[key] = value
    try:
        return cls(**converted)
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{where}: {error}') from error
