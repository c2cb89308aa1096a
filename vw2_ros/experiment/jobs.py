# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Which `vw2` commands an experiment needs, each once, and what each of them builds on."""

import hashlib
import json
import pathlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import yaml

from vw2_ros.errors import InvalidValueError
from vw2_ros.experiment.rows import KINDS, LABELLED, PRETRAINED, SCENE, Row, merged
from vw2_ros.experiment.scale import Scale
from vw2_ros.files import write_whole


def first_spelled(command: Sequence[str]) -> list[str]:
    """A command as it was first spelled. Names and markers of older folders go by that."""
    if tuple(command[:2]) == ('train', 'disentangle'):
        return ['train', 'dldm', '--stage', 'disentangle', *command[2:]]
    return list(command)


@dataclass(frozen=True)
class Job:
    """One `vw2` process."""

    name: str  # '<kind>-<hash>', its folder below stages/
    kind: str  # one of KINDS
    command: tuple[str, ...]  # arguments of `vw2` that decide its outcome
    needs: tuple[str, ...] = ()  # names of jobs that come before
    config: Mapping | None = None  # of its training
    spare: tuple[str, ...] = ()  # arguments that do not decide its outcome

    @property
    def text(self) -> str:
        """The command, as typed."""
        return shlex.join(['vw2', *self.command, *self.spare])

    def is_complete(self, out: pathlib.Path) -> bool:
        """Whether the very same command has ended well."""
        try:
            marker = json.loads((out / 'stages' / f'{self.name}.json').read_text())
            return first_spelled(marker['command']) == first_spelled(self.command)
        except (OSError, ValueError, KeyError, TypeError):
            return False


class JobGraph:
    """Which jobs a table needs, each once, and which other jobs each of them builds on.

    The jobs stand in an order in which they can be done: one seed after the other, each in the
    order of KINDS.

    Attributes:
        jobs: name -> Job. runs: (row's name, seed) -> {kind: job's name}, without its data.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        seeds: int,
        config: Mapping,
        data: Mapping,
        chains: int = 200,
        workers: int = 1,
        once: Iterable[str] = PRETRAINED,
        few_labels: float = 0.1,
    ):
        self.rows = tuple(replace(row, labels=row.labels or few_labels) for row in rows)
        self.seeds, self.chains = seeds, chains
        self.once = tuple(once)
        self.config, self.data, self.workers = config, data, workers
        self.jobs: dict[str, Job] = {}
        self.runs: dict[tuple[str, int], dict[str, str]] = {}
        for seed in range(seeds):
            before = self.jobs
            self.jobs = dict(before)
            for row in self.rows:
                self.runs[row.name, seed] = self._row(row, seed)
            new = [job for name, job in self.jobs.items() if name not in before]
            new.sort(key=lambda job: KINDS.index(job.kind))
            self.jobs = {**before, **{job.name: job for job in new}}

    def _row(self, row: Row, seed: int) -> dict[str, str]:
        config, run = merged(self.config, row.change), {}
        for kind in ('sight', *row.stages):
            data = {'sight': tuple(self.data), 'planner': row.planning}.get(kind, (row.video,))
            run[kind] = self._train(
                kind,
                _sections(kind, config),
                data,
                0 if kind in self.once else seed,
                **_builds_on(kind, run),
            )
        if self.chains and row.acts:
            more = ('--labels', str(row.labels)) + (() if row.stages else ('--scratch',))
            run['head'] = self._train(
                'head',
                _sections('head', config, not row.stages),
                (LABELLED,),
                seed,
                *more,
                **_builds_on('head', run),
            )
            run['eval'] = self._evaluation(run['head'])
        return run

    def _data(self, name: str) -> tuple[str, str | None]:
        """Path of a data set, and the job that collects it, if any."""
        options = self.data.get(name)
        if isinstance(options, str):
            path = pathlib.Path(options).expanduser().resolve()
            if not path.is_dir():
                raise InvalidValueError(f'data.{name} is not a folder: {path}')
            return str(path), None
        if not isinstance(options, Mapping):
            raise InvalidValueError(
                f'data.{name} must hold options of `vw2 collect` or a path. Got {options!r}'
            )
        command = ['collect']
        for key, value in sorted(options.items()):
            flag = '--' + key.replace('_', '-')
            command += ([flag] if value else []) if isinstance(value, bool) else [flag, str(value)]
        job = self._add('collect', command, spare=('--workers', str(self.workers)))
        return f'stages/{job}', job

    def _train(
        self,
        kind: str,
        config: Mapping,
        data: Iterable[str],
        seed: int,
        *more: str,
        **builds_on: str,
    ) -> str:
        command, needs = ['train', kind], list(builds_on.values())
        for folder, job in dict.fromkeys(map(self._data, data)):  # two names may be one data set
            command += ['--data', folder]
            needs += [job] if job else []
        command += ['--seed', str(seed), *more]
        for option, name in builds_on.items():
            command += [f'--{option}', f'stages/{name}']
        return self._add(kind, command, tuple(needs), config, ('--resume',))

    def _evaluation(self, head: str) -> str:
        # More chains of the same policy go on in the same folder.
        return self._add(
            'eval',
            ['eval', '--policy', f'stages/{head}/policy', '--scene', SCENE],
            (head,),
            spare=('--workers', str(self.workers)),
            late=('--chains', str(self.chains)),
        )

    def _add(
        self,
        kind: str,
        command: list[str],
        needs: tuple[str, ...] = (),
        config: Mapping | None = None,
        spare: tuple[str, ...] = (),
        late: tuple[str, ...] = (),
    ) -> str:
        decides = json.dumps([kind, first_spelled(command), config], sort_keys=True)
        name = f'{kind}-{hashlib.sha256(decides.encode()).hexdigest()[:10]}'
        files = ['--config', f'configs/{name}.yaml'] if config else []
        command = (*command, *late, *files, '--out', f'stages/{name}')
        self.jobs.setdefault(name, Job(name, kind, command, needs, config, spare))
        return name

    def cost(self, out: pathlib.Path, scale: Scale, minutes: float | None = None) -> str:
        """What is to be done, and about how long it takes where the scale knows, in words.

        Args:
            minutes: instead of the scale's, for a row.
        """
        left = [job.kind for job in self.jobs.values() if not job.is_complete(out)]
        parts = ', '.join(f'{left.count(kind)} {kind}' for kind in KINDS if kind in left)
        text = (
            f'{len(self.rows)} rows x {self.seeds} seeds: {len(self.jobs)} stages, '
            f'{len(left)} of them to do ({parts or "none"})'
        )
        factor = {'collect': 1.0, 'eval': self.chains / max(1, scale.chains)}
        trained = (minutes or scale.minutes) / scale.minutes
        total = sum(
            scale.stage_minutes.get(kind, 0.0) * factor.get(kind, trained) for kind in left
        )
        if total:
            text += (
                f'; about {total / 60 / scale.jobs:.1f} hours, {scale.jobs} at a time '
                f'({total / 60:.1f} in all)'
            )
        return text

    def needed(self, row: str, seed: int) -> list[Job]:
        """All jobs of a run, that of its data too, in order."""
        names = set(self.runs[row, seed].values())
        names.update(*(self.jobs[name].needs for name in tuple(names)))
        return [job for name, job in self.jobs.items() if name in names]

    def users(self, name: str) -> str:
        """The runs that need a job, e.g. 'lapa, seed 0; lapa, seed 1'."""
        return '; '.join(
            f'{row}, seed {seed}'
            for row, seed in self.runs
            if self.jobs.get(name) in self.needed(row, seed)
        )


def _builds_on(kind: str, run: Mapping[str, str]) -> dict[str, str]:
    """Options that name the runs which a stage builds on."""
    if kind == 'disentangle':
        return {'init': run['dldm'], 'vdm': run['vdm']}
    if kind == 'planner':
        return {'init': run.get('disentangle') or run['dldm'], 'sight': run['sight']}
    if kind == 'head':  # a planner's run holds its sight
        return {'init': run['planner']} if 'planner' in run else {'sight': run['sight']}
    return {}


def _sections(kind: str, config: Mapping, scratch: bool = False) -> dict:
    """What a stage reads of a config: where only the rest differs, it is the same stage."""

    def part(section: str, *keys: str) -> dict:
        return {section: {k: v for k, v in config[section].items() if k in keys}}

    if kind == 'sight':  # its sizes are the planner's
        return {'sight': config['sight'], **part('planner', 'model', 'vision')}
    if kind == 'disentangle':  # sizes come from the warm-up's run
        return {'disentangle': config.get('disentangle', {}), **part('dldm', 'clips', 'dump')}
    if scratch:  # an untrained planner of the same sizes
        return {
            'head': config['head'],
            **part('planner', 'model', 'vision', 'tokenizer'),
            **part('dldm', 'model', 'clips'),
        }
    return {kind: config[kind]}


def write_commands(graph: JobGraph, out: pathlib.Path, table: JobGraph | None = None) -> None:
    """Write the configs of these jobs, and commands.sh.

    Args:
        table: jobs of the whole table; those that are complete stand in commands.sh, too.
    """
    (out / 'configs').mkdir(parents=True, exist_ok=True)
    (out / 'stages').mkdir(exist_ok=True)
    for job in graph.jobs.values():
        if job.config:
            write_whole(
                out / 'configs' / f'{job.name}.yaml',
                yaml.safe_dump(json.loads(json.dumps(job.config)), sort_keys=False),
            )
    table = table or graph
    lines = [
        '#!/bin/sh',
        '# Every stage once, in order; paths are relative to this file.',
        'set -e',
        'cd "$(dirname "$0")"',
    ]
    for job in table.jobs.values():
        if job.name in graph.jobs or job.is_complete(out):
            lines += ['', f'# {table.users(job.name)}', job.text]
    write_whole(out / 'commands.sh', '\n'.join(lines) + '\n')
