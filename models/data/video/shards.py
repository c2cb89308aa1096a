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
from vw2_ros.models.data.video.reader import PICTURES, Damage, Frames, Notes, library

SHARDS = ('.tar', '.tar.gz', '.tgz')
LOOKED_AT = 10  # pictures of a camera: the first may be damaged


def _in_order(name: str) -> list:
    """Sort key by which frame_9 comes before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', name)]


def _take_of(sample: dict) -> str:
    """Samples that belong to one take: pictures are frames of their folder, if they are steps."""
    key = sample['__key__']
    kinds = [suffix for suffix in sample if suffix.rpartition('.')[2] in PICTURES]
    cameras = sum(map(_is_camera, kinds))
    if not cameras:
        return key
    # what lies in no folder is a picture of its own, or a step that several cameras saw
    steps = re.sub(r'\d+$', '', key) or 'steps'
    return key.rpartition('/')[0] or (steps if cameras > 1 else key)


def _is_camera(suffix: str) -> bool:
    """Whether a sample has one such picture: `jpg`, `left.jpg`, `cam0.jpg`; not `frame_3.jpg`."""
    name = suffix.rpartition('.')[0].lower()
    return not re.search(r'\d$', name) or name.startswith(('cam', 'view', 'rgb'))


@dataclasses.dataclass(frozen=True)
class ShardReader:
    """A WebDataset tar. A sample is a video, or pictures: `key.frame_1.jpg ...` are its frames.

    A sample may also be a step of the take that its folder is: `take/0001.jpg`, or with a picture of
    each camera, `take/0001.left.jpg`, of which one camera is taken. Pictures have the rate that the
    sample's json gives as `fps`, else the one that is asked for.
    """

    path: Path
    name: str
    fps: float
    cameras: Sequence[str] = ()

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return (self.path,)

    @property
    def detail(self) -> str:
        """The rate of pictures, and which cameras were asked for."""
        return f'{self.fps:g} {tuple(self.cameras)}'

    def takes(self, notes: Notes) -> Iterator[tuple[str, Frames]]:
        """See `VideoReader`."""
        tar = library('webdataset').tariterators
        with open(self.path, 'rb') as stream:
            files = tar.tar_file_expander([{'url': str(self.path), 'stream': stream}])
            for take, group in itertools.groupby(tar.group_by_keys(files), _take_of):
                pictures: dict[str, dict[str, bytes]] = {}  # camera -> name -> file
                fps = self.fps
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
                            camera = suffix if _is_camera(suffix) else ''
                            named = pictures.setdefault(camera, {})
                            named[f'{sample["__key__"]}.{suffix}'] = data
                if pictures:
                    yield f'{self.name}/{take}', self._frames(pictures, fps, take, notes)

    def _frames(self, pictures: dict, fps: float, take: str, notes: Notes) -> Frames:
        camera = self._camera(pictures)
        notes.camera = camera.rpartition('.')[0]
        files = pictures[camera]
        damage = Damage(f'pictures of {take}')
        for i, name in enumerate(sorted(files, key=_in_order)):
            try:
                rgb = read_picture(files[name])
            except Exception as error:  # damaged bytes
                damage.add(error)
                rgb = None
            yield i / fps, rgb
        damage.tell(notes, len(files))

    def _camera(self, pictures: dict[str, dict[str, bytes]]) -> str:
        """One that was asked for, else the first in colour, else grey; never depth."""
        asked = [c for name in self.cameras for c in pictures if c.rpartition('.')[0] == name]
        if asked:
            return asked[0]

        def rank(camera: str) -> tuple:
            name = camera.lower()
            unlikely = any(word in name for word in ('depth', 'mask', 'seg', 'disparity'))
            for data in itertools.islice(pictures[camera].values(), LOOKED_AT):
                try:
                    rgb = read_picture(data)
                    return False, unlikely, bool((rgb == rgb[:, :, :1]).all()), name
                except Exception:  # damaged, or depth
                    continue
            return True, unlikely, True, name

        return min(pictures, key=rank)
