# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Episodes as a table, as contact sheets and as films."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vw2_ros.cameras.drawing import write_png
from vw2_ros.cameras.frames import Fit
from vw2_ros.evaluation import film
from vw2_ros.review.recordings import Entry

COLUMNS, ROWS = 8, 2  # pictures of a contact sheet
SIDE_PX = 128  # of each
FILM_HZ = 15  # a film takes as long as the episode did
_VERDICTS = {'success': film.SUCCEEDED, 'failure': film.FAILED, '': film.RECORDED}


def table(entries: Sequence[Entry]) -> Iterator[str]:
    """The episodes in lines for people."""
    head = ('', 'where', 'seconds', 'instruction', 'outcome', 'gaps', 'skew ms', 'Hz', '')
    rows = [head]
    for entry in entries:
        f = entry.facts
        rows.append(
            (
                str(entry.number),
                entry.recording.name,
                f'{f["seconds"]:.1f}',
                entry.span.text or '-',
                entry.outcome or '-',
                str(f['gaps']),
                '-' if f['skew_ms'] is None else f'{f["skew_ms"]:.0f}',
                f'{f["hz"]:g}',
                entry.state,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    right = (0, 2, 5, 6, 7)
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ]
        yield '  '.join(cells).rstrip()


def summary(entries: Sequence[Entry]) -> str:
    """What there is, in one line."""
    kept = [entry for entry in entries if not entry.span.dropped]
    failed = sum(entry.span.success is False for entry in kept)
    without = sum(not entry.span.text for entry in kept)
    parts = [f'{len(kept)} episodes, {sum(e.facts["seconds"] for e in kept) / 60:.1f} min']
    parts += [f'{failed} failed'] if failed else []
    parts += [f'{without} without words'] if without else []
    parts += [f'{len(entries) - len(kept)} dropped'] if len(entries) > len(kept) else []
    return ', '.join(parts)


def sheet(entry: Entry, rows: int = ROWS) -> list[list[np.ndarray]]:
    """Pictures of an episode, spread evenly over it, uint8 (128, 128, 3) each.

    Args:
        rows: of `COLUMNS` pictures.
    """
    fit, wanted = Fit(size=(SIDE_PX, SIDE_PX)), rows * COLUMNS
    frames = max(1, entry.facts['frames'])
    at = set(np.linspace(0, frames - 1, wanted).round().astype(int).tolist())
    shown = [fit(p) for i, (_, p) in enumerate(entry.recording.pictures(entry.span)) if i in at]
    return [shown[i : i + COLUMNS] for i in range(0, len(shown), COLUMNS)]


def title(entry: Entry) -> str:
    """An episode in one line."""
    words = f'"{entry.span.text}"' if entry.span.text else 'without words'
    more = ', '.join(filter(None, [f'{entry.facts["seconds"]:.1f} s', entry.outcome, entry.state]))
    return f'{entry.number}: {words}  {more}'


def show(entries: Sequence[Entry], out: Path) -> list[Path]:
    """Write a contact sheet and a film of each episode; the files."""
    made = []
    for entry in entries:
        rows = sheet(entry)
        if not rows:
            continue  # none of its pictures can be read
        made += [out / f'episode_{entry.number:03d}.png', out / f'episode_{entry.number:03d}.mp4']
        write_png(made[-2], film.strip(rows, title(entry)))
        film.write(made[-1], _film(entry), FILM_HZ)
    return made


def _film(entry: Entry) -> Iterator[np.ndarray]:
    """Frames of `FILM_HZ`, each the last picture that was there by then."""
    fit, tick, held = Fit(size=(400, 400)), 0, None
    for seconds, picture in entry.recording.pictures(entry.span):
        while held is not None and tick / FILM_HZ < seconds - 1e-6:
            yield _captioned(entry, held, tick / FILM_HZ)
            tick += 1
        held = fit(picture)
    if held is not None:
        yield _captioned(entry, held, tick / FILM_HZ)


def _captioned(entry: Entry, picture: np.ndarray, seconds: float) -> np.ndarray:
    note = f'{entry.number}  {seconds:.1f} of {entry.facts["seconds"]:.1f} s'
    return film.captioned(
        picture, entry.span.text or 'without words', note, _VERDICTS[entry.outcome]
    )
