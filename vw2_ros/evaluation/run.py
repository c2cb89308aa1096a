# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 eval`: how often a policy succeeds, on single tasks and on chains of five.

Written below `out`:

| file | what |
| --- | --- |
| record-<hash>.jsonl | a line per finished rollout; the same settings go on from there |
| videos/*.mp4 | the first rollouts, if wanted |
| result.json, report.html | the figures |
| README.md | the card |

Result keys:

| key | what |
| --- | --- |
| avg_len, success_at | mean number of subtasks done in a chain; share with at least 1..5 done |
| lengths | subtasks done in each chain, in order |
| chains | how many; without any, avg_len and success_at are None |
| per_task | task -> {success, trials}: of the single tasks, or else of the chains' subtasks |
| transitions | [{after, task, success, trials}]: which task came after which, most lost first |
| mean_success | mean over tasks of success / trials |
| table, scene, renderer, policy, seed, ros, command | what was run |
| calvin_env | on the table calvin: commit, code_sha256, assets_sha256 of the checkout |
| words | whose phrases: play_table or calvin |
| trained_on | renderer of the policy's training data, where the weights say |
| disagreements | steps at which this package's oracle judged otherwise than the table's |
| checkpoint_sha256 | None for expert and random |
| seconds | wall clock of these rollouts, also where they were done by an earlier call |
| videos | [{file, rollout, success, subtasks: [{task, instruction, success, steps}]}] |
"""

import contextlib
import pathlib
from collections import Counter
from collections.abc import Iterable

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from vw2_ros.card import Card, command_line, write_card
from vw2_ros.evaluation import report
from vw2_ros.evaluation.fingerprint import checkpoint_sha256, settings_of, trained_on
from vw2_ros.evaluation.record import Record
from vw2_ros.evaluation.rollouts import Options, Rollout, rollouts, wordings_of
from vw2_ros.evaluation.workers import performed
from vw2_ros.files import write_json
from vw2_ros.progress import Bar
from vw2_ros.sim.tasks import TASKS


def run(options: Options) -> dict:
    """Evaluate, and write the record, videos, result.json and report.html.

    Returns:
        the result, see the module's table.
    Raises:
        ValueError: a phrases file that does not fit.
        CheckpointError: a policy that cannot be loaded.
        EvaluationError: a worker died, or another evaluation writes to the same record.
        KeyboardInterrupt: Ctrl-C; a run with the same settings goes on from there.
    """
    wanted = rollouts(options)
    wordings = wordings_of(options, {t for r in wanted for t in r.tasks})
    options.simulator.check(options.scene)
    sha256 = checkpoint_sha256(options.policy)
    options.out.mkdir(parents=True, exist_ok=True)
    settings = settings_of(options, wordings, sha256)
    with Record(options.out, settings) as record:
        films = {r.name: _film_path(options.out, record.key, r) for r in wanted[: options.video]}
        pending = [
            r
            for r in wanted
            if r.name not in record.done or (r.name in films and not films[r.name].is_file())
        ]
        if len(pending) < len(wanted):
            print(
                f'{len(wanted) - len(pending)} of {len(wanted)} rollouts are in '
                f'{record.path}; delete it to do them again'
            )
        with _progress(options, wanted, record) as advance:
            for line in performed(options, pending, wordings, films):
                record.add(line)
                advance(line)
        done = [record.done[r.name] for r in wanted]
    shown = [
        _shown(r, film, options.out, record.done[r.name])
        for r in wanted
        if (film := films.get(r.name))
    ]
    result = {
        **summarise(done),
        'scene': options.scene,
        'table': options.simulator.table,
        'arm': options.simulator.arm,
        'look': options.simulator.look,
        'renderer': options.simulator.renderer,
        'words': options.words,
        **({'calvin_env': facts} if (facts := options.simulator.facts) else {}),
        'checkpoint_sha256': sha256,
        'trained_on': trained_on(options.policy),
        'seconds': round(sum(line['wall_s'] for line in done), 1),
        'policy': options.policy,
        'seed': options.seed,
        'ros': options.ros,
        'real_time': options.real_time,
        'command': command_line(),
        'videos': shown,
    }
    write_json(options.out / 'result.json', result)
    report.write(options.out / 'report.html', result, options.out)
    write_card(options.out, card_of(result))
    return result


def card_of(result: dict) -> Card:
    """The card of an evaluation: its command, what was judged, and how often it succeeded."""
    shown = (
        *('policy', 'trained_on', 'table', 'scene', 'arm', 'look', 'renderer', 'words', 'seed'),
        *('ros', 'real_time', 'seconds', 'disagreements'),
    )
    facts = {key: result[key] for key in shown if key in result}
    scores = {'mean_success': result['mean_success']}
    if result['avg_len'] is not None:
        scores['avg_len'] = result['avg_len']
        scores |= {f'at least {n}': share for n, share in enumerate(result['success_at'], 1)}
    data = {result['policy']: result['checkpoint_sha256'] or 'no weights'}
    return Card(
        title=f'{result["policy"]}: evaluation',
        what='Made by `vw2 eval`; `result.json` has all figures, `report.html` shows them.',
        command=result['command'],
        data={**data, **result.get('calvin_env', {})},
        facts=facts,
        scores=scores,
        success={t: (c['success'], c['trials']) for t, c in result['per_task'].items()},
        films=[video['file'] for video in result['videos']],
    )


def summarise(done: list[dict]) -> dict:
    """The figures of finished rollouts (lines of the record)."""
    lengths = [sum(s['success'] for s in d['subtasks']) for d in done if _is_chain(d)]
    singles = [d for d in done if not _is_chain(d)]
    trials: Counter = Counter()
    success: Counter = Counter()
    for d in singles or done:
        for s in d['subtasks']:
            trials[s['task']] += 1
            success[s['task']] += s['success']
    per_task = {t: {'success': success[t], 'trials': trials[t]} for t in TASKS if trials[t]}
    return {
        'avg_len': float(np.mean(lengths)) if lengths else None,
        'success_at': [float(np.mean(np.array(lengths) >= n)) for n in range(1, 6)]
        if lengths
        else None,
        'lengths': lengths,
        'chains': len(lengths),
        'per_task': per_task,
        'transitions': transitions(d['subtasks'] for d in done if _is_chain(d)),
        'mean_success': float(np.mean([c['success'] / c['trials'] for c in per_task.values()])),
        'disagreements': sum(len(s.get('disagreements', ())) for d in done for s in d['subtasks']),
    }


def transitions(chains: Iterable[list[dict]]) -> list[dict]:
    """How often each task succeeded after each other one; those that were lost most often come first.

    Args:
        chains: of each the subtasks that were tried: {task, success, ...}.
    """
    found: dict[tuple[str, str], Counter] = {}
    for subtasks in chains:
        for before, now in zip(subtasks, subtasks[1:]):
            tried = found.setdefault((before['task'], now['task']), Counter())
            tried.update(success=int(now['success']), trials=1)
    rows = [{'after': a, 'task': t, **count} for (a, t), count in found.items()]
    return sorted(rows, key=lambda row: (row['success'] - row['trials'], row['trials']))


def _is_chain(line: dict) -> bool:
    return line['rollout'].startswith('chain/')


def _film_path(out: pathlib.Path, key: str, rollout: Rollout) -> pathlib.Path:
    return out / 'videos' / f'{rollout.name.replace("/", "_")}-{key}.mp4'


def _shown(rollout: Rollout, film: pathlib.Path, out: pathlib.Path, line: dict) -> dict:
    return {
        'file': str(film.relative_to(out)),
        'rollout': rollout.name,
        'success': all(s['success'] for s in line['subtasks']),
        'subtasks': line['subtasks'],
    }


@contextlib.contextmanager
def _progress(options: Options, wanted: list[Rollout], record: Record):
    """A bar with the running figures; yields what to call after each rollout."""
    names = {r.name for r in wanted}

    def figures() -> str:
        done = [d for name, d in record.done.items() if name in names]
        if not done:
            return options.policy
        so_far = summarise(done)
        length = '' if so_far['avg_len'] is None else f'mean length {so_far["avg_len"]:.2f}  '
        return f'{options.policy}  {length}success {so_far["mean_success"]:.1%}'

    with Bar(
        TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as bar:
        known = sum(r.name in record.done for r in wanted)
        item = bar.add_task(figures(), total=len(wanted), completed=known)

        def advance(line: dict) -> None:
            count = sum(name in names for name in record.done)
            bar.update(item, description=figures(), completed=count)

        yield advance
