# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""PyBullet behind one wrapper: the only file that imports it.

Each `Engine` owns one physics client (DIRECT), and every call names it, so that several can live in
one process without disturbing each other. Lengths in metres, angles in radians, quaternions xyzw.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vw2_ros.sim.errors import SimulationError


@contextlib.contextmanager
def quiet(stream: int = 2) -> Iterator[None]:
    """Drop what is printed to a stream of this process, 1 or 2, also from C: PyBullet greets."""
    try:
        saved = os.dup(stream)
    except OSError:
        yield
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream)
        os.close(null)
        yield
        ctypes.CDLL(None).fflush(None)
    finally:
        os.dup2(saved, stream)
        os.close(saved)


with quiet():
    import pybullet as _p
    import pybullet_data as _data

DATA_DIR = _data.getDataPath()  # of the wheel pybullet_data


@dataclass(frozen=True)
class Joint:
    """One joint of a loaded body: its index, its name, its child link's name, whether it moves."""

    index: int
    name: str
    link: str
    moves: bool


class Engine:
    """One PyBullet world in DIRECT mode."""

    def __init__(self) -> None:
        self._client = _p.connect(_p.DIRECT)
        if self._client < 0:
            raise SimulationError(
                'PyBullet must give a physics client. Got none: it allows 1024 per process. '
                'Close tables that are no longer used'
            )

    # -------------------------------------------------------------- life

    @property
    def is_open(self) -> bool:
        """Whether the world still exists."""
        return self._client >= 0

    def close(self) -> None:
        """Free the world; a second call does nothing."""
        client, self._client = self._client, -1
        if client >= 0:
            with contextlib.suppress(_p.error):
                _p.disconnect(physicsClientId=client)

    def clear(self) -> None:
        """Empty the world."""
        _p.resetSimulation(physicsClientId=self._client)

    def set_physics(self, *, gravity: float, time_step: float, solver_iterations: int) -> None:
        """Set gravity along z [m/s^2], the time step [s] and the solver's effort."""
        _p.setGravity(0, 0, gravity, physicsClientId=self._client)
        _p.setPhysicsEngineParameter(
            fixedTimeStep=time_step,
            numSolverIterations=solver_iterations,
            numSubSteps=0,
            deterministicOverlappingPairs=1,  # else the order of contacts depends on the past
            physicsClientId=self._client,
        )

    # -------------------------------------------------------------- bodies

    def load_urdf(
        self, path: str, position=(0.0, 0.0, 0.0), quaternion=(0.0, 0.0, 0.0, 1.0), *, fixed: bool
    ) -> int:
        """Load a URDF file; returns the body's number. The pose is that of its root link."""
        return _p.loadURDF(
            path,
            basePosition=position,
            baseOrientation=quaternion,
            useFixedBase=fixed,
            flags=_p.URDF_USE_INERTIA_FROM_FILE,
            physicsClientId=self._client,
        )

    def add_plane(self) -> int:
        """Add an endless floor at z = 0, not drawn."""
        shape = _p.createCollisionShape(
            _p.GEOM_PLANE, planeNormal=(0, 0, 1), physicsClientId=self._client
        )
        return _p.createMultiBody(0, shape, physicsClientId=self._client)

    def add_box(self, size, position, quaternion, *, mass: float) -> int:
        """Add a free box with full side lengths `size`, not drawn."""
        shape = _p.createCollisionShape(
            _p.GEOM_BOX, halfExtents=[0.5 * s for s in size], physicsClientId=self._client
        )
        return _p.createMultiBody(
            mass, shape, -1, position, quaternion, physicsClientId=self._client
        )

    def add_visual_mesh(self, obj_file: str, rgba=(1, 1, 1, 1), position=(0, 0, 0)) -> int:
        """Add a body that is drawn and touches nothing."""
        visual = _p.createVisualShape(
            _p.GEOM_MESH,
            fileName=obj_file,
            rgbaColor=rgba,
            specularColor=(0, 0, 0),
            physicsClientId=self._client,
        )
        return _p.createMultiBody(0, -1, visual, position, physicsClientId=self._client)

    def joints(self, body: int) -> list[Joint]:
        """The joints of a body in order."""
        out = []
        for i in range(_p.getNumJoints(body, physicsClientId=self._client)):
            info = _p.getJointInfo(body, i, physicsClientId=self._client)
            out.append(Joint(i, info[1].decode(), info[12].decode(), info[2] != _p.JOINT_FIXED))
        return out

    def set_contact(self, body: int, link: int, **values: float) -> None:
        """Contact values of a link (lateral_friction, spinning_friction, restitution, ...)."""
        names = {
            'lateral_friction': 'lateralFriction',
            'spinning_friction': 'spinningFriction',
            'rolling_friction': 'rollingFriction',
            'restitution': 'restitution',
            'linear_damping': 'linearDamping',
            'angular_damping': 'angularDamping',
            'stiffness': 'contactStiffness',
            'damping': 'contactDamping',
            'margin': 'collisionMargin',
        }
        _p.changeDynamics(
            body, link, physicsClientId=self._client, **{names[k]: v for k, v in values.items()}
        )

    def never_sleep(self, body: int) -> None:
        """Keep a body from being put to sleep when it rests."""
        _p.changeDynamics(
            body,
            -1,
            activationState=_p.ACTIVATION_STATE_DISABLE_SLEEPING,
            physicsClientId=self._client,
        )

    def ignore_collision(self, body_a: int, link_a: int, body_b: int, link_b: int) -> None:
        """Let two links pass through each other."""
        _p.setCollisionFilterPair(body_a, body_b, link_a, link_b, 0, physicsClientId=self._client)

    def gear(self, body: int, link_a: int, link_b: int, *, max_force: float) -> None:
        """Make two finger joints of one body move alike."""
        parent, child = link_a, link_b
        constraint = _p.createConstraint(
            body,
            parent,
            body,
            child,
            _p.JOINT_GEAR,
            (1, 0, 0),
            (0, 0, 0),
            (0, 0, 0),
            physicsClientId=self._client,
        )
        _p.changeConstraint(
            constraint, gearRatio=-1, erp=0.1, maxForce=max_force, physicsClientId=self._client
        )

    # -------------------------------------------------------------- state

    def set_joint(self, body: int, joint: int, position: float) -> None:
        """Put a joint somewhere at rest, without physics."""
        _p.resetJointState(body, joint, position, 0.0, physicsClientId=self._client)

    def joint_states(self, body: int, joints: Sequence[int]) -> np.ndarray:
        """Positions and velocities (2, n)."""
        states = _p.getJointStates(body, joints, physicsClientId=self._client)
        return np.array([[s[0] for s in states], [s[1] for s in states]])

    def pose(self, body: int) -> tuple[np.ndarray, np.ndarray]:
        """World position (3,) and quaternion xyzw (4,) of a body's base."""
        position, quaternion = _p.getBasePositionAndOrientation(body, physicsClientId=self._client)
        return np.array(position), np.array(quaternion)

    def velocity(self, body: int) -> tuple[np.ndarray, np.ndarray]:
        """Linear [m/s] and angular [rad/s] velocity of a body's base, (3,) each."""
        linear, angular = _p.getBaseVelocity(body, physicsClientId=self._client)
        return np.array(linear), np.array(angular)

    def set_pose(self, body: int, position, quaternion) -> None:
        """Put a body somewhere."""
        _p.resetBasePositionAndOrientation(
            body, position, quaternion, physicsClientId=self._client
        )

    def contacts(self, body: int) -> set[tuple[int, int]]:
        """What a body touches: (other body, other body's link)."""
        found = _p.getContactPoints(bodyA=body, physicsClientId=self._client)
        return {(c[2], c[4]) for c in found or ()}

    def distance(self, body_a: int, body_b: int, within: float) -> float:
        """Shortest distance between two bodies [m], negative when they overlap; inf beyond."""
        found = _p.getClosestPoints(body_a, body_b, within, physicsClientId=self._client)
        return min((c[8] for c in found or ()), default=float('inf'))

    # -------------------------------------------------------------- motion

    def position_motors(
        self,
        body: int,
        joints: Sequence[int],
        targets: Sequence[float],
        *,
        force: float,
        max_velocity: float,
    ) -> None:
        """Drive joints to positions with a force limit [N m or N] and a speed limit."""
        for joint, target in zip(joints, targets):
            _p.setJointMotorControl2(
                body,
                joint,
                _p.POSITION_CONTROL,
                targetPosition=target,
                force=force,
                maxVelocity=max_velocity,
                physicsClientId=self._client,
            )

    def brake(self, body: int, joint: int, force: float) -> None:
        """Hold a joint by friction: a motor at zero speed with a force limit [N]."""
        _p.setJointMotorControl2(
            body,
            joint,
            _p.VELOCITY_CONTROL,
            targetVelocity=0.0,
            force=force,
            physicsClientId=self._client,
        )

    def step(self, count: int = 1) -> None:
        """Advance the physics by `count` steps."""
        client = self._client
        for _ in range(count):
            _p.stepSimulation(physicsClientId=client)

    # -------------------------------------------------------------- looks

    def load_texture(self, path: str) -> int:
        """Read an image file as a texture; returns its number."""
        return _p.loadTexture(path, physicsClientId=self._client)

    def visual_shapes(self, body: int) -> list[tuple[int, int, tuple[float, ...]]]:
        """(link, index within the link, rgba) of each visual shape of a body."""
        seen: dict[int, int] = {}
        out = []
        for shape in _p.getVisualShapeData(body, physicsClientId=self._client):
            link = shape[1]
            out.append((link, seen.get(link, 0), shape[7]))
            seen[link] = seen.get(link, 0) + 1
        return out

    def paint(
        self, body: int, link: int, *, rgba=None, texture: int | None = None, shape: int = -1
    ) -> None:
        """Change the colour or the texture of a link (`shape`: one of its shapes, -1 all)."""
        values: dict = {}
        if rgba is not None:
            values['rgbaColor'] = rgba
        if texture is not None:
            values['textureUniqueId'] = texture
        _p.changeVisualShape(body, link, shapeIndex=shape, physicsClientId=self._client, **values)

    def render(
        self,
        width: int,
        height: int,
        view: Sequence[float],
        projection: Sequence[float],
        light: dict | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw with TinyRenderer.

        Args:
            view, projection: 16 numbers each, column-major (OpenGL).
            light: lightDirection, lightColor, lightAmbientCoeff, ... where not PyBullet's own.
        Returns:
            rgba uint8 (H, W, 4) and the raw depth buffer float32 (H, W) in [0, 1].
        """
        _, _, rgba, depth, _ = _p.getCameraImage(
            width,
            height,
            viewMatrix=view,
            projectionMatrix=projection,
            shadow=0,
            renderer=_p.ER_TINY_RENDERER,
            flags=_p.ER_NO_SEGMENTATION_MASK,
            physicsClientId=self._client,
            **(light or {}),
        )
        return (
            np.asarray(rgba, dtype=np.uint8).reshape(height, width, 4),
            np.asarray(depth, np.float32).reshape(height, width),
        )


def view_matrix(eye, target, up) -> tuple[float, ...]:
    """OpenGL view matrix, 16 numbers column-major."""
    return _p.computeViewMatrix(tuple(eye), tuple(target), tuple(up))


def projection_matrix(fov_deg: float, aspect: float, near: float, far: float) -> tuple[float, ...]:
    """OpenGL projection matrix, 16 numbers column-major; `fov_deg` is the vertical angle."""
    return _p.computeProjectionMatrixFOV(fov_deg, aspect, near, far)
