# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Packaging for pip and colcon; the metadata that both need lives here and nowhere else."""

import glob
import os

from setuptools import find_packages, setup

NAME = 'vw2_ros'
VIDEO = ['pyarrow>=14', 'rosbags>=0.11', 'webdataset>=0.2.86']
INSPECT = ['umap-learn>=0.5.6', 'scikit-learn>=1.3']
METRICS = ['scikit-image>=0.22']
LORA = ['peft>=0.17']
VIEW = ['rerun-sdk>=0.24']
SERVE = ['vla-eval>=0.8', 'anyio>=4', 'websockets>=13']
ARMS = ['pin>=4', 'example-robot-data>=6']
NODES = ('camera', 'planner', 'action', 'watchdog', 'imagination', 'calvin_bridge', 'franka')


def share(folder, *patterns):
    """Map a source folder, with its sub-folders, to data_files entries under share/vw2_ros."""
    files = sorted(f for p in patterns for f in glob.glob(f'{folder}/**/{p}', recursive=True))
    return [
        (f'share/{NAME}/{d}', [f for f in files if os.path.dirname(f) == d])
        for d in sorted({os.path.dirname(f) for f in files})
    ]


setup(
    name=NAME,
    version='0.2.0',
    description='VideoWorld 2 as a ROS 2 robot control stack',
    author='vw2_ros maintainers',
    maintainer='vw2_ros maintainers',
    maintainer_email='vw2_ros@example.org',
    license='Apache-2.0',
    python_requires='>=3.10',
    # models/ and sim/ lie beside vw2_ros/ in the source and inside it once installed
    packages=find_packages(include=[NAME, f'{NAME}.*'])
    + [f'{NAME}.{p}' for p in find_packages(include=['models', 'models.*', 'sim', 'sim.*'])],
    package_dir={f'{NAME}.models': 'models', f'{NAME}.sim': 'sim'},
    package_data={f'{NAME}.models': ['weights/*/*', 'weights/*/vdm/*'], f'{NAME}.sim': ['data/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        *share('launch', '*.py'),
        *share('config', '*.yaml', '*.xml', '*.json'),
    ],
    zip_safe=False,
    install_requires=[
        'numpy>=1.23',
        'pyyaml>=5.4',
        'pillow>=9',
        'typer>=0.12',
        'rich>=13',
        # models
        'torch>=2.4',
        'transformers>=4.48,<6',
        'accelerate>=1.10',
        'safetensors>=0.4.3',
        'diffusers>=0.37',
        'tensorboard>=2.14',
        # sim
        'pybullet>=3.2.6',
        'gymnasium>=1.0',
        # cameras and videos
        'opencv-python-headless>=4.8',
        'av>=14',
        # plots of experiments and of latents
        'matplotlib>=3.6',
    ],
    extras_require={
        'ray': ['ray[client]>=2.40'],  # --on ray
        # A real rclpy over Fast DDS for a machine that has no ROS 2 of its own (Jazzy's versions).
        'ros': [
            'ros-jazzy-rclpy',
            'ros-rclpy==7.1.6',
            'ros-rmw-fastrtps-cpp==8.4.3',
            'ros-std-msgs==5.3.6',
            'ros-sensor-msgs==5.3.6',
            'ros-geometry-msgs==5.3.6',
            'ros-trajectory-msgs==5.3.6',
            'ros-diagnostic-msgs==5.3.6',
            'ros-std-srvs==5.3.6',
        ],
        'video': VIDEO,  # LeRobot data sets, rosbags (also vw2 record, convert), WebDataset shards
        'inspect': INSPECT,  # vw2 inspect
        'view': VIEW,  # vw2 view
        'metrics': METRICS,  # vw2 bench imagination
        'lpips': ['lpips>=0.1.4'],
        'arms': ARMS,  # arms other than the Panda; with URDFs of some for the play table and the tests
        'lora': LORA,  # disentangle.loss.backbone: lora
        'franka': ['franka-rs>=0.4'],  # franka_node
        'serve': SERVE,  # vw2 serve, and nodes with weights:=ws://HOST:PORT
        # pytest < 9: launch_testing of Jazzy, loaded as a plugin where ROS is sourced, needs it
        'test': [
            'pytest>=7.4,<9',
            'pytest-rerunfailures>=14',
            'pytest-xdist>=3.5',
            'hypothesis>=6.100',
            'ruff>=0.9',
            'import-linter>=2.7',
            'setuptools>=64',
            *VIDEO,
            *INSPECT,
            *METRICS,
            *VIEW,
            *LORA,
            *SERVE,
            *ARMS,
        ],
    },
    entry_points={
        'console_scripts': [
            f'vw2 = {NAME}.cli:main',
            *(f'{n}_node = {NAME}.nodes.{n}:main' for n in NODES),
        ]
    },
    # where `ros2 run` and `ros2 launch` look for executables; pip ignores these
    options={
        'develop': {'script_dir': f'$base/lib/{NAME}'},
        'install': {'install_scripts': f'$base/lib/{NAME}'},
    },
)
