# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Run one node as a process: signals, the process that began it, exit status."""

import os
import signal
import sys
import threading
import time

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from vw2_ros.names import NOT_STARTED, PARENT_VARIABLE
from vw2_ros.nodes.lifecycle import StartFailed


def _end_with_parent() -> None:
    """Where a parent is named, end when it is gone: first as Ctrl-C would, then for good."""
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return

    def watch():
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5.0)
        os._exit(1)

    threading.Thread(target=watch, name='parent', daemon=True).start()


class _Signals:
    """The first Ctrl-C or SIGTERM lets the present callback finish, unless weights are loading."""

    def __init__(self):
        self.asked = False
        self.node = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number, frame) -> None:
        if self.asked or self.node is None or self.node.in_transition:
            raise KeyboardInterrupt
        self.asked = True


def run(node_class, args=None):
    """Run one node in a single-threaded executor until it is told to end, then end the process.

    Status 0 after Ctrl-C or SIGTERM; 2 (`NOT_STARTED`) after arguments or parameters that no node can
    be made of, or if the automatic start failed and `exit_on_failure` is set.
    """
    _end_with_parent()
    sys.setswitchinterval(0.0005)  # a worker in Python code must not delay a timer by 5 ms
    node, status = None, 0
    try:
        # ROS's own handlers would take the context away from under a worker that still publishes
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        signals = _Signals()
        signals.node = node = node_class()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok() and not signals.asked:
            executor.spin_once(timeout_sec=0.5)  # the diagnostics timer wakes it earlier
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except StartFailed:
        status = NOT_STARTED  # the reason was logged
    except (ParameterException, RuntimeError) as error:
        if node is not None:
            raise
        status = NOT_STARTED
        print(f'{node_class.__name__} does not start: {error}', file=sys.stderr)  # bad arguments
    finally:
        try:
            if node is not None:
                node.close()
                node.destroy_node()
        finally:
            rclpy.try_shutdown()
    # all is closed; taking torch apart module by module would cost seconds more
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
