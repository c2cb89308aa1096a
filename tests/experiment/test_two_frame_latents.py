# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""LAPA's row by hand: latents of two frames."""

import json

import calvin_files
import numpy as np
import pytest
import yaml

from vw2_ros.experiment.rows import TWO_FRAMES, merged
from vw2_ros.experiment.scale import Scale
from vw2_ros.models.data.batches import to_video
from vw2_ros.models.data.codes import CODES_FILE, read_codes
from vw2_ros.models.dldm import DLDM, DLDMConfig
from vw2_ros.models.run_folder import load_model


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return calvin_files.write_data(
        tmp_path_factory.mktemp('experiment') / 'data',
        held_out_frames=24,
        shards=True,
        episodes=6,
        frames=40,
        landmarks=True,
    )


def test_two_frame_latents_give_chunks_of_sixteen(data, tmp_path):
    """LAPA's row by hand: codes of (x_0, x_16), one step, 16 actions, as the control loop wants."""
    import torch

    from vw2_ros.arms.contract import Contract
    from vw2_ros.control.loop import Chunk, ControlConfig, ControlLoop
    from vw2_ros.models.data.store import FrameStore
    from vw2_ros.models.policy import Policy
    from vw2_ros.models.stages.head import HeadStage
    from vw2_ros.models.stages.planner import PlannerStage
    from vw2_ros.models.stages.warmup import WarmUpStage
    from vw2_ros.models.training.run import run

    config = tmp_path / 'lapa.yaml'
    config.write_text(
        yaml.safe_dump(json.loads(json.dumps(merged(Scale.load('tiny').config(), TWO_FRAMES))))
    )
    run(WarmUpStage(config, [data]), tmp_path / 'dldm')
    run(PlannerStage(config, [data], init=tmp_path / 'dldm'), tmp_path / 'planner')
    run(HeadStage(config, [data], init=tmp_path / 'planner'), tmp_path / 'head')

    store = FrameStore([data], 'training', 32)
    rows, codes = read_codes(tmp_path / 'planner' / CODES_FILE, store)
    assert codes.shape[1:] == (1, 4)
    assert set(rows % 40) == set(range(0, 24, 4)), 'a clip spans 17 frames, though it has 5'
    model = load_model(DLDM, DLDMConfig, tmp_path / 'dldm', 'dldm')
    pair = torch.from_numpy(store.rgb(rows[-1] + np.array([0, 16, 16, 16, 16])))[None]
    assert (model.tokenize(to_video(pair)).numpy() == codes[-1]).all()

    policy = Policy.load(tmp_path / 'head' / 'policy')
    assert policy.chunk == 16 and policy.codes_shape == (1, 4) and policy.hidden_shape == (1, 32)
    image = np.zeros((96, 96, 3), np.uint8)
    actions = policy.infer({'rgb': image, 'instruction': 'open the drawer'}).actions
    assert actions.shape == (16, 7)
    contract = Contract.load('play_table')
    for lockstep in (True, False):  # the latter blends
        loop = ControlLoop(contract, ControlConfig(lockstep=lockstep, chunk=16))
        loop.instruct('open the drawer')
        assert not loop.accept(Chunk(10**9, actions, 1.0), 1.0)
        assert not loop.accept(Chunk(10**9 + 10**8, actions, 1.1), 1.1)

    # The transformer without latents plans in the same chunks, and is as large.
    run(HeadStage('tiny', [data]), tmp_path / 'none')
    plain = Policy.load(tmp_path / 'none' / 'policy')
    assert plain.chunk == 16
    head = policy.parameters - plain.parameters  # 16 * 7 outputs of one step, not 4 * 7 of four
    assert head == 12 * 7 * (32 + 1)


@pytest.mark.parametrize(
    'offsets, said',
    [
        ([1, 2, 3, 4, 5], 'begin with 0'),
        ([0, 4, 3, 4, 5], 'never fall'),
        ([0, 16], 'name the 5 frames'),
        ([0, 0, 0, 0, 0], 'multiple of 1'),
    ],
)
def test_bad_offsets(offsets, said):
    from vw2_ros.models.data.batches import ClipConfig
    from vw2_ros.models.dldm import DLDMConfig
    from vw2_ros.models.errors import ConfigError

    with pytest.raises(ConfigError, match=said):
        ClipConfig(offsets=offsets).frames_per_step(DLDMConfig(clip_frames=5))
