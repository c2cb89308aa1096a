# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""DDS domains of our own, so that nodes of tests and evaluations hear nobody and nobody hears them."""

import contextlib
import os
import random
import socket

_DOMAINS: dict[int, socket.socket] = {}  # this process's domains, and what holds each


def private_environment() -> dict[str, str]:
    """Variables with which nodes hear nobody outside this machine and nobody on it."""
    return {
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        **({'ROS_LOCALHOST_ONLY': '1'} if os.environ.get('ROS_DISTRO') == 'humble' else {}),
    }


@contextlib.contextmanager
def private_domain():
    """Give `private_environment()`, set in this process too as long as it lasts."""
    env = private_environment()
    before = {key: os.environ.get(key) for key in env}
    os.environ.update(env)
    try:
        yield env
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        lock = _DOMAINS.pop(int(env['ROS_DOMAIN_ID']), None)
        if lock:
            lock.close()


def free_domain() -> int:
    """A DDS domain, drawn at random from 1..99, that nobody on this machine is in or was given.

    It stays this process's until that ends, or `private_domain` does, and is never the one that
    ROS_DOMAIN_ID names.
    """
    domains = [d for d in range(1, 100) if str(d) != os.environ.get('ROS_DOMAIN_ID')]
    random.SystemRandom().shuffle(domains)
    for domain in domains:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # port of the domain's first participant (DDSI-RTPS 9.6.1.1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                lock.bind(f'\0vw2_ros_domain_{domain}')  # abstract: gone with the process
                probe.bind(('', 7400 + 250 * domain + 10))
            except OSError:
                lock.close()
                continue
        _DOMAINS[domain] = lock
        return domain
    return domains[0]
