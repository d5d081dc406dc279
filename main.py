"""Command line: `python main.py --config=configs/cvrl_r3d50.py:tiny --workdir=runs/cvrl`.

Kept short on purpose: everything it calls can be imported and tested without it.
"""

from __future__ import annotations

import json
import logging as std_logging
import pathlib
import shlex
import signal
import sys

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from cvrl_jax.command_line import parse_flags
from data_pipelines.errors import UserError

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment, FILE.py or FILE.py:preset.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "eval", "embed", "search", "export", "describe", "plan"],
    "What to do.",
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "All but train: a run's folder or one of its checkpoints; else --workdir."
)
_TO = flags.DEFINE_string("to", None, "export: the format, see docs/export.md.")
_QUERY = flags.DEFINE_list("query", [], "search: files or ids, commas between; none = some of all.")
_NEIGHBOURS = flags.DEFINE_integer("neighbours", 5, "search: how many of each query.")
_LICENSE = flags.DEFINE_string("license", "", "export: of the weights, for the model card.")
_OUTPUT = flags.DEFINE_string("output", None, "export: the file, or folder, to make.")
_TOPOLOGY = flags.DEFINE_string(
    "topology",
    None,
    "plan, describe: devices, e.g. v5e:4x4, v5p:2x2x4, cpu:8, gpu; see docs/scale.md.",
)
_JSON = flags.DEFINE_string("json", "plan.json", "plan: file to write, and a page beside it.")
_RESUME = flags.DEFINE_bool("resume", False, "Go on in --workdir although the config differs.")
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Delete the run in --workdir (eval: in its finetune folders) first."
)


def main(argv: list[str]) -> int:
    """Runs the mode asked for; its result is one JSON line on stdout."""
    if len(argv) > 1:
        raise UserError(f"unknown argument {argv[1]!r}; flags look like --workdir=DIR")
    if _MODE.value == "describe":
        return _describe()
    if _MODE.value == "plan":
        return _plan()
    if _WORKDIR.value is None:
        raise UserError("--workdir=DIR is needed: the folder of the run")
    _set_up_logging()
    workdir = pathlib.Path(_WORKDIR.value)
    # Imported late, so that a wrong flag is reported without waiting for JAX.
    if _MODE.value == "train":
        from cvrl_jax.train import Stopped, train

        try:
            result = train(
                _needed_config(),
                workdir,
                resume=_RESUME.value,
                overwrite=_OVERWRITE.value,
                command=shlex.join(["python", *sys.argv]),
            )
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            return 128 + stopped.signal
    elif _MODE.value == "export":
        from cvrl_jax.export.write import export_checkpoint

        if _TO.value is None or _OUTPUT.value is None:
            raise UserError("--mode=export needs --to=FORMAT and --output=FILE")
        checkpoint = pathlib.Path(_CHECKPOINT.value or workdir)
        output = pathlib.Path(_OUTPUT.value)
        result = export_checkpoint(checkpoint, _TO.value, output, _LICENSE.value)
    elif _MODE.value == "eval":
        from cvrl_jax.evaluate import evaluate_checkpoint
        from cvrl_jax.train import Stopped

        checkpoint = pathlib.Path(_CHECKPOINT.value or workdir)
        command = shlex.join(["python", *sys.argv])
        try:
            result = evaluate_checkpoint(
                _CONFIG.value, checkpoint, workdir, command, _OVERWRITE.value
            )
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            return 128 + stopped.signal
    elif _MODE.value == "search":
        from cvrl_jax.search.run import search_collection

        result = search_collection(workdir, _QUERY.value, _NEIGHBOURS.value)
    else:
        from cvrl_jax.embed import embed_checkpoint

        checkpoint = pathlib.Path(_CHECKPOINT.value or workdir)
        result = embed_checkpoint(_CONFIG.value, checkpoint, workdir)
    print(json.dumps(result))
    return 0


def _describe() -> int:
    from cvrl_jax.describe import describe, state_table
    from cvrl_jax.parallel.describe import sharding_table
    from cvrl_jax.plan.chips import parse_topology

    config = _needed_config()
    devices = parse_topology(_TOPOLOGY.value).devices or None if _TOPOLOGY.value else None
    described = describe(config, devices)
    print(sharding_table(state_table(config, devices)), file=sys.stderr)
    print(json.dumps(described))
    return 0


def _plan() -> int:
    from cvrl_jax.plan.chips import parse_topology
    from cvrl_jax.plan.devices import prepare_environment

    if _TOPOLOGY.value is None:
        raise UserError("--mode=plan needs --topology, e.g. --topology=v5e:4x4")
    topology = parse_topology(_TOPOLOGY.value)
    config, target = _needed_config(), pathlib.Path(_JSON.value)
    prepare_environment(topology)  # before JAX looks for devices
    from cvrl_jax.plan.page import summary
    from cvrl_jax.plan.plan import plan

    _set_up_logging()
    result = plan(config, topology, target)
    print(summary(result), file=sys.stderr)
    keys = ("fits", "bytes_per_chip", "hbm_bytes", "flops_per_chip", "model_flops_per_chip")
    print(json.dumps({key: result[key] for key in keys} | {"written": str(target)}))
    return 0


def _needed_config() -> ConfigDict:
    if _CONFIG.value is None:
        raise UserError("--config=FILE.py is needed, e.g. --config=configs/cvrl_r3d50.py:tiny")
    return _CONFIG.value


def _set_up_logging() -> None:
    """Shows our own log lines and everybody's warnings on stderr."""
    logging.set_verbosity(logging.WARNING)
    # Orbax logs what it also raises, once per thread and with tracebacks; we say it in one line.
    std_logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
    for package in ("cvrl_jax", "data_pipelines"):
        std_logging.getLogger(package).setLevel(std_logging.INFO)


def run() -> None:
    """Parses the flags, runs, and turns what a user can mend into one line on stderr."""
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    run()
