# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Talk to running nodes from a plain program: wait until they are ready, set, ask, listen.

with Client() as client:
    client.wait_active(['planner', 'action'])
    client.set('planner', instruction='open the drawer')
    client.trigger('reset')
"""

import json
import time

import rclpy
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vw2_ros import names
from vw2_ros.errors import VW2Error
from vw2_ros.messages import qos


class ClientError(VW2Error, RuntimeError):
    """A node did not answer in time, or refused; the message says which and why."""


class Client:
    """A node with an executor and a context of its own; every method spins as long as it waits.

    Args:
        namespace: of the nodes it talks to.
        check: called while it waits, e.g. `Children.check`, to fail at once when a process died.
    """

    def __init__(self, namespace: str = '', *, name: str = 'vw2_client', check=None):
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node(
            name, namespace=namespace, context=self._context, start_parameter_services=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._check = check
        self._clients: dict = {}
        self._instruction = self.node.create_publisher(String, names.INSTRUCTION, qos.latched())

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def __enter__(self) -> 'Client':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def subscribe(self, message_type, topic: str, callback, qos) -> None:
        """Call back for each message that comes while some method waits."""
        self.node.create_subscription(message_type, topic, callback, qos)

    def publisher(self, message_type, topic: str, qos):
        """Make a publisher."""
        return self.node.create_publisher(message_type, topic, qos)

    def spin(self, seconds: float) -> None:
        """Handle what comes for so long."""
        self.wait(lambda: False, seconds)

    def wait(self, condition, timeout_s: float) -> bool:
        """Handle what comes until `condition()` holds; False if it did not in time."""
        end = time.monotonic() + timeout_s
        checked = 0.0
        while not condition():
            now = time.monotonic()
            if now >= end:
                return False
            if self._check is not None and now - checked > 0.2:
                checked = now
                self._check()
            self._executor.spin_once(timeout_sec=min(0.1, end - now))
        return True

    def wait_active(self, nodes, timeout_s: float = 60.0) -> None:
        """Return when every node of the list is in the life cycle state active.

        Raises:
            ClientError: one was not in time; the message names it and its state.
        """
        end = time.monotonic() + timeout_s
        for name in nodes:
            state = 'not there'
            while state != 'active':
                left = end - time.monotonic()
                if left <= 0:
                    raise ClientError(
                        f'{name} was not active within {timeout_s:.0f} s; it is {state}'
                    )
                try:  # asked often: what is asked while a node starts may be lost
                    answer = self.call(
                        GetState, f'{name}/get_state', GetState.Request(), min(left, 1.0)
                    )
                    state = answer.current_state.label
                except ClientError:
                    continue
                if state != 'active':
                    self.spin(0.1)

    def set(self, node: str, **parameters) -> None:
        """Set parameters of a node, all or none.

        Raises:
            ClientError: it refused one, or did not answer.
        """
        request = SetParameters.Request(
            parameters=[
                Parameter(name, value=value).to_parameter_msg()
                for name, value in parameters.items()
            ]
        )
        for result in self.call(SetParameters, f'{node}/set_parameters', request).results:
            if not result.successful:
                raise ClientError(f'{node} refused: {result.reason}')

    def trigger(self, service: str, timeout_s: float = 20.0) -> str:
        """Call a std_srvs/Trigger service and return its message.

        Raises:
            ClientError: it failed, or did not answer.
        """
        answer = self.call(Trigger, service, Trigger.Request(), timeout_s)
        if not answer.success:
            raise ClientError(f'{service}: {answer.message}')
        return answer.message

    def reset_table(self, robot_obs=None, scene_obs=None) -> None:
        """Bring the play table to a state, (15,) and (24,), with nobody planning or moving.

        Without a state, to its fixed start.

        Raises:
            ClientError: a node refused, or did not answer.
        """
        for node in ('planner', 'action'):
            self.set(node, instruction='')
        self.trigger(names.RESTART)  # or the last command would draw the arm back
        state = {
            name: [float(v) for v in values]
            for name, values in (('robot_obs', robot_obs), ('scene_obs', scene_obs))
            if values is not None
        }
        self.set('calvin_bridge', reset_state=json.dumps(state) if state else '')
        self.trigger(names.RESET)

    def start_task(self, task: str, instruction: str, max_steps: int) -> int:
        """Tell all nodes what to do; the serial number under which the table judges it.

        Raises:
            ClientError: a node refused, or did not answer.
        """
        for node in ('planner', 'action'):
            self.set(node, instruction=instruction)
        self.set('calvin_bridge', task=task, max_steps=int(max_steps))
        return int(self.trigger(names.START_TASK))

    def say(self, instruction: str) -> None:
        """Publish an instruction, latched."""
        self._instruction.publish(String(data=instruction))

    def call(self, service_type, name: str, request, timeout_s: float = 20.0):
        """Call any service.

        Raises:
            ClientError: no answer in time.
        """
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.node.create_client(service_type, name)
        end = time.monotonic() + timeout_s
        if not self.wait(client.service_is_ready, timeout_s):
            raise ClientError(f'no service {name} within {timeout_s:.0f} s')
        future = client.call_async(request)
        if not self.wait(future.done, max(0.1, end - time.monotonic())):
            client.remove_pending_request(future)
            raise ClientError(f'{name} did not answer within {timeout_s:.0f} s')
        return future.result()
