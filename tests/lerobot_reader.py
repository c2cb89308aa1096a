# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Reads a data set with the real `lerobot`, frame by frame, in the Python that has it.

python lerobot_reader.py DATA_SET OUT.npz
"""

import sys

import numpy as np


def main(root, out):
    import lerobot
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    data = LeRobotDataset('vw2/test', root=root)
    rows = [data[i] for i in range(len(data))]
    found = {'version': lerobot.__version__, 'tasks': [row['task'] for row in rows]}
    for key in rows[0]:
        if key == 'task':
            continue
        values = np.stack([np.asarray(row[key]) for row in rows])
        if key in data.meta.camera_keys:  # (n, 3, H, W) in [0, 1]
            values = np.rint(values * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        found[key] = values
    for key, stats in data.meta.stats.items():
        for name, value in stats.items():
            found[f'stats/{key}/{name}'] = np.asarray(value)
    found['episodes'] = data.num_episodes
    found['lengths'] = np.asarray(data.meta.episodes['length'])
    np.savez(out, **found)


if __name__ == '__main__':
    main(*sys.argv[1:])
