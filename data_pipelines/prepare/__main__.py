"""Command line: `python -m data_pipelines.prepare --input DIR --output OUT`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import json
import logging
import os
import sys
import time
from collections.abc import Mapping

from data_pipelines.command import Parser, run
from data_pipelines.errors import UserError
from data_pipelines.prepare.encode import STORAGES, Encoding
from data_pipelines.prepare.plan import Job
from data_pipelines.sources import (
    DataSection,
    add_section_flags,
    limits_of,
    read_splits,
    section_of,
)
from data_pipelines.sources.listing import check_missing
from data_pipelines.video import Source

_EPILOG = """Flags of Apache Beam are passed on, such as --runner=DataflowRunner (or SparkRunner,
FlinkRunner) with its --project, --region, --temp_location. The same command goes on after a stop.
Exit status: 0; 1 when more than --max_bad_fraction of the videos could not be read, while all
others are prepared and quarantine.jsonl says which are not and why; 2 when the request cannot be
met; 130 after Ctrl-C."""


def main(argv: list[str]) -> int:
    """Prepares records; prints the census as its last line."""
    flags, rest = _parser().parse_known_args(argv)
    _check(flags, rest)
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError("preparing records needs Apache Beam: pip install 'cvrl_jax[prepare]'")
    # Beam warns of each optional part of its own that is not installed, and prints at length what
    # it also raises; we say it in one line.
    logging.getLogger().addFilter(lambda record: "not found" not in record.getMessage())
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    from data_pipelines.prepare.pipeline import is_local, prepare  # takes a second to import

    encoding = Encoding(**{f.name: getattr(flags, f.name) for f in dataclasses.fields(Encoding)})
    cores = len(os.sched_getaffinity(0)) if is_local(rest) else 1
    section = section_of(flags, flags.input, flags.root)
    job = Job(
        open_input=functools.partial(_open, section),
        output=flags.output,
        encoding=encoding,
        videos_per_shard=flags.videos_per_shard,
        workers=flags.workers or cores,
        timeout=flags.timeout,
        limits=limits_of(section),
    )
    began = time.monotonic()
    census = prepare(job, rest, quiet=flags.json)
    seconds = time.monotonic() - began
    if flags.json:
        print(json.dumps(dataclasses.asdict(census) | {"seconds": round(seconds, 3)}))
    else:
        print(
            f"{census.videos} videos: {census.written} written, {census.bad} bad; "
            f"{census.hours:.3g} hours, {census.bytes / 1e6:.4g} MB in {seconds:.1f} s"
        )
    if census.bad > flags.max_bad_fraction * census.videos:
        others = "the others are prepared and can be used" if census.written else "none is prepared"
        print(
            f"error: {census.bad} of {census.videos} videos cannot be read, more than "
            f"--max_bad_fraction={flags.max_bad_fraction:g}; {flags.output}/quarantine.jsonl says "
            f"why; {others}",
            file=sys.stderr,
        )
        return 1
    return 0


def _check(flags: argparse.Namespace, beam_flags: list[str]) -> None:
    for name, fits, fix in (
        ("input", flags.input, "a folder or a list"),
        ("output", flags.output, "a folder, gs://... or s3://..."),
        ("workers", flags.workers >= 0, "at least 1, or 0 for one per core"),
        ("timeout", flags.timeout > 0, "above 0 seconds"),
        ("max_bad_fraction", 0 <= flags.max_bad_fraction <= 1, "from 0 to 1"),
    ):
        if not fits:
            raise UserError(f"--{name}={getattr(flags, name)} must be {fix}")
    for before, word in zip(["", *beam_flags], beam_flags):
        is_value = before.startswith("--") and "=" not in before
        if not word.startswith("-") and not is_value:
            raise UserError(f"stray argument {word!r}; --help lists the flags")


def _open(section: DataSection) -> Mapping[str, Source]:
    splits = read_splits(section)
    for source in splits.values():
        check_missing(source, section.max_missing_fraction)
    return splits


def _parser() -> Parser:
    default = Encoding()
    parser = Parser(
        prog="python -m data_pipelines.prepare", description=__doc__, epilog=_EPILOG,
        allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add("--input", metavar="PLACE", required=True,
        help="folder of videos, or a list of them ending in .csv or .jsonl")  # fmt: skip
    add("--root", metavar="DIR", default="", help="folder that a list's paths are relative to; "
        "default: its own")  # fmt: skip
    add("--output", metavar="OUT", required=True, help="folder, gs://... or s3://...")
    add("--storage", choices=STORAGES, default=default.storage, help="default %(default)s: JPEG "
        "frames read fastest, H.264 with a key frame every --gop frames is smallest")  # fmt: skip
    add("--short_side", type=int, default=default.short_side, metavar="PIXELS",
        help="larger frames are shrunk to it; 0 = never; default %(default)s")  # fmt: skip
    add("--jpeg_quality", type=int, default=default.jpeg_quality, help="default %(default)s")
    add("--crf", type=int, default=default.crf, help="H.264 quality; default %(default)s")
    add("--gop", type=int, default=default.gop, help="default %(default)s")
    add("--sound", action=argparse.BooleanOptionalAction, default=default.sound, help="keep it")
    add("--videos_per_shard", type=int, default=256, help="default %(default)s")
    add("--workers", type=int, default=0, help="processes; default: one per core here, on a "
        "cluster one per Beam worker")  # fmt: skip
    add("--timeout", type=float, default=600.0, metavar="SECONDS", help="per video; default "
        "%(default)g")  # fmt: skip
    add("--max_bad_fraction", type=float, default=0.05, help="default %(default)g")
    add("--json", action="store_true", help="print the census as JSON, and no progress")
    add_section_flags(parser)
    return parser


if __name__ == "__main__":
    run(main, "interrupted; the same command goes on from the last whole shard")
