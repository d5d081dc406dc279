"""The files that a census leaves: for scripts, for tables, to train from, to look at."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
import types
import typing
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.captions import within
from data_pipelines.census.record import Record
from data_pipelines.census.report import render
from data_pipelines.census.summary import Summary, as_json
from data_pipelines.errors import UserError
from data_pipelines.prepare.schema import CAPTIONS
from data_pipelines.video import Caption

_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    Sequence[Caption]: CAPTIONS,
}


def write_outputs(summary: Summary, folder: pathlib.Path) -> None:
    """Writes census.json, census.html, clean.csv and files.parquet, replacing older ones.

    Raises:
      UserError: the system refuses to.
    """
    text = json.dumps(as_json(summary), indent=2, ensure_ascii=False)
    try:
        _write_text(text + "\n", folder / "census.json")
        _write_text(render(summary), folder / "census.html")
        _write_clean(summary.clean, folder / "clean.csv")
        _write_table(summary.records, folder / "files.parquet")
    except OSError as error:
        raise UserError(
            f"the census cannot be written to {folder} ({error}): mend that, or name another "
            "folder with --out"
        ) from error


def _write_text(text: str, path: pathlib.Path) -> None:
    # The root's name may be no UTF-8, and reaches us with lone surrogates: show them escaped.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _write_clean(records: Sequence[Record], path: pathlib.Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "split", "start", "end", "captions"))
        rows.writerows(
            (r.path, r.class_name, r.split, r.start, r.end, _sentences(r)) for r in records
        )


def _sentences(record: Record) -> str:
    """The sentences as `read_manifest` wants them: by the clock of the file."""
    before = -(record.start or 0.0)
    whole = within(record.captions, before, None)
    return json.dumps([dataclasses.asdict(c) for c in whole]) if whole else ""


def _write_table(records: Sequence[Record], path: pathlib.Path) -> None:
    """One row per record, a column for each of its attributes."""
    columns = typing.get_type_hints(Record)
    schema = pa.schema(
        [(field.name, _arrow(columns[field.name])) for field in dataclasses.fields(Record)]
    )
    pq.write_table(pa.Table.from_pylist([dataclasses.asdict(r) for r in records], schema), path)


def _arrow(kind: typing.Any) -> pa.DataType:
    if isinstance(kind, types.UnionType):  # "| None": every column may be empty
        kind = next(option for option in kind.__args__ if option is not type(None))
    return _ARROW.get(kind, pa.string())
