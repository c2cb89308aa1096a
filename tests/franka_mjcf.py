# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""An MJCF of the FR3 for franka-sim, from the URDF that it ships: frames and masses, no shapes.

    python -m venv sim && sim/bin/pip install franka-sim
    sim/bin/python tests/franka_mjcf.py fr3.xml
    FR3_MJCF=fr3.xml sim/bin/run-franka-sim-server

It runs in franka-sim's own venv and so imports nothing of this package.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

PREFIX = 'fr3_'  # what franka-sim looks for in an MJCF
COMPILER = {'fusestatic': 'false', 'balanceinertia': 'true', 'boundmass': '1e-4'}


def described(urdf: str) -> str:
    """The URDF as MuJoCo takes it: without shapes, and with names as in its own models."""
    root = ElementTree.fromstring(urdf)
    for link in root.findall('link'):
        link.set('name', PREFIX + link.get('name'))
        for kind in ('visual', 'collision'):
            for shape in link.findall(kind):
                link.remove(shape)
    for joint in root.findall('joint'):
        joint.set('name', PREFIX + joint.get('name'))
        for end in ('parent', 'child'):
            joint.find(end).set('link', PREFIX + joint.find(end).get('link'))
        for kind in ('safety_controller', 'position_based_velocity_limits', 'dynamics'):
            for part in joint.findall(kind):
                joint.remove(part)
    compiler = ElementTree.SubElement(ElementTree.SubElement(root, 'mujoco'), 'compiler')
    for name, value in {**COMPILER, 'boundinertia': '1e-6'}.items():
        compiler.set(name, value)
    return ElementTree.tostring(root, encoding='unicode')


def main() -> None:
    """Write the MJCF to the path that is given."""
    import franka_sim
    import mujoco

    out = pathlib.Path(sys.argv[1])
    urdf = pathlib.Path(franka_sim.__file__).parent / 'models' / 'fr3.urdf'
    model = mujoco.MjModel.from_xml_string(described(urdf.read_text()))
    mujoco.mj_saveLastXML(str(out), model)
    friction = r'\1 damping="1" armature="0.1" frictionloss="0.2"'
    out.write_text(re.sub(r'(<joint name="fr3_joint\d")', friction, out.read_text()))


if __name__ == '__main__':
    main()
