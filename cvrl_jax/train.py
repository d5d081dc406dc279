"""Training: the loop, top to bottom.

The order of the loop makes a resumed run equal, bit for bit, to one never stopped: evaluate the old
state, save it, take the next batch, step, log what the step before measured.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
import time
from typing import Any

from clu import parameter_overview
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cvrl_jax.checkpoint import Checkpoints, check_not_beyond
from cvrl_jax.config import plain, validate
from cvrl_jax.evaluation.protocols import QUICK
from cvrl_jax.evaluation.suite import Results, evaluate, sources_of
from cvrl_jax.init_from import load_tower, with_tower
from cvrl_jax.interrupt import StopRequest
from cvrl_jax.layout import rules_of, step_options
from cvrl_jax.methods import Method, Variables, create_method
from cvrl_jax.network import make_network
from cvrl_jax.observe.progress import Progress, StepTimer
from cvrl_jax.observe.step_log import StepLog
from cvrl_jax.observe.writers import MultiWriter, create_writers
from cvrl_jax.optim import create_optimizer
from cvrl_jax.parallel import hosts
from cvrl_jax.parallel.mesh import make_mesh, put_batch, share
from cvrl_jax.saving import full_disk_is_told
from cvrl_jax.state import abstract_state, create_state, make_train_step
from cvrl_jax.stopped import Stopped
from cvrl_jax.workdir import Workdir
from data_pipelines.bad_examples import BadExamples
from data_pipelines.loading import kill_after, worker_count
from data_pipelines.pipeline import TrainBatches
from data_pipelines.sources import Sources
from data_pipelines.survey import Survey, survey

log = logging.getLogger(__name__)


@full_disk_is_told()
def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    command: str | None = None,
) -> dict[str, Any]:
    """Trains, evaluates before and after, and writes the report.

    In a run of several processes (see `parallel.hosts`) each calls this; the first alone writes, to
    a folder that all of them see.

    Args:
      config: the experiment, see configs/base.py.
      workdir: folder of the run; a run of the same config in it goes on where it was.
      resume: go on from the checkpoints there although the config differs.
      overwrite: delete the run there first.
      command: what was typed to start the run, shown in the report.

    Returns:
      The final metrics: step, loss, knn_top1, linear_top1, untrained_knn_top1,
      untrained_linear_top1, chance (None where evaluations are off) and the path of the report; of
      a run with cross_modal_retrieval also text_to_video_r1, audio_to_video_r1, both of them
      untrained, chance_r1 and audio_to_video_chance_r1; of one with a classifier also
      classifier_top1 or classifier_map. {} on all processes but the first.

    Raises:
      UserError: something asked for cannot be done; the message says what, where and the fix.
      Stopped: a signal came.
    """
    began = time.time()
    validate(config)
    sources = sources_of(config)
    method = create_method(config, classes=len(sources.train.classes))
    folder = Workdir(workdir)
    fresh = overwrite or not folder.has_checkpoints()
    tower = None
    if config.init_from and fresh:
        tower = load_tower(config.init_from, method, config.model.to_dict())
    workers, timeout = worker_count(config.data), kill_after(config.data)
    mesh = make_mesh(config.parallel.mesh)
    looked_at = survey(sources.train, method.inputs, workers=workers, timeout=timeout)
    log.info("%d videos, about %.2f hours", looked_at.videos, looked_at.hours)
    batches = TrainBatches(
        sources.train,
        method.inputs,
        batch_size=config.batch_size,
        seed=config.seed,
        last_batch=config.data.last_batch,
        workers=workers,
        host=share(mesh),
        timeout=timeout,
    )
    if not fresh:
        check_not_beyond(folder.path, config.steps)
    # Nothing was written before this.
    hosts.on_first(lambda: folder.prepare(config, resume=resume, overwrite=overwrite))
    with contextlib.closing(batches):
        census = _census(sources, looked_at)
        step, results = _fit(config, folder, sources, method, mesh, batches, tower, census)
    from cvrl_jax.reports import run as run_report  # here: its pictures keep no first step waiting

    facts = run_report.RunFacts(survey=looked_at, wall_seconds=time.time() - began, command=command)
    hosts.on_first(lambda: run_report.write(folder, config, method, sources, results, facts))
    return summarise(folder, step) if hosts.is_first() else {}


def _fit(
    config: ConfigDict,
    folder: Workdir,
    sources: Sources,
    method: Method,
    mesh: Mesh,
    batches: TrainBatches,
    tower: Variables | None,
    census: dict[str, Any],
) -> tuple[int, Results | None]:
    """Restores or makes the state and runs the loop; returns the last step and its evaluation."""
    # --- step and state: the checkpoint's, or a fresh one
    rules = rules_of(config)
    optimizer, schedule = create_optimizer(config.optimizer, config.steps, config.batch_size)
    step_fn = make_train_step(
        method, optimizer, schedule, config.seed, mesh, rules, **step_options(config)
    )
    network = make_network(method, mesh, config.eval.batch_size)
    bad = BadExamples(
        sources.train,
        folder.bad_examples,
        config.data.max_bad_fraction,
        gather=hosts.speaker_of(share(mesh)),
        writes=hosts.is_first(),
    )
    checkpoints = Checkpoints(
        folder.checkpoints, keep=config.checkpoint.keep, keep_best=config.checkpoint.keep_best
    )
    restored = checkpoints.restore(abstract_state(method, optimizer, mesh, rules))
    if restored is None:
        restored_step = -1
        state = create_state(method, optimizer, config.seed, mesh, rules)
        if tower is not None:
            state = with_tower(state, tower)
    else:
        restored_step, state, host = restored
        batches.set_state(host["data"])
        bad.set_state(host["bad"])
        log.info("going on from step %d of %s", restored_step, folder.path)
    step = max(restored_step, 0)
    log.info("\n%s", parameter_overview.get_parameter_overview(state.variables["params"]))
    log.info("%s", mesh)

    # --- loop
    writer = MultiWriter(())
    if hosts.is_first():
        writer = create_writers(folder.path, config, resume_step=restored_step)
    timer = StepTimer(config.batch_size * method.inputs.views)
    progress = Progress(config.steps, first_step=step)
    steps = StepLog(writer, timer, progress, every=config.log.every, last=config.steps)
    results: Results | None = None
    with StopRequest() as stop, contextlib.ExitStack() as at_the_end, hosts.ends_with_others():
        for resource in (writer, checkpoints, progress):  # the last one closes first
            at_the_end.callback(resource.close)
        while True:
            last = step >= config.steps
            stopped_by = stop.stopped_by(step)  # once: a later signal waits for the next round
            metrics: dict[str, float] = {}
            if _is_evaluated(step, config) and (step != restored_step or last):
                steps.write(about_to_save=last)
                protocols = tuple(config.eval.protocols)
                if 0 < step < config.steps:
                    protocols = tuple(p for p in protocols if p in QUICK) or ("knn",)
                results = evaluate(network(state.variables), sources, config, protocols)
                metrics = results.metrics if results else {}
                for info, reason in results.left_out if results else ():
                    bad.note(info, reason)
                if metrics and step != restored_step:
                    writer.write_scalars(step, metrics)
                timer.reset()
            due = step > 0 and step % config.checkpoint.every == 0
            if (due or last or stopped_by) and step != restored_step:
                steps.write(about_to_save=True)
                writer.flush()
                bad.agree()
                host = {
                    "data": batches.get_state(),
                    "bad": bad.get_state(),
                    "config": plain(config),
                    "classes": list(sources.train.classes),
                    "census": census,
                }
                checkpoints.save(step, state, host, metrics)
            if last:
                return step, results
            if stopped_by:
                raise Stopped(stopped_by, step, folder.path)
            with timer.waiting():
                batch = next(batches)
            bad.update(batch)
            if steps.is_due(step + 1):
                bad.agree()
            state, arrays = step_fn(state, put_batch(batch, mesh))
            step += 1
            steps.write()
            steps.hold(step, arrays, {"bad_videos": float(bad.count)})


def summarise(folder: Workdir, step: int) -> dict[str, Any]:
    """The last and the untrained metrics of a run, from its metrics.jsonl."""
    first: dict[str, Any] = {}
    final: dict[str, Any] = {}
    for row in folder.read_metrics():
        if row["step"] == 0:
            first |= row
        final |= row
    retrieved = [name for name in ("text_to_video_r1", "audio_to_video_r1") if name in final]
    own = [name for name in ("classifier_top1", "classifier_map") if name in final]
    shown = ["knn_top1", "linear_top1", *retrieved, *own]
    summary: dict[str, Any] = {"step": step, "loss": final.get("loss")}
    summary |= {name: final.get(name) for name in shown}
    summary |= {f"untrained_{name}": first.get(name) for name in shown}
    summary |= {"chance": final.get("chance")}
    if retrieved:
        summary["chance_r1"] = final.get("chance_r1")
        summary["audio_to_video_chance_r1"] = final.get("audio_to_video_chance_r1")
    return summary | {"report": str(folder.report)}


def _census(sources: Sources, looked_at: Survey) -> dict[str, Any]:
    """What a model card says of the data; hours and frames are those of a sample."""
    shortest, median, longest = looked_at.frames
    return {
        "training_videos": looked_at.videos,
        "test_videos": len(sources.test) if sources.test else 0,
        "hours": round(looked_at.hours, 2),
        "frames_per_video": {"shortest": shortest, "median": median, "longest": longest},
        "listed_but_missing": len(sources.train.missing),
    }


def _is_evaluated(step: int, config: ConfigDict) -> bool:
    every = config.eval.every
    if step == 0:
        return config.eval.at_start
    return step >= config.steps or (every > 0 and step % every == 0)
