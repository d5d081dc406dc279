"""Where metrics go: a JSON-lines file, TensorBoard, Weights & Biases, or several of them.

The interface is that of CLU's metric writers, so one of those can be used in place of these.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import pathlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, SupportsFloat

from data_pipelines.errors import UserError


class Writer(Protocol):
    """Takes scalars by step."""

    def write_scalars(self, step: int, scalars: Mapping[str, SupportsFloat]) -> None:
        """Records `scalars` (numbers or 0-d arrays, by name) as of `step`."""
        ...

    def flush(self) -> None:
        """Makes sure that what was written survives the end of the process."""
        ...

    def close(self) -> None:
        """Flushes and releases the writer."""
        ...


class JsonlWriter:
    """One JSON object per write: {"step": 10, "loss": 3.2}.

    JSON has no NaN and no infinity; both are written as null.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens `path` to append to; makes its folder where it is missing."""
        self._path = pathlib.Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab")

    def write_scalars(self, step: int, scalars: Mapping[str, SupportsFloat]) -> None:
        values = {name: float(value) for name, value in scalars.items()}
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        line = json.dumps({"step": int(step), **finite}, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def truncate_after(self, step: int) -> None:
        """Drops what a killed run wrote after `step`, so that a resumed run writes it once.

        A last line cut short by the kill is dropped as well. The file is replaced in one move.
        """
        self._file.close()
        kept = self._path.with_name(self._path.name + ".unfinished")
        with self._path.open("rb") as old, kept.open("wb") as new:
            new.writelines(line for line in old if _is_kept(line, step))
            new.flush()
            os.fsync(new.fileno())
        kept.replace(self._path)
        self._file = self._path.open("ab")

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if not self._file.closed:
            self.flush()
            self._file.close()


def _is_kept(line: bytes, step: int) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, TypeError, KeyError):
        return False


class TensorBoardWriter:
    """Event files for TensorBoard, written without TensorFlow."""

    def __init__(self, folder: str | os.PathLike[str], resume_step: int = 0) -> None:
        """Writes into `folder`; TensorBoard then hides earlier events after `resume_step`."""
        # Where there is a torch, this imports it, for seconds.
        from tensorboardX import SummaryWriter

        purge = resume_step + 1 if resume_step else None
        self._writer = SummaryWriter(os.fspath(folder), purge_step=purge)

    def write_scalars(self, step: int, scalars: Mapping[str, SupportsFloat]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, float(value), int(step))

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandbWriter:
    """Weights & Biases; a resumed run goes on in the same W&B run.

    W&B keeps what a killed run had sent after its last checkpoint, and ignores those steps when
    the resumed run sends them again.
    """

    def __init__(self, workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
        """Starts or resumes the W&B run whose id is kept in `workdir`/wandb_id.

        Args:
          workdir: the folder of the run; the project takes the name of its parent.
          config: recorded with the run.

        Raises:
          UserError: wandb is not installed.
        """
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise UserError(
                "the writer 'wandb' needs Weights & Biases: pip install 'cvrl_jax[wandb]'"
            ) from error
        workdir = pathlib.Path(workdir).absolute()
        id_file = workdir / "wandb_id"
        if not id_file.exists():
            workdir.mkdir(parents=True, exist_ok=True)
            id_file.write_text(uuid.uuid4().hex)
        self._run = wandb.init(
            project=workdir.parent.name or "cvrl_jax",
            name=workdir.name,
            id=id_file.read_text(),
            resume="allow",
            dir=str(workdir),
            config=dict(config),
        )

    def write_scalars(self, step: int, scalars: Mapping[str, SupportsFloat]) -> None:
        self._run.log({name: float(value) for name, value in scalars.items()}, step=int(step))

    def flush(self) -> None:
        """Does nothing: W&B sends by itself."""

    def close(self) -> None:
        self._run.finish()


class MultiWriter:
    """Passes everything on to several writers."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = tuple(writers)

    def write_scalars(self, step: int, scalars: Mapping[str, SupportsFloat]) -> None:
        # Once, not once per writer: float() of a device array waits for the device.
        values = {name: float(value) for name, value in scalars.items()}
        for writer in self._writers:
            writer.write_scalars(step, values)

    def flush(self) -> None:
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def create_writers(
    workdir: str | os.PathLike[str], config: Any, resume_step: int = 0
) -> MultiWriter:
    """Opens the writers of a run. In a multi-host run only one process should.

    Args:
      workdir: the folder of the run; gets `metrics.jsonl` and, for TensorBoard, `tensorboard/`.
      config: the ConfigDict of the run; `config.log.tensorboard` and `config.log.wandb` ask for
        those writers.
      resume_step: 0 for a new run, else the step of the restored checkpoint; what was written of
        later steps is dropped.

    Raises:
      UserError: W&B is asked for and not installed.
    """
    workdir = pathlib.Path(workdir)
    writers: list[Writer] = []
    if config.log.wandb:  # first, because it can refuse
        writers.append(WandbWriter(workdir, config.to_dict()))
    jsonl = JsonlWriter(workdir / "metrics.jsonl")
    jsonl.truncate_after(resume_step)
    writers.append(jsonl)
    if config.log.tensorboard:
        writers.append(TensorBoardWriter(workdir / "tensorboard", resume_step))
    return MultiWriter(writers)
