# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""How every stage is trained; what it trains stands in `models/stages/`.

| file           | holds                                                              |
| -------------- | ------------------------------------------------------------------ |
| run.py         | `run(stage)`: the ritual, from data to saved weights               |
| stage.py       | `Stage`: what a stage must say about itself                        |
| config.py      | how to optimise; settings of a stage from a YAML file              |
| loop.py        | the optimisation of one run: steps, clock, reports, interruptions  |
| checkpoints.py | the state of a run, saved whole and restored exactly               |
| batches.py     | batches made in the background and shared between processes        |
| reporter.py    | progress bar, log.jsonl, TensorBoard, pictures                     |
| provenance.py  | what made a checkpoint                                             |
| footprint.py   | parameters, memory and operations of a run                         |
"""
