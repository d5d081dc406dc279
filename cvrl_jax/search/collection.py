"""An embedded collection: what `--mode=embed` wrote, and the videos it is of."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from cvrl_jax.config import from_plain
from cvrl_jax.downstream.embed import ABOUT
from cvrl_jax.evaluation.embeddings_table import vectors_in
from cvrl_jax.evaluation.suite import sources_of
from data_pipelines.errors import UserError, first_line
from data_pipelines.video import Source

_SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Collection:
    """N embedded videos, those of training before those of the test.

    Attributes:
      ids: of the videos, unique within a split.
      paths: their files, "" where there is none.
      labels: class names, None where there is none.
      vectors_NxD: float32.
      splits: the split of each.
      config: what they were embedded with.
      checkpoint: likewise.
    """

    ids: list[str]
    paths: list[str]
    labels: list[str | None]
    vectors_NxD: np.ndarray
    splits: list[str]
    config: ConfigDict
    checkpoint: pathlib.Path

    @classmethod
    def open(cls, folder: pathlib.Path) -> Collection:
        """Reads the tables of a folder.

        Raises:
          UserError: there are none, or they are damaged.
        """
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            tables = {
                split: pq.read_table(file)
                for split in _SPLITS
                if (file := folder / f"embeddings_{split}.parquet").exists()
            }
        except FileNotFoundError as error:
            raise UserError(
                f"no embedded videos in {folder}; make them: python main.py --mode=embed "
                f"--workdir={folder}"
            ) from error
        except (OSError, ValueError, pa.ArrowException) as error:
            raise UserError(
                f"{folder}: its tables cannot be read ({first_line(error)[:200]}); embed again"
            ) from error
        rows = [split for split, table in tables.items() for _ in range(len(table))]
        if not rows:
            raise UserError(f"no video of {folder} could be embedded: nothing to search")

        def column(name: str) -> list[Any]:
            return [value for table in tables.values() for value in table[name].to_pylist()]

        return cls(
            column("id"),
            column("path"),
            column("label"),
            np.concatenate([vectors_in(table) for table in tables.values()]),
            rows,
            from_plain(about["config"]),
            pathlib.Path(about["checkpoint"]),
        )

    def sources(self) -> dict[str, tuple[Source, dict[str, int]]]:
        """By split: the videos, and their indices by id."""
        found = sources_of(self.config)
        both = {"train": found.train, "test": found.test}
        return {
            split: (source, {source.info(i).id: i for i in range(len(source))})
            for split, source in both.items()
            if source is not None
        }

    def title(self, row: int) -> str:
        """What a reader knows the video by: its file's name, or its id."""
        return pathlib.PurePath(self.paths[row]).name or self.ids[row]
