# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 experiment`: rows of stages side by side, as in VideoWorld 2's comparison and ablations.

    vw2 experiment calvin-table --scale tiny --out out/table

A row is a list of stages of training, and what it changes in the config that all rows share. Every
stage, and every collection and evaluation, is a *job*: a `vw2` process of its own, named by a hash
of its command and its config. Rows that share a job share its folder, and the same command goes on
where the one before ended, however it ended. The hash knows neither the code (table.md tells where
jobs are of different commits) nor the content of data that are given by path: after a change of
either take another folder.

The rows and seeds that a table has stay in it when others are asked for, if scale, minutes and
chains are those that they were made with.

Written below `out`:

| file | what |
| --- | --- |
| table.json, table.md, report.html, *.png | see `results` |
| commands.sh | every command of the table, in order; paths are relative to `out` |
| configs/<job>.yaml | the config that a job trains with |
| stages/<job>/ | its run folder: data, checkpoints, evaluation |
| stages/<job>.log | what it printed; locked while it runs |
| stages/<job>.json | it is complete: command, seconds |
"""

import pathlib
import sys
from collections.abc import Iterable

from vw2_ros.errors import InvalidValueError
from vw2_ros.experiment import results
from vw2_ros.experiment.jobs import JobGraph, write_commands
from vw2_ros.experiment.rows import PRETRAINED, TABLES, Row, chosen
from vw2_ros.experiment.scale import Scale
from vw2_ros.experiment.scheduler import perform
from vw2_ros.experiment.table import write_table
from vw2_ros.work.place import LOCAL


def check(table: str, scale: str, rows: str = '') -> None:
    """Refuse what `run` would refuse, before anything is written.

    Raises:
        MissingFileError, ValueError: an unknown scale or row, or a scale that makes no sense.
    """
    Scale.load(scale).config()
    chosen(table, rows)


def run(
    table: str,
    out: pathlib.Path,
    scale: str = 'cpu',
    *,
    seeds: int | None = None,
    rows: str = '',
    chains: int | None = None,
    minutes: float | None = None,
    on: str = LOCAL,
) -> dict:
    """Train and evaluate what is not complete, and write the table.

    Args:
        table: 'calvin-table' or 'ablation'. out: folder, made or gone on with.
        scale: of config/experiment/, or a YAML file. rows: 'NAME,NAME', '' for all.
        seeds, chains, minutes: instead of the scale's; see `Scale`.
        on: where the stages run, see `check_place`.
    Returns:
        the content of table.json: also of rows and seeds that the table in `out` has already.
    Raises:
        MissingFileError, ValueError: see `check`; or a folder of another table.
        ExperimentError: see `perform`.
        KeyboardInterrupt: go on with the same command.
    """
    size, out = Scale.load(scale), pathlib.Path(out)
    there = results.read(out).get('experiment', table)
    if there != table:
        raise InvalidValueError(f'{out} holds {there}: give {table} another folder')
    config = size.config(minutes)
    once, default = (size.once, size.chains) if table == 'calvin-table' else (PRETRAINED, 0)

    def graph_of(rows: Iterable[Row], seeds: int, chains: int) -> JobGraph:
        return JobGraph(
            rows, seeds, config, size.data, chains, size.workers, once, size.few_labels
        )

    wanted = graph_of(
        chosen(table, rows), seeds or size.seeds, default if chains is None else chains
    )

    def whole_table() -> JobGraph:
        """The jobs that are wanted, and those of rows and seeds that the table has already."""
        before = results.read(out)
        names = {row.name for row in wanted.rows} | {row['name'] for row in before.get('rows', ())}
        return graph_of(
            [row for row in TABLES[table] if row.name in names],
            max(wanted.seeds, before.get('seeds', 0)),
            wanted.chains or before.get('chains', 0),
        )

    def write() -> dict:
        return write_table(whole_table(), out, table, scale)

    write_commands(wanted, out, whole_table())
    print(
        f'{table}, scale {scale}: {wanted.cost(out, size, minutes)}', file=sys.stderr, flush=True
    )
    try:
        perform(wanted, out, size.jobs, write, on)
    finally:
        result = write()
    return result
