"""One process of several that train: COORDINATOR PROCESSES PROCESS FOLDER PHASE...

Several runs one after the other, so that all of them are compiled once.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Callable

import jax
from absl import flags
from ml_collections import ConfigDict

from cvrl_jax import train as training
from cvrl_jax.parallel import hosts
from cvrl_jax.reports import run as run_report
from cvrl_jax.stopped import Stopped

STEPS = 12
real_put_batch = training.put_batch


def config(tiny_config: Callable[..., ConfigDict]) -> ConfigDict:
    """Of all runs here."""
    return tiny_config(
        "cvrl_vit",
        steps=STEPS,
        eval__protocols=("knn",),
        eval__at_start=False,
        data__train_videos=20,
    )


def compile_once() -> None:
    """All runs here have the same step and network, whatever their state is split like."""
    step, network, made = training.make_train_step, training.make_network, {}

    def step_once(*args, **kwargs):
        return made.setdefault("step", step(*args, **kwargs))

    def network_once(*args):
        return made.setdefault("network", network(*args))

    training.make_train_step, training.make_network = step_once, network_once


def on_batch(do) -> None:
    """Calls `do` with the number of the batch that this process is about to put."""
    numbers = iter(range(1000))

    def put_batch(batch, mesh):
        do(next(numbers), batch)
        return real_put_batch(batch, mesh)

    training.put_batch = put_batch


def run(folder: pathlib.Path, name: str) -> dict:
    from tests.conftest import tiny_config

    return training.train(config(tiny_config), folder / name)


def without_report() -> None:
    """For runs whose numbers alone are looked at."""
    run_report.write = lambda *_: None


def unbroken(folder: pathlib.Path, process: int) -> None:
    seen = []
    on_batch(lambda number, batch: seen.append(batch["index"].tolist()))
    result = run(folder, "unbroken")
    training.put_batch = real_put_batch
    (folder / f"unbroken{process}.json").write_text(json.dumps({"seen": seen, "result": result}))


def stopped(folder: pathlib.Path, process: int) -> None:
    """The second process gets SIGTERM; the service that spreads it looks once a second."""

    def signal_once(number, batch):
        if number == 2 and process == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        if number >= 2:
            time.sleep(0.4)

    on_batch(signal_once)
    try:
        run(folder, "stopped")
    except Stopped as stop:
        said = {"signal": stop.signal, "message": str(stop)}
        (folder / f"stopped{process}.json").write_text(json.dumps(said))
    training.put_batch = real_put_batch


def killed(folder: pathlib.Path, process: int) -> None:
    """The second process dies once step 2 is saved, before the step that `stopped` agreed on."""

    def kill(number, batch):
        if number == 2 and process == 1:
            while not (folder / "killed/checkpoints/2").is_dir():
                time.sleep(0.05)
            (folder / "killed_at").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)

    on_batch(kill)
    run(folder, "killed")


def again(folder: pathlib.Path, process: int) -> None:
    """Goes on with what was stopped and killed; the newest checkpoint of a copy is damaged."""
    without_report()
    hosts.on_first(functools.partial(damage, folder))
    for name in ("stopped", "killed", "damaged"):
        run(folder, name)


def damage(folder: pathlib.Path) -> None:
    shutil.copytree(folder / "unbroken", folder / "damaged")
    for file in (folder / "damaged/checkpoints" / str(STEPS) / "state").rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)


def main() -> None:
    coordinator, processes, process, folder, *phases = sys.argv[1:]
    flags.FLAGS.mark_as_parsed()
    import tests.conftest  # it asks for eight devices

    assert tests.conftest
    jax.config.update("jax_num_cpu_devices", 1)
    compile_once()
    with hosts.joined(coordinator, int(processes), int(process)):
        for phase in phases:
            globals()[phase](pathlib.Path(folder), int(process))


if __name__ == "__main__":
    main()
