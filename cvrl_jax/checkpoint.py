"""Checkpoints by Orbax v1: state, data position, config and versions as one unit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import pathlib
import shutil
from typing import Any, cast

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from cvrl_jax.parallel import hosts
from cvrl_jax.saving import FREE_SPACE, context, kind_and_first_line, lacking, settle
from data_pipelines.errors import UserError

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "av", "numpy")
# What "best" means: the first of these that a run measures.
_BEST_BY = ("text_to_video_r1", "audio_to_video_r1", "knn_top1")

log = logging.getLogger(__name__)


def versions() -> dict[str, str]:
    """Versions of the packages that decide a run's numbers."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Args:
      folder: made if missing.
      keep: newest ones kept.
      keep_best: also keep the one of the highest text-to-video (or else audio-to-video) R@1, or
        without retrieval the highest kNN top-1.
    """

    def __init__(self, folder: pathlib.Path, *, keep: int = 3, keep_best: bool = True) -> None:
        policies = ocp.training.preservation_policies
        kept: list[Any] = [policies.LatestN(keep)]
        if keep_best:
            kept.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: next(iter(metrics.values())),
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._folder = folder
        self._checkpointer = ocp.training.Checkpointer(
            str(folder.resolve()),
            save_decision_policy=_EveryCall(),
            preservation_policy=cast(Any, policies.AnyPreservationPolicy(kept)),
            cleanup_tmp_directories=True,
            context=context(),
        )
        self._pending: Any = None
        self._saving = -1
        self._has_failed = False

    @property
    def steps(self) -> list[int]:
        """Steps of whole checkpoints, oldest first."""
        return sorted(c.step for c in self._checkpointer.checkpoints)

    def save(self, step: int, state: Any, host: dict[str, Any], metrics: dict[str, float]) -> None:
        """Starts saving in the background, after the save before has been finished.

        Args:
          step: updates done.
          state: pytree of arrays.
          host: JSON-like: data position, config, counters.
          metrics: of an evaluation at this step; decides which checkpoint is best.

        Raises:
          UserError: the checkpoint before this one could not be written, or there is no room for
            this one; on all processes.
        """
        self.wait()
        missing = lacking(self._folder, state)
        if missing:
            raise self._failed(step, missing)
        best_by = [(name, metrics[name]) for name in _BEST_BY if name in metrics][:1]
        try:
            self._pending = self._checkpointer.save_checkpointables_async(
                step,
                {"state": state, "host": host | {"versions": versions()}},
                metrics=dict(best_by) or None,
            )
        except Exception as error:  # Orbax passes on errors of many layers below it
            if hosts.is_loss(error):  # of another process, which told why
                raise
            raise self._failed(step, kind_and_first_line(error)) from error
        self._saving = step

    def wait(self) -> None:
        """Waits for the save in progress.

        Raises:
          UserError: it failed (a full disk, say), on whichever process; those before it are whole.
        """
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        failure = settle(pending)
        if failure:
            raise self._failed(self._saving, failure)

    def restore(self, abstract_state: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """Restores the newest whole checkpoint; a damaged one is passed over with a warning.

        Args:
          abstract_state: tree of jax.ShapeDtypeStruct with the shardings wanted.

        Returns:
          (step, state, host), or None where there is no checkpoint.

        Raises:
          UserError: there are checkpoints, but none of them can be read, or they are of another
            network or optimizer.
        """
        steps = _steps_in(self._folder)
        damaged: list[pathlib.Path] = []
        for step in reversed(steps):
            path = self._folder / str(step)
            loaded, damage = {}, None
            try:
                _check_same_arrays(path, abstract_state)
                # Each process by itself: one that finds damage must not leave others waiting.
                with context(alone=True):
                    loaded = ocp.load_checkpointables(
                        str(path.resolve()), {"state": abstract_state, "host": None}
                    )
            except UserError:
                raise
            except Exception as error:  # damaged files fail in many ways
                damage = kind_and_first_line(error)
            damage = next((found for found in hosts.gather(damage) if found), None)
            if damage:
                log.warning(
                    "checkpoint %s is damaged (%s); falling back to the one before", path, damage
                )
                damaged.append(path)
                continue
            hosts.on_first(lambda: self._set_aside(damaged))
            self._checkpointer.reload()
            return step, loaded["state"], loaded["host"]
        if steps:
            raise UserError(
                f"none of the checkpoints {steps} in {self._folder} can be read; "
                "start again with --overwrite, or restore the folder from a backup"
            )
        return None

    def _set_aside(self, damaged: list[pathlib.Path]) -> None:
        """Out of the way of checkpoints to come; had none been whole, nothing would be touched."""
        for path in damaged:
            shutil.move(path, self._folder.parent / f"damaged_checkpoint_{path.name}")

    def close(self) -> None:
        """Waits for the save in progress and releases the folder."""
        try:
            self.wait()
        finally:
            # After a failed save Orbax raises its error again, or waits for other processes.
            if not self._has_failed:
                self._checkpointer.close()
            elif jax.process_count() == 1:
                with contextlib.suppress(Exception):
                    self._checkpointer.close()

    def _failed(self, step: int, why: str) -> UserError:
        self._has_failed = True
        for unfinished in self._folder.glob(f"{step}*"):
            if unfinished.name == str(step) or unfinished.name.startswith(f"{step}.orbax"):
                shutil.rmtree(unfinished, ignore_errors=True)
        whole = [s for s in self.steps if s != step]
        return UserError(
            f"checkpoint {step} could not be written to {self._folder}: {why}; "
            + (f"the last whole one is step {whole[-1]}; " if whole else "")
            + FREE_SPACE
        )


class _EveryCall:
    """Saves whenever asked: the train loop decides when."""

    def should_save(self, *args: Any, **kwargs: Any) -> bool:
        del args, kwargs
        return True


def find_checkpoint(path: pathlib.Path) -> pathlib.Path:
    """The newest checkpoint of a run, or `path` itself if it is one.

    Args:
      path: a workdir, its `checkpoints` folder, or one checkpoint in it.

    Raises:
      UserError: no checkpoint there.
    """
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if folder.name.isdigit() and folder.is_dir():
        return folder
    steps = _steps_in(folder)
    if not steps:
        raise UserError(
            f"no checkpoint in {path}; give a workdir of a run, or one folder of its checkpoints/"
        )
    return folder / str(steps[-1])


def check_not_beyond(workdir: pathlib.Path, steps: int) -> None:
    """Raises a UserError where a run is past the last step it is now asked for."""
    newest = find_checkpoint(workdir).name
    if int(newest) > steps:
        raise UserError(
            f"{workdir} is at step {newest} already, beyond config.steps = {steps}; raise "
            "--config.steps or use another --workdir"
        )


def load_variables(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Loads a checkpoint anywhere: all variables as numpy arrays, whatever device wrote them.

    Args:
      path: one checkpoint folder, see `find_checkpoint`.

    Returns:
      (variables, host) as saved.

    Raises:
      UserError: the checkpoint is damaged.
    """
    try:
        with context():
            abstract = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), _arrays_in(path))
            loaded = ocp.load_checkpointables(
                str(path.resolve()), {"state": abstract, "host": None}
            )
    except Exception as error:  # damaged files fail in many ways
        raise UserError(
            f"checkpoint {path} cannot be read ({kind_and_first_line(error)}); name another one "
            f"with --checkpoint, there are {_steps_in(path.parent)} in {path.parent}"
        ) from error
    return loaded["state"]["variables"], loaded["host"]


def _steps_in(folder: pathlib.Path) -> list[int]:
    """Steps of the checkpoints in `folder`, whole or damaged, oldest first."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def _arrays_in(checkpoint: pathlib.Path) -> Any:
    """The tree of the saved state, with `shape` and `dtype` at its leaves."""
    metadata = ocp.checkpointables_metadata(str(checkpoint.resolve())).metadata["state"]
    if metadata is None:  # Orbax only logs it
        raise ValueError("the metadata of its arrays cannot be read")
    return metadata


def _check_same_arrays(checkpoint: pathlib.Path, abstract_state: Any) -> None:
    """Tells a checkpoint of something else from a damaged one.

    Raises:
      UserError: it holds other arrays than `abstract_state`.
    """

    def shapes(tree: Any) -> list[str]:
        return sorted(f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree))

    with context():
        saved = _arrays_in(checkpoint)
    if shapes(saved) != shapes(abstract_state):
        raise UserError(
            f"checkpoint {checkpoint} holds the state of another network or optimizer; put "
            "config.model, config.head, config.method and config.optimizer.name back, or start "
            "again with --overwrite"
        )
