"""The record of videos that could not be read: logged once each, listed in a file, limited."""

from __future__ import annotations

import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.video import Source, VideoInfo

_ENOUGH = 1000  # examples seen before the fraction of bad ones is believed (or all, if fewer)


class BadExamples:
    """Counts unreadable videos and stops the run when there are too many.

    Args:
      source: where indices point to.
      path: the JSON Lines file to append to: {"id", "path", "reason"} per video.
      max_fraction: of distinct videos; above it `update` raises.
      gather: where other processes read other shares of each batch: a JSON-like value of this one
        -> those of all shares. What they found is then known, and judged, after `agree`.
      writes: False leaves the log and the file to another process.
    """

    def __init__(
        self,
        source: Source,
        path: pathlib.Path,
        max_fraction: float,
        *,
        gather: Callable[[Any], list[Any]] | None = None,
        writes: bool = True,
    ) -> None:
        self._source = source
        self._path = path
        self._max_fraction = max_fraction
        self._gather = gather
        self._writes = writes
        self._examples = 0
        self._bad: set[int] = set()
        self._news: tuple[int, dict[str, str]] = (0, {})  # examples, and reasons by index as text
        self._listed = {row["id"] for row in read_bad_examples(path)}
        # A line torn by a kill must not swallow the next one.
        written = path.read_bytes() if path.exists() else b""
        self._line_break = "" if written.endswith(b"\n") or not written else "\n"

    def update(self, batch: dict[str, np.ndarray]) -> None:
        """Takes note of a batch, or of this process's share of it.

        Raises:
          UserError: more than `max_fraction` of the videos seen so far cannot be read.
        """
        real = batch["index"] >= 0  # not padding
        examples, reasons = self._news
        for row in np.flatnonzero(real & ~batch["valid"]):
            if int(batch["index"][row]) not in self._bad:
                reasons.setdefault(str(batch["index"][row]), str(batch["error"][row]))
        self._news = (examples + int(real.sum()), reasons)
        if self._gather is None:
            self._take([self._news])

    def agree(self) -> None:
        """Takes note of what all shares of the batches had; all processes must call it together.

        Raises:
          UserError: as `update`, on all of them.
        """
        if self._gather is not None:
            self._take(self._gather(self._news))

    def _take(self, news: list[Any]) -> None:
        self._news = (0, {})
        for examples, reasons in news:
            self._examples += examples
            for row, reason in reasons.items():
                if int(row) not in self._bad:
                    self._bad.add(int(row))
                    self.note(self._source.info(int(row)), reason)
        seen = min(self._examples, len(self._source))
        if seen >= min(_ENOUGH, len(self._source)) and self.count > self._max_fraction * seen:
            raise UserError(
                f"{self.count} of {seen} videos cannot be read, more than "
                f"data.max_bad_fraction = {self._max_fraction:g}; they are listed in {self._path}; "
                "mend or remove them, or raise --config.data.max_bad_fraction"
            )

    @property
    def count(self) -> int:
        """Distinct unreadable videos met so far."""
        return len(self._bad)

    def get_state(self) -> dict[str, Any]:
        """What a resumed run needs to go on counting; JSON-like."""
        return {"examples": self._examples, "bad": sorted(self._bad)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from a state that `get_state` returned."""
        self._examples = int(state["examples"])
        self._bad = {int(index) for index in state["bad"]}

    def note(self, info: VideoInfo, reason: str) -> None:
        """Logs and lists an unreadable video unless it is listed already; it is not counted."""
        if not self._writes or info.id in self._listed:
            return
        self._listed.add(info.id)
        logging.getLogger(__name__).warning(
            "left out, cannot be read: %s: %s", info.path or info.id, reason
        )
        row = json.dumps({"id": info.id, "path": info.path, "reason": reason})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{self._line_break}{row}\n")
        self._line_break = ""


def read_bad_examples(path: pathlib.Path) -> list[dict[str, str]]:
    """Reads the list back; [] where there is none. A line torn by a kill is passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
