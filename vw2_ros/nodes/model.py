# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What the nodes with a model share: it loads, and runs, in one worker thread."""

import abc
from dataclasses import dataclass

from vw2_ros.nodes.base import NodeBase
from vw2_ros.nodes.parameters import BaseConfig, parameter
from vw2_ros.nodes.worker import Worker
from vw2_ros.serving.remote import DEADLINE_S


@dataclass(frozen=True)
class ModelConfig(BaseConfig):
    """Parameters that every node with a model has."""

    weights: str = parameter('play_table', 'shipped weights by name, or a model folder')
    threads: int = parameter(1, 'CPU threads of the model', low=1, high=64)
    device: str = parameter(
        'cpu', 'where the model runs: cpu, cuda, or auto (cuda if there is one)'
    )


@dataclass(frozen=True)
class PolicyConfig(ModelConfig):
    """Parameters of the nodes whose model may be on another machine."""

    deadline_s: float = parameter(
        DEADLINE_S, 'a later answer of a policy server is dropped [s]', low=0.001, high=10.0
    )


class ModelNode(NodeBase, abc.ABC):
    """A node whose model loads while it answers services and shows its health.

    Loading begins at the end of `on_configure`; `on_activate` waits for it, and the automatic start
    does not call that before all is there. A deactivation lets the model go.

    Subclasses write `load` and `work`, end their `on_configure` with `begin_loading`, and begin
    their `on_activate` with `wait_for_model`.
    """

    def __init__(self, name: str, **options):
        super().__init__(name, **options)
        self.worker: Worker | None = None
        self.model = None  # what `load` returned, while the node is active

    @abc.abstractmethod
    def load(self):
        """Return the model; called in the worker thread, where its imports belong, too."""

    @abc.abstractmethod
    def work(self, model, item) -> None:
        """Handle the newest item that was submitted; called in the worker thread."""

    def begin_loading(self) -> None:
        """Begin to load in the worker thread, unless that was begun."""
        if self.worker is None:
            self.worker = Worker(
                self.load, self.work, lambda error: self.refuse('plan', error), self.get_name()
            )

    def wait_for_model(self):
        """Return the model once it is there.

        Raises:
            Exception: whatever `load` raised.
        """
        self.begin_loading()
        self.model = self.worker.wait()
        return self.model

    def take_model(self, model) -> None:
        """Work with another model from the next item on."""
        self.model = model
        self.worker.swap(model)

    def ready(self):
        return self.worker is None or self.worker.loaded

    def halt(self):
        if self.worker is not None:
            self.worker.close()
        self.worker = self.model = None
