"""Command line: `python main.py --config=configs/cvrl_r3d50.py:tiny --workdir=runs/cvrl`.

Kept short on purpose: everything it calls can be imported and tested without it.
"""

from __future__ import annotations

import json
import logging as std_logging
import os
import pathlib
import platform
import signal
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from cvrl_jax.command_line import parse_flags
from cvrl_jax.modes import MODES
from cvrl_jax.stopped import Stopped
from data_pipelines.errors import UserError

config_flags.DEFINE_config_file("config", None, "Experiment, FILE.py or FILE.py:preset.")
flags.DEFINE_string("workdir", None, "Folder of the run.")
flags.DEFINE_enum("mode", "train", list(MODES), "What to do.")
flags.DEFINE_string(
    "checkpoint", None, "All but train: a run's folder or one of its checkpoints; else --workdir."
)
flags.DEFINE_string("to", None, "export: the format, see docs/export.md.")
flags.DEFINE_list("query", [], "search: files or ids, commas between; none = some of all.")
flags.DEFINE_integer("neighbours", 5, "search: how many of each query.")
flags.DEFINE_string("license", "", "export: of the weights, for the model card.")
flags.DEFINE_string("output", None, "export: the file, or folder, to make.")
flags.DEFINE_string(
    "topology",
    None,
    "plan, describe: devices, e.g. v5e:4x4, v5p:2x2x4, cpu:8, gpu; see docs/scale.md.",
)
flags.DEFINE_string("json", "plan.json", "plan: file to write, and a page beside it.")
flags.DEFINE_string(
    "coordinator", None, "train, several processes: HOST:PORT of the first; see docs/scale.md."
)
flags.DEFINE_integer("processes", None, "train: how many there are; 1 = this one alone.")
flags.DEFINE_integer("process", None, "train: number of this one, from 0.")
flags.DEFINE_bool("resume", False, "Go on in --workdir although the config differs.")
flags.DEFINE_bool(
    "overwrite", False, "Delete the run in --workdir (eval: in its finetune folders) first."
)


def main(argv: list[str]) -> int:
    """Runs the mode asked for; its result is one JSON line on stdout."""
    if len(argv) > 1:
        raise UserError(f"unknown argument {argv[1]!r}; flags look like --workdir=DIR")
    _set_up_logging()
    try:
        result = MODES[flags.FLAGS.mode](flags.FLAGS)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signal
    if result:  # of several processes one speaks
        print(json.dumps(result))
    return 0


def _set_up_logging() -> None:
    """Shows our own log lines and everybody's warnings on stderr."""
    logging.set_verbosity(logging.WARNING)
    # Orbax logs what it also raises, once per thread and with tracebacks; we say it in one line.
    std_logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
    for package in ("cvrl_jax", "data_pipelines"):
        std_logging.getLogger(package).setLevel(std_logging.INFO)


def _keep_compiled() -> None:
    """What took long to compile is kept for the next start; JAX reads these as it is imported."""
    # By host: what one CPU's compiler made may be no use to another that shares the home folder.
    cache = pathlib.Path.home() / ".cache" / "cvrl_jax" / "compiled" / platform.node()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1")


def run() -> None:
    """Parses the flags, runs, and turns what a user can mend into one line on stderr."""
    _keep_compiled()
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    run()
