# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Config dataclasses from plain values, as YAML and JSON have them, and back."""

from __future__ import annotations

import dataclasses
import json
import math
import types
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
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for kind in typing.get_args(hint):
            if _is_of(kind, value):
                return _converted(kind, value, where)
        return value  # the config itself says what it wants
    if hint is tuple or typing.get_origin(hint) is tuple:
        return _tuple(hint, value, where)
    try:
        if hint in (int, float) and isinstance(value, bool):  # YAML 1.1 reads yes as true
            raise InvalidValueError('not a number')
        if hint is float:
            return _finite(float(value))  # YAML 1.1 reads 1e-4 as a string
        if hint is int:
            if int(value) != _finite(float(value)):
                raise InvalidValueError('not a whole number')
            return int(value)
        if hint in (bool, str) and not isinstance(value, hint):
            raise InvalidValueError('another type')
    except (TypeError, ValueError, OverflowError) as error:
        kind = 'a finite float' if hint is float else hint.__name__
        raise ConfigError(f'{where} must be {kind}. Got {value!r}') from error
    return value


def _is_of(hint: typing.Any, value: typing.Any) -> bool:
    """Whether a plain value is meant to be of one kind of a union."""
    if hint is type(None):
        return value is None
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list | tuple)
    return not isinstance(value, list | tuple | type(None))


def _tuple(hint: typing.Any, value: typing.Any, where: str) -> tuple:
    kinds = typing.get_args(hint) or (typing.Any, ...)
    if not isinstance(value, list | tuple):
        raise ConfigError(f'{where} must be a list. Got {value!r}')
    if kinds[-1] is ...:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ConfigError(f'{where} must be a list of {len(kinds)}. Got {value!r}')
    return tuple(_converted(k, v, f'{where}[{i}]') for i, (k, v) in enumerate(zip(kinds, value)))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InvalidValueError('not finite')
    return value
