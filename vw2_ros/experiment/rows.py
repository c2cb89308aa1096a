# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""The rows of the two tables: which stages of training each has, and what it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vw2_ros.errors import InvalidValueError, close_matches

# In the order in which a seed's jobs begin: those that others wait for longest come first.
KINDS = ('collect', 'vdm', 'sight', 'dldm', 'disentangle', 'planner', 'head', 'eval')
PRETRAINED = ('vdm', 'sight')  # the paper takes both off the shelf
SCENE = 'D'  # of the labelled data and of the evaluation
LABELLED = 'd'  # their name in a scale's `data`
RECONSTRUCTION = ('dldm', 'planner')
VIDEOWORLD2 = ('dldm', 'vdm', 'disentangle', 'planner')


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str  # as in `--rows`
    what: str  # in words
    # trained between sight, which all rows share, and the head; none: a transformer without latents
    stages: tuple[str, ...] = VIDEOWORLD2
    # share of the labelled windows that the head learns from; None: the scale's `few_labels`
    labels: float | None = None
    video: str = 'abc'  # name in the scale's `data` of what dLDM and VDM learn from
    planning: tuple[str, ...] = ('abc',)  # what the planner learns from: its codes need no labels
    change: Mapping = field(default_factory=dict)  # keys that differ from the config of all rows
    paper: float | None = None  # mean chain length in the paper, where it has such a row
    # False where no policy comes of it: a plan is not the 16 actions that the control loop
    # executes, or the planner is larger than a policy's file may be
    acts: bool = True


# LAPA's latents: one step of codes for the change between a frame and the one 16 frames later.
TWO_FRAMES = {'dldm': {'model': {'clip_frames': 5}, 'clips': {'offsets': [0, 16, 16, 16, 16]}}}

# Actions for 2.5 % of the clips while the codes are learned. Not in the paper.
LABELS = {stage: {'labels': {'share': 0.025}} for stage in ('dldm', 'disentangle')}

ALL_SCENES = ('abc', LABELLED)

CALVIN_TABLE = (
    Row('none', 'no latent pre-training', (), paper=1.11),
    Row(
        'lapa',
        '2-frame latents (LAPA)',
        RECONSTRUCTION,
        planning=ALL_SCENES,
        change=TWO_FRAMES,
        paper=1.49,
    ),
    Row(
        'videoworld1', 'reconstruction latents (VideoWorld 1)', RECONSTRUCTION, planning=ALL_SCENES
    ),
    Row('videoworld2', 'VideoWorld 2', planning=ALL_SCENES, paper=1.87),
    Row(
        'videoworld2-labels',
        'VideoWorld 2, 2.5 % of the clips with actions',
        planning=ALL_SCENES,
        change=LABELS,
    ),
    Row('none-full', 'no latent pre-training', (), labels=1.0, paper=2.36),
    Row('videoworld2-full', 'VideoWorld 2, other scenes', labels=1.0, paper=2.88),
)


def merged(base: Mapping, change: Mapping) -> dict:
    """`base` with the keys of `change`, mappings in mappings likewise."""
    return {
        **base,
        **{
            k: merged(base[k], v)
            if isinstance(v, Mapping) and isinstance(base.get(k), Mapping)
            else v
            for k, v in change.items()
        },
    }


def _dldm(**sizes) -> dict:
    """A change of the dLDM's sizes."""
    return {'dldm': {'model': sizes}}


def _loss(**switches) -> dict:
    """A change of how the codes learn through the VDM."""
    return {'disentangle': {'loss': switches}}


def _vdm(**switches) -> dict:
    """A change of the VDM that the codes learn through."""
    return {'disentangle': {'vdm': switches}}


ABLATION = (
    Row('videoworld2', 'as in Algorithm 1'),
    Row('no-vdm', 'reconstruction alone', RECONSTRUCTION),
    Row(
        'vdm-alone',
        'VDM without stop-gradient and control branch',
        change=merged(_loss(stop_gradient=False), _vdm(control=False)),
    ),
    Row(
        'no-stop-gradient',
        'the codes learn from the reconstruction too',
        change=_loss(stop_gradient=False),
    ),
    Row('no-control', 'no control branch', change=_vdm(control=False)),
    *(
        Row(
            f'control-dropout-{share:g}',
            f'control branch off for {100 * share:g} % of the clips',
            change=_loss(control_dropout=share),
        )
        for share in (0.5, 0.9)
    ),
    Row('labels', '2.5 % of the clips with actions', change=LABELS),
    Row('noise-draws-3', 'three noises for each clip', change=_loss(noise_draws=3)),
    Row('queries-1', 'N = 1', change=_dldm(queries=1)),
    Row('queries-2', 'N = 2', change=_dldm(queries=2)),
    Row('queries-8', 'N = 8', change=_dldm(queries=8)),
    Row('clip-2', 'clips of 2 frames, 16 apart', change=TWO_FRAMES),
    Row('clip-9', 'clips of 9 frames', change=_dldm(clip_frames=9), acts=False),
    Row('clip-33', 'clips of 33 frames', change=_dldm(clip_frames=33), acts=False),
    Row('clip-49', 'clips of 49 frames', change=_dldm(clip_frames=49), acts=False),
    Row('codebook-8', '8 codes', change=_dldm(levels=[2, 2, 2])),
    Row('codebook-4096', '4096 codes', change=_dldm(levels=[8, 8, 8, 8])),
    Row('codebook-64k', '64,000 codes', change=_dldm(levels=[8, 8, 8, 5, 5, 5]), acts=False),
    Row('connector-mlp', 'connector without self-attention', change=_vdm(connector='mlp')),
    Row('mask-full', 'cross-attention not causal', change=_vdm(mask='full')),
    Row('connector-mlp-mask-full', 'neither', change=_vdm(connector='mlp', mask='full')),
    Row('vdm-random', 'VDM not pretrained', change=_loss(backbone='random')),
    Row('vdm-frozen', 'VDM frozen', change=_loss(backbone='frozen')),
    Row('vdm-lora', 'VDM with LoRA', change=_loss(backbone='lora')),
)
TABLES = {'calvin-table': CALVIN_TABLE, 'ablation': ABLATION}


def chosen(table: str, names: str = '') -> tuple[Row, ...]:
    """Rows of a table by 'NAME,NAME'; '' takes all.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    known = {row.name: row for row in TABLES[table]}
    wanted = [n.strip() for n in names.split(',') if n.strip()] or list(known)
    for name in wanted:
        if name not in known:
            raise InvalidValueError(close_matches('row', name, known))
    return tuple(known[name] for name in dict.fromkeys(wanted))
