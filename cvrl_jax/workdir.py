"""The folder of a run: what is in it, and when a run may go on in it."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

from ml_collections import ConfigDict

from cvrl_jax.config import differences, plain
from data_pipelines.errors import UserError

# Fields that change how a run is carried out, but none of its numbers (the layout on the devices:
# none but the order of sums).
_FREE = (
    "data.workers",
    "log.",
    "checkpoint.",
    "name",
    "parallel.mesh",
    "parallel.preset",
    "parallel.rules",
)

_WRITTEN = (
    "config.json",
    "config.unfinished",
    "metrics.jsonl*",
    "checkpoints",
    "damaged_checkpoint_*",
    "bad_examples.jsonl",
    "report.html",
    "tensorboard",
    "wandb*",
    "eval_*.json",
    "eval_*.html",
    "results.csv",
    "finetune",
    "finetune_*pct",
    "labelled_*pct.txt",
    "embeddings*",
    "neighbours.html",
)


class Workdir:
    """Paths within a run's folder."""

    def __init__(self, path: str | pathlib.Path) -> None:
        """Names the folder; makes nothing."""
        self.path = pathlib.Path(path).expanduser()
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.bad_examples = self.path / "bad_examples.jsonl"
        self.report = self.path / "report.html"

    def prepare(self, config: ConfigDict, *, resume: bool, overwrite: bool) -> None:
        """Makes the folder for a run of `config`, or checks that the run in it may go on.

        A run of the same config goes on by itself, and one that ended before it had measured
        anything begins again with any. `resume` lets another config go on from the
        checkpoints there; `overwrite` deletes the run there.

        Raises:
          UserError: there is something else in the folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--workdir={self.path} is a file; name a folder")
        if overwrite and self.config.exists():
            self._delete_run()
        elif self.has_checkpoints() or self.metrics.exists():
            changed = [
                line
                for line in differences(self.read_config(), plain(config))
                if not line.startswith(_FREE)
            ]
            if changed and not resume:
                raise UserError(
                    f"{self.path} holds a run of another config ({'; '.join(changed[:5])}"
                    f"{'; ...' if len(changed) > 5 else ''}); use another --workdir, --resume to "
                    "go on from its checkpoints with this config, or --overwrite to delete it"
                )
        elif not self.config.exists() and self.path.exists() and any(self.path.iterdir()):
            raise UserError(
                f"--workdir={self.path} is not empty and holds no run; name a new or empty folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        # In one move: a run killed here must not lose the config it has.
        unfinished = self.config.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(plain(config), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self.config)

    def has_checkpoints(self) -> bool:
        """Whether there is a checkpoint, whole or damaged, to go on from."""
        return self.checkpoints.is_dir() and any(
            path.name.isdigit() for path in self.checkpoints.iterdir()
        )

    def _delete_run(self) -> None:
        """Deletes what runs write, and nothing that somebody else has put beside it."""
        for pattern in _WRITTEN:
            for path in self.path.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def read_config(self) -> dict[str, Any]:
        """The config of the run here, as plain values."""
        try:
            return json.loads(self.config.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise UserError(
                f"{self.config} is not valid JSON ({error}); start again with --overwrite"
            ) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, [] where there is none."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line]
