# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Life cycle transitions whose exceptions are reported instead of ending the node."""

import functools

from rclpy.lifecycle import TransitionCallbackReturn

from vw2_ros.errors import VW2Error


def transition(method):
    """Turn `on_x(self)` into a life cycle callback: whatever it raises is reported, not fatal."""

    @functools.wraps(method)
    def callback(self, state):
        self.stage, self.in_transition = method.__name__, True
        try:
            method(self)
        except Exception as error:
            self.failure = f'{method.__name__[3:]}: {error}'
            self.get_logger().error(self.failure)
            self.undo(self.stage)
            if self.stage == 'on_activate':
                self.halt()
            self.diagnose()
            return TransitionCallbackReturn.FAILURE
        finally:
            self.in_transition = False
        self.failure = ''
        self.get_logger().info(f'{method.__name__[3:]}: done')
        return TransitionCallbackReturn.SUCCESS

    return callback


class StartFailed(VW2Error):
    """The automatic start failed and `exit_on_failure` is set."""
