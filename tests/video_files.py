# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Small real videos in each format that training reads.

Frame i of a video is grey of `level(i)`, so that a test sees which frame came, with a bright
square that moves to the right.
"""

import io
import json
import tarfile
from fractions import Fraction

import av
import calvin_files
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vw2_ros.models.data.video.folder import VideoFolder

CODECS = {
    '.mp4': 'libx264',
    '.mov': 'mpeg4',
    '.mkv': 'libx264',
    '.webm': 'libvpx',
    '.avi': 'mpeg4',
}


def level(i):
    """Grey of frame i: steps of 3 above a quantiser's error."""
    return 20 + 3 * (np.asarray(i) % 50)


def number(rgb):
    """Which frames these are (modulo 50): (..., S, S, 3) -> int (...), read in a corner."""
    return np.rint((rgb[..., 2:6, 2:6, :].astype(float).mean((-1, -2, -3)) - 20) / 3).astype(int)


def picture(i, width=64, height=48):
    rgb = np.full((height, width, 3), level(i), np.uint8)
    x = width // 2 - 6 + i % 8
    rgb[height // 2 - 4 : height // 2 + 4, x : x + 8] = (250, 60, 40)
    return rgb


def pictures(n, first=0, **shape):
    return [picture(i, **shape) for i in range(first, first + n)]


def write_video(file, frames, fps=30, times=None, kind=None, options=None):
    """Write frames; `times` [s] makes the rate uneven. Returns the file."""
    kind = kind or file.suffix
    if not isinstance(file, io.BytesIO):
        file.parent.mkdir(parents=True, exist_ok=True)
    target = file if isinstance(file, io.BytesIO) else str(file)
    formats = {'.mkv': 'matroska', '.webm': 'webm'}
    with av.open(target, 'w', format=formats.get(kind, kind[1:]), options=options or {}) as out:
        stream = out.add_stream(CODECS[kind], rate=Fraction(fps))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate, stream.gop_size = 'yuv420p', 2_000_000, 10
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, 'rgb24')
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[i]), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file


def _info(version, fps, dtype, paths, episodes, camera):
    image = {'dtype': dtype, 'shape': [48, 64, 3], 'names': ['height', 'width', 'channels']}
    depth = {**image, 'info': {'video.is_depth_map': True}}
    scalar = {'dtype': 'int64', 'shape': [1], 'names': None}
    return {
        'codebase_version': version,
        'robot_type': 'panda',
        'fps': fps,
        'chunks_size': 1000,
        'total_episodes': len(episodes),
        'total_frames': sum(map(len, episodes)),
        'splits': {'train': f'0:{len(episodes)}'},
        **paths,
        'features': {
            'action': {'dtype': 'float32', 'shape': [7], 'names': None},
            'observation.images.depth': depth,
            camera: image,
            'observation.images.wrist': image,
            'episode_index': scalar,
            'frame_index': scalar,
        },
    }


def _table(episodes, camera=None, first=0, damaged=-1):
    rows = [
        (e, i, rgb) for e, frames in enumerate(episodes, first) for i, rgb in enumerate(frames)
    ]
    columns = {
        'episode_index': pa.array([e for e, *_ in rows], pa.int64()),
        'frame_index': pa.array([i for _, i, _ in rows], pa.int64()),
        'action': pa.array([[0.0] * 7] * len(rows), pa.list_(pa.float32(), 7)),
    }
    if camera:
        columns[camera] = pa.array(
            [
                {'bytes': png(rgb)[: 60 if i == damaged else None], 'path': f'frame-{i:06d}.png'}
                for _, i, rgb in rows
            ],
            pa.struct({'bytes': pa.binary(), 'path': pa.string()}),
        )
    return pa.table(columns)


def png(rgb, kind='.png'):
    return cv2.imencode(kind, rgb[..., ::-1])[1].tobytes()


def _write(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_lerobot_v21(root, episodes, fps=10, filmed=True, camera='observation.images.front'):
    """v2.1: one data file, and one video file per camera, of each episode."""
    data = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
    video = 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'
    for e, frames in enumerate(episodes):
        _write(
            _table([frames], None if filmed else camera, e),
            root / data.format(episode_chunk=0, episode_index=e),
        )
        if filmed:
            for key in (camera, 'observation.images.wrist'):
                shown = frames if key == camera else [255 - rgb for rgb in frames]
                write_video(
                    root / video.format(episode_chunk=0, video_key=key, episode_index=e),
                    shown,
                    fps,
                )
    (root / 'meta').mkdir(parents=True)
    paths = {'data_path': data, 'video_path': video if filmed else None}
    info = _info('v2.1', fps, 'video' if filmed else 'image', paths, episodes, camera)
    (root / 'meta' / 'info.json').write_text(json.dumps(info))
    (root / 'meta' / 'episodes.jsonl').write_text(
        ''.join(
            json.dumps({'episode_index': e, 'tasks': ['play'], 'length': len(f)}) + '\n'
            for e, f in enumerate(episodes)
        )
    )
    return root


def write_pictures(root, camera, files):
    """An episode's data file of v2.1, of picture files as they are."""
    rows = [
        {'episode_index': 0, 'frame_index': i, camera: {'bytes': data, 'path': None}}
        for i, data in enumerate(files)
    ]
    _write(pa.Table.from_pylist(rows), root / 'data/chunk-000/episode_000000.parquet')


def write_lerobot_v3(
    root, files, fps=10, filmed=True, camera='observation.images.front', damaged=-1
):
    """v3: several episodes share a file; `files` is a list of lists of episodes.

    damaged: number of a picture of which half is missing, where they are not filmed.
    """
    data = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
    video = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
    rows, count = [], 0
    for f, episodes in enumerate(files):
        _write(
            _table(episodes, None if filmed else camera, count, damaged),
            root / data.format(chunk_index=0, file_index=f),
        )
        if filmed:
            write_video(
                root / video.format(video_key=camera, chunk_index=0, file_index=f),
                [rgb for frames in episodes for rgb in frames],
                fps,
            )
        start = 0
        for frames in episodes:
            end = start + len(frames)
            lead = f'videos/{camera}'
            rows.append(
                {
                    'episode_index': count,
                    'tasks': ['play'],
                    'length': len(frames),
                    'data/chunk_index': 0,
                    'data/file_index': f,
                    **(
                        {
                            f'{lead}/chunk_index': 0,
                            f'{lead}/file_index': f,
                            f'{lead}/from_timestamp': start / fps,
                            f'{lead}/to_timestamp': end / fps,
                        }
                        if filmed
                        else {}
                    ),
                }
            )
            start, count = end, count + 1
    _write(pa.Table.from_pylist(rows), root / 'meta/episodes/chunk-000/file-000.parquet')
    paths = {'data_path': data, 'video_path': video if filmed else None}
    info = _info(
        'v3.0',
        fps,
        'video' if filmed else 'image',
        paths,
        [e for episodes in files for e in episodes],
        camera,
    )
    (root / 'meta' / 'info.json').write_text(json.dumps(info))
    return root


def write_bag(path, topics, fps=20, storage='mcap', damaged=(), stamp=None):
    """A ROS 2 bag. topics: name -> (frames, encoding); jpeg and png are CompressedImage.

    damaged: numbers of messages with too few bytes. stamp: number -> header stamp [ns].
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    with Writer(path, version=9, storage_plugin=plugin) as bag:
        for topic, (frames, encoding) in topics.items():
            compressed = encoding in ('jpeg', 'png')
            kind = f'sensor_msgs/msg/{"CompressedImage" if compressed else "Image"}'
            connection = bag.add_connection(topic, kind, typestore=store)
            for i, rgb in enumerate(frames):
                at = 1_000_000_000_000 + round(i * 1e9 / fps)
                header = types['std_msgs/msg/Header'](
                    types['builtin_interfaces/msg/Time'](
                        *divmod(stamp(i) if stamp else at, 10**9)
                    ),
                    'camera',
                )
                if compressed:
                    data = np.frombuffer(png(rgb, f'.{encoding}'), np.uint8)
                    message = types[kind](header, encoding, data)
                else:
                    message = types[kind](header, *_raw(rgb, encoding))
                if i in damaged:
                    message.data = message.data[:100]
                late = i % 3 * 5_000_000  # received some milliseconds after it was taken
                bag.write(connection, at + late, store.serialize_cdr(message, kind))
    return path


def _raw(rgb, encoding):
    """height, width, encoding, is_bigendian, step, data of an Image, its lines padded."""
    h, w = rgb.shape[:2]
    shown = {'rgb8': rgb, 'bgr8': rgb[..., ::-1], '16UC1': np.repeat(rgb[..., :1], 2, axis=2)}[
        encoding
    ].reshape(h, -1)
    lines = np.pad(shown, ((0, 0), (0, 5)))
    return h, w, encoding, 0, lines.shape[1], lines.reshape(-1)


def write_shard(path, members):
    """A WebDataset tar: name -> bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w') as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def video_bytes(frames, kind='.mp4', fps=30):
    return write_video(io.BytesIO(), frames, fps, kind=kind).getvalue()


def everything(root, fps=30.0, **options):
    """Numbers of all frames that come out, held out or not, as one list per range."""
    out = {}
    for split in ('training', 'validation'):
        folder = VideoFolder(root, split, 32, fps, **options)
        rows = np.arange(len(folder))
        for ids, numbers in zip(folder.frame_ids, number(folder.rgb[rows])):
            out[int(ids)] = int(numbers)
        ends = folder.ranges[:, 1] if len(folder) else []
        out.update({('end', int(e)): True for e in ends})
    ids = sorted(k for k in out if not isinstance(k, tuple))
    assert ids == list(range(len(ids)))  # the splits make up the whole
    ranges, current = [], []
    for i in ids:
        current.append(out[i])
        if ('end', i) in out:
            ranges.append(current)
            current = []
    return ranges


def count(n, first=0):
    return [i % 50 for i in range(first, first + n)]


def write_mixture(root):
    """CALVIN data, a folder of mp4 and a bag."""
    calvin_files.write_data(root / 'play', shards=True, episodes=3, frames=40)
    for i in range(8):
        write_video(root / 'videos' / f'{i}.mp4', pictures(40, i))
    for i in range(2):
        write_bag(root / 'bags' / str(i), {'/camera': (pictures(40, i), 'jpeg')})
    return [root / 'videos', root / 'play', root / 'bags']
