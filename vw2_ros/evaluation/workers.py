# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Performs rollouts, here or wherever else work runs (`vw2_ros.work`)."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping

from vw2_ros.evaluation.players import weights_of
from vw2_ros.evaluation.record import EvaluationError
from vw2_ros.evaluation.rollouts import Options, Rollout, instructions
from vw2_ros.evaluation.runners import open_runner
from vw2_ros.work.errors import WorkError
from vw2_ros.work.place import Perform, open_place


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """The work (`vw2_ros.work.place.Work`) whose jobs are rollouts."""

    options: Options
    wordings: Mapping[str, list[str]]  # task -> wordings
    films: Mapping[str, str]  # name of a rollout -> mp4 file below `out`, where it is filmed
    facts: Mapping[str, str]  # of the simulator, on the machine that asks
    reads: tuple[str, ...] = ()  # the folder of the weights
    last: str = ''

    def moved(self, at: Mapping[str, str]) -> 'Rollouts':
        """The same with the weights elsewhere."""
        if not self.reads:
            return self
        options = dataclasses.replace(self.options, policy=at[self.reads[0]])
        return dataclasses.replace(self, options=options)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Perform]:
        """What performs a rollout: a line of the record, {rollout, subtasks}."""
        self.options.simulator.check(self.options.scene, self.facts)
        with contextlib.closing(open_runner(self.options)) as runner:

            def perform(rollout: Rollout, out: pathlib.Path) -> dict:
                film = self.films.get(rollout.name)
                said = instructions(rollout, self.wordings)
                subtasks = runner.perform(rollout, said, out / film if film else None)
                return {'rollout': rollout.name, 'subtasks': subtasks}

            yield perform


def performed(
    options: Options,
    pending: list[Rollout],
    wordings: Mapping[str, list[str]],
    films: Mapping[str, pathlib.Path],
) -> Iterator[dict]:
    """Perform the rollouts; yield a line of the record, {rollout, subtasks}, for each.

    Args:
        pending: what is to be done. With several workers the lines come in another order.
        wordings: task -> wordings. films: name of a rollout -> mp4 file, where it is filmed.
    Raises:
        EvaluationError: a worker failed or died.
        UsageError: the place where they should be performed cannot do it.
    """
    if not pending:
        return
    below = {name: str(film.relative_to(options.out)) for name, film in films.items()}
    work = Rollouts(options, wordings, below, options.simulator.facts, weights_of(options.policy))
    try:
        with open_place(options.on, options.workers) as place:
            yield from place.perform(work, pending, options.out)
    except WorkError as error:
        raise EvaluationError(str(error)) from error
