"""Reads TensorFlow's checkpoints ("tensor bundles") without TensorFlow, which is a gigabyte.

PREFIX.index is a sorted table of LevelDB's format (name -> type, shape, file and offset of a
tensor, as protocol buffers); PREFIX.data-00000-of-00001 and its like hold the bare numbers. Both
formats are as old as TensorFlow 1 and have not changed. TensorFlow's tensor_bundle.proto and
LevelDB's doc/table_format.md describe them.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from cvrl_jax.export.names import Named
from data_pipelines.errors import UserError

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48  # bytes: two handles, padding, the magic number
_TYPES: dict[int, Any] = {  # of tensorflow/core/framework/types.proto; strings have no numbers
    1: np.float32,
    2: np.float64,
    3: np.int32,
    9: np.int64,
    14: ml_dtypes.bfloat16,
    19: np.float16,
}


def read_bundle(prefix: pathlib.Path) -> Named:
    """The arrays of a checkpoint by name; those of strings (its graph of objects) are left out.

    Args:
      prefix: of its files; PREFIX.index is accepted too.

    Raises:
      UserError: a file is missing, cut off or something else.
    """
    if prefix.suffix == ".index":
        prefix = prefix.with_suffix("")
    index = prefix.with_name(prefix.name + ".index")
    if not index.is_file():
        raise UserError(
            f"config.init_from: there is no file {index}; a TensorFlow checkpoint is named by what "
            "its .index and .data files have in common"
        )
    try:
        rows = dict(_table(index.read_bytes()))
        shards = _message(rows.pop(b"")).get(1, [1])[0]
        entries = {name.decode(): _message(row) for name, row in rows.items()}
        found = {n: e for n, e in entries.items() if e.get(1, [0])[0] in _TYPES and 7 not in e}
        files: dict[int, np.ndarray] = {}
        arrays = {}
        for name, entry in found.items():
            shard = entry.get(3, [0])[0]
            if shard not in files:
                data = prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}")
                if not data.is_file():
                    raise UserError(f"config.init_from: there is no file {data} beside {index}")
                files[shard] = np.memmap(data, np.uint8, "r")
            arrays[name] = _tensor(entry, files[shard])
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, OSError) as error:
        raise UserError(
            f"{prefix}: its files cannot be read as a TensorFlow checkpoint ({error}); they are "
            "cut off or of another kind: copy them again"
        ) from error
    return arrays


def _tensor(entry: dict[int, list[Any]], data: np.ndarray) -> np.ndarray:
    dimensions = _message(entry.get(2, [b""])[0]).get(2, [])
    shape = tuple(_message(dimension).get(1, [0])[0] for dimension in dimensions)
    kind = np.dtype(_TYPES[entry[1][0]])
    begin, size = entry.get(4, [0])[0], entry.get(5, [0])[0]
    if begin + size > len(data) or size != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{len(data)} bytes of data, {begin + size} wanted")
    return np.array(data[begin : begin + size]).view(kind).reshape(shape)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a sorted table, in order."""
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("no table ends there")
    _, at = _handle(data, len(data) - _FOOTER)  # of an index of other things
    (begin, size), _ = _handle(data, at)
    for _, row in _block(data, begin, size):
        (begin, size), _ = _handle(row, 0)
        yield from _block(data, begin, size)


def _block(data: bytes, begin: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The rows of one block; a key is what it shares with the one before, and the rest."""
    if data[begin + size]:
        raise ValueError("a block is compressed")
    block = data[begin : begin + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # then come places to start from
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        at += own + length
        yield key, block[at - length : at]


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    begin, at = _varint(data, at)
    size, at = _varint(data, at)
    return (begin, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends): seven bits a byte, the lowest first."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def _message(data: bytes) -> dict[int, list[Any]]:
    """A protocol buffer: field number -> its values, integers or bytes."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 2, 5):
            size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"a field of unknown kind {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields
