# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Keys of a terminal, one by one, without waiting."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Mapping

_ESCAPED = re.compile(r'\x1b(\[[0-9;]*[ -/]*[@-~]|O.|.)?')  # an arrow key is no letter


class Keyboard:
    """Keys of the terminal, as they are pressed; none where stdin is no terminal.

    Args:
        verbs: key -> what it means; a small letter stands for the large one, too.
    """

    def __init__(self, verbs: Mapping[str, str]):
        self._verbs = verbs
        self._before = None

    def __enter__(self) -> Keyboard:
        if sys.stdin is not None and sys.stdin.isatty():
            import termios
            import tty

            self._file = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file)
        return self

    @property
    def there(self) -> bool:
        """Whether there are keys."""
        return self._before is not None

    def __exit__(self, *_) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def pressed(self) -> list[str]:
        """Verbs of the keys that were pressed since the last call."""
        found = []
        while self._before is not None and select.select([self._file], [], [], 0)[0]:
            keys = os.read(self._file, 64).decode(errors='ignore')
            if not keys:
                break
            letters = _ESCAPED.sub('', keys).lower()
            found += [self._verbs[key] for key in letters if key in self._verbs]
        return found
