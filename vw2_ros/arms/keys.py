# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Reads a YAML mapping key by key; an error names the key, and a key that nobody read is refused."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from vw2_ros.errors import UsageError, close_matches

REQUIRED = object()


class ContractError(UsageError):
    """A contract makes no sense; the message names the file and the key. Exit status 2."""


class Keys:
    """One mapping of a file.

    Args:
        values: what stands there. file: how messages call it, e.g. 'contract my_arm.yaml'.
        section: name of the mapping within the file, '' for the whole of it.
    Raises:
        ContractError: `values` is no mapping; and by each method, what its key makes wrong.
    """

    def __init__(self, values: Any, file: str, section: str = '') -> None:
        self.file, self.section = file, section
        if not isinstance(values, Mapping):
            what = section or 'the file'
            raise ContractError(f'{file}: {what} must be a mapping of keys. Got {values!r}')
        self._values = values
        self._known: list[str] = []

    def error(self, key: str, text: str) -> ContractError:
        """The error for one key: 'contract my_arm.yaml: limits.period_s must be ...'."""
        return ContractError(f'{self.file}: {self.path(key)} {text}')

    def path(self, key: str) -> str:
        """The key with its section, e.g. 'limits.period_s'."""
        return f'{self.section}.{key}' if self.section else key

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        """The value as it stands there."""
        self._known.append(key)
        if key in self._values:
            return self._values[key]
        if default is REQUIRED:
            raise self.error(key, 'is missing')
        return default

    def text(self, key: str, default: Any = REQUIRED, *, of: Iterable[str] = ()) -> str:
        """A text; `of`: one of these. An empty one only where that is the default."""
        value, of = self.get(key, default), tuple(of)
        if not isinstance(value, str) or (not value.strip() and value != default):
            raise self.error(key, f'must be a text. Got {value!r}')
        if of and value not in of:
            raise self.error(key, f'must be one of {", ".join(of)}. Got {value!r}')
        return value

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        """True or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f'must be true or false. Got {value!r}')
        return value

    def number(self, key: str, default: Any = REQUIRED, *, low=-math.inf, high=math.inf) -> float:
        """A finite number within [low, high]."""
        value = self.get(key, default)
        if not _finite(value):
            raise self.error(key, f'must be a number. Got {value!r}')
        if not low <= value <= high:
            raise self.error(key, f'must lie within {low} to {high}. Got {value}')
        return float(value)

    def numbers(self, key: str, n: int, default: Any = REQUIRED) -> tuple[float, ...]:
        """n finite numbers."""
        value = self.get(key, default)
        fits = isinstance(value, (list, tuple)) and len(value) == n and all(map(_finite, value))
        if not fits:
            raise self.error(key, f'must be {n} finite numbers. Got {value!r}')
        return tuple(map(float, value))

    def names(self, key: str, default: Any = REQUIRED) -> tuple[str, ...]:
        """Different texts, at least one."""
        value = self.get(key, default)
        fits = isinstance(value, (list, tuple)) and value
        if not fits or not all(isinstance(v, str) and v.strip() for v in value):
            raise self.error(key, f'must be a list of names. Got {value!r}')
        if len(set(value)) != len(value):
            raise self.error(key, f'must be different names. Got {list(value)}')
        return tuple(value)

    def keys(self) -> 'list[str]':
        """All keys that stand there."""
        return [str(key) for key in self._values]

    def into(self, key: str, default: Any = REQUIRED) -> 'Keys':
        """The mapping below a key."""
        return Keys(self.get(key, default), self.file, self.path(key))

    def end(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._values:
            if key not in self._known:
                where = f' of {self.section}' if self.section else ''
                raise ContractError(
                    f'{self.file}: ' + close_matches(f'key{where}', str(key), self._known)
                )


def _finite(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)
