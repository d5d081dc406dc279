"""Training: the loop, top to bottom.

The order of the loop makes a resumed run equal, bit for bit, to one never stopped: evaluate the old
state, save it, take the next batch, step, log what the step before measured.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import time
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from cvrl_jax import run_report
from cvrl_jax.checkpoint import Checkpoints, load_variables, find_checkpoint
from cvrl_jax.config import plain, validate
from cvrl_jax.evaluation.suite import Results, evaluate
from cvrl_jax.interrupt import StopRequest
from cvrl_jax.methods import Method, create_method
from cvrl_jax.observe.finite import check_finite
from cvrl_jax.observe.progress import Progress, StepTimer
from cvrl_jax.observe.writers import create_writers
from cvrl_jax.optim import create_optimizer
from cvrl_jax.parallel.mesh import make_mesh, put_batch
from cvrl_jax.state import TrainState, create_state, make_embed, make_train_step
from cvrl_jax.workdir import Workdir
from data_pipelines.bad_examples import BadExamples
from data_pipelines.errors import UserError
from data_pipelines.pipeline import TrainBatches
from data_pipelines.sources import Sources, create_sources
from data_pipelines.survey import survey

log = logging.getLogger(__name__)


class Stopped(Exception):
    """A signal ended the run early; everything is saved.

    Attributes:
      signal: its number.
    """

    def __init__(self, signal: int, step: int, workdir: pathlib.Path) -> None:
        super().__init__(
            f"stopped by signal {signal} at step {step}, saved in {workdir}; "
            "run the same command to go on"
        )
        self.signal = signal


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Trains, evaluates before and after, and writes the report.

    Args:
      config: the experiment, see configs/base.py.
      workdir: folder of the run; a run of the same config in it goes on where it was.
      resume: go on from the checkpoints there although the config differs.
      overwrite: delete the run there first.

    Returns:
      The final metrics: step, loss, knn_top1, linear_top1, untrained_knn_top1,
      untrained_linear_top1, chance (None where evaluations are off) and the path of the report.

    Raises:
      UserError: something asked for cannot be done; the message says what, where and the fix.
      Stopped: a signal came.
    """
    began = time.time()
    validate(config)
    sources = create_sources(config.data, config.seed)
    method = create_method(config, classes=len(sources.train.classes))
    looked_at = survey(sources.train, method.inputs)
    folder = Workdir(workdir)
    batches = TrainBatches(
        sources.train,
        method.inputs,
        batch_size=config.batch_size,
        seed=config.seed,
        workers=config.data.workers,
    )
    folder.prepare(config, resume=resume, overwrite=overwrite)
    bad = BadExamples(sources.train, folder.bad_examples, config.data.max_bad_fraction)

    # --- state and step
    mesh = make_mesh()
    optimizer, schedule = create_optimizer(config.optimizer, config.steps, config.batch_size)
    state = create_state(method, optimizer, config.seed, mesh)
    if config.init_from:
        state = _with_tower(state, pathlib.Path(config.init_from))
    step_fn = make_train_step(method, optimizer, schedule, config.seed, mesh)
    embed = make_embed(method, mesh)
    log.info("\n%s", parameter_overview.get_parameter_overview(state.variables["params"]))
    log.info("%d videos, about %.2f hours; %s", looked_at.videos, looked_at.hours, mesh)

    # --- resume
    checkpoints = Checkpoints(
        folder.checkpoints, keep=config.checkpoint.keep, keep_best=config.checkpoint.keep_best
    )
    restored = checkpoints.restore(jax.tree.map(_abstract, state))
    restored_step = -1
    if restored is not None:
        restored_step, state, host = restored
        batches.set_state(host["data"])
        bad.set_state(host["bad"])
        log.info("going on from step %d of %s", restored_step, folder.path)
    step = max(restored_step, 0)

    # --- loop
    writer = create_writers(folder.path, config, resume_step=step)
    timer = StepTimer(config.batch_size * method.inputs.views)
    progress = Progress(config.steps, first_step=step)
    measured: tuple[int, dict[str, jax.Array]] | None = None
    results: Results | None = None

    def log_measured() -> None:
        nonlocal measured
        if measured is None:
            return
        (at, arrays), measured = measured, None
        if at % config.log.every and at != config.steps:
            return
        scalars = {name: float(value) for name, value in jax.device_get(arrays).items()}
        check_finite(at, scalars)
        rates = timer.read()
        progress.show(rates)
        writer.write_scalars(at, scalars | {"bad_videos": float(bad.count)} | rates)

    try:
        with StopRequest() as stop:
            while True:
                last = step == config.steps
                metrics: dict[str, float] = {}
                if _is_evaluated(step, config) and (step != restored_step or last):
                    log_measured()
                    protocols = tuple(config.eval.protocols) if step == 0 or last else ("knn",)
                    results = evaluate(
                        lambda batch: embed(state.variables, batch), sources, config, protocols
                    )
                    metrics = results.metrics if results else {}
                    if metrics and step != restored_step:
                        writer.write_scalars(step, metrics)
                    timer.reset()
                due = step > 0 and step % config.checkpoint.every == 0
                if (due or last or stop.signal) and step != restored_step:
                    log_measured()
                    writer.flush()
                    host = {
                        "data": batches.get_state(),
                        "bad": bad.get_state(),
                        "config": plain(config),
                        "classes": list(sources.train.classes),
                    }
                    checkpoints.save(step, state, host, metrics)
                if last:
                    break
                if stop.signal:
                    raise Stopped(stop.signal, step, folder.path)
                with timer.waiting():
                    batch = next(batches)
                bad.update(batch)
                state, arrays = step_fn(state, put_batch(batch, mesh))
                step += 1
                timer.step()
                progress.step()
                log_measured()
                measured = step, arrays
    finally:
        progress.close()
        batches.close()
        checkpoints.close()
        writer.close()

    facts = run_report.RunFacts(
        survey=looked_at, wall_seconds=time.time() - began, command=f"--workdir={folder.path}"
    )
    run_report.write(folder, config, method, sources, results, facts)
    return summarise(folder, step)


def summarise(folder: Workdir, step: int) -> dict[str, Any]:
    """The last and the untrained metrics of a run, from its metrics.jsonl."""
    first: dict[str, Any] = {}
    final: dict[str, Any] = {}
    for row in folder.read_metrics():
        if row["step"] == 0:
            first |= row
        final |= row
    return {
        "step": step,
        "loss": final.get("loss"),
        "knn_top1": final.get("knn_top1"),
        "linear_top1": final.get("linear_top1"),
        "untrained_knn_top1": first.get("knn_top1"),
        "untrained_linear_top1": first.get("linear_top1"),
        "chance": final.get("chance"),
        "report": str(folder.report),
    }


def _is_evaluated(step: int, config: ConfigDict) -> bool:
    every = config.eval.every
    return step in (0, config.steps) or (every > 0 and step % every == 0)


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _with_tower(state: TrainState, path: pathlib.Path) -> TrainState:
    """Replaces the tower's variables by those of a checkpoint.

    Raises:
      UserError: the checkpoint holds another tower.
    """
    checkpoint = find_checkpoint(path.expanduser())
    loaded, _ = load_variables(checkpoint)
    variables = dict(state.variables)
    for collection in ("params", "batch_stats"):
        mine, theirs = variables[collection]["tower"], loaded[collection].get("tower")
        shapes = jax.tree.map(np.shape, mine)
        if shapes != jax.tree.map(np.shape, theirs):
            raise UserError(
                f"config.init_from={path}: the tower in {checkpoint} has other parameters than "
                "config.model describes; use the model section of that run's config.json"
            )
        placed = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), theirs, mine)
        variables[collection] = variables[collection] | {"tower": placed}
    return dataclasses.replace(state, variables=variables)
