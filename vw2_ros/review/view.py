# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`vw2 view`: a recording or a run in Rerun.

| of     | what is shown                                                                  |
| ------ | ------------------------------------------------------------------------------ |
| a bag  | every camera, also imagined frames; joints, commands, gripper; words, outcome; |
|        | codes of the plan; /diagnostics, and the nodes' log of events meanwhile        |
| data   | the static camera; joints, gripper, actions; instructions                      |
| a run  | its curves and pictures over the steps                                         |
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from vw2_ros import names
from vw2_ros.arms.actions import ACTION_HZ
from vw2_ros.bags.bag import cdr_reader
from vw2_ros.bags.images import COMPRESSED, IMAGE, message_picture
from vw2_ros.bags.stamps import stamp_of
from vw2_ros.errors import InvalidValueError, MissingPackageError
from vw2_ros.models.data.pictures import read_picture
from vw2_ros.models.data.raw import pictures_of, rows_of
from vw2_ros.review.recordings import BagRecording, Recording, SplitRecording

QUALITY = 80  # of the JPEG pictures in a file
AT_ONCE = 5000  # frames whose rows are read together
TIME, STEP = 'time', 'step'
_KINDS = ('picture', 'curves', 'codes', 'text')
ACTIONS = ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper')
CURVES = (  # what is called alike has one colour in all plots
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
    (227, 119, 194),
    (23, 190, 207),
    (188, 189, 34),
    (127, 127, 127),
)
LEVELS = {0: 'INFO', 1: 'WARN', 2: 'ERROR', 3: 'ERROR'}


def _rerun():
    try:
        return importlib.import_module('rerun')
    except ImportError as error:
        raise MissingPackageError(
            'vw2 view needs rerun-sdk, which is not installed: pip install "vw2_ros[view]"'
        ) from error


class View:
    """A stream to Rerun: to a file, or to its window.

    Args:
        name: of what is shown. out: the file; None: a window.
    Raises:
        MissingPackageError: Rerun is not installed.
    """

    def __init__(self, name: str, out: Path | None):
        self.rr = _rerun()
        self._kinds: dict[str, str] = {}  # where -> what is there, in the order of their coming
        self._colours: dict[str, tuple] = {}  # of curves, by their names
        self._timeline = TIME
        self.stream = self.rr.RecordingStream('vw2_view')
        self.stream.send_recording_name(name)
        if out is None:
            self.stream.spawn()
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            self.stream.save(str(out))

    def at_ns(self, time_ns: int) -> None:
        """What follows happened then [ns since the epoch]."""
        self.stream.set_time(TIME, timestamp=np.datetime64(int(time_ns), 'ns'))

    def at_step(self, step: int) -> None:
        """What follows belongs to a step of training."""
        self._timeline = STEP
        self.stream.set_time(STEP, sequence=int(step))

    def picture(self, where: str, rgb: np.ndarray) -> None:
        """uint8 (H, W, 3) rgb."""
        self._kinds.setdefault(where, 'picture')
        self.stream.log(where, self.rr.Image(rgb).compress(jpeg_quality=QUALITY))

    def numbers(self, where: str, values: Sequence[float], called: Sequence[str] = ()) -> None:
        """One point of each of several curves."""
        if where not in self._kinds:
            self._kinds[where] = 'curves'
            for name in called:
                self._colours.setdefault(name, CURVES[len(self._colours) % len(CURVES)])
            if called:
                colours = [self._colours[name] for name in called]
                lines = self.rr.SeriesLines(names=list(called), colors=colours)
                self.stream.log(where, lines, static=True)
        self.stream.log(where, self.rr.Scalars(np.asarray(values, float)))

    def codes(self, where: str, codes: np.ndarray) -> None:
        """Codes of a plan, integers (steps, codes)."""
        self._kinds.setdefault(where, 'codes')
        self.stream.log(where, self.rr.Tensor(codes, dim_names=('step', 'query')))

    def text(self, where: str, text: str, level: str = 'INFO') -> None:
        """A line of a log."""
        self._kinds.setdefault(where, 'text')
        self.stream.log(where, self.rr.TextLog(text, level=level))

    def _layout(self):
        """Pictures above, then curves, then what was said beside the plans' codes."""
        blueprint = importlib.import_module('rerun.blueprint')
        at = {kind: [w for w, k in self._kinds.items() if k == kind] for kind in _KINDS}
        legend = blueprint.PlotLegend(corner=blueprint.Corner2D.LeftTop)
        pictures = [blueprint.Spatial2DView(origin=w, name=w) for w in at['picture']]
        curves = [
            blueprint.TimeSeriesView(origin=w, name=w, plot_legend=legend) for w in at['curves']
        ]
        last = [blueprint.TextLogView(origin='/', name='what was said')] if at['text'] else []
        last += [blueprint.TensorView(origin=w, name=w) for w in at['codes']]
        rows = [blueprint.Grid(*views) for views in (pictures, curves) if views]
        rows += (
            [blueprint.Horizontal(*last, column_shares=[3, *[1] * len(last[1:])])] if last else []
        )
        shares = [2, 2, 1][-len(rows) :] if last else [1] * len(rows)
        return blueprint.Blueprint(
            blueprint.Vertical(*rows, row_shares=shares),
            blueprint.TimePanel(timeline=self._timeline, state='collapsed'),
            collapse_panels=True,
        )

    def close(self) -> None:
        """Hand on what waits."""
        if self._kinds:
            self.stream.send_blueprint(self._layout())
        self.stream.flush()
        self.stream.disconnect()


def view(data: Path, out: Path | None, image: str = '', events: Path | None = None) -> int:
    """Show a bag, a data set or the folder of a run; how many things were shown.

    Args:
        out: file to write; None: open a window.
        image: camera, where a bag has several that are called alike.
        events: folder of the nodes' logs of events; None: none are shown.
    Raises:
        InvalidValueError: nothing of that kind is there. MissingPackageError: no Rerun.
    """
    if (data / 'log.jsonl').is_file():
        shown = View(data.name, out)
        count = _run(shown, data)
    else:
        from vw2_ros.review.recordings import open_recordings

        recordings = open_recordings([data], image)
        shown, count = View(data.name, out), 0
        for recording in recordings:
            count += _recording(shown, recording, events, len(recordings) > 1)
    shown.close()
    if not count:
        if out is not None:
            out.unlink(missing_ok=True)
        raise InvalidValueError(f'{data} must hold something to show. Got nothing')
    return count


def has_screen() -> bool:
    """Whether a window can be opened here."""
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def _recording(shown: View, recording: Recording, events: Path | None, several: bool) -> int:
    lead = f'{recording.name}/' if several else ''
    for number, (span, _) in enumerate(recording.episodes()):
        state = ', dropped' if span.dropped else ''
        if isinstance(recording, BagRecording):
            began, _ = recording.arrivals(span)
            shown.at_ns(began)
        else:
            shown.at_ns(int(span.start / ACTION_HZ * 1e9))
        shown.text(f'{lead}episodes', f'{number}: {span.text or "without words"}{state}')
    if isinstance(recording, SplitRecording):
        return _split(shown, recording, lead)
    assert isinstance(recording, BagRecording)
    return _bag(shown, recording, lead) + _events(shown, recording, lead, events)


# ------------------------------------------------------------------------------------- bags


def _bag(shown: View, recording: BagRecording, lead: str) -> int:
    read, count = cdr_reader(), 0
    for topic, kind, received_ns, data in recording.bag.messages():
        if kind not in _SHOWN:
            continue
        try:
            message = read(data, kind)
            stamp = stamp_of(message) if hasattr(message, 'header') else 0
            shown.at_ns(stamp or received_ns)
            count += _SHOWN[kind](shown, f'{lead}{topic.strip("/")}', message)
        except Exception:  # damaged data make the libraries raise nearly anything
            continue
    return count


def _image(shown: View, where: str, message) -> int:
    if where.split('/')[-1] == names.LATENT_PLAN:
        codes = np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)
        shown.codes(where, codes)
        shown.numbers(f'{where}/first', codes[0], [f'code {i}' for i in range(codes.shape[1])])
    elif where.split('/')[-1] == names.PLAN_HIDDEN:
        return 0
    else:
        shown.picture(where, message_picture(message))
    return 1


def _joints(shown: View, where: str, message) -> int:
    shown.numbers(where, message.position, message.name)
    return int(len(message.position) > 0)


def _trajectory(shown: View, where: str, message) -> int:
    if message.points:
        shown.numbers(where, message.points[-1].positions, message.joint_names)
    return int(bool(message.points))


def _numbers(shown: View, where: str, message) -> int:
    shown.numbers(where, message.data)
    return int(len(message.data) > 0)


def _string(shown: View, where: str, message) -> int:
    if where.split('/')[-1] == names.ROBOT_DESCRIPTION:
        return 0
    shown.text(where, message.data[:2000] or "''")
    return 1


def _diagnostics(shown: View, where: str, message) -> int:
    for status in message.status:
        level = status.level if isinstance(status.level, int) else int(status.level[0])
        shown.text(f'{where}/{status.name}', status.message, LEVELS.get(level, 'INFO'))
    return int(bool(message.status))


_SHOWN = {
    IMAGE: _image,
    COMPRESSED: _image,
    'sensor_msgs/msg/JointState': _joints,
    'trajectory_msgs/msg/JointTrajectory': _trajectory,
    'std_msgs/msg/Float64MultiArray': _numbers,
    'std_msgs/msg/String': _string,
    'diagnostic_msgs/msg/DiagnosticArray': _diagnostics,
}


def _events(shown: View, recording: BagRecording, lead: str, folder: Path | None) -> int:
    """What the nodes logged while the bag was recorded."""
    first, last = recording.arrivals()
    count = 0
    for time_ns, event in _logged(folder) if folder else ():
        if first <= time_ns <= last:
            shown.at_ns(time_ns)
            text = f'{event.get("node", "")} {event["event"]}: {event.get("reason", "")}'
            calm = event['event'] in ('start', 'end', 'arm', 'resume', 'swap', 'idle')
            shown.text(f'{lead}events', text, 'INFO' if calm else 'WARN')
            count += 1
    return count


def _logged(folder: Path) -> Iterator[tuple[int, dict]]:
    for path in sorted(folder.glob('*.jsonl')):
        for line in path.read_text(errors='replace').splitlines():
            try:
                event = json.loads(line)
                time_ns = int(datetime.fromisoformat(event['time']).timestamp() * 1e9)
                yield time_ns, {**event, 'event': str(event['event'])}
            except (ValueError, KeyError, TypeError):  # cut off
                continue


# ------------------------------------------------------------------------------- data, runs


def _split(shown: View, recording: SplitRecording, lead: str) -> int:
    """All frames, also those that are in no episode."""
    for span in recording.spans():
        shown.at_ns(int(span.start / ACTION_HZ * 1e9))
        shown.text(f'{lead}instruction', span.text or "''")
    folder = recording.folder
    ids = folder.recorded_ids
    for first in range(0, len(ids), AT_ONCE):
        part = ids[first : first + AT_ONCE]
        rows = rows_of(folder, part)
        for i, (number, picture) in enumerate(zip(part, pictures_of(folder, part))):
            shown.at_ns(int(number / ACTION_HZ * 1e9))
            state = rows['robot_obs'][i]
            shown.picture(f'{lead}static', picture)
            shown.numbers(f'{lead}joints', state[7:14], [f'joint {j + 1}' for j in range(7)])
            shown.numbers(f'{lead}gripper', state[6:7], ['width [m]'])
            shown.numbers(f'{lead}actions', rows['rel_actions'][i], ACTIONS)
    return len(ids)


def _run(shown: View, folder: Path) -> int:
    count = 0
    for line in (folder / 'log.jsonl').read_text().splitlines():
        try:
            report = json.loads(line)
            shown.at_step(report['step'])
        except (ValueError, KeyError):  # the last line of a run that was killed
            continue
        for key, value in report.items():
            if key != 'step' and isinstance(value, (int, float)):
                shown.numbers(f'{report.get("kind", "train")}/{key}', [value])
                count += 1
    for path in sorted((folder / 'pictures').glob('*_[0-9]*.png')):
        name, _, step = path.stem.rpartition('_')
        if step.isdecimal():
            shown.at_step(int(step))
            shown.picture(f'pictures/{name}', read_picture(path.read_bytes()))
            count += 1
    return count
