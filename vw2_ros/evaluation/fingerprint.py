# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""All that the outcome of a rollout depends on: what tells one record from another."""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping

from vw2_ros import files
from vw2_ros.evaluation.rollouts import SCRIPTED, Options
from vw2_ros.sim.mounts import MOUNTS
from vw2_ros.sim.table import Simulator

PACKAGE = pathlib.Path(files.__file__).parent
# Rooms whose source decides a rollout, with every folder below them; `sim` holds data, too.
ROOMS = ('arms', 'control', 'evaluation', 'models', 'sim', 'work')
ROS_ROOMS = ('bringup', 'cameras', 'messages', 'nodes', 'serving')  # also these, through the nodes
MODULES = ('encodings.py', 'names.py', 'words.py')  # also these files of the package
ROS_MODULES = ('client.py',)
NOT_RUN = ('models/inspection', 'models/stages', 'models/training')
CONFIGS = tuple(f'arms/{mount.contract}.yaml' for mount in MOUNTS.values())  # below config/
ROS_CONFIGS = ('calvin.yaml',)


def checkpoint_sha256(policy: str) -> str | None:
    """Digest of a policy's weights, None for a scripted one.

    They are loaded for it: a damaged folder is told before anything is started.

    Raises:
        CheckpointError: they cannot be loaded.
    """
    if policy in SCRIPTED:
        return None
    from vw2_ros.models.checkpoint import load_checkpoint

    return load_checkpoint(policy).sha256


def trained_on(policy: str) -> str | None:
    """What drew the pictures that a policy learned from; None for a scripted one."""
    if policy in SCRIPTED:
        return None
    from vw2_ros.models.checkpoint import load_checkpoint

    return load_checkpoint(policy).provenance.get('renderer')


def settings_of(options: Options, wordings: Mapping, sha256: str | None) -> dict:
    """The settings of a record, as JSON values.

    Args:
        wordings: task -> wordings, as `wordings_of` gives them.
        sha256: digest of the policy's weights, None for a scripted one.
    """
    own = options.words == Options.words
    table = {}
    if options.simulator.table != Simulator.table:
        table = {'table': options.simulator.table, 'calvin_env': options.simulator.facts}
    if options.simulator.arm != Simulator.arm:
        table['arm'] = options.simulator.arm
    if options.simulator.look != Simulator.look:
        table['look'] = options.simulator.look
    if options.delay:
        table['delay'] = options.delay
    return {
        **table,
        'policy': options.policy if sha256 is None else 'weights',
        'checkpoint_sha256': sha256,
        'scene': options.scene,
        'seed': options.seed,
        'execute': options.execute,
        'recover_after_s': options.recover_after_s,
        'ros': options.ros,
        'real_time': options.real_time,
        'renderer': options.simulator.renderer,
        'code_sha256': code_sha256(options.ros),
        'phrases': str(options.phrases or 'validation') if own else options.words,
        'wordings_sha256': hashlib.sha256(
            json.dumps(wordings, sort_keys=True).encode()
        ).hexdigest()
        if options.phrases or not own
        else None,
    }


def code_sha256(ros: bool = False, package: pathlib.Path = PACKAGE) -> str:
    """Digest of the source files and config files that decide a rollout.

    Args:
        ros: also of what runs in the nodes.
        package: folder of vw2_ros; models/ and sim/ lie in it, or beside it in a checkout.
    """
    digest = hashlib.sha256()
    for name, path in sources(ros, package):
        content = path.read_bytes()
        digest.update(f'{name} {len(content)}\n'.encode() + content)
    return digest.hexdigest()


def sources(
    ros: bool = False, package: pathlib.Path = PACKAGE
) -> Iterator[tuple[str, pathlib.Path]]:
    """(name, path) of each file that decides a rollout, in an order that is always the same."""
    for room in ROOMS + (ROS_ROOMS if ros else ()):
        folder = package / room if (package / room).is_dir() else package.parent / room
        for path in sorted([*folder.rglob('*.py'), *folder.glob('data/*.json')]):
            name = f'{room}/{path.relative_to(folder).as_posix()}'
            if not name.startswith(tuple(f'{part}/' for part in NOT_RUN)):
                yield name, path
    for name in MODULES + (ROS_MODULES if ros else ()):
        yield name, package / name
    for name in CONFIGS + (ROS_CONFIGS if ros else ()):
        yield f'config/{name}', files.config_file(name)
