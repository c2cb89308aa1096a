# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A command that is killed with -9 at a chosen moment of its work, in a process of its own."""

import os
import signal
import sys

from vw2_ros import cli


def run(arguments, begin, at=None):
    """Run `vw2 ...` in a fork; kill it at the `at`-th call after a method was entered.

    Args:
        arguments: of `vw2`. begin: (class, name) of the method. at: None: not at all.
    Returns:
        exit status (None: killed), and how many calls there were, where it was not killed.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            count = [0]

            def profile(_, event, __):
                if event in ('call', 'c_call'):
                    count[0] += 1
                    if count[0] == at:
                        os.kill(os.getpid(), signal.SIGKILL)

            owner, name = begin
            method = getattr(owner, name)

            def watched(*args, **kwargs):
                sys.setprofile(profile)
                return method(*args, **kwargs)

            setattr(owner, name, watched)
            status = cli.main([str(word) for word in arguments])
            sys.setprofile(None)
            os.write(write_end, str(count[0]).encode())
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end) as told:
        calls = told.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None, 0
    return os.WEXITSTATUS(status), int(calls or 0)
