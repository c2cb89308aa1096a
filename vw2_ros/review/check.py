# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 check`: what would make a bad policy, found in what it would learn.

| finding          | what it is                                                                    |
| ---------------- | ----------------------------------------------------------------------------- |
| unusable         | `vw2 convert` would refuse it                                                 |
| idle             | nothing moves for a long time: a policy learns to stand still                 |
| jump             | a joint moves further in a frame than an arm can                              |
| clipped          | the arm moves faster than an action can say: the policy will lag              |
| chatter          | the gripper changes its mind again within a third of a second                 |
| gaps, skew       | the recording stuttered, or its clocks disagree                               |
| twice            | the same motion is in another episode, too                                    |
| leak             | validation holds what training holds: its figures would be too good           |
| still joint      | a joint never moves, in no episode: it is another one, or it is blocked       |
| few, like, long  | an instruction has few episodes, or differs from another one by a slip, or    |
|                  | has more words than a policy reads                                            |

The score of an episode is 100 less what its findings cost (`COSTS`), at least 0.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.review.recordings import Entry, Motion, Unusable
from vw2_ros.words import MOST_WORDS, split_words

STILL = 0.02  # share of the largest action; less is no motion
IDLE_SHARE, IDLE_S = 0.3, 1.5  # more of an episode, or longer at once, is a finding
JUMP_RAD = 0.15  # in a frame: 4.5 rad/s, more than any joint here is allowed
CLIPPED_SHARE = 0.05  # of the frames
CHATTER_FRAMES = 10  # between two changes of the gripper
SKEW_MS = 50.0
FEW = 3  # episodes of an instruction
LIKE = 0.85  # of difflib's ratio, from which two instructions are a slip of one
STILL_RAD = 1e-3  # range of a joint that never moves
SAME_RAD = 1e-5  # joints of two frames that differ less are the same frame's
TWICE_SHARE = 0.5  # of an episode's frames, that are in another one
AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw')
COSTS = {
    'unusable': 100,
    'idle': 20,
    'jump': 40,
    'clipped': 20,
    'chatter': 20,
    'gaps': 10,
    'skew': 20,
    'twice': 40,
    'leak': 40,
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    text: str  # for people


@dataclasses.dataclass(frozen=True)
class Checked:
    """An episode and what was found in it."""

    entry: Entry
    motion: Motion | None  # None: it cannot be converted
    findings: tuple[Finding, ...]

    @property
    def score(self) -> int:
        """0 (useless) to 100 (nothing found)."""
        return max(0, 100 - sum(COSTS[kind] for kind in {f.kind for f in self.findings}))

    def report(self) -> dict:
        """For a file."""
        found = [dataclasses.asdict(finding) for finding in self.findings]
        return {**self.entry.report(), 'score': self.score, 'findings': found}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All episodes that are learned from, and what was found in all together."""

    episodes: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    labels: dict[str, tuple[int, float]]  # instruction -> episodes, seconds

    @property
    def outcomes(self) -> dict[str, int]:
        """How many episodes ended in which way; '': nobody said."""
        return dict(Counter(checked.entry.outcome for checked in self.episodes))

    def report(self) -> dict:
        """For a file."""
        return {
            'episodes': [checked.report() for checked in self.episodes],
            'findings': [dataclasses.asdict(finding) for finding in self.findings],
            'outcomes': self.outcomes,
            'labels': {k: {'episodes': n, 'seconds': s} for k, (n, s) in self.labels.items()},
        }


def check(entries: Sequence[Entry]) -> Verdict:
    """Look at all episodes but those that were dropped."""
    motions: dict[int, Motion | None] = {}
    first: dict[int, list[Finding]] = {}
    kept = [entry for entry in entries if not entry.span.dropped]
    for entry in kept:
        try:
            motion = entry.recording.motion(entry.span)
            motions[entry.number] = motion
            first[entry.number] = [*_of_motion(motion), *_of_recording(entry)]
        except Unusable as error:
            motions[entry.number] = None
            first[entry.number] = [Finding('unusable', str(error))]
    for number, finding in _twice(kept, motions):
        first[number].append(finding)
    episodes = tuple(Checked(e, motions[e.number], tuple(first[e.number])) for e in kept)
    labels: dict[str, tuple[int, float]] = {}
    for entry in kept:
        n, seconds = labels.get(entry.span.text, (0, 0.0))
        labels[entry.span.text] = n + 1, round(seconds + entry.facts['seconds'], 2)
    together = (*_still_joints([m for m in motions.values() if m is not None]), *_labels(labels))
    return Verdict(episodes, together, labels)


def _of_motion(motion: Motion) -> list[Finding]:
    found = []
    actions, joints = motion.actions, motion.joints
    idle = idle_frames(actions)
    longest = _longest(idle) / ACTION_HZ
    if idle.mean() > IDLE_SHARE or longest > IDLE_S:
        found.append(
            Finding('idle', f'{idle.mean():.0%} of it stands still, {longest:.1f} s at once')
        )
    steps = np.abs(np.diff(joints, axis=0)) * motion.connected[:, None]
    if len(steps) and steps.max() > JUMP_RAD:
        at, joint = np.unravel_index(steps.argmax(), steps.shape)
        found.append(
            Finding(
                'jump',
                f'joint {joint + 1} jumps by {steps.max():.2f} rad at {at / ACTION_HZ:.1f} s '
                f'({int((steps > JUMP_RAD).any(1).sum())} jumps in all)',
            )
        )
    largest = np.abs(actions[:, :6]) > 1 - 1e-6
    clipped = largest.any(1).mean()
    if clipped > CLIPPED_SHARE:
        axis = AXES[int(largest.sum(0).argmax())]
        found.append(
            Finding('clipped', f'{clipped:.0%} of its actions are the largest there is, in {axis}')
        )
    changes = np.flatnonzero(np.diff(np.sign(actions[:, 6])))
    again = int((np.diff(changes) <= CHATTER_FRAMES).sum())
    if again:
        found.append(
            Finding(
                'chatter', f'the gripper changes its mind {again} times within a third of a second'
            )
        )
    return found


def idle_frames(actions: np.ndarray) -> np.ndarray:
    """bool (n,): neither arm nor gripper does anything, of actions (n, 7)."""
    changes = np.append(False, np.diff(np.sign(actions[:, 6])) != 0)
    return (np.abs(actions[:, :6]).max(1) < STILL) & ~changes


def _longest(flags: np.ndarray) -> int:
    """How many in a row are True at most."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def _of_recording(entry: Entry) -> list[Finding]:
    found, facts = [], entry.facts
    if facts['gaps']:
        found.append(Finding('gaps', f'{facts["gaps"]} gaps in what was recorded'))
    if facts['skew_ms'] is not None and facts['skew_ms'] > SKEW_MS:
        found.append(
            Finding('skew', f'the clocks of its topics differ by {facts["skew_ms"]:.0f} ms')
        )
    return found


def _twice(entries: Sequence[Entry], motions: dict) -> list[tuple[int, Finding]]:
    """Episodes whose frames are those of an earlier one, by their joints."""
    frames: dict[bytes, int] = {}
    found = []
    by_number = {entry.number: entry for entry in entries}
    for entry in entries:
        motion = motions[entry.number]
        if motion is None:
            continue
        moving = motion.joints[~idle_frames(motion.actions)]  # resting, all episodes look alike
        keys = [row.tobytes() for row in np.rint(moving / SAME_RAD).astype(np.int64)]
        of = Counter(frames[key] for key in keys if key in frames)
        for key in keys:
            frames.setdefault(key, entry.number)
        if not of:
            continue
        other, count = of.most_common(1)[0]
        if count < TWICE_SHARE * len(keys):
            continue
        apart = by_number[other].recording is not entry.recording
        split = {by_number[other].recording.name, entry.recording.name}
        leak = apart and split == {'training', 'validation'}
        found.append(
            (
                entry.number,
                Finding('leak', f'{count} of its frames are in episode {other} of training')
                if leak
                else Finding('twice', f'{count} of its frames are in episode {other}, too'),
            )
        )
    return found


def _still_joints(motions: Sequence[Motion]) -> list[Finding]:
    if not motions:
        return []
    joints = np.concatenate([motion.joints for motion in motions])
    still = np.flatnonzero(
        (np.ptp(joints, axis=0) < STILL_RAD) & joints.any(0)
    )  # 0: there is none
    return [
        Finding('still joint', f'joint {i + 1} stands at {joints[0, i]:.3f} rad in all episodes')
        for i in still
    ]


def counted(n: int) -> str:
    """E.g. '3 episodes'."""
    return f'{n} episode{"s" * (n != 1)}'


def _labels(labels: dict[str, tuple[int, float]]) -> list[Finding]:
    found = []
    named = sorted(text for text in labels if text)
    for text in named:
        if labels[text][0] < FEW:
            found.append(Finding('few', f'"{text}" has {counted(labels[text][0])}'))
        if (n := len(split_words(text))) > MOST_WORDS:
            found.append(Finding('long', f'"{text}" has {n} words: a policy reads {MOST_WORDS}'))
    for i, text in enumerate(named):
        for other in named[i + 1 :]:
            if difflib.SequenceMatcher(None, text, other).ratio() > LIKE:
                fewer = min((text, other), key=lambda t: labels[t][0])
                found.append(
                    Finding(
                        'like',
                        f'"{text}" and "{other}" are nearly the same: is one a slip? '
                        f'"{fewer}" has fewer episodes',
                    )
                )
    if '' in labels:
        found.append(
            Finding('few', f'{counted(labels[""][0])} without words: nothing is learned of that')
        )
    return found
