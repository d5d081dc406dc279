"""Parquet tables that grow part by part, each there as a whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq

from cvrl_jax.config import differences
from data_pipelines.errors import UserError

_ABOUT = "about.json"


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of some tables in a folder.

    Attributes:
      folder: FOLDER/NAME/00000.parquet and so on, each with the videos left out as .json.
    """

    folder: pathlib.Path

    @classmethod
    def begin(cls, folder: pathlib.Path, about: dict[str, Any], free: tuple[str, ...]) -> Parts:
        """Makes the folder, or goes on in it.

        Args:
          folder: where to.
          about: all that the rows depend on, as JSON.
          free: how the dotted names of what they do not depend on begin.

        Raises:
          UserError: there are parts of something else, or the folder cannot be written.
        """
        file = folder / _ABOUT
        about = json.loads(json.dumps(about))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            there = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
            if there is None:
                _write(file, about)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} cannot be used ({error}); delete it") from error
        changed = differences(there or about, about)
        if other := [line for line in changed if not line.startswith(free)]:
            raise UserError(
                f"{folder} is unfinished work on something else ({'; '.join(other[:3])}); put that "
                "back to go on, delete the folder to begin again, or name another --workdir"
            )
        return cls(folder)

    def count(self, name: str) -> int:
        """How many parts of a table are there, from the first on."""
        number = 0
        while self._part(name, number).exists():
            number += 1
        return number

    def add(
        self,
        name: str,
        number: int,
        write: Callable[[pathlib.Path], None],
        left_out: list[dict[str, str]],
    ) -> None:
        """Adds a part: `write` makes the Parquet file as a whole, and it comes last."""
        part = self._part(name, number)
        part.parent.mkdir(exist_ok=True)
        _write(part.with_suffix(".json"), left_out)
        write(part)

    def join(self, name: str, target: pathlib.Path) -> tuple[int, list[dict[str, str]]]:
        """Writes all parts of a table as one file, holding one of them at a time.

        Returns:
          (rows, the videos left out).
        """
        parts = [self._part(name, number) for number in range(self.count(name))]
        unfinished = target.with_name(target.name + ".unfinished")
        rows, left_out = 0, []
        with pq.ParquetWriter(unfinished, pq.read_schema(parts[0])) as writer:
            for part in parts:
                table = pq.read_table(part)
                writer.write_table(table)
                rows += len(table)
                left_out += json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
        unfinished.replace(target)
        return rows, left_out

    def delete(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder)

    def _part(self, name: str, number: int) -> pathlib.Path:
        return self.folder / name / f"{number:05d}.parquet"


def _write(file: pathlib.Path, values: Any) -> None:
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(json.dumps(values), encoding="utf-8")
    os.replace(unfinished, file)
