"""How the arrays of a state lie on the devices, as a table to read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from cvrl_jax.parallel.sharding import Placement

LARGE = 1 << 20  # bytes from which on an array has a line of its own


def sharding_table(placed: Sequence[Placement], large: int = LARGE) -> str:
    """One line for each large array, one for all small ones, and the sum.

    Arrays that differ in the numbers of their names alone share a line.

    Args:
      placed: see `placements`.
      large: bytes from which on an array is large.

    Returns:
      Lines of: name (with `*` for a number that varies), how many there are, type and shape, mesh
      axes that split it, bytes of the whole and per device (of all together), and the rule.
    """
    rows = [("array", "", "shape", "split over", "whole", "per device", "rule")]
    for alike in sorted(_alike(placed, large), key=lambda arrays: -_bytes(arrays)[0]):
        array, count = alike[0], len(alike)
        name = _without_numbers(array) if count > 1 else array.path
        shape, spec = f"{array.dtype}{list(array.shape)}", str(array.spec)[len("PartitionSpec") :]
        whole, part = map(size, _bytes(alike))
        rows.append((name, f"x {count}" if count > 1 else "", shape, spec, whole, part, array.why))
    small = [array for array in placed if array.bytes < large]
    for name, arrays in (("small arrays", small), ("all", placed)):
        whole, part = map(size, _bytes(arrays))
        rows.append((name, f"x {len(arrays)}", "", "", whole, part, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _alike(placed: Sequence[Placement], large: int) -> list[list[Placement]]:
    def kind(array: Placement) -> tuple[str, ...]:
        return (_without_numbers(array), str(array.shape), str(array.spec), array.why)

    ordered = sorted((array for array in placed if array.bytes >= large), key=kind)
    return [list(group) for _, group in itertools.groupby(ordered, key=kind)]


def _without_numbers(array: Placement) -> str:
    return re.sub(r"\d+", "*", array.path)


def _bytes(arrays: Sequence[Placement]) -> tuple[int, int]:
    return sum(a.bytes for a in arrays), sum(a.bytes_per_device for a in arrays)


def size(count: float) -> str:
    """Bytes for people: '1.50 GiB'."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"
