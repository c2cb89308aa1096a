# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Writes the play table as URDF and OBJ files for the engine.

What is seen is one mesh per link and material, with flat normals and texture coordinates in metres
(one texture image covers one square metre); what collides is one convex shape per part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vw2_ros.sim.furniture import Box, Cylinder, Link, Part, Prism, Sphere

Faces = list[np.ndarray]  # each (n >= 3, 3), counter-clockwise seen from outside


def _rotate_x(points: np.ndarray, roll: float) -> np.ndarray:
    c, s = math.cos(roll), math.sin(roll)
    return points @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def box_faces(centre, size, roll: float = 0.0) -> Faces:
    """The six faces of a box."""
    h = 0.5 * np.asarray(size, dtype=float)
    out = []
    for axis in range(3):
        b, c = (axis + 1) % 3, (axis + 2) % 3
        for sign in (1.0, -1.0):
            quad = np.zeros((4, 3))
            quad[:, axis] = sign * h[axis]
            quad[:, b] = np.array([1, -1, -1, 1]) * h[b] * sign
            quad[:, c] = np.array([1, 1, -1, -1]) * h[c]
            out.append(_rotate_x(quad, roll) + np.asarray(centre, dtype=float))
    return out


def prism_faces(polygon: Sequence[tuple[float, float]], x: tuple[float, float]) -> Faces:
    """A (y, z) polygon, counter-clockwise seen from +x, drawn out along x."""
    yz = np.asarray(polygon, dtype=float)
    low = np.column_stack([np.full(len(yz), x[0]), yz])
    high = np.column_stack([np.full(len(yz), x[1]), yz])
    out = [high, low[::-1]]
    for i in range(len(yz)):
        j = (i + 1) % len(yz)
        out.append(np.array([low[i], low[j], high[j], high[i]]))
    return out


def cylinder_faces(centre, radius: float, height: float, sides: int = 20) -> Faces:
    """An upright cylinder."""
    turn = 2 * math.pi * np.arange(sides) / sides
    ring = np.column_stack([radius * np.cos(turn), radius * np.sin(turn), np.zeros(sides)])
    low = ring + np.asarray(centre) - (0, 0, 0.5 * height)
    high = ring + np.asarray(centre) + (0, 0, 0.5 * height)
    out = [high, low[::-1]]
    for i in range(sides):
        j = (i + 1) % sides
        out.append(np.array([low[i], low[j], high[j], high[i]]))
    return out


def sphere_faces(centre, radius: float, sides: int = 16) -> Faces:
    """A ball of `sides` meridians and half as many parallels."""
    rows = sides // 2
    lat = math.pi * (np.arange(rows + 1) / rows - 0.5)
    lon = 2 * math.pi * np.arange(sides) / sides
    grid = radius * np.stack(
        [
            np.cos(lat)[:, None] * np.cos(lon),
            np.cos(lat)[:, None] * np.sin(lon),
            np.repeat(np.sin(lat)[:, None], sides, axis=1),
        ],
        axis=-1,
    ) + np.asarray(centre)  # (rows + 1, sides, 3)
    out = []
    for r in range(rows):
        for i in range(sides):
            j = (i + 1) % sides
            quad = [grid[r, i], grid[r, j], grid[r + 1, j], grid[r + 1, i]]
            if r == 0:
                quad = [quad[0], quad[2], quad[3]]
            elif r == rows - 1:
                quad = quad[:3]
            out.append(np.array(quad))
    return out


def part_faces(part: Part) -> Faces:
    """The faces of any part."""
    if isinstance(part, Box):
        return box_faces(part.centre, part.size, part.roll)
    if isinstance(part, Prism):
        faces = prism_faces(part.polygon, part.x)
        return faces if part.along == 'x' else [face[:, (1, 2, 0)] for face in faces]
    if isinstance(part, Cylinder):
        return cylinder_faces(part.centre, part.radius, part.height)
    return sphere_faces(part.centre, part.radius)


def write_obj(path: Path, faces: Faces, texture_span: float = 1.0, centre=(0.0, 0.0)) -> Path:
    """Write polygons as an OBJ with flat normals.

    Texture coordinates: each face is laid onto its main plane, u along x where it can; one unit is
    `texture_span` metres and `centre` [m] is the middle of the image.
    """
    lines: list[str] = []
    first = 1  # OBJ counts from one
    for number, face in enumerate(faces, start=1):
        normal = np.cross(face[1] - face[0], face[2] - face[0])
        normal /= max(np.linalg.norm(normal), 1e-12)
        main = int(np.argmax(np.abs(normal)))
        a, b = ((1, 2), (0, 2), (0, 1))[main]
        for p in face:
            u = 0.5 + (p[a] - centre[0]) / texture_span
            v = 0.5 + (p[b] - centre[1]) / texture_span
            lines.append(f'v {p[0]:.6f} {p[1]:.6f} {p[2]:.6f}')
            lines.append(f'vt {u:.6f} {v:.6f}')
        lines.append(f'vn {normal[0]:.6f} {normal[1]:.6f} {normal[2]:.6f}')
        for k in range(1, len(face) - 1):
            corners = (first, first + k, first + k + 1)
            lines.append('f ' + ' '.join(f'{c}/{c}/{number}' for c in corners))
        first += len(face)
    path.write_text('\n'.join(lines) + '\n')
    return path


def write_shaded_obj(
    path: Path, corners: np.ndarray, normals: np.ndarray, triangles: np.ndarray
) -> Path:
    """Write triangles (m, 3) of corners (n, 3) [m] with a normal each as an OBJ."""
    lines = [f'v {x:.5f} {y:.5f} {z:.5f}' for x, y, z in corners.tolist()]
    lines += [f'vn {x:.4f} {y:.4f} {z:.4f}' for x, y, z in normals.tolist()]
    lines += [f'f {a}//{a} {b}//{b} {c}//{c}' for a, b, c in (triangles + 1).tolist()]
    path.write_text('\n'.join(lines) + '\n')
    return path


def write_simplified(path: Path, stl: Path, grid_m: float = 0.008) -> Path:
    """Write a binary STL file as an OBJ with fewer triangles: corners within one cell are one."""
    data = np.frombuffer(
        stl.read_bytes()[84:],
        np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('', '<u2')]),
    )
    corners = data['corners'].reshape(-1, 3).astype(float)  # (n, 3, 3) -> (3 n, 3)
    cells, which = np.unique(np.round(corners / grid_m), axis=0, return_inverse=True)
    which = which.reshape(-1)
    count = np.bincount(which)
    points = np.stack(
        [np.bincount(which, corners[:, k]) / count for k in range(3)], axis=1
    )  # (m, 3), the mean of each cell
    triangles = np.unique(which.reshape(-1, 3), axis=0)
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (a != c)]
    return write_obj(path, list(points[triangles]))


def _collision(part: Part, folder: Path, name: str) -> str:
    if isinstance(part, Box):
        x, y, z = part.centre
        sx, sy, sz = part.size
        return (
            f'<collision><origin xyz="{x} {y} {z}" rpy="{part.roll} 0 0"/>'
            f'<geometry><box size="{sx} {sy} {sz}"/></geometry></collision>'
        )
    if isinstance(part, Cylinder):
        x, y, z = part.centre
        return (
            f'<collision><origin xyz="{x} {y} {z}"/><geometry>'
            f'<cylinder radius="{part.radius}" length="{part.height}"/></geometry></collision>'
        )
    if isinstance(part, Sphere):
        x, y, z = part.centre
        return (
            f'<collision><origin xyz="{x} {y} {z}"/><geometry>'
            f'<sphere radius="{part.radius}"/></geometry></collision>'
        )
    path = write_obj(folder / f'{name}.obj', part_faces(part))
    return f'<collision><geometry><mesh filename="{path.name}"/></geometry></collision>'


def write_table(
    links: Sequence[Link], path: Path, *, seen: bool = False, solid: bool = False
) -> dict[str, list[str]]:
    """Write links as a URDF at `path`, the first one as the base, with their meshes beside it.

    Args:
        seen: with what is drawn.
        solid: with what collides.
    Returns:
        link name -> the material of each of its visual shapes, in order (empty unless `seen`).
    """
    folder = path.parent
    materials: dict[str, list[str]] = {}
    xml = ['<?xml version="1.0"?>', '<robot name="play_table">']
    for link in links:
        mass = max(link.mass, 0.01)
        inertia = mass * 0.01
        xml.append(
            f'<link name="{link.name}"><inertial><mass value="{mass}"/>'
            f'<inertia ixx="{inertia}" ixy="0" ixz="0" iyy="{inertia}" iyz="0" izz="{inertia}"/>'
            '</inertial>'
        )
        by_material: dict[str, Faces] = {}
        for part in link.parts if seen else ():
            by_material.setdefault(part.material, []).extend(part_faces(part))
        materials[link.name] = list(by_material)
        for material, faces in by_material.items():
            mesh = write_obj(folder / f'{path.stem}_{link.name}_{material}.obj', faces)
            xml.append(
                f'<visual><geometry><mesh filename="{mesh.name}"/></geometry>'
                f'<material name="{link.name}_{material}"><color rgba="1 1 1 1"/></material>'
                '</visual>'
            )
        for i, part in enumerate(link.parts if solid else ()):
            if part.solid:
                xml.append(_collision(part, folder, f'{path.stem}_{link.name}_{i}'))
        xml.append('</link>')
        if link is links[0]:
            continue
        x, y, z = link.origin
        kind = 'fixed' if link.axis is None else 'prismatic'
        xml.append(
            f'<joint name="{link.name}_joint" type="{kind}"><parent link="{links[0].name}"/>'
            f'<child link="{link.name}"/><origin xyz="{x} {y} {z}" rpy="{link.roll} 0 0"/>'
        )
        if link.axis is not None:
            ax, ay, az = link.axis
            xml.append(
                f'<axis xyz="{ax} {ay} {az}"/><dynamics damping="0" friction="0"/>'
                f'<limit lower="0" upper="{link.travel}" effort="1000" velocity="10"/>'
            )
        xml.append('</joint>')
    xml.append('</robot>')
    path.write_text('\n'.join(xml))
    return materials


def write_floor(folder: Path, half: float) -> Path:
    """A square floor of side 2 `half` [m] at z = 0 whose texture covers it once."""
    quad = np.array([[half, half, 0], [-half, half, 0], [-half, -half, 0], [half, -half, 0]])
    return write_obj(folder / 'floor.obj', [quad], texture_span=2 * half)


def write_tga(path: Path, rgb: np.ndarray) -> Path:
    """Write rgb uint8 (H, W, 3) as an uncompressed Targa file, the quickest that PyBullet reads."""
    height, width, _ = rgb.shape
    header = bytearray(18)
    header[2] = 2
    header[12:16] = width.to_bytes(2, 'little') + height.to_bytes(2, 'little')
    header[16], header[17] = 24, 0x20
    path.write_bytes(bytes(header) + np.ascontiguousarray(rgb[:, :, ::-1]).tobytes())
    return path
