# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Long work ends in order when it is told to, also in the background."""

import signal


class Interruption:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, also where a shell had them ignored."""

    def __enter__(self) -> None:
        def raise_it(*_):
            raise KeyboardInterrupt

        self._before = {
            number: signal.signal(number, raise_it)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN
        }

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
