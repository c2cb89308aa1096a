# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 bench imagination`: imagined video against the simulator's, on held-out clips.

A clip begins with an annotated window of the validation split and is imagined segment after
segment, each from the last imagined frame, so that errors add up. Four kinds:

| kind          | codes of a segment                                                           |
| ------------- | ---------------------------------------------------------------------------- |
| still         | none: the first frame of the clip, repeated; what has to be beaten           |
| true_codes    | the dLDM's, of the true video: how good the renderer is                      |
| planned_codes | the planner's, from the imagined frame and the words of the window in which  |
|               | the segment begins                                                           |
| no_codes      | none: what a VDM that was trained on first frames alone makes of the first;  |
|               | instead of both, or, as `prior`, beside them                                 |

Result: <metric>_<kind>, a number per segment, mean over the clips; <metric>_over_still_<kind>, per
segment what it has more than `still`, with a 95 % bootstrap interval over the clips. With a
key-step classifier: goal_<kind>, the share of clips whose last frame of the window it takes for the
goal reached (only attempts that are one window and end within the clip); goal_true of the true
video, goal_clips how many, key_steps_accuracy its own on held-out windows. Resumes from the record
in `out`.
"""

import dataclasses
import pathlib
import time
from collections.abc import Mapping

import numpy as np

from vw2_ros.cameras import drawing
from vw2_ros.errors import InvalidValueError
from vw2_ros.evaluation import film
from vw2_ros.evaluation.record import Record

SHOWN = 4  # clips in strip.png
DRAWS = 1000  # of a bootstrap
METRICS = {'ssim': 'SSIM', 'psnr': 'PSNR [dB]', 'lpips': 'LPIPS'}


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """What to measure; see `Imagination` for renderer, vdm and steps.

    prior: run folder of `vw2 train vdm`, whose VDM knows no codes.
    """

    data: pathlib.Path
    out: pathlib.Path
    policy: str = 'play_table'
    renderer: str = 'decoder'
    vdm: pathlib.Path | None = None
    prior: pathlib.Path | None = None
    steps: int | None = None
    segments: int = 4
    clips: int = 32
    key_steps: pathlib.Path | None = None
    seed: int = 0

    def __post_init__(self):
        if min(self.segments, self.clips, 1 if self.steps is None else self.steps) < 1:
            raise InvalidValueError(
                'segments, clips and steps must be at least 1. '
                f'Got {self.segments}, {self.clips}, {self.steps}.'
            )


@dataclasses.dataclass(frozen=True)
class Clip:
    """Rows start .. start + segments * T of the store.

    phrases: what each segment is told. task, end: of the first window, where it is a whole attempt
    that ends within the clip; else task is ''.
    """

    name: str
    start: int
    phrases: tuple[str, ...]
    task: str
    end: int


def find_clips(store, length: int, segments: int, count: int, seed: int = 0) -> list[Clip]:
    """Draw clips that begin with an annotated window, first such that can be judged.

    Args:
        store: frames with language windows. length: T, frames of a segment.
    Raises:
        ValueError: no window is followed by enough frames.
    """
    from vw2_ros.models.data.attempts import Attempts

    windows = sorted(
        (int(store.rows_of(i, w.start)), int(store.rows_of(i, w.end)), w)
        for i, folder in enumerate(store.folders)
        for w in folder.windows
    )
    starts = np.array([a for a, *_ in windows], np.int64)
    fits = (
        np.flatnonzero(starts + segments * length <= store.range_end[starts])
        if len(starts)
        else starts
    )
    if not len(fits):
        raise InvalidValueError(
            f'an annotated window with {segments * length} frames to follow must be '
            f'among the {len(windows)} held-out ones. Got none: take fewer --segments '
            'or collect more.'
        )
    attempts = Attempts.of(store)
    ends = dict(zip(attempts.start.tolist(), attempts.end.tolist()))
    clips = []
    for i in np.random.default_rng([seed, 2]).permutation(fits).tolist():
        start, end, window = windows[i]
        told = np.searchsorted(starts, start + length * np.arange(segments), side='right') - 1
        whole = ends.get(start) == end and start < end <= start + segments * length
        clips.append(
            Clip(
                f'clip/{start}',
                start,
                tuple(windows[j][2].phrase for j in told),
                window.task if whole else '',
                end,
            )
        )
    return sorted(clips, key=lambda clip: not clip.task)[:count]


def run(options: BenchOptions) -> dict:
    """Measure, and write result.json, curves.png, strip.png and the record to `out`.

    Returns:
        see the head of this file.
    Raises:
        DataError, CheckpointError, ValueError: see `FrameStore`, `Imagination`, `find_clips`.
        ModuleNotFoundError: scikit-image is not installed.
    """
    from vw2_ros.models.data import DataError
    from vw2_ros.models.data.calvin import with_validation
    from vw2_ros.models.data.store import FrameStore
    from vw2_ros.models.imagination import Imagination
    from vw2_ros.models.key_steps import KeySteps
    from vw2_ros.models.policy import Policy
    from vw2_ros.models.video_quality import metrics
    from vw2_ros.progress import progress_bar

    measures = metrics()
    judge = accuracy = None
    if options.key_steps:  # minutes of measuring come later: what it lacks is told now
        judge, accuracy = KeySteps.load(options.key_steps), accuracy_of(options.key_steps)
    policy = Policy.load(options.policy, threads=None)
    imagination = Imagination(policy, options.renderer, options.vdm, steps=options.steps)
    prior = prior_of(options, imagination) if options.prior else None
    roots = with_validation([options.data])
    if not roots:
        raise DataError(
            f'{options.data}/validation must hold held-out frames. Got none; collect '
            'some with vw2 collect --validation-episodes'
        )
    store = FrameStore(roots, 'validation', policy.image_size)
    clips = find_clips(store, imagination.length, options.segments, options.clips, options.seed)
    settings = settings_of(options, store, policy, imagination, prior, measures)
    options.out.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    with Record(options.out, settings) as record, progress_bar() as bar:
        shown: list[dict[str, np.ndarray]] = []
        for clip in bar.track(clips, description='clips'):
            if clip.name in record.done and len(shown) == SHOWN:
                continue
            videos = imagined(imagination, store, clip, options.segments, prior)
            if len(shown) < SHOWN:
                shown.append(videos)
            if clip.name not in record.done:
                record.add(
                    {
                        'rollout': clip.name,
                        **measured(videos, measures, options.segments),
                        **judged(videos, clip, judge),
                    }
                )
        lines = [record.done[c.name] for c in clips]
    write_strip(options.out / 'strip.png', shown)
    result = summarise(lines)
    if judge is not None:
        result['key_steps_accuracy'] = accuracy
    result |= {
        'renderer': options.renderer,
        'clips': len(lines),
        'policy': options.policy,
        'frames_per_segment': imagination.length,
        'checkpoint_sha256': policy.sha256,
        'data': store.content_hash,
        'seconds': time.monotonic() - began_s,
    }
    drawing.write_png(options.out / 'curves.png', curves(result, measures))
    return result


def settings_of(options: BenchOptions, store, policy, imagination, prior, measures) -> dict:
    """What must be the same for the record of an earlier run to count."""
    from vw2_ros.files import file_sha256
    from vw2_ros.models.key_steps import NAME

    judge = options.key_steps and file_sha256(options.key_steps / f'{NAME}.safetensors')
    settings = {
        'data': store.content_hash,
        'policy': policy.sha256,
        'renderer': options.renderer,
        'metrics': sorted(measures),
        'segments': options.segments,
        'seed': options.seed,
        'key_steps': judge,
    }
    if imagination.vdm is not None:
        settings |= {'vdm': imagination.vdm_sha256, 'steps': imagination.steps}
    if prior is not None:
        settings |= {'prior': prior.vdm_sha256, 'prior_steps': prior.steps}
    return settings


def write_strip(path: pathlib.Path, shown: list[dict[str, np.ndarray]]) -> None:
    """Write every fourth frame of the clips in `shown`, a row for each kind but `still`."""
    rows = [kind for kind in shown[0] if kind != 'still']
    pictures = [list(videos[kind][3::4]) for videos in shown for kind in rows]
    drawing.write_png(path, film.strip(pictures, f'every fourth frame: {", ".join(rows)}'))


def prior_of(options: BenchOptions, imagination):
    """The `Imagination` of `options.prior`, drawn beside another one.

    Raises:
        ValueError: codes, where there should be none, or the other way round, or clips of another
            length. CheckpointError: see `Imagination`.
    """
    from vw2_ros.models.imagination import Imagination

    prior = Imagination(imagination.policy, 'vdm', options.prior, steps=options.steps)
    if prior.knows_codes or not imagination.knows_codes:
        raise InvalidValueError(
            f'the prior {options.prior} must be a run of vw2 train vdm, which knows no '
            'codes, beside a renderer that does. Got the same of both.'
        )
    if prior.length != imagination.length:
        raise InvalidValueError(
            f'the prior {options.prior} must draw {imagination.length} frames, as the '
            f'renderer. Got {prior.length}.'
        )
    return prior


def imagined(imagination, store, clip: Clip, segments: int, prior=None) -> dict[str, np.ndarray]:
    """The true video and what is imagined of it, each uint8 (segments * T, S, S, 3)."""
    T, policy = imagination.length, imagination.policy
    rgb = store.rgb(clip.start + np.arange(1 + segments * T))

    def true_codes(segment, _):
        return policy.tokenize(rgb[segment * T : (segment + 1) * T + 1])

    def planned_codes(segment, now):
        return policy.plan(now, clip.phrases[segment]).codes

    kinds = (
        {'true_codes': (imagination, true_codes), 'planned_codes': (imagination, planned_codes)}
        if imagination.knows_codes
        else {}
    )
    if prior is not None or not kinds:
        kinds['no_codes'] = (prior or imagination, None)
    videos = {'true': rgb[1:], 'still': np.repeat(rgb[:1], segments * T, axis=0)}
    for kind, (drawn_by, codes) in kinds.items():
        drawn_by.reset(clip.start)  # a clip's noise is its own, also after a resume
        videos[kind] = np.concatenate(list(drawn_by.chain(rgb[0], codes, segments)))
    return videos


def measured(videos: Mapping[str, np.ndarray], measures: Mapping, segments: int) -> dict:
    """{metric_kind: a number per segment} of one clip."""
    true = np.split(videos['true'], segments)
    return {
        f'{name}_{kind}': [measure(a, b) for a, b in zip(true, np.split(v, segments))]
        for kind, v in videos.items()
        if kind != 'true'
        for name, measure in measures.items()
    }


def judged(videos: Mapping[str, np.ndarray], clip: Clip, judge) -> dict:
    """{goal_kind: reached} of one clip at the end of its window; {} where that cannot be said."""
    if judge is None or clip.task not in judge.tasks:
        return {}
    start = np.repeat(videos['still'][:1], len(videos), axis=0)
    now = np.stack([v[clip.end - clip.start - 1] for v in videos.values()])
    reached = judge.reached(start, now)[:, judge.tasks.index(clip.task)] > 0.5
    return {f'goal_{kind}': bool(r) for kind, r in zip(videos, reached)}


def summarise(lines: list[dict]) -> dict:
    """Mean over the clips' lines, rounded to 4 digits; of the goals, over those that have one."""
    result: dict = {}
    drawn = np.random.default_rng(0).integers(len(lines), size=(DRAWS, len(lines)))
    for key in dict.fromkeys(k for line in lines for k in line):
        if key.startswith(tuple(f'{m}_' for m in METRICS)):
            means = np.mean([line[key] for line in lines], axis=0)  # (segments,)
            result[key] = [round(float(x), 4) for x in means]
            metric, kind = key.split('_', 1)
            if kind != 'still':
                more = np.array([np.subtract(x[key], x[f'{metric}_still']) for x in lines])
                ends = np.percentile(more[drawn].mean(axis=1), [2.5, 97.5], axis=0)
                result[f'{metric}_over_still_{kind}'] = [
                    [round(float(x), 4) for x in part] for part in zip(more.mean(axis=0), *ends)
                ]
        elif key.startswith('goal_'):
            result[key] = round(float(np.mean([x[key] for x in lines if key in x])), 4)
    if any(k.startswith('goal_') for k in result):
        result['goal_clips'] = sum('goal_true' in line for line in lines)
    return result


def accuracy_of(folder: pathlib.Path) -> float | None:
    """What the classifier's provenance says of its held-out accuracy; None: it had no such windows.

    Raises:
        CheckpointError: there is no provenance.json of `vw2 train keysteps`.
    """
    from vw2_ros.models.errors import CheckpointError
    from vw2_ros.models.storage import load_json

    path = folder / 'provenance.json'
    if not path.is_file():
        raise CheckpointError(
            f'{path} must tell how good the classifier is. Got no such file: '
            'give a run folder of vw2 train keysteps that has ended, whole.'
        )
    try:
        return load_json(path)['scores'].get('accuracy')
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f'{path} must hold the scores that vw2 train keysteps writes. Got '
            f'{type(error).__name__}: {error}.'
        ) from error


def curves(result: Mapping, measures) -> np.ndarray:
    """A panel per metric, a line per kind over the segments: uint8 (H, W, 3)."""
    panels = []
    for name in measures:
        lines = {
            k.removeprefix(f'{name}_'): v
            for k, v in result.items()
            if k.startswith(f'{name}_') and '_over_' not in k
        }
        panels.append(
            film.plot(
                lines, f'{METRICS[name]} by segment, {result["clips"]} clips, {result["renderer"]}'
            )
        )
    return np.concatenate(panels, axis=1)
