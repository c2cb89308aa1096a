# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Videos of any kind: one reader per kind, decoded once and kept beside the data.

What may lie in a data folder, found by looking, sub-folders included:

| what                   | is recognised by              | frames of it are             | reader     |
| ---------------------- | ----------------------------- | ---------------------------- | ---------- |
| LeRobot v2.0, v2.1, v3 | meta/info.json                | an episode's camera          | lerobot.py |
| ROS 2 bags             | .mcap, .db3, metadata.yaml    | an image topic               | bags.py    |
| WebDataset shards      | .tar, .tgz                    | a sample's video or pictures | shards.py  |
| video files            | .mp4, .mkv, .webm, .avi, ...  | the file's                   | files.py   |

`find.py` alone decides which reader a file needs; each follows the protocol in `reader.py`.

A *recording* is what is decoded in one go (a file, a bag); its *takes* are the videos in it: one,
or the episodes and samples. Frames are brought to one rate, cut to one shape around the centre and
resized (`decode.py`), and kept in `cache/` beside the data, one file per recording (`cache.py`).
`folder.py` has the frames of all recordings of a data folder, with ids and ranges.
"""
