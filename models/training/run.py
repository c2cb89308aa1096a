# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""`run` trains a stage: the ritual that all of them share.

From the command line to a loss it is four calls: the function in `vw2_ros/commands/train.py`, `run`,
`Stage.loss`, and the model's own `loss`.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path

import torch

from vw2_ros.card import write_card
from vw2_ros.files import only_one
from vw2_ros.models import parallel
from vw2_ros.models.training.loop import Training
from vw2_ros.models.training.provenance import provenance, training_card
from vw2_ros.models.training.stage import Stage


def run(stage: Stage, out: Path | str, resume: bool = False) -> dict:
    """Train a stage, and let it save what it learned in `out`.

    Args:
        stage: with its settings, see `models/stages/`.
        out: run folder; see `training/loop.py` for what lies in it.
        resume: go on from the newest checkpoint in `out` if there is one.
    Returns:
        provenance, with the last losses and scores; {} of all processes but the first.
    Raises:
        BusyError: another run is at work in `out`.
        CheckpointError, ConfigError, DataError: settings, data or earlier runs do not fit.
        TrainingError: see `Training`.
        SystemExit: with status 130 after SIGINT or SIGTERM of any process; the state was saved.
    """
    out = Path(out)
    device = stage.train.prepare()
    alone = only_one(out, f'vw2 train {stage.name}') if parallel.leads() else nullcontext()
    with alone:
        stage.read(out, device, resume)
        torch.manual_seed(stage.train.seed)
        model = stage.build()
        with Training(stage, model, out, resume) as training:
            loss = training.together.forward(stage.loss)  # with one process: stage.loss itself
            for batch in training.batches():
                with training.counted():
                    with training.forward():
                        scalars = loss(batch)
                    training.backward(scalars['loss'])
                training.update(scalars)
            training.finish()
        training.hand_over()
        if not parallel.leads():
            return {}
        facts = stage.facts()
        record = provenance(
            **{
                'stage': stage.name,
                'data': stage.identity().get('data'),
                'seed': stage.train.seed,
                'steps': training.step,
                'seconds': round(training.seconds, 1),
                'wait_share': round(training.wait_share, 4),
                'train': dataclasses.asdict(stage.train),
                **facts,
                'scores': {**training.scores, **facts.get('scores', {})},
            }
        )
        stage.save(out, record)
        for folder in filter(Path.is_dir, (out, out / 'policy')):
            write_card(folder, training_card(record, folder, getattr(stage, 'data', ())))
        return record
