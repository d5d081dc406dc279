"""What an evaluation leaves behind: a JSON file, and a row for each protocol in a table."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import UserError

COLUMNS = (
    "date",
    "recipe",
    "protocol",
    "metric",  # the protocol's headline, and
    "value",
    "checkpoint",
    "step",
    "seed",
    "source",
    "train_videos",
    "test_videos",
    "classes",
    "left_out",
    "metrics",  # all of the protocol's, as JSON
    "versions",  # of the packages, as JSON
)


def file_name(recipe: str) -> str:
    """The recipe's name as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", recipe)


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not know (NaN, infinities)."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: pathlib.Path, values: Mapping[str, Any]) -> None:
    """Writes `values` in one piece: a reader never finds half a file."""
    unfinished = path.with_name(path.name + ".unfinished")
    text = json.dumps(finite(values), indent=2, allow_nan=False)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)


def append_rows(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """Appends rows to a CSV table, which begins with `COLUMNS`.

    Each call is one write at the end of the file, so that processes may share a table.

    Args:
      path: the table; made where it is missing.
      rows: by column; `date` is filled in, and mappings become JSON.

    Raises:
      UserError: the file there has other columns.
    """
    is_new = not path.exists() or not path.stat().st_size
    if not is_new:
        with path.open(encoding="utf-8", newline="") as file:
            there = next(csv.reader(file), [])
        if tuple(there) != COLUMNS:
            raise UserError(
                f"{path} has the columns {', '.join(there)}, not those of this version of "
                "cvrl_jax; move it away, or name another --workdir"
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if is_new:
        writer.writerow(COLUMNS)
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    for row in rows:
        values = {"date": date} | {name: finite(value) for name, value in row.items()}
        cells = [values.get(column) for column in COLUMNS]
        writer.writerow([json.dumps(v) if isinstance(v, dict) else v for v in cells])
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a table by column, as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
