"""The vectors of a whole collection as Parquet, in parts, so that a stopped run goes on."""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from cvrl_jax.config import plain
from cvrl_jax.downstream.frozen import Opened, listed, open_checkpoint
from cvrl_jax.downstream.parts import Parts
from cvrl_jax.evaluation.cross_modal import clips
from cvrl_jax.evaluation.embeddings_table import write_embeddings
from cvrl_jax.evaluation.features import Features, features_of
from cvrl_jax.evaluation.specs import evaluation_spec
from cvrl_jax.evaluation.suite import sources_of
from data_pipelines.loading import kill_after, worker_count
from data_pipelines.pipeline import Batch, evaluation_batches
from data_pipelines.video import Source, VideoInfo

ABOUT = "embeddings.json"
"""Beside the tables: which checkpoint and config they come from."""

_BATCHES = 16  # of a part
_WITHOUT_EFFECT = ("config.data.workers", "config.data.max_seconds", "config.log.")


def embed_checkpoint(
    config: ConfigDict | None, checkpoint: pathlib.Path, workdir: pathlib.Path
) -> dict[str, Any]:
    """Writes the vectors of every video to Parquet; `--mode=embed`.

    One row per video and one file per split: `workdir`/embeddings_train.parquet and, where there
    are test videos, embeddings_test.parquet. Until all are done, parts of them are in
    `workdir`/embeddings.unfinished: the same call goes on there, and ends with the same rows.

    Returns:
      Rows written and videos left out, by split, and the files.

    Raises:
      UserError: no checkpoint, or the parts there are of something else.
    """
    opened = open_checkpoint(config, checkpoint)
    sources = sources_of(opened.config)
    splits = {name: s for name, s in (("train", sources.train), ("test", sources.test)) if s}
    about = _about(opened, splits)
    parts = Parts.begin(workdir / "embeddings.unfinished", about, _WITHOUT_EFFECT)
    for split, source in splits.items():
        _embed(opened, source, parts, split)
    summary: dict[str, Any] = {"step": opened.step, "checkpoint": str(opened.path)}
    for split in splits:
        target = workdir / f"embeddings_{split}.parquet"
        rows, left_out = parts.join(split, target)
        summary[split] = {"rows": rows, "left_out": left_out, "file": str(target)}
    (workdir / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    parts.delete()
    return summary


def _embed(opened: Opened, source: Source, parts: Parts, split: str) -> None:
    """Writes the parts of a split that are not there yet."""
    config, network = opened.config, opened.network
    size = max(1, config.eval.batch_size // (config.eval.clips * config.eval.crops))
    done = parts.count(split)
    first = min(done * _BATCHES * size, len(source))
    batches = _ahead(
        evaluation_batches(
            source,
            evaluation_spec(config, config.eval.clips, config.eval.crops, network.inputs),
            batch_size=size,
            workers=worker_count(config.data),
            timeout=kill_after(config.data),
            first=first,
        )
    )
    with contextlib.closing(batches), tqdm(
        total=len(source), initial=first, desc=f"vectors of {split}", unit="video", leave=False,
        disable=None,
    ) as bar:  # fmt: skip
        for number in itertools.count(done):
            begin = number * _BATCHES * size
            if begin >= len(source):
                break
            features = features_of(network.embed, source, itertools.islice(batches, _BATCHES))
            infos = [source.info(begin + row) for row in range(len(features.valid_N))]
            _write(opened, source, features, infos, parts, split, number)
            bar.update(len(infos))


def _write(
    opened: Opened,
    source: Source,
    features: Features,
    infos: list[VideoInfo],
    parts: Parts,
    split: str,
    number: int,
) -> None:
    def write(path: pathlib.Path) -> None:
        write_embeddings(
            path,
            ids=[info.id for info in infos],
            paths=[info.path for info in infos],
            labels_N=features.labels_N,
            vectors_NxD=features.mean_NxD,
            valid_N=features.valid_N,
            classes=source.classes,
            step=opened.step,
            config_name=str(opened.config.name),
            more=_further_columns(features),
        )

    parts.add(split, number, write, listed(features.left_out))


def _about(opened: Opened, splits: dict[str, Source]) -> dict[str, Any]:
    """What vectors depend on, as JSON."""
    return {
        "checkpoint": str(opened.path.resolve()),
        "step": opened.step,
        "videos": {name: _fingerprint(source) for name, source in splits.items()},
        "config": plain(opened.config),
    }


def _fingerprint(source: Source) -> dict[str, int]:
    ids = "\n".join(source.info(index).id for index in range(len(source)))
    return {
        "count": len(source),
        "crc32_of_ids": zlib.crc32(ids.encode("utf-8", "surrogateescape")),
    }


def _ahead(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """The same; the next batch is put together while the device works on this one."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _further_columns(features: Features) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Vectors beside the video tower's: unit means over views, and one for each sentence."""
    columns = {}
    for name, values in features.outputs.items():
        if name == "video" or values.ndim != 3:
            continue
        present = features.is_present(name)
        if not name.startswith("text"):
            items = clips(values, present)
            values, present = np.zeros((len(values), values.shape[-1])), present.any(axis=1)
            values[items.videos_M] = items.vectors_MxD
        columns[name] = values, present
    return columns
