# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""WebDataset shards: tar files of videos or pictures."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vw2_ros.models.data.pictures import read_picture
from vw2_ros.models.data.video.files import VIDEOS, video_frames
from vw2_ros.models.data.video.reader import PICTURES, Frames, library

SHARDS = ('.tar', '.tar.gz', '.tgz')


def _in_order(name: str) -> list:
    """Sort key by which frame_9 comes before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', name)]


def _take_of(sample: dict) -> str:
    """Samples that belong to one take; pictures of their own are frames of their folder."""
    key = sample['__key__']
    return key.rpartition('/')[0] or key if any(p in sample for p in PICTURES) else key


@dataclasses.dataclass(frozen=True)
class ShardReader:
    """A WebDataset tar. A sample is a video, or pictures: `key.0001.jpg ...` or `take/0001.jpg`.

    Pictures have the rate that the sample's json gives as `fps`, else the one that is asked for.
    """

    path: Path
    name: str
    fps: float

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    @property
    def detail(self) -> str:
        """The rate of pictures."""
        return f'{self.fps:g}'

    def takes(self) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`."""
        webdataset = library('webdataset')
        samples = webdataset.tariterators.tarfile_samples([{'url': str(self.path.resolve())}])
        for take, group in itertools.groupby(samples, _take_of):
            pictures, fps = {}, self.fps
            for sample in group:
                if 'json' in sample:
                    fps = float(json.loads(sample['json']).get('fps', fps))
                for suffix, data in sample.items():
                    kind = suffix.rpartition('.')[2]
                    if f'.{kind}' in VIDEOS:
                        yield (
                            f'{self.name}/{sample["__key__"]}.{suffix}',
                            video_frames(io.BytesIO(data)),
                        )
                    elif kind in PICTURES:
                        pictures[f'{sample["__key__"]}.{suffix}'] = data
            if pictures:
                frames = [pictures[key] for key in sorted(pictures, key=_in_order)]
                yield (
                    f'{self.name}/{take}',
                    ((i / fps, read_picture(data)) for i, data in enumerate(frames)),
                )
