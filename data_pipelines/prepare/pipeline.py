"""The Apache Beam pipeline: a shard is an element, on one machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from tqdm import tqdm

from data_pipelines.errors import UserError
from data_pipelines.prepare.census import Census, finish
from data_pipelines.prepare.plan import Job, Shard, claim, plan_shards
from data_pipelines.prepare.shards import ShardMaker
from data_pipelines.prepare.storage import Storage

LOCAL = "DirectRunner"
"""The runner of one machine, and the default."""

_bar: tqdm | None = None  # shown where the pipeline runs in the process that started it


class MakeShard(beam.DoFn):
    """Makes one shard per element; yields its name."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def setup(self) -> None:
        """Starts the processes that transcode."""
        self._maker = ShardMaker(self._job)
        self._done = Metrics.counter("prepare", "videos")

    # Beam reads what a DoFn takes from this signature, so it cannot be as wide as its base's.
    def process(self, element: Shard) -> Iterator[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Makes a shard unless it is there."""
        self._maker.make(element, self._progress)
        yield element.name

    def teardown(self) -> None:
        """Stops the processes."""
        self._maker.close()

    def _progress(self, videos: int) -> None:
        self._done.inc(videos)
        if _bar is not None:
            _bar.update(videos)


def prepare(job: Job, beam_flags: Sequence[str] = (), quiet: bool = False) -> Census:
    """Prepares the records of a job; what an earlier run finished is kept.

    Args:
      job: what to prepare.
      beam_flags: Apache Beam's own flags, such as --runner=DataflowRunner --project=NAME.
      quiet: show no progress bar.

    Raises:
      UserError: a flag is unknown, the output is taken, or the input changes under way.
    """
    options = _options(beam_flags)
    splits, storage = job.open_input(), Storage(job.output)
    shards = plan_shards(splits, job)
    claim(storage, shards)
    global _bar
    with tqdm(total=sum(map(len, splits.values())), unit="video", disable=quiet) as _bar:
        try:
            pipeline = beam.Pipeline(options=options)
        except (ValueError, ImportError) as error:  # no such runner, or its package is missing
            raise UserError(f"Apache Beam cannot start: {' '.join(str(error).split())}") from error
        _ = (
            pipeline
            | "Shards" >> beam.Create(shards)
            | "Spread" >> beam.Reshuffle()
            | "Make" >> beam.ParDo(MakeShard(job))
        )
        try:
            pipeline.run().wait_until_finish()
        except RuntimeError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # Beam takes it for a failure
                raise KeyboardInterrupt from error
            if is_local(beam_flags):
                raise
            # The job failed, or the program that shall run it cannot be had.
            runner, reason = options.view_as(StandardOptions).runner, " ".join(str(error).split())
            raise UserError(f"Apache Beam's {runner}: {reason}") from error
        finally:
            _bar = None
    return finish(storage, splits, shards, job.encoding)


def is_local(beam_flags: Sequence[str]) -> bool:
    """Whether the pipeline runs in this process."""
    return (PipelineOptions(list(beam_flags)).view_as(StandardOptions).runner or LOCAL) == LOCAL


def _options(flags: Sequence[str]) -> PipelineOptions:
    if not is_local(flags):
        return PipelineOptions(list(flags))  # a cluster's own flags are known to the cluster
    every = PipelineOptions(list(flags)).get_all_options(retain_unknown_options=True)
    unknown = every.keys() - PipelineOptions([]).get_all_options().keys()
    if unknown:
        raise UserError(f"unknown flag --{min(unknown)}; python -m data_pipelines.prepare --help")
    options = PipelineOptions(list(flags))
    # What DirectRunner stood for until Beam 2.68, which would fetch and start another program.
    options.view_as(StandardOptions).runner = "FnApiRunner"
    return options
