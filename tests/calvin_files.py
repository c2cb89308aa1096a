# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A small data set in CALVIN's format, written without the simulator, for the tests of training.

A bright square stands for the arm: it moves by the action, so clips have motion to encode and
actions that can be predicted from the picture and the words.
"""

import cv2
import numpy as np
import yaml

PHRASES = {
    'move_slider_left': ['slide the door left', 'move the slider to the left'],
    'move_slider_right': ['slide the door right', 'move the slider to the right'],
    'open_drawer': ['open the drawer', 'pull the drawer out'],
}
_DIRECTION = {
    'move_slider_left': (-1.0, 0.0),
    'move_slider_right': (1.0, 0.0),
    'open_drawer': (0.0, 1.0),
}


def _episode(rng, task, frames, size):
    place = rng.uniform(0.3, 0.7, 2) * size
    move = np.array(_DIRECTION[task]) * rng.uniform(0.5, 1.0)
    for _ in range(frames):
        rgb = np.full((size, size, 3), (90, 70, 50), np.uint8)
        x, y = np.clip(place, 6, size - 7).astype(int)
        rgb[y - 5 : y + 6, x - 5 : x + 6] = (220, 40, 30)
        action = np.array([*move, 0, 0, 0, 0, -1.0 if move[0] < 0 else 1.0])
        yield rgb, action, 2 * np.array([x, y]) / size - 1
        place = place + move * size / 96


def write_split(
    folder,
    *,
    episodes=3,
    frames=40,
    size=96,
    shards=False,
    seed=0,
    first_id=0,
    words=True,
    landmarks=False,
    wordings=PHRASES,
):
    """Write one split folder; returns the images (n, size, size, 3) and actions (n, 7).

    With `landmarks`, all of them are where the square is.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    write_config(folder, {'renderer': 'camera'})
    images, actions, places, ranges, spans, tasks, phrases = [], [], [], [], [], [], []
    names = sorted(PHRASES)
    for k in range(episodes):
        task = names[k % len(names)]
        first = first_id + len(images)
        for rgb, action, place in _episode(rng, task, frames, size):
            images.append(rgb)
            actions.append(action)
            places.append(place)
        last = first_id + len(images) - 1
        ranges.append((first, last))
        spans.append((first, last - 5))  # the last frames belong to no task
        tasks.append(task)
        phrases.append(wordings[task][(k // len(names)) % 2])
    images, actions = np.array(images), np.array(actions)
    n = len(images)
    ids = np.arange(first_id, first_id + n)
    rows = {
        'actions': actions,
        'rel_actions': actions,
        'robot_obs': rng.normal(size=(n, 15)),
        'scene_obs': rng.normal(size=(n, 24)),
    }
    if landmarks:
        where = np.array(places, np.float32)
        rows |= {
            'landmarks': np.repeat(where[:, None], 10, axis=1),
            'scene_state': np.pad(where, ((0, 0), (0, 23))),
        }
    if shards:
        pngs = [cv2.imencode('.png', rgb[..., ::-1])[1].tobytes() for rgb in images]
        (folder / 'shards').mkdir()
        for number, part in enumerate(np.array_split(np.arange(n), 2)):
            np.savez(
                folder / 'shards' / f'shard_{number:05d}.npz',
                frame_ids=ids[part],
                image_size=size,
                rgb_static=np.frombuffer(b''.join(pngs[i] for i in part), np.uint8),
                offsets=np.cumsum([0, *(len(pngs[i]) for i in part)]),
                **{key: value[part] for key, value in rows.items()},
            )
    else:
        for i, number in enumerate(ids):
            np.savez(
                folder / f'episode_{number:07d}.npz',
                rgb_static=images[i],
                **{key: value[i] for key, value in rows.items()},
            )
    np.save(folder / 'ep_start_end_ids.npy', np.array(ranges))
    np.save(folder / 'ep_lens.npy', np.full(episodes, frames))
    if words:
        (folder / 'lang_annotations').mkdir()
        content = {
            'language': {
                'ann': phrases,
                'task': tasks,
                'emb': np.zeros((episodes, 1, 4), np.float32),
            },
            'info': {'episodes': [], 'indx': spans},
        }
        np.save(folder / 'lang_annotations' / 'auto_lang_ann.npy', content, allow_pickle=True)
    return images, actions


def write_config(split, config):
    """`.hydra/merged_config.yaml`."""
    hydra = split / '.hydra'
    hydra.mkdir(parents=True, exist_ok=True)
    (hydra / 'merged_config.yaml').write_text(yaml.safe_dump(config))


def write_data(root, held_out_frames=None, **options):
    """training/ and a smaller validation/ under `root`.

    held_out_frames: of each episode of validation/, where they are not `frames`, too: a look at
    many held-out clips takes a video model longer than to learn.
    """
    write_split(root / 'training', **options)
    options.update(episodes=3, seed=1 + options.get('seed', 0))
    if held_out_frames is not None:
        options['frames'] = held_out_frames
    write_split(root / 'validation', **options)
    return root
