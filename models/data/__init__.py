# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Demonstrations and videos for training: reading, decoding, clips.

| file              | what is in it                                                             |
| ----------------- | ------------------------------------------------------------------------- |
| clips.py          | one store over folders of any kind; decides CALVIN's format or videos     |
| store.py          | stores of frames: rows, clips and hashes over several folders             |
| batches.py        | which frames a step of training sees, and how they come to it             |
| demonstrations.py | labelled frames: which task, which words, which actions follow            |
| attempts.py       | tasks that were begun and done, in annotated data                         |
| phrases.py        | the words of annotated data, as tokens                                    |
| codes.py          | codes of clips: made by a dLDM, kept in a file, found again               |
| published.py      | files that the authors of VideoWorld 2 publish                            |
| keypoints.py      | pictures, or keypoints that were found in them once                       |
| augment.py        | random changes of pictures                                                |
| labels.py         | a few clips with actions, for a dLDM that learns from video               |
| wild.py           | calm video made wild: light, shake, shadows that change within a clip     |
| calvin.py         | CALVIN's format on disk; its pickled annotations are read, never executed |
| cache.py          | decoded frames of CALVIN's format, kept beside the data                   |
| pictures.py       | sizes of pictures, cutting, resizing, decoding                            |
| video/            | every other kind of video: one reader per kind behind one protocol        |
"""

from vw2_ros.errors import VW2Error


class DataError(VW2Error, RuntimeError):
    """A data folder is missing something or holds something unreadable; the message names it."""
