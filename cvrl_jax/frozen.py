"""What is done with a checkpoint without training on: evaluate it, or embed a collection."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.config import from_plain, validate
from cvrl_jax.evaluation.cross_modal import clips
from cvrl_jax.evaluation.embeddings_table import write_embeddings
from cvrl_jax.evaluation.features import Features, Network, extract_features
from cvrl_jax.evaluation.suite import evaluate, evaluation_spec, sources_of
from cvrl_jax.methods import create_method
from cvrl_jax.network import make_network
from cvrl_jax.parallel.mesh import ALL_DATA, make_mesh, replicated
from data_pipelines.errors import UserError
from data_pipelines.loading import kill_after, worker_count
from data_pipelines.video import Source, VideoInfo

log = logging.getLogger(__name__)

_ON_ALL_DEVICES = {
    "mesh": ALL_DATA,
    "preset": "data_parallel",
    "rules": (),
    "chunks": 1,
    "accumulate": 1,
}


def config_of(checkpoint: pathlib.Path) -> ConfigDict:
    """The config that a checkpoint was trained with.

    Raises:
      UserError: no checkpoint there.
    """
    return from_plain(load_variables(find_checkpoint(checkpoint))[1]["config"])


def evaluate_checkpoint(
    config: ConfigDict, checkpoint: pathlib.Path, workdir: pathlib.Path
) -> dict[str, Any]:
    """Runs the protocols of `config.eval` on a checkpoint; `--mode=eval`.

    Model, head and method are the checkpoint's; data and evaluation are the config's. The result is
    also written to `workdir`/eval_<step>.json.

    Raises:
      UserError: no checkpoint, or data without test videos and labels.
    """
    config, path, network, classes = _open(config, checkpoint)
    sources = sources_of(config)
    network = _for(sources.train, classes, network)
    results = evaluate(network, sources, config, tuple(config.eval.protocols))
    if results is None:
        why = sources.no_test_because or "no labelled video can be read"
        raise UserError(f"nothing to evaluate on: {why}")
    workdir.mkdir(parents=True, exist_ok=True)
    summary = {"step": int(path.name), "checkpoint": str(path)} | results.metrics
    summary["left_out"] = _listed(results.left_out)
    target = workdir / f"eval_{path.name}.json"
    target.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary | {"written": str(target)}


def embed_checkpoint(
    config: ConfigDict, checkpoint: pathlib.Path, workdir: pathlib.Path
) -> dict[str, Any]:
    """Writes the vectors of every video to Parquet; `--mode=embed`.

    One row per video and one file per split: `workdir`/embeddings_train.parquet and, where there
    are test videos, embeddings_test.parquet.

    Returns:
      Rows written and videos left out, by split, and the files.
    """
    config, path, network, _ = _open(config, checkpoint)
    sources = sources_of(config)
    workdir.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {"step": int(path.name), "checkpoint": str(path)}
    for split, source in (("train", sources.train), ("test", sources.test)):
        if source is None:
            continue
        features = extract_features(
            network.embed,
            source,
            evaluation_spec(config, config.eval.clips, config.eval.crops, network.inputs),
            batch_size=config.eval.batch_size,
            workers=worker_count(config.data),
            timeout=kill_after(config.data),
        )
        infos = [source.info(index) for index in range(len(source))]
        target = workdir / f"embeddings_{split}.parquet"
        rows = write_embeddings(
            target,
            ids=[info.id for info in infos],
            paths=[info.path for info in infos],
            labels_N=features.labels_N,
            vectors_NxD=features.mean_NxD,
            valid_N=features.valid_N,
            classes=source.classes,
            step=int(path.name),
            config_name=config.name,
            more=_further_columns(features),
        )
        summary[split] = {
            "rows": rows,
            "left_out": _listed(features.left_out),
            "file": str(target),
        }
    return summary


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


def _open(
    config: ConfigDict, checkpoint: pathlib.Path
) -> tuple[ConfigDict, pathlib.Path, Network, list[str]]:
    """The config with the checkpoint's own model in it, the checkpoint, its network and classes."""
    path = find_checkpoint(checkpoint)
    variables, host = load_variables(path)
    config = config.copy_and_resolve_references()
    with config.unlocked():
        for section in ("model", "head", "method"):
            config[section] = from_plain(host["config"][section])
        config.parallel = ConfigDict(_ON_ALL_DEVICES)  # however it was trained
    validate(config)
    mesh = make_mesh()
    network = make_network(create_method(config, classes=len(host["classes"])), mesh)
    variables = jax.device_put(variables, replicated(mesh))  # once, not for every batch
    return config, path, network(variables), host["classes"]


def _for(source: Source, classes: list[str], network: Network) -> Network:
    """Without the classifier's output where `source` has other classes than it was trained on."""
    if list(source.classes) == classes:
        return network

    def embed(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = network.embed(batch)
        return {name: value for name, value in outputs.items() if name != "probabilities"}

    return dataclasses.replace(network, embed=embed)


def _listed(left_out: tuple[tuple[VideoInfo, str], ...]) -> list[dict[str, str]]:
    """For the result; each is logged as well."""
    for info, reason in left_out:
        log.warning("left out, cannot be read: %s: %s", info.path, reason)
    return [{"path": info.path, "reason": reason} for info, reason in left_out]
