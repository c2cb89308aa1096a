# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""One frozen dataclass per node, and by that its typed, described ROS parameters."""

import dataclasses
from dataclasses import dataclass

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType


def parameter(default, description: str, *, low=None, high=None, dynamic: bool = False):
    """One field of a node's config dataclass and, by that, one ROS parameter.

    A field `limits__file` is the parameter `limits.file`. All are read when the node is configured;
    only `dynamic` ones may be set while it is.
    """
    return dataclasses.field(
        default=default,
        metadata={'description': description, 'low': low, 'high': high, 'dynamic': dynamic},
    )


@dataclass(frozen=True)
class BaseConfig:
    """Parameters that every node has."""

    autostart: bool = parameter(True, 'configure and activate without being told to')
    exit_on_failure: bool = parameter(False, 'end with status 2 if the automatic start fails')


_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAY_TYPES = {
    int: ParameterType.PARAMETER_INTEGER_ARRAY,
    float: ParameterType.PARAMETER_DOUBLE_ARRAY,
    str: ParameterType.PARAMETER_STRING_ARRAY,
}


def parameter_name(field: dataclasses.Field) -> str:
    """Return the ROS name of a config field."""
    return field.name.replace('__', '.')


def descriptor(field: dataclasses.Field) -> ParameterDescriptor:
    """Return the ROS description of a config field: type, text and range."""
    default, meta = field.default, field.metadata
    if isinstance(default, tuple):
        kind = _ARRAY_TYPES[type(default[0])]
    else:
        kind = _TYPES[type(default)]
    out = ParameterDescriptor(
        name=parameter_name(field), type=kind, description=meta['description']
    )
    low, high = meta['low'], meta['high']
    if low is not None or high is not None:
        if isinstance(default, float):
            out.floating_point_range = [
                FloatingPointRange(
                    from_value=float(-1e308 if low is None else low),
                    to_value=float(1e308 if high is None else high),
                )
            ]
        else:
            out.integer_range = [
                IntegerRange(
                    from_value=-(2**62) if low is None else low,
                    to_value=2**62 if high is None else high,
                )
            ]
    if not meta['dynamic']:
        out.additional_constraints = 'read when the node is configured'
    return out
