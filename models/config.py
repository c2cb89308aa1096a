# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Config dataclasses from plain values, as YAML and JSON have them, and back."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping

from vw2_ros.errors import InvalidValueError, close_matches
from vw2_ros.models.errors import ConfigError

Config = typing.TypeVar('Config')


def to_dict(config: typing.Any) -> dict:
    """Return a config dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[Config], values: Mapping | None, where: str = '') -> Config:
    """Build a config dataclass, and those within it, from plain values; lists become tuples.

    Args:
        values: what a file says; None takes all defaults.
        where: what the file calls it, for the messages; the name of the class by default.
    Raises:
        ConfigError: an unknown key (with near ones), or a value that is of the wrong type or that
            the config refuses.
    """
    where = where or cls.__name__
    if not isinstance(values or {}, Mapping):
        raise ConfigError(f'{where} must be a mapping. Got {values!r}')
    known = [field.name for field in dataclasses.fields(cls)]
    hints = typing.get_type_hints(cls)
    converted = {}
    for key, value in (values or {}).items():
        if key not in known:
            raise ConfigError(f'{where}: {close_matches("key", str(key), known)}')
        converted[key] = _converted(hints[key], value, f'{where}.{key}')
    try:
        return cls(**converted)
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{where}: {error}') from error


def _converted(hint: typing.Any, value: typing.Any, where: str) -> typing.Any:
    """A plain value as a field's type wants it; a ConfigError says what it should have been."""
    if dataclasses.is_dataclass(hint) and not isinstance(value, hint):
        return from_dict(hint, value, where)
    try:
        if hint is float:
            return float(value)  # YAML 1.1 reads 1e-4 as a string
        if hint is int:
            if int(value) != float(value):
                raise InvalidValueError('not a whole number')
            return int(value)
        if hint is bool and not isinstance(value, bool):
            raise InvalidValueError('not true or false')
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{where} must be {hint.__name__}. Got {value!r}') from error
    return tuple(value) if isinstance(value, list) else value
