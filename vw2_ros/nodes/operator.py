# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What an operator holds in the hand: a stop button and, where wanted, a deadman.

| topic    | type              | meaning                                                              |
| -------- | ----------------- | -------------------------------------------------------------------- |
| `stop`   | std_msgs/Bool     | true: stop, and no `rearm` while it is; may be latched               |
| `enable` | std_msgs/Bool     | `deadman:=enable`: the arm moves only while true comes               |
| `joy`    | sensor_msgs/Joy   | `deadman:=joy`: likewise while the button `deadman_button` is down   |

A deadman that says nothing for `DEADMAN_SILENCE_S` is released.
"""

from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

from vw2_ros import names
from vw2_ros.errors import InvalidValueError
from vw2_ros.messages import qos

DEADMEN = ('', names.ENABLE, names.JOY)
DEADMAN_SILENCE_S = 0.3  # it comes at 5 Hz or more


class Operator:
    """Listens to the stop button and to the deadman.

    Args:
        node: what it makes here is destroyed with the node's present transition.
        deadman: one of DEADMEN. button: index in Joy.buttons.
        stop: called with a reason when the stop button goes down.
    """

    def __init__(self, node, deadman: str, button: int, stop):
        self._node, self._deadman, self._button, self._stop = node, deadman, button, stop
        self.pressed = False  # the stop button is down
        self._held_s: float | None = None  # when the deadman was last seen held down
        # a button may be latched, or not: a volatile one does not match a latched subscription
        node.subscribe(Bool, names.STOP, self._on_stop, qos.newest(10))
        node.subscribe(Bool, names.STOP, self._on_stop, qos.latched(), quiet=True)
        if deadman == names.ENABLE:
            node.subscribe(Bool, names.ENABLE, lambda m: self._held(m.data), qos.newest(10))
        elif deadman == names.JOY:
            node.subscribe(Joy, names.JOY, self._on_joy, qos.newest(10))

    def released(self, now_s: float) -> str:
        """Why the deadman keeps the arm from moving at `now_s`, '' if it does not."""
        if not self._deadman:
            return ''
        topic = self._node.resolve_topic_name(self._deadman)
        if self._held_s is None:
            return f'the deadman on {topic} is released'
        if now_s - self._held_s > DEADMAN_SILENCE_S:
            return f'the deadman on {topic} is silent for {(now_s - self._held_s) * 1e3:.0f} ms'
        return ''

    def _on_stop(self, msg) -> None:
        if msg.data and not self.pressed:
            self._stop(f'the button on {self._node.resolve_topic_name(names.STOP)} was pressed')
        self.pressed = msg.data

    def _on_joy(self, msg) -> None:
        if self._button >= len(msg.buttons):
            self._held(False)
            raise InvalidValueError(
                f'deadman_button must be below {len(msg.buttons)}, the buttons of this joystick. '
                f'Got {self._button}.'
            )
        self._held(bool(msg.buttons[self._button]))

    def _held(self, down: bool) -> None:
        self._held_s = self._node.now_s() if down else None
