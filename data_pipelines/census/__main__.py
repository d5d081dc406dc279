"""Opens every file of a collection and says which are bad and why, how long, what is double."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from data_pipelines.census.collect import collect
from data_pipelines.census.inputs import read_inputs
from data_pipelines.census.outputs import write_outputs
from data_pipelines.census.summary import Summary, as_json
from data_pipelines.census.terminal import print_summary
from data_pipelines.command import Parser, run
from data_pipelines.errors import UserError
from data_pipelines.names import as_utf8
from data_pipelines.sources import add_section_flags, section_of

_EPILOG = """Exit status: 0 when every video can be read, 1 when some are bad, none is readable or
more of a list are missing than --max_missing_fraction, 2 when the request cannot be met, 130 after
Ctrl-C."""


def main(argv: list[str]) -> int:
    """Takes a census and returns the exit status.

    Raises:
      UserError: the request cannot be met.
    """
    flags = _parser().parse_args(argv)
    if flags.workers < 1 or not flags.timeout > 0:
        raise UserError("--workers must be at least 1 and --timeout above 0 seconds")
    place = pathlib.Path(flags.path).expanduser()
    if not place.exists():
        raise UserError(f"{place} does not exist: name a folder of videos, or a list of them")
    section = section_of(flags, str(place), flags.root)
    inputs = read_inputs(section)
    folder = _output_folder(flags.out, inputs.root)

    def progress(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
        return tqdm(items, title, total, unit="file", mininterval=0.5, disable=flags.json)

    records = collect(
        inputs,
        workers=flags.workers,
        timeout=flags.timeout,
        quick=flags.quick,
        progress=progress,
    )
    summary = Summary.of(inputs, records, flags.quick)
    write_outputs(summary, folder)
    if flags.json:
        print(json.dumps(as_json(summary)))
    else:
        print_summary(summary, folder)
    if inputs.lacks_too_many:
        print(
            f"error: {len(summary.missing)} listed videos do not exist, more of a split than "
            f"--max_missing_fraction={section.max_missing_fraction:g} allows in training",
            file=sys.stderr,
        )
    return 1 if summary.bad or not summary.readable or inputs.lacks_too_many else 0


def _output_folder(out: str, root: str) -> pathlib.Path:
    if as_utf8(out) != out:
        raise UserError(f"--out={as_utf8(out)} is not UTF-8: give another name")
    folder = pathlib.Path(out).expanduser()
    if folder.resolve().is_relative_to(pathlib.Path(root).resolve()):
        raise UserError(
            f"--out={out} lies in the videos' folder {root}, where it would be taken for a part of "
            "the data: name one outside"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out={out} cannot be made: {error.strerror}") from error
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m data_pipelines.census",
        description=__doc__,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("path", metavar="ROOT|MANIFEST", help="folder of videos, or a list in .csv or .jsonl")
    add("--root", metavar="DIR", default="", help="what a list's paths are relative to; default: "
        "its folder")  # fmt: skip
    add("--quick", action="store_true", help="read packets and decode the first frame only")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one per core")
    add(
        "--timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="per video, half of it for decoding; default %(default)g",
    )
    add("--out", default="census", metavar="DIR", help="where to write; default %(default)s")
    add("--json", action="store_true", help="print one JSON object, and no progress")
    add_section_flags(parser)
    return parser


if __name__ == "__main__":
    run(main, "interrupted before the census was complete")
