# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 experiment`: rows of stages side by side, as in VideoWorld 2's comparison and ablations.

    vw2 experiment calvin-table --scale tiny --out out/table

A row is a list of stages and what it changes in the config that all rows share. Every stage is a
`vw2` process of its own, named by a hash of its command and its config: rows that share a stage
share its run, and the same command goes on where the one before ended, however it ended. The hash
knows neither the code (table.md tells where stages are of different commits) nor the content of
data that are given by path: after a change of either take another folder.

The rows and seeds that a table has stay in it when others are asked for, if scale, minutes and
chains are those that they were made with.

Written below `out`:

| file | what |
| --- | --- |
| table.md, table.json, report.html, *.png | see `experiment_table` |
| commands.sh | every command of the table, in order; paths are relative to `out` |
| configs/<stage>.yaml | what a stage of training is told |
| stages/<stage>/ | its run folder: data, checkpoints, evaluation |
| stages/<stage>.log | what it printed; locked while it runs |
| stages/<stage>.json | it is complete: command, seconds |
"""

import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from vw2_ros import files as paths
from vw2_ros.errors import InvalidValueError, VW2Error, close_matches

# In the order in which a seed's stages begin: those that others wait for longest come first.
KINDS = ('collect', 'vdm', 'sight', 'dldm', 'disentangle', 'planner', 'head', 'eval')
PRETRAINED = ('vdm', 'sight')  # the paper takes both off the shelf
SCENE = 'D'  # of the labelled data and of the evaluation
LABELLED = 'd'  # their name in a scale's `data`
PATIENCE_S = 60.0  # for a stage to save what it has
REMIND_S = 60.0  # without a terminal: how often to say what runs


class ExperimentError(VW2Error, RuntimeError):
    """A stage failed; the message names it and its log. What is complete is kept."""


# ------------------------------------------------------------------------------------------- rows

RECONSTRUCTION = ('dldm', 'planner')
VIDEOWORLD2 = ('dldm', 'vdm', 'disentangle', 'planner')


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: as in `--rows`. what: in words.
        stages: what is trained between sight, which all rows share, and the action head; nothing:
            a transformer without latents.
        labels: share of the labelled windows that the head learns from.
        video: name in the scale's `data` of what dLDM and VDM learn from. planning: names of what
            the planner learns from, whose codes need no labels.
        change: keys that differ from the config of all rows.
        paper: mean chain length in the paper, where it has such a row.
        acts: False where no policy comes of it: a plan is not the 16 actions that the control loop
            executes, or the planner is larger than a policy's file may be.
    """

    name: str
    what: str
    stages: tuple[str, ...] = VIDEOWORLD2
    labels: float = 0.1
    video: str = 'abc'
    planning: tuple[str, ...] = ('abc',)
    change: Mapping = field(default_factory=dict)
    paper: float | None = None
    acts: bool = True


# LAPA's latents: one step of codes for the change between a frame and the one 16 frames later.
TWO_FRAMES = {'dldm': {'model': {'clip_frames': 5}, 'clips': {'offsets': [0, 16, 16, 16, 16]}}}

ALL_SCENES = ('abc', LABELLED)

CALVIN_TABLE = (
    Row('none', 'no latent pre-training', (), paper=1.11),
    Row(
        'lapa',
        '2-frame latents (LAPA)',
        RECONSTRUCTION,
        planning=ALL_SCENES,
        change=TWO_FRAMES,
        paper=1.49,
    ),
    Row(
        'videoworld1', 'reconstruction latents (VideoWorld 1)', RECONSTRUCTION, planning=ALL_SCENES
    ),
    Row('videoworld2', 'VideoWorld 2', planning=ALL_SCENES, paper=1.87),
    Row('none-full', 'no latent pre-training', (), labels=1.0, paper=2.36),
    Row('videoworld2-full', 'VideoWorld 2, other scenes', labels=1.0, paper=2.88),
)


def merged(base: Mapping, change: Mapping) -> dict:
    """`base` with the keys of `change`, mappings in mappings likewise."""
    return {
        **base,
        **{
            k: merged(base[k], v)
            if isinstance(v, Mapping) and isinstance(base.get(k), Mapping)
            else v
            for k, v in change.items()
        },
    }


def _dldm(**sizes) -> dict:
    return {'dldm': {'model': sizes}}


def _loss(**switches) -> dict:
    """Of the stage that learns through the VDM."""
    return {'disentangle': {'loss': switches}}


def _vdm(**switches) -> dict:
    """Of the VDM that it learns through."""
    return {'disentangle': {'vdm': switches}}


ABLATION = (
    Row('videoworld2', 'as in Algorithm 1'),
    Row('no-vdm', 'reconstruction alone', RECONSTRUCTION),
    Row(
        'vdm-alone',
        'VDM without stop-gradient and control branch',
        change=merged(_loss(stop_gradient=False), _vdm(control=False)),
    ),
    Row(
        'no-stop-gradient',
        'the codes learn from the reconstruction too',
        change=_loss(stop_gradient=False),
    ),
    Row('no-control', 'no control branch', change=_vdm(control=False)),
    Row('queries-1', 'N = 1', change=_dldm(queries=1)),
    Row('queries-2', 'N = 2', change=_dldm(queries=2)),
    Row('queries-8', 'N = 8', change=_dldm(queries=8)),
    Row('clip-2', 'clips of 2 frames, 16 apart', change=TWO_FRAMES),
    Row('clip-9', 'clips of 9 frames', change=_dldm(clip_frames=9), acts=False),
    Row('clip-33', 'clips of 33 frames', change=_dldm(clip_frames=33), acts=False),
    Row('clip-49', 'clips of 49 frames', change=_dldm(clip_frames=49), acts=False),
    Row('codebook-8', '8 codes', change=_dldm(levels=[2, 2, 2])),
    Row('codebook-4096', '4096 codes', change=_dldm(levels=[8, 8, 8, 8])),
    Row('codebook-64k', '64,000 codes', change=_dldm(levels=[8, 8, 8, 5, 5, 5]), acts=False),
    Row('connector-mlp', 'connector without self-attention', change=_vdm(connector='mlp')),
    Row('mask-full', 'cross-attention not causal', change=_vdm(mask='full')),
    Row('connector-mlp-mask-full', 'neither', change=_vdm(connector='mlp', mask='full')),
    Row('vdm-random', 'VDM not pretrained', change=_loss(backbone='random')),
    Row('vdm-frozen', 'VDM frozen', change=_loss(backbone='frozen')),
    Row('vdm-lora', 'VDM with LoRA', change=_loss(backbone='lora')),
)
TABLES = {'calvin-table': CALVIN_TABLE, 'ablation': ABLATION}


def chosen(table: str, names: str = '') -> tuple[Row, ...]:
    """Rows of a table by 'NAME,NAME'; '' takes all.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    known = {row.name: row for row in TABLES[table]}
    wanted = [n.strip() for n in names.split(',') if n.strip()] or list(known)
    for name in wanted:
        if name not in known:
            raise InvalidValueError(close_matches('row', name, known))
    return tuple(known[name] for name in dict.fromkeys(wanted))


# ------------------------------------------------------------------------------------------ scale


@dataclass(frozen=True)
class Scale:
    """How large an experiment is: a file of config/experiment/.

    Attributes:
        base: training config that all rows share. train: keys that differ from it.
        minutes: what training one row takes, about, on the machine that the scale is for.
        stage_minutes: kind -> what one such stage takes there, about, `eval` with `chains` chains;
            for what is told of the cost beforehand.
        seeds: how often each row is trained. chains: of the evaluation.
        once: kinds of stages that are trained once, with seed 0, for all seeds of a table.
        data: name -> options of `vw2 collect`, or the path of a data set.
        jobs: stages at a time. workers: processes of a stage that collects or evaluates.
    Raises:
        ValueError: a number that makes no sense.
    """

    base: str
    data: Mapping
    minutes: float
    stage_minutes: Mapping = field(default_factory=dict)
    train: Mapping = field(default_factory=dict)
    seeds: int = 1
    once: tuple[str, ...] = PRETRAINED
    chains: int = 200
    jobs: int = 1
    workers: int = 1

    def __post_init__(self):
        for name in ('seeds', 'jobs', 'workers'):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise InvalidValueError(
                    f'{name} must be a whole number >= 1. Got {getattr(self, name)!r}'
                )
        if not isinstance(self.chains, int) or not 0 <= self.chains <= 1000:
            raise InvalidValueError(f'chains must lie in 0..1000. Got {self.chains!r}')
        object.__setattr__(self, 'once', tuple(self.once))
        if not set(PRETRAINED) <= set(self.once) <= set(KINDS):
            raise InvalidValueError(
                f'once must hold {PRETRAINED}, and else names of {KINDS}. Got {self.once}'
            )
        if not self.minutes > 0:
            raise InvalidValueError(f'minutes must be > 0. Got {self.minutes!r}')
        if set(self.stage_minutes) - set(KINDS) or not all(
            isinstance(m, (int, float)) and m >= 0 for m in self.stage_minutes.values()
        ):
            raise InvalidValueError(
                f'stage_minutes must map names of {KINDS} to minutes. Got {self.stage_minutes}'
            )
        if not isinstance(self.data, Mapping) or LABELLED not in self.data:
            raise InvalidValueError(
                f'data must name a labelled data set {LABELLED!r}. Got {self.data!r}'
            )

    @classmethod
    def load(cls, name: str) -> 'Scale':
        """Read a YAML file, or one of config/experiment/ by name.

        Raises:
            ValueError: no such file, not YAML, or a key that is unknown or missing.
        """
        folder = paths.share_dir() / 'config' / 'experiment'
        path = pathlib.Path(name) if os.path.isfile(name) else folder / f'{name}.yaml'
        known = sorted(f.stem for f in folder.glob('*.yaml'))
        if not path.is_file():
            raise InvalidValueError(close_matches('scale', name, known) + '; or give a YAML file')
        try:
            return cls(**yaml.safe_load(path.read_text()))
        except (yaml.YAMLError, TypeError, ValueError) as error:
            keys = ', '.join(f.name for f in dataclasses.fields(cls))
            raise InvalidValueError(f'{path} must be a mapping of {keys}: {error}') from error

    def config(self, minutes: float | None = None) -> dict:
        """The config of all rows, its steps and time boxes scaled to `minutes` for a row.

        Raises:
            ValueError: `train` has a section that the base has not.
        """
        path = pathlib.Path(self.base)
        path = path if path.is_file() else paths.config_file(f'train/{self.base}.yaml')
        base = yaml.safe_load(path.read_text())
        for section in self.train:
            if section not in base:
                raise InvalidValueError(close_matches('section', section, base) + f' ({path})')
        return _scaled(merged(base, self.train), (minutes or self.minutes) / self.minutes)


def _scaled(config: Mapping, factor: float) -> dict:
    out = dict(config)
    for key, value in config.items():
        if isinstance(value, Mapping):
            out[key] = _scaled(value, factor)
        elif key == 'steps' and value:
            out[key] = max(1, round(value * factor))
        elif key == 'max_minutes':
            out[key] = value * factor
    return out


# ------------------------------------------------------------------------------------------- plan


def first_spelled(command: Sequence[str]) -> list[str]:
    """A command as it was first spelled. Names and markers of older folders go by that."""
    if tuple(command[:2]) == ('train', 'disentangle'):
        return ['train', 'dldm', '--stage', 'disentangle', *command[2:]]
    return list(command)


@dataclass(frozen=True)
class Job:
    """One stage: a `vw2` process.

    Attributes:
        name: '<kind>-<hash>', its folder below stages/.
        command: arguments of `vw2` that decide its outcome. spare: those that do not.
        needs: jobs that come before. config: of its training.
    """

    name: str
    kind: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    config: Mapping | None = None
    spare: tuple[str, ...] = ()

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


class Plan:
    """Which jobs a table needs, each once: one seed after the other, each in the order of KINDS.

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
    ):
        self.rows, self.seeds, self.chains = tuple(rows), seeds, chains
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


def write_plan(plan: Plan, out: pathlib.Path, table: Plan | None = None) -> None:
    """Write configs/ of a plan, and commands.sh of it and of what is complete of the table."""
    (out / 'configs').mkdir(parents=True, exist_ok=True)
    (out / 'stages').mkdir(exist_ok=True)
    for job in plan.jobs.values():
        if job.config:
            _write(
                out / 'configs' / f'{job.name}.yaml',
                yaml.safe_dump(json.loads(json.dumps(job.config)), sort_keys=False),
            )
    table = table or plan
    lines = [
        '#!/bin/sh',
        '# Every stage once, in order; paths are relative to this file.',
        'set -e',
        'cd "$(dirname "$0")"',
    ]
    for job in table.jobs.values():
        if job.name in plan.jobs or job.is_complete(out):
            lines += ['', f'# {table.users(job.name)}', job.text]
    _write(out / 'commands.sh', '\n'.join(lines) + '\n')


def _write(path: pathlib.Path, text: str) -> None:
    part = path.with_name(path.name + '.part')
    part.write_text(text)
    os.replace(part, path)


# -------------------------------------------------------------------------------------------- run


class Stage:
    """A job that runs. Its log is locked for as long as its process lives, ours or not."""

    def __init__(self, job: Job, out: pathlib.Path, threads: int):
        self.job, self.out = job, out
        self.begun_s = time.monotonic()
        self.process: subprocess.Popen | None = None
        self._log = open(out / 'stages' / f'{job.name}.log', 'ab')
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._log.close()
            return  # left over from an experiment that was killed, or another one's: not now
        if job.is_complete(out):  # the other one ended it meanwhile
            return
        environment = {'OMP_NUM_THREADS': str(threads), **os.environ, 'PYTHONUNBUFFERED': '1'}
        root = str(pathlib.Path(__file__).resolve().parents[2])  # this very code, not another's
        before = environment.get('PYTHONPATH')
        environment['PYTHONPATH'] = root + (os.pathsep + before if before else '')
        # A session of its own: Ctrl-C reaches it once, through us.
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'vw2_ros.cli', *job.command, *job.spare],
            cwd=out,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process is at it."""
        return self.process is None and self._log.closed

    def poll(self) -> int | None:
        """Exit status once it has ended; 0 is written down."""
        status = self.process.poll() if self.process else 0
        if status is not None:
            if status == 0 and self.process:
                self._mark()
            self._log.close()
        return status

    def _mark(self) -> None:
        marker = {
            'command': list(self.job.command),
            'seconds': round(time.monotonic() - self.begun_s, 1),
            'finished': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        }
        _write(self.out / 'stages' / f'{self.job.name}.json', json.dumps(marker, indent=2) + '\n')

    def interrupt(self) -> None:
        """Ask it to save and end, as Ctrl-C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Wait for it to end after `interrupt`; one that does not is killed."""
        if self.process:
            try:
                self.process.wait(PATIENCE_S)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                self.process.kill()
                self.process.wait()
            if self.process.returncode == 0:
                self._mark()
        self._log.close()

    def share(self) -> float | None:
        """How far it is, in [0, 1], where it says so."""
        folder = self.out / 'stages' / self.job.name
        try:
            if self.job.kind == 'eval':
                chains = int(self.job.command[self.job.command.index('--chains') + 1])
                records = max(folder.glob('record-*.jsonl'), key=lambda p: p.stat().st_mtime)
                return min(1.0, (len(records.read_bytes().splitlines()) - 1) / chains)
            lines = (folder / 'log.jsonl').read_text().splitlines()
            return next(x['progress'] for x in map(json.loads, reversed(lines)) if 'progress' in x)
        except (OSError, ValueError, StopIteration):
            return None


class Board:
    """Rows and seeds against stages on the screen; plain lines where there is no terminal."""

    def __init__(
        self, plan: Plan, done: set[str], running: dict[str, Stage], failed: dict[str, int]
    ):
        self.plan, self.done, self.running, self.failed = plan, done, running, failed
        self.elsewhere: set[str] = set()  # other processes are at these
        self.console = Console(stderr=True)
        self.began_s = self.told_s = time.monotonic()
        self.live = (
            Live(
                get_renderable=self._table,
                console=self.console,
                refresh_per_second=2,
                transient=False,
            )
            if self.console.is_terminal
            else None
        )

    def __enter__(self) -> 'Board':
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live:
            self.live.stop()

    def note(self, text: str) -> None:
        """A line for those who see no table."""
        if not self.live:
            print(f'{len(self.done)}/{len(self.plan.jobs)} {text}', file=sys.stderr, flush=True)
        self.told_s = time.monotonic()

    def remind(self) -> None:
        """A note of what runs, where there was none for a minute."""
        if time.monotonic() - self.told_s > REMIND_S:
            self.note(
                ', '.join(
                    f'{name}: {self._state(name)[1]}' for name in (*self.running, *self.elsewhere)
                )
            )

    def _table(self) -> Table:
        kinds = [k for k in KINDS if any(k in run for run in self.plan.runs.values())]
        spent_s = time.monotonic() - self.began_s
        collects = any(stage.job.kind == 'collect' for stage in self.running.values())
        table = Table(
            title=f'{len(self.done)} of {len(self.plan.jobs)} stages complete, '
            f'{spent_s / 60:.0f} min{", collects data" if collects else ""}',
            title_justify='left',
        )
        for column in ('row', 'seed', *kinds):
            table.add_column(column)
        for (row, seed), run in self.plan.runs.items():
            table.add_row(row, str(seed), *(self._cell(run.get(kind)) for kind in kinds))
        return table

    def _cell(self, name: str | None) -> str:
        if name is None:
            return ''
        colour, state = self._state(name)
        return f'[{colour}]{state}'

    def _state(self, name: str) -> tuple[str, str]:
        if name in self.done:
            return 'green', 'done'
        if name in self.failed:
            return 'red', 'failed'
        if name in self.elsewhere:
            return 'yellow', 'elsewhere'
        if name not in self.running:
            return 'dim', 'waits'
        share = self.running[name].share()
        return 'yellow', 'begins' if share is None else f'{100 * share:.0f} %'


def perform(plan: Plan, out: pathlib.Path, jobs: int, after=lambda: None) -> None:
    """Run what is not complete, `jobs` stages at a time.

    Args:
        after: called whenever an evaluation has ended.
    Raises:
        ExperimentError: a stage failed; what does not build on it was done all the same.
        KeyboardInterrupt: Ctrl-C or SIGTERM; running stages have saved what they have.
    """
    done = {name for name, job in plan.jobs.items() if job.is_complete(out)}
    waiting = [job for name, job in plan.jobs.items() if name not in done]
    running: dict[str, Stage] = {}
    failed: dict[str, int] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with _Interruption(), Board(plan, done, running, failed) as board:
        try:
            while waiting or running:
                waiting = [j for j in waiting if not set(j.needs) & _lost(plan, failed)]
                for job in [j for j in waiting if done.issuperset(j.needs)]:
                    if len(running) == jobs:
                        break
                    stage = Stage(job, out, threads)
                    if not stage.is_elsewhere:
                        waiting.remove(job)
                        board.elsewhere.discard(job.name)
                        running[job.name] = stage
                        board.note(f'begins {job.name} ({plan.users(job.name)})')
                    elif job.name not in board.elsewhere:
                        board.elsewhere.add(job.name)
                        board.note(f'waits for {job.name}: another process is at it')
                board.remind()
                time.sleep(0.1)
                for name, stage in list(running.items()):
                    status = stage.poll()
                    if status is None:
                        continue
                    del running[name]
                    if status:
                        failed[name] = status
                    else:
                        done.add(name)
                    board.note(f'{"failed" if status else "done"} {name}')
                    if stage.job.kind == 'eval' and not status:
                        after()
        finally:
            for stage in running.values():
                stage.interrupt()
            for stage in running.values():
                stage.end()
    if failed:
        raise ExperimentError(
            '; '.join(_why(name, out) for name in failed) + '. The same command '
            'goes on with what is left'
        )


def _lost(plan: Plan, failed: Iterable[str]) -> set[str]:
    """Jobs that failed, and those that build on them."""
    lost = set(failed)
    for job in plan.jobs.values():  # in the order of their needs
        if set(job.needs) & lost:
            lost.add(job.name)
    return lost


def _why(name: str, out: pathlib.Path) -> str:
    log = out / 'stages' / f'{name}.log'
    lines = [x for x in log.read_text(errors='replace').splitlines() if x.strip()]
    last = lines[-1].removeprefix('vw2: error: ') if lines else 'it said nothing'
    return f'{name} failed: {last} (all of it: {log})'


class _Interruption:
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


def run(
    table: str,
    out: pathlib.Path,
    scale: str = 'cpu',
    *,
    seeds: int | None = None,
    rows: str = '',
    chains: int | None = None,
    minutes: float | None = None,
) -> dict:
    """Train and evaluate what is not complete, and write the table.

    Args:
        table: 'calvin-table' or 'ablation'. out: folder, made or gone on with.
        scale: of config/experiment/, or a YAML file. rows: 'NAME,NAME', '' for all.
        seeds, chains, minutes: instead of the scale's; see `Scale`.
    Returns:
        the content of table.json: also of rows and seeds that the table in `out` has already.
    Raises:
        ValueError: an unknown row, a scale that makes no sense, or a folder of another table.
        ExperimentError: see `perform`.
        KeyboardInterrupt: go on with the same command.
    """
    from vw2_ros.experiment import table as experiment_table

    size, out = Scale.load(scale), pathlib.Path(out)
    there = experiment_table.read(out).get('experiment', table)
    if there != table:
        raise InvalidValueError(f'{out} holds {there}: give {table} another folder')
    config = size.config(minutes)
    once, default = (size.once, size.chains) if table == 'calvin-table' else (PRETRAINED, 0)

    def planned(rows: Iterable[Row], seeds: int, chains: int) -> Plan:
        return Plan(rows, seeds, config, size.data, chains, size.workers, once)

    plan = planned(chosen(table, rows), seeds or size.seeds, default if chains is None else chains)

    def whole() -> Plan:
        before = experiment_table.read(out)
        names = {row.name for row in plan.rows} | {row['name'] for row in before.get('rows', ())}
        return planned(
            [row for row in TABLES[table] if row.name in names],
            max(plan.seeds, before.get('seeds', 0)),
            plan.chains or before.get('chains', 0),
        )

    def write() -> dict:
        return experiment_table.write(whole(), out, table, scale)

    write_plan(plan, out, whole())
    print(f'{table}, scale {scale}: {plan.cost(out, size, minutes)}', file=sys.stderr, flush=True)
    try:
        perform(plan, out, size.jobs, write)
    finally:
        result = write()
    return result
