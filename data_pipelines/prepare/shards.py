"""Makes shards, each with a receipt by which a finished one is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from array_record.python.array_record_module import ArrayRecordWriter

from data_pipelines.errors import BadVideo, UserError
from data_pipelines.isolation import IsolatedPool, Lost
from data_pipelines.names import as_utf8
from data_pipelines.prepare.plan import Job, Shard, plan_shards
from data_pipelines.prepare.schema import SHARD_OPTIONS
from data_pipelines.prepare.storage import Storage
from data_pipelines.prepare.transcode import Transcoder

Progress = Callable[[int], None]
"""Is told how many videos more are done."""

_AHEAD = 3  # records per worker that may wait in memory


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of the videos of a shard.

    Attributes:
      rows: of the index.
      bad: of the quarantine.
      bytes: of the shard's file.
      sha256: of the shard's file.
    """

    rows: list[dict[str, Any]]
    bad: list[dict[str, str]]
    bytes: int
    sha256: str


class ShardMaker:
    """Makes the shards of a job one by one; holds the processes until it is closed."""

    def __init__(self, job: Job) -> None:
        self._storage = Storage(job.output)
        self._splits = job.open_input()
        plan = plan_shards(self._splits, job)
        self._plan = {shard.name: shard for shard in plan}
        self._pool = IsolatedPool(Transcoder(self._splits, job.encoding), job.workers, job.timeout)

    def make(self, shard: Shard, progress: Progress) -> None:
        """Makes a shard and its receipt, unless they are there and whole.

        Raises:
          UserError: the input is not the one that the shard was planned from, or the output cannot
            be written to.
        """
        if self._plan.get(shard.name) != shard:
            raise UserError(
                f"the list of videos is not the same everywhere (shard {shard.name}): "
                "prepare from files that all machines see and nobody changes"
            )
        receipt = read_receipt(self._storage, shard)
        if receipt is not None and _is_whole(self._storage, shard, receipt):
            progress(shard.stop - shard.start)
            return
        content = msgspec.json.encode(self._write(shard, progress))
        seal = hashlib.sha256(content).hexdigest().encode()
        self._storage.write(_receipt_file(shard), seal + b"\n" + content)

    def _write(self, shard: Shard, progress: Progress) -> Receipt:
        source = self._splits[shard.split]
        rows: list[dict[str, Any]] = []
        bad: list[dict[str, str]] = []
        name = shard_file(shard)
        with self._storage.new_file(name) as path:
            writer = ArrayRecordWriter(str(path), SHARD_OPTIONS)
            places = [(shard.split, index) for index in range(shard.start, shard.stop)]
            for (_, index), result in self._pool.map(places, _AHEAD):
                info = source.info(index)
                if isinstance(result, BadVideo | Lost):
                    names = {"id": as_utf8(info.id), "path": as_utf8(info.path)}
                    bad.append(names | {"reason": result.reason})
                else:
                    data, content = result
                    with _refused_by_the_system():
                        writer.write(data)
                    rows.append(
                        {
                            "id": info.id,
                            "path": as_utf8(info.path),
                            "split": shard.split,
                            "label": info.label,
                            "labels": info.labels,
                            "shard": f"{shard.name}.array_record",
                            "position": len(rows),
                        }
                        | content
                    )
                progress(1)
            with _refused_by_the_system():
                writer.close()
        return Receipt(rows, bad, self._storage.size(name) or 0, self._storage.sha256(name))

    def close(self) -> None:
        """Stops the processes."""
        self._pool.close()


@contextmanager
def _refused_by_the_system() -> Iterator[None]:
    """Around writing an ArrayRecord file, which calls a full disk a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(" ".join(str(error).split())) from error


def shard_file(shard: Shard) -> str:
    """Where a shard lies below the output folder."""
    return f"shards/{shard.name}.array_record"


def read_receipt(storage: Storage, shard: Shard) -> Receipt | None:
    """The receipt of a shard, None where there is none, or a damaged one."""
    if storage.size(_receipt_file(shard)) is None:
        return None
    try:
        seal, _, content = storage.read(_receipt_file(shard)).partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != seal:
            return None
        return msgspec.json.decode(content, type=Receipt)
    except msgspec.MsgspecError:
        return None


def _receipt_file(shard: Shard) -> str:
    return f"shards/{shard.name}.receipt"


def _is_whole(storage: Storage, shard: Shard, receipt: Receipt) -> bool:
    name = shard_file(shard)
    return storage.size(name) == receipt.bytes and storage.sha256(name) == receipt.sha256
