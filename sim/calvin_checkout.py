# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""A user's checkout of calvin_env: where it lies, what is in it, and how it is opened.

Nothing of CALVIN is part of this package. The environment is composed here from the checkout's own
YAML files, so that neither `get_env` nor the folder of a data set is needed for it:

| trap of calvin_env | what is done |
| --- | --- |
| a window and VR by default | both are off, and cameras draw on demand only |
| it wants one git commit | it is told the commit, or that there is none |
| it imports gym | gymnasium stands in for it |
| it ends the process where EGL does not load | that is an error of ours; see `egl_problem` |
| all its calls reach for physics client 0 | it must be the only simulator of its process |

Source: github.com/mees/calvin_env and github.com/mees/calvin (Mees et al., 2022).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vw2_ros.errors import InvalidValueError, MissingFileError, MissingPackageError
from vw2_ros.files import checkout as source_tree
from vw2_ros.sim.errors import SimulationError

ENV = Path('calvin_env/envs/play_table_env.py')
TASKS = Path('conf/tasks/new_playtable_tasks.yaml')
CAMERAS = ('static', 'gripper')
WORDS = Path('calvin_models/conf/annotations/new_playtable_validation.yaml')
ROBOT = 'panda_longer_finger'
SETTINGS = ('seed', 'bullet_time_step', 'control_freq')  # of conf/env that are kept
# module that calvin_env imports -> what to install
PACKAGES = {
    'hydra': 'hydra-core',
    'omegaconf': 'omegaconf',
    'cv2': 'opencv-python-headless',
    'git': 'gitpython',
    'quaternion': 'numpy-quaternion',
    'scipy': 'scipy',
    'gymnasium': 'gymnasium',
    'pybullet': 'pybullet',
}
OPEN_S = 120.0  # the longest that opening the environment may take in another process

_ANSWER = 'vw2 drew '
_PROBE = f"""
import sys
from vw2_ros.sim.table import Simulator
with Simulator('calvin', sys.argv[1], sys.argv[2] == 'egl').open(sys.argv[3]) as table:
    table.step((0, 0, 0, 0, 0, 0, 1))
    table.state()
    print({_ANSWER!r}, table.render('static').mean(), flush=True)
"""


@dataclass(frozen=True)
class Checkout:
    """A checkout of calvin_env, found by `Checkout.find`."""

    given: Path  # what the user named
    root: Path  # the folder with calvin_env/, conf/ and data/

    @classmethod
    def find(cls, folder: str | os.PathLike) -> Checkout:
        """The checkout in a folder, which may also be one of CALVIN with calvin_env in it.

        Raises:
            MissingFileError: neither is there.
        """
        given = Path(folder).expanduser().absolute()
        places = (given, given / 'calvin_env')
        for root in places:
            if (root / ENV).is_file():
                return cls(given, root)
        raise MissingFileError(
            'a checkout of github.com/mees/calvin_env, or of github.com/mees/calvin with its '
            f'submodule, must have {ENV}. Got none in {" or ".join(map(str, places))}. '
            'Clone it with --recurse-submodules and name its folder'
        )

    # ---------------------------------------------------------------- what is in it

    @property
    def scenes(self) -> list[str]:
        """Letters of the scenes that it has."""
        names = (p.stem for p in (self.root / 'conf' / 'scene').glob('calvin_scene_?.yaml'))
        return sorted(name[-1] for name in names)

    @functools.cached_property
    def commit(self) -> str:
        """The git commit, '' where the checkout has no history."""
        said = ['', '']
        for i, what in enumerate((['--show-toplevel'], ['HEAD'])):
            try:
                said[i] = subprocess.run(
                    ['git', '-C', str(self.root), 'rev-parse', *what],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.strip()
            except (OSError, subprocess.CalledProcessError):
                return ''
        # a folder without history may lie in somebody else's repository
        return said[1] if Path(said[0]) == self.root.resolve() else ''

    @functools.cached_property
    def facts(self) -> dict[str, str]:
        """What tells this checkout from others: commit, and SHA-256 of its code and its assets."""
        code = [*self.root.glob('calvin_env/**/*.py'), *self.root.glob('conf/**/*.yaml')]
        assets = [p for p in self.root.glob('data/**/*') if p.is_file()]
        return {
            'commit': self.commit or 'unknown',
            'code_sha256': self._digest(code),
            'assets_sha256': self._digest(assets),
        }

    def _digest(self, paths: list[Path]) -> str:
        digest = hashlib.sha256()
        for path in sorted(paths):
            content = path.read_bytes()
            name = path.relative_to(self.root).as_posix()
            digest.update(f'{name} {len(content)}\n'.encode() + content)
        return digest.hexdigest()

    def config(self, scene: str) -> dict[str, Any]:
        """Its settings for a scene, with the references that OmegaConf resolves.

        Raises:
            InvalidValueError: it has no such scene. MissingFileError: another layout, no assets.
        """
        if not self.scenes:
            raise MissingFileError(
                'the checkout must have scenes, conf/scene/calvin_scene_D.yaml and others. Got '
                f'none in {self.root}. Clone it whole'
            )
        if scene not in self.scenes:
            raise InvalidValueError(
                f'scene must be one of {", ".join(self.scenes)}. Got {scene!r}: '
                f'{self.root / "conf" / "scene"} has no calvin_scene_{scene}.yaml'
            )
        robot = self._yaml('robot', ROBOT)
        for base in robot.pop('defaults', ()):
            robot = {**self._yaml('robot', base), **robot}
        config = {
            'data_path': str(self.root / 'data'),
            'env': self._yaml('env', 'play_table_env'),
            'robot': robot,
            'scene': self._yaml('scene', f'calvin_scene_{scene}'),
            'cameras': {name: self._yaml('cameras/cameras', name) for name in CAMERAS},
        }
        objects = config['scene'].get('objects', {})
        files = [robot.get('filename', '')]
        for kind in ('fixed_objects', 'movable_objects'):
            files += [thing.get('file', '') for thing in objects.get(kind, {}).values()]
        for file in files:
            self._check_asset(self.root / 'data' / file)
        return config

    def _yaml(self, folder: str, name: str) -> dict[str, Any]:
        path = self.root / 'conf' / folder / f'{name}.yaml'
        try:
            found = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise MissingFileError(
                f'the checkout must have settings in conf/{folder}/{name}.yaml. Got none in '
                f'{self.root}: {str(error).splitlines()[0]}. Is it of another version?'
            ) from None
        if not isinstance(found, dict):
            raise MissingFileError(f'{path} must hold settings. Got {str(found):.40}')
        return found

    def _check_asset(self, urdf: Path) -> None:
        """Refuse a description that is not there, or whose meshes are not."""
        if not urdf.is_file():
            raise MissingFileError(
                f'the checkout must have its assets. Got no {urdf.name} in {urdf.parent}. '
                'Clone it whole'
            )
        for name in re.findall(r'<mesh[^>]*filename="([^"]+)"', urdf.read_text()):
            name = name.removeprefix('package://')
            if not any((place / name).is_file() for place in (urdf.parent, *urdf.parents[:2])):
                raise MissingFileError(
                    f'the checkout must have its assets. Got no {name}, which {urdf} names. '
                    'Clone it whole'
                )

    # ---------------------------------------------------------------- words

    @property
    def words_file(self) -> Path | None:
        """CALVIN's validation sentences, which calvin's repository has and calvin_env's has not."""
        for place in (self.given, self.root.parent, self.root.parent / 'calvin'):
            if (place / WORDS).is_file():
                return place / WORDS
        return None

    def words(self) -> dict[str, list[str]]:
        """Task -> CALVIN's validation sentences.

        Raises:
            MissingFileError: the file is not there, or is not as it was.
        """
        path = self.words_file
        if path is None:
            raise MissingFileError(
                f"CALVIN's sentences must be in {WORDS}. Got none in {self.given}, and none beside "
                f'{self.root}. Name a checkout of github.com/mees/calvin with calvin_env in it'
            )
        found = yaml.safe_load(path.read_text())
        good = isinstance(found, dict) and all(
            isinstance(v, list) and v and all(isinstance(w, str) and w.strip() for w in v)
            for v in found.values()
        )
        if not good:
            raise MissingFileError(f'{path} must hold lists of sentences. Got {str(found):.60}')
        return found

    # ---------------------------------------------------------------- opening it

    def missing_packages(self) -> list[str]:
        """What must be installed for it, by the names of the package index."""
        self._on_path()
        return [
            wanted
            for module, wanted in PACKAGES.items()
            if module not in sys.modules and importlib.util.find_spec(module) is None
        ]

    def check_packages(self) -> None:
        """Refuse to go on without what it imports.

        Raises:
            MissingPackageError: something is not installed.
        """
        missing = self.missing_packages()
        if missing:
            raise MissingPackageError(
                f'calvin_env needs {", ".join(missing)}. Got none. '
                f'Install with: pip install {" ".join(missing)}'
            )

    def _on_path(self) -> None:
        if str(self.root) not in sys.path:  # calvin_env is not installed, or another one is
            sys.path.insert(0, str(self.root))

    def open(self, scene: str, egl: bool) -> tuple[Any, Any]:
        """The environment, and the oracle that judges its tasks.

        Raises:
            InvalidValueError, MissingFileError: see `config`.
            MissingPackageError: something that it imports is not installed.
            SimulationError: it does not open, or another simulator runs in this process.
        """
        config = self.config(scene)
        self.check_packages()
        from vw2_ros.sim.engine import quiet

        with quiet(1), quiet(2):  # PyBullet and calvin_env print
            play, tasks = self._modules()
            OmegaConf = importlib.import_module('omegaconf').OmegaConf  # its dependency, not ours
            play.get_git_commit_hash = lambda _: self.commit or 'unknown'
            # it would close what is closed, or what did not open: `close` does it
            play.PlayTableSimEnv.__del__ = lambda _: None
            conf = OmegaConf.create(config)
            given = {k: v for k, v in config['env'].items() if k in SETTINGS}
            try:
                env = play.PlayTableSimEnv(
                    robot_cfg=conf.robot,
                    scene_cfg=conf.scene,
                    cameras=conf.cameras,
                    use_vr=False,
                    show_gui=False,
                    use_scene_info=True,
                    use_egl=egl,
                    **given,
                )
            except SystemExit as ended:
                if ended.code is not None:  # this process is told to end
                    raise
                raise SimulationError(
                    "PyBullet's EGL renderer must load. Got no plugin. Leave --egl out"
                ) from None
        if env.cid != 0:
            close(env)
            raise SimulationError(
                'calvin_env must be the only simulator of its process. Got another one that is '
                'open. Close that first'
            )
        return env, tasks.Tasks(self._yaml('tasks', TASKS.stem)['tasks'])

    def _modules(self) -> tuple[Any, Any]:
        os.environ.setdefault('GIT_PYTHON_REFRESH', 'quiet')  # or it wants the program git
        for name in ('', '.utils', '.utils.seeding'):
            sys.modules.setdefault(f'gym{name}', importlib.import_module(f'gymnasium{name}'))
        found = [
            importlib.import_module(f'calvin_env.envs.{n}') for n in ('play_table_env', 'tasks')
        ]
        at = Path(found[0].__file__).resolve()
        if at != (self.root / ENV).resolve():
            raise SimulationError(
                f'calvin_env must come from {self.root}. Got {at}, which this process had '
                'imported before. One process opens one checkout'
            )
        return found[0], found[1]

    def problem(self, scene: str = 'D', egl: bool = False) -> str:
        """Why the environment does not open, asked in another process; '' where it does.

        An EGL plugin without a graphics card aborts its process.
        """
        root = source_tree()
        beside = [str(root)] if root else []
        path = os.pathsep.join([*beside, *filter(None, [os.environ.get('PYTHONPATH', '')])])
        try:
            done = subprocess.run(
                [
                    *(sys.executable, '-c', _PROBE, str(self.given)),
                    *('egl' if egl else 'tiny', scene),
                ],
                capture_output=True,
                text=True,
                timeout=OPEN_S,
                check=False,
                env={**os.environ, 'PYTHONPATH': path},
            )
        except subprocess.TimeoutExpired:
            return f'it did not open within {OPEN_S:.0f} s'
        # EGL and Bullet say things of their own before and after the answer
        if any(line.startswith(_ANSWER) for line in done.stdout.splitlines()):
            return ''
        if done.returncode < 0:
            return f'its process was ended by signal {-done.returncode}'
        said = done.stderr.strip().splitlines()
        silent = f'it ended its process without a word, with status {done.returncode}'
        return said[-1] if said and done.returncode else silent


def close(env: Any) -> None:
    """Close an environment for good: it would also disconnect the one that is opened next."""
    if env.ownsPhysicsClient:
        with open(os.devnull, 'w') as null, contextlib.redirect_stdout(null):
            env.close()
    env.ownsPhysicsClient = False
