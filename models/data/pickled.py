# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""CALVIN's pickled annotations, read by an unpickler that knows arrays and plain containers only.

load_annotations('data/training/lang_annotations/auto_lang_ann.npy')    # a dict; runs nothing
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path

import numpy as np

from vw2_ros.models.data import DataError


def _latin1(text: str, encoding: str = 'latin1') -> bytes:
    """What `_codecs.encode` does in old numpy pickles, for the one encoding they use."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError(f'encoding {encoding!r} is not allowed')
    return text.encode('latin1')


def _objects(items: list) -> np.ndarray:
    """Object array (n,), whatever the items are."""
    out = np.empty(len(items), object)
    for i, item in enumerate(items):
        out[i] = item
    return out


class _Type:
    """A pickled dtype: numpy's own believes any state, and damaged ones crash it."""

    def __init__(self, name: str, *_):
        self.dtype = np.dtype(name)
        if self.dtype.kind not in 'biufSUO':
            raise pickle.UnpicklingError(f'arrays of {name} are not allowed')

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])

    def array(self, shape: tuple, content, order: str = 'C') -> np.ndarray:
        """The array of a pickled content: a list of objects, else bytes."""
        if self.dtype.hasobject:
            flat = _objects(content)
        else:
            flat = np.frombuffer(bytes(content), self.dtype)
        return flat.reshape(shape, order=order)


class _Array:
    """A pickled array, until `_plain` takes it."""

    def __init__(self, *_):
        self.array = np.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        self.array = kind.array(shape, content, 'F' if fortran else 'C')


def _plain(value, done: dict[int, object]):
    """Content with arrays in place of what stands for them.

    Args:
        done: id of each part that was met -> what became of it. What many parts share is worked out
            once, and what holds itself is refused: both would take for ever.
    """
    if not isinstance(value, (_Array, dict, list, tuple)):
        return value
    if id(value) in done:
        if done[id(value)] is _Array:
            raise pickle.UnpicklingError('it holds itself')
        return done[id(value)]
    done[id(value)] = _Array  # not done yet
    if isinstance(value, dict):
        out = {key: _plain(item, done) for key, item in value.items()}
    elif isinstance(value, _Array):
        out = value.array
        if out.dtype.hasobject:
            out = _objects([_plain(item, done) for item in out.ravel()]).reshape(out.shape)
    else:
        out = type(value)(_plain(item, done) for item in value)
    done[id(value)] = out
    return out


def _sane(data: bytes) -> bytes:
    """The same pickle, if it keeps no more things than it has bytes.

    Damaged, it may ask for the thing with number four billion, and Python makes room for as many.
    """
    for code, number, _ in pickletools.genops(data):
        if 'PUT' in code.name and number > len(data):
            raise pickle.UnpicklingError(f'it numbers {number} things in {len(data)} bytes')
    return data


def _allowed_globals() -> dict[tuple[str, str], object]:
    """What a pickle of numpy arrays in plain containers names, under all of numpy's spellings."""
    allowed = {
        ('numpy', 'ndarray'): _Array,
        ('numpy', 'dtype'): _Type,
        ('_codecs', 'encode'): _latin1,
    }
    for core in ('numpy.core', 'numpy._core'):
        allowed[(f'{core}.multiarray', '_reconstruct')] = _Array
        allowed[(f'{core}.multiarray', 'scalar')] = lambda kind, data: kind.array((), data)[()]
    return allowed


class _PlainUnpickler(pickle.Unpickler):
    """Loads numpy arrays, str, numbers, dict, tuple, list; refuses every other name."""

    ALLOWED = _allowed_globals()

    def find_class(self, module: str, name: str):
        try:
            return self.ALLOWED[(module, name)]
        except KeyError:
            raise pickle.UnpicklingError(
                f'it names {module}.{name}, which no annotation needs; it was not run'
            ) from None

    def persistent_load(self, pid):
        raise pickle.UnpicklingError('it refers to something outside itself')


def load_annotations(path: Path) -> dict:
    """Content of CALVIN's `auto_lang_ann.npy` or `scene_info.npy`, a pickled dict; runs nothing.

    Raises:
        DataError: missing, damaged, or it names anything but numpy arrays and plain containers.
    """
    path = Path(path)
    try:
        with open(path, 'rb') as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if not dtype.hasobject or shape != ():
                raise DataError(f'{path} must hold one pickled dict. Got an array {shape} {dtype}')
            content = _plain(_PlainUnpickler(io.BytesIO(_sane(file.read()))).load(), {})
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f'{path} is missing. Download or collect the data again') from error
    except Exception as error:  # unpickling damaged bytes can raise nearly anything
        raise DataError(f'{path} cannot be read as a pickled dict: {error}') from error
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, dict):
        raise DataError(f'{path} must hold a dict. Got {type(content).__name__}')
    return content
