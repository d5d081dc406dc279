"""Lists in text files: CSV and JSON Lines with the place of every row for messages, and JSON."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

_LARGEST = 64 << 20  # characters of a value of CSV, such as all sentences of a long video


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
      where: its file and line.
      values: column -> value; text where the file is CSV, anything that JSON holds otherwise.
    """

    where: str
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """The value of a column as text without blanks around it, "" where there is none.

        Raises:
          UserError: it is neither text nor a number.
        """
        value = self.values.get(column)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UserError(f"{self.where}: {column} is {value!r}: give text or a number")
        text = str(value).strip()
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise UserError(f"{self.where}: {column} is no text in Unicode: {error}") from error
        return text

    def seconds(self, column: str) -> float | None:
        """The value of a column as a time, None where there is none.

        Raises:
          UserError: it is no number, or below 0.
        """
        text = self.text(column)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds >= 0):
            raise UserError(
                f"{self.where}: {column} is {text!r}: give seconds from the first frame, >= 0"
            )
        return seconds


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes:
      path: the file.
      columns: every column that some row has.
      rows: in the order of the file, at least one.
    """

    path: pathlib.Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def need(self, column: str) -> None:
        """Raises a UserError unless the column exists."""
        if column not in self.columns:
            raise UserError(
                f"{self.path} has no column {column!r}; {nearest(column, self.columns)}"
            )


def read_csv(path: pathlib.Path) -> Table:
    """Reads a CSV file in UTF-8 whose first row names the columns.

    Raises:
      UserError: it does not exist, is no such file, or has no row.
    """
    _need_file(path)
    rows = []
    csv.field_size_limit(_LARGEST)
    try:
        # "utf-8-sig" also reads what spreadsheets write: UTF-8 behind a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            if not columns:
                raise UserError(f"{path}: its first line is empty; it must be like 'path,label'")
            reader.fieldnames = columns
            if len(set(columns)) < len(columns):
                raise UserError(f"{path}: two columns have the same name: {', '.join(columns)}")
            for values in reader:
                where = f"{path.name} line {reader.line_num}"
                if None in values or None in values.values():
                    raise UserError(
                        f"{where}: the number of values differs from the header's; quote values "
                        "with commas"
                    )
                rows.append(Row(where, values))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if not rows:
        raise UserError(f"{path} lists no video: add a row for each below its header")
    return Table(path, tuple(columns), tuple(rows))


def read_jsonl(path: pathlib.Path) -> Table:
    """Reads a JSON Lines file in UTF-8: an object on every line that is not blank.

    Raises:
      UserError: it does not exist, is no such file, or has no row.
    """
    _need_file(path)
    rows, columns = [], {}
    try:
        # Not splitlines(): JSON may hold a bare U+2028.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a JSON Lines file in UTF-8: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path.name} line {number}"
        try:
            values = json.loads(line, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not a JSON object on one line: {error}") from error
        if not isinstance(values, dict):
            raise UserError(f"{where}: {line.strip()[:40]!r} is not an object like {{'path': ...}}")
        rows.append(Row(where, values))
        columns |= dict.fromkeys(values)
    if not rows:
        raise UserError(f'{path} lists no video: add a line like {{"path": "a.mp4"}} for each')
    return Table(path, tuple(columns), tuple(rows))


def read_json(path: pathlib.Path, kind: type) -> Any:
    """Reads a JSON file in UTF-8.

    Args:
      path: the file.
      kind: what it must hold, `dict` or `list`.

    Raises:
      UserError: it does not exist, is not JSON, or holds something else.
    """
    _need_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, kind):
        raise UserError(f"{path} holds no {kind.__name__}: is it the official file?")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError(f"two fields have the same name: {', '.join(name for name, _ in pairs)}")
    return values


def _need_file(path: pathlib.Path) -> None:
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"the list {path} {problem}: name the file that lists the videos")
