"""The end of a preparation: what became of every video, and the files that tell."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.errors import UserError
from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.plan import Shard
from data_pipelines.prepare.schema import INDEX, DatasetInfo, ShardFacts
from data_pipelines.prepare.shards import Receipt, read_receipt
from data_pipelines.prepare.storage import Storage
from data_pipelines.video import Source


@dataclasses.dataclass(frozen=True)
class Census:
    """What a preparation ends with; `videos` = `written` + `bad`.

    Attributes:
      videos: in the input.
      written: records.
      bad: listed in quarantine.jsonl.
      hours: of video in the records.
      bytes: of all shards.
    """

    videos: int
    written: int
    bad: int
    hours: float
    bytes: int


def finish(
    storage: Storage, splits: Mapping[str, Source], shards: list[Shard], encoding: Encoding
) -> Census:
    """Writes the index, the quarantine and the dataset's description from all receipts.

    Raises:
      UserError: a shard has no receipt, or the counts do not add up to the input's.
    """
    receipts: list[Receipt] = []
    for shard in shards:
        receipt = read_receipt(storage, shard)
        if receipt is None or len(receipt.rows) + len(receipt.bad) != shard.stop - shard.start:
            raise UserError(
                f"shard {shard.name} in {storage.root} is not finished: run the same command again"
            )
        receipts.append(receipt)
    rows = [row for receipt in receipts for row in receipt.rows]
    bad = [
        row | {"shard": shard.name}
        for shard, receipt in zip(shards, receipts)
        for row in receipt.bad
    ]
    census = Census(
        videos=sum(map(len, splits.values())),
        written=len(rows),
        bad=len(bad),
        hours=sum(row["seconds"] for row in rows) / 3600,
        bytes=sum(receipt.bytes for receipt in receipts),
    )
    index = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), index)
    storage.write("index.parquet", index.getvalue())
    storage.write("quarantine.jsonl", "".join(json.dumps(row) + "\n" for row in bad).encode())
    first = next(iter(splits.values()))
    info = DatasetInfo(
        name=first.name.partition("/")[0],
        classes=first.classes,
        factors={name: np.asarray(values).tolist() for name, values in first.factors.items()},
        encoding=dataclasses.asdict(encoding),
        splits={split: sum(row["split"] == split for row in rows) for split in splits},
        shards={
            f"{shard.name}.array_record": ShardFacts(
                bytes=receipt.bytes, videos=len(receipt.rows), sha256=receipt.sha256
            )
            for shard, receipt in zip(shards, receipts)
        },
        index_sha256=hashlib.sha256(index.getvalue()).hexdigest(),
        census=dataclasses.asdict(census),
        versions={p: importlib.metadata.version(p) for p in ("array_record", "av", "simplejpeg")},
    )
    storage.remove_unfinished("shards")
    storage.write("dataset_info.json", info.to_json().encode())
    return census
