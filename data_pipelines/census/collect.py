"""The census itself: every file in a process that may hang or crash, then the search for copies."""

from __future__ import annotations

import functools

from data_pipelines.census.duplicates import Progress, with_copies, with_digests
from data_pipelines.census.inputs import Inputs
from data_pipelines.census.inspect_file import inspect_file
from data_pipelines.census.record import Record
from data_pipelines.isolation import Lost, isolated_map


def collect(
    inputs: Inputs, *, workers: int, timeout: float, quick: bool, progress: Progress
) -> list[Record]:
    """Looks at every file.

    Args:
      inputs: the files.
      workers: processes that decode, then threads that compare.
      timeout: seconds after which the process of a file is killed and the file is bad. Decoding
        stops after half of it: a long video is decoded in part.
      quick: read the packets' times and decode the first frame only.
      progress: shows how far it is.

    Returns:
      As many records as `inputs` has, in the same order.
    """
    look = functools.partial(
        inspect_file,
        root=inputs.root,
        limits=inputs.limits,
        decode_seconds=0.0 if quick else timeout / 2,
    )
    to_open = [record for record in inputs.records if record.status == "readable"]
    results = isolated_map(look, to_open, workers=workers, timeout=timeout) if to_open else ()
    opened = iter(
        [
            record.refused(result.reason) if isinstance(result, Lost) else result
            for record, result in progress(results, len(to_open), "open")
        ]
    )
    records = [next(opened) if r.status == "readable" else r for r in inputs.records]
    return with_copies(with_digests(records, inputs.root, workers, progress))
