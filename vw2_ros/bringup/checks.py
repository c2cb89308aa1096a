# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""What `vw2 doctor` looks at, a function each. Standard library only.

Whatever could crash or hang (torch, rclpy) is asked in a child process with a time limit.
"""

from __future__ import annotations

import dataclasses
import fcntl
import glob
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Iterator

from vw2_ros import files, version
from vw2_ros.errors import MissingFileError

OK, NOTE, MISSING = 'ok', 'note', 'missing'

# module -> (distribution, what it is for)
PYTHON_PACKAGES = {
    'numpy': ('numpy', 'arrays'),
    'yaml': ('pyyaml', 'configs'),
    'PIL': ('pillow', 'images'),
    'typer': ('typer', 'this command line'),
    'rich': ('rich', 'progress bars'),
    'torch': ('torch', 'the models'),
    'transformers': ('transformers', 'key steps from DINOv2'),
    'safetensors': ('safetensors', 'checkpoints'),
    'accelerate': ('accelerate', 'training on several processes'),
    'diffusers': ('diffusers', 'the video diffusion model'),
    'tensorboard': ('tensorboard', 'training curves'),
    'pybullet': ('pybullet', 'the play table'),
    'gymnasium': ('gymnasium', 'the Gymnasium environment'),
    'cv2': ('opencv-python-headless', 'cameras and compressed images'),
    'av': ('av', 'videos'),
    'matplotlib': ('matplotlib', 'plots of experiments and of latents'),
}
# what only some commands need, in the extra [video]
OPTIONAL_PACKAGES = {
    'rosbags': 'bags: vw2 record, vw2 convert',
    'pyarrow': 'LeRobot data sets',
    'webdataset': 'WebDataset shards',
}
SHM_WANTED_MB = 64  # the profile's 16 MB segment, one per process

_TORCH_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({'version': torch.__version__, 'cuda': cuda, 'threads': torch.get_num_threads(),
  'devices': [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda
             else []}))
"""
# one message from a publisher to a subscription through the middleware that the nodes will use
_ROS_PROBE = """
import json, time, rclpy
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node('vw2_doctor')
got = []
node.create_subscription(String, '~/echo', lambda m: got.append(m.data), 10)
publisher = node.create_publisher(String, '~/echo', 10)
end = time.monotonic() + 10
while not got and time.monotonic() < end:
    publisher.publish(String(data='x'))
    rclpy.spin_once(node, timeout_sec=0.1)
from rclpy.utilities import get_rmw_implementation_identifier
print(json.dumps({'rmw': get_rmw_implementation_identifier(), 'file': rclpy.__file__,
                  'echo': bool(got)}))
node.destroy_node()
rclpy.shutdown()
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        group: heading, e.g. 'ROS 2'.
        name: what was looked at.
        status: 'ok'; 'note' (works, or is optional); 'missing' (something will not work).
        found: what is there.
        mend: what to do about it, '' where there is nothing to do.
    """

    group: str
    name: str
    status: str
    found: str
    mend: str = ''


def probe(code: str, timeout_s: float = 180.0) -> tuple[dict, str]:
    """Run code in a child interpreter; return (the JSON of its last line, '') or ({}, reason)."""
    try:
        done = subprocess.run(
            [sys.executable, '-c', code],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, f'no answer within {timeout_s:.0f} s'
    try:
        return json.loads(done.stdout.strip().splitlines()[-1]), ''
    except (ValueError, IndexError):
        lines = done.stderr.strip().splitlines()
        return {}, lines[-1] if lines else f'exit status {done.returncode}'


def package() -> Iterator[Check]:
    """What runs: the package, its Python and its data files."""
    group = 'vw2_ros'
    root = files.checkout()
    where = f'source tree {root}' if root else str(pathlib.Path(__file__).parents[1])
    try:
        yield Check(group, 'package', OK, f'{version.number()}, {where}')
    except MissingFileError:  # told below
        yield Check(group, 'package', OK, where)
    python = '.'.join(map(str, sys.version_info[:3]))
    good = (3, 10) <= sys.version_info[:2] <= (3, 12)
    yield Check(
        group,
        'python',
        OK if good else NOTE,
        f'{python} ({sys.executable})',
        '' if good else 'tested with Python 3.10 to 3.12 only',
    )
    try:
        yield Check(group, 'config and launch files', OK, str(files.share_dir()))
    except MissingFileError as error:
        yield Check(group, 'config and launch files', MISSING, 'not found', str(error))
    yield Check(group, 'processors', OK, f'{os.cpu_count()} cores')


def python_packages() -> Iterator[Check]:
    """What is imported, needed or optional."""
    for module, (distribution, purpose) in PYTHON_PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            yield Check(
                'Python packages',
                distribution,
                MISSING,
                f'not found; needed for {purpose}',
                f"pip install '{distribution}'",
            )
            continue
        try:
            found = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found = 'present'  # e.g. opencv from apt
        yield Check('Python packages', distribution, OK, found)
    for module, purpose in OPTIONAL_PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            yield Check(
                'Python packages',
                module,
                NOTE,
                f'not found; for {purpose}',
                f"pip install '{module}'",
            )
        else:
            yield Check('Python packages', module, OK, importlib.metadata.version(module))


def gpu() -> Iterator[Check]:
    """Whether PyTorch starts, and on what."""
    if importlib.util.find_spec('torch') is None:
        yield Check('GPU', 'torch', MISSING, 'torch is not installed', "pip install 'torch'")
        return
    found, reason = probe(_TORCH_PROBE)
    if not found:
        yield Check(
            'GPU',
            'torch',
            MISSING,
            f'import failed: {reason}',
            'pip install --force-reinstall torch',
        )
        return
    card = shutil.which('nvidia-smi') is not None
    if found['cuda']:
        yield Check('GPU', 'CUDA', OK, ', '.join(found['devices']))
    elif card:
        yield Check(
            'GPU',
            'CUDA',
            NOTE,
            f'nvidia-smi is there, torch {found["version"]} has no CUDA',
            'install a CUDA build of torch, or go on with the CPU: the shipped policy fits it',
        )
    else:
        yield Check(
            'GPU',
            'CUDA',
            OK,
            f'none; the CPU is used, {found["threads"]} threads (enough for the shipped policy)',
        )


def ros() -> Iterator[Check]:
    """Whether rclpy starts, and a message arrives."""
    group = 'ROS 2'
    apt = sorted(glob.glob('/opt/ros/*/setup.bash'))
    distro = os.environ.get('ROS_DISTRO', '')
    if importlib.util.find_spec('rclpy') is None:
        if apt:
            mend = (
                f'source {apt[-1]}  (its Python must be the one you run: {sys.executable} is '
                f'{sys.version_info[0]}.{sys.version_info[1]})'
            )
        else:
            mend = "make venv, or in the source tree: pip install -e '.[ros]'"
        yield Check(group, 'rclpy', MISSING, 'not found', mend)
    else:
        found, reason = probe(_ROS_PROBE)
        if not found:
            yield Check(
                group,
                'rclpy',
                MISSING,
                f'does not start: {reason}',
                'source the setup.bash of your ROS 2 in a new shell, or build .venv anew: '
                'make clean && make venv',
            )
        else:
            kind = (
                f'{distro or "ROS 2"} of {found["file"].split("/lib/")[0]}'
                if found['file'].startswith('/opt/ros')
                else f'wheels in {found["file"].split("/lib/")[0]}'
            )
            yield Check(group, 'rclpy', OK, kind)
            yield Check(group, 'middleware', OK, found['rmw'])
            yield Check(
                group,
                'a message to ourselves',
                OK if found['echo'] else MISSING,
                'arrived' if found['echo'] else 'did not arrive within 10 s',
                ''
                if found['echo']
                else 'look at ROS_DOMAIN_ID, '
                'ROS_AUTOMATIC_DISCOVERY_RANGE, firewall and multicast',
            )
        if apt and not distro:
            yield Check(
                group,
                'apt ROS 2',
                NOTE,
                f'installed but not sourced: {", ".join(apt)}',
                f'source {apt[-1]} to use it instead of the wheels',
            )
    yield Check(
        group,
        'domain',
        OK,
        f'ROS_DOMAIN_ID={os.environ.get("ROS_DOMAIN_ID", "0")}, '
        f'discovery {os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET (default)")}',
    )
    launch = importlib.util.find_spec('launch_ros') is not None
    yield Check(
        group,
        'ros2 launch',
        OK if launch else NOTE,
        'launch_ros found' if launch else 'launch_ros not found',
        '' if launch else 'optional: `vw2 demo` brings the same nodes up without it',
    )
    yield from dds(group)


def dds(group: str) -> Iterator[Check]:
    """The middleware's profile and its shared memory."""
    name = 'DDS profile'
    try:
        shipped = str(files.config_file('fastdds.xml'))
    except MissingFileError:
        shipped = ''
    chosen = (
        os.environ.get('FASTDDS_DEFAULT_PROFILES_FILE')
        or os.environ.get('FASTRTPS_DEFAULT_PROFILES_FILE')
        or ''
    )
    if chosen and not os.path.isfile(chosen):
        yield Check(
            group,
            name,
            MISSING,
            f'{chosen} does not exist',
            f'export FASTRTPS_DEFAULT_PROFILES_FILE={shipped}',
        )
    elif not chosen and not shipped:
        yield Check(
            group,
            name,
            MISSING,
            'config/fastdds.xml not found',
            'install the package again with its data files',
        )
    else:
        path = chosen or shipped
        size = segment_mb(path)
        text = f'{path} ({f"{size:.0f} MB" if size else "default"} shared-memory segment)'
        if chosen:
            yield Check(group, name, OK, text)
        else:
            yield Check(
                group,
                name,
                OK,
                f'{text}, set by our launch and demo',
                f'for other programs: export FASTRTPS_DEFAULT_PROFILES_FILE={shipped}',
            )
    try:
        stat = os.statvfs('/dev/shm')
        free = stat.f_bavail * stat.f_frsize / 2**20
        good = free >= SHM_WANTED_MB
        yield Check(
            group,
            'shared memory',
            OK if good else NOTE,
            f'/dev/shm has {free:.0f} MB free',
            ''
            if good
            else 'images may be lost between processes: in a container start it '
            'with --shm-size=512m (or --ipc=host)',
        )
    except OSError:
        yield Check(
            group, 'shared memory', NOTE, 'no /dev/shm', 'images go over UDP, which is slower'
        )
    left = stale_segments()
    if left:
        yield Check(
            group,
            'shared memory',
            NOTE,
            f'{len(left)} segments of DDS processes that were '
            'killed: they make discovery slow, and stop a node that sends for up to 3 s',
            'fastdds shm clean, or while no ROS node runs: rm -f /dev/shm/*fastrtps_*',
        )


def stale_segments(folder: str = '/dev/shm') -> list[str]:
    """Return Fast DDS segments whose owner is gone: a living one holds a lock on `<name>_el`."""
    stale = []
    for path in sorted(glob.glob(f'{folder}/fastrtps_*_el')):
        try:
            with open(path, 'rb') as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stale.append(path.removesuffix('_el'))
        except OSError:  # held, not ours, or just gone
            continue
    return stale


def segment_mb(path: str) -> float:
    """Return the shared-memory segment that a DDS profile asks for [MB], 0 where it names none."""
    try:
        tree = xml.etree.ElementTree.parse(path)
    except (OSError, xml.etree.ElementTree.ParseError):
        return 0.0
    sizes = [
        int(e.text)
        for e in tree.iter()
        if e.tag.endswith('segment_size') and (e.text or '').strip().isdigit()
    ]
    return max(sizes, default=0) / 2**20


def cameras() -> Iterator[Check]:
    """V4L2 devices, and whether they may be opened."""
    devices = sorted(glob.glob('/dev/video*'))
    if not devices:
        yield Check(
            'Cameras',
            'V4L2',
            OK,
            'none (the play table has its own; image topics and video files work without)',
        )
    for device in devices:
        name = pathlib.Path('/sys/class/video4linux', os.path.basename(device), 'name')
        label = name.read_text().strip() if name.is_file() else device
        good = os.access(device, os.R_OK | os.W_OK)
        yield Check(
            'Cameras',
            device,
            OK if good else NOTE,
            label if good else f'{label}: no access',
            '' if good else 'sudo usermod -aG video $USER, then log in again',
        )


def weights() -> Iterator[Check]:
    """The shipped weights, whole and as their provenance says."""
    folder = files.weights_dir()
    sets = sorted(d for d in folder.glob('*') if d.is_dir()) if folder.is_dir() else []
    sets = [d for d in sets if not d.name.startswith(('.', '__'))]
    if not sets:
        yield Check(
            'Weights',
            'shipped weights',
            MISSING,
            f'none in {folder}',
            'clone or install the package again, or train your own: vw2 train --help',
        )
    for directory in sets:
        tensors = sorted(directory.glob('*.safetensors'))
        problem = ''
        if not tensors:
            problem = 'no .safetensors file'
        for needed in ('config.json', 'provenance.json'):
            if not (directory / needed).is_file():
                problem = problem or f'no {needed}'
        provenance = {}
        try:
            provenance = json.loads((directory / 'provenance.json').read_text())
            json.loads((directory / 'config.json').read_text())
        except (OSError, ValueError) as error:
            problem = problem or str(error)
        recorded = provenance.get('files') if isinstance(provenance, dict) else None
        for name, digest in (recorded if isinstance(recorded, dict) else {}).items():
            path = directory / pathlib.Path(name).name
            if not path.is_file():
                problem = problem or f'no {name}'
            elif files.file_sha256(path) != digest:
                problem = problem or f'{name} is not the file that provenance.json speaks of'
        if not recorded:
            problem = problem or 'provenance.json lists no files'
        parts = [f'{file.name} {file.stat().st_size / 1e6:.1f} MB' for file in tensors]
        if not problem:
            parts.append(f'sha256 {files.folder_sha256(directory)[:16]}')
        score = provenance.get('score') if isinstance(provenance, dict) else None
        text = '; '.join(parts) + (f'; score {_short(score)}' if score is not None else '')
        yield Check(
            'Weights',
            directory.name,
            MISSING if problem else OK,
            f'{problem}: {text}' if problem else text,
            'the set is incomplete or damaged: get it again' if problem else '',
        )


def _short(value: object) -> str:
    if isinstance(value, float):
        return f'{value:.3g}'
    if isinstance(value, dict):
        return ', '.join(
            f'{k} {_short(v)}' for k, v in value.items() if isinstance(v, (int, float, str))
        )
    return str(value)
