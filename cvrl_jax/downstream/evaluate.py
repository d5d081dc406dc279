"""Judging a finished run: `--mode=eval`.

Protocols of a frozen network are run by the suite, those that start from a checkpoint (fine-tuning,
CKA) by the table here. Whichever they are, the result is one JSON object, a JSON file, a report,
and a row for each protocol in WORKDIR/results.csv.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.checkpoint import versions
from cvrl_jax.config import get
from cvrl_jax.downstream import report
from cvrl_jax.downstream.compare import compare
from cvrl_jax.downstream.finetune import Judged, finetune, semi_supervised_finetune
from cvrl_jax.downstream.frozen import Opened, listed, open_checkpoint
from cvrl_jax.downstream.labels import check_labels
from cvrl_jax.downstream.results_table import append_rows, file_name, finite, write_json
from cvrl_jax.evaluation.bench import mean_and_spread
from cvrl_jax.evaluation.features import Network
from cvrl_jax.evaluation.protocols import ON_CHECKPOINTS, headline
from cvrl_jax.evaluation.suite import Results, evaluate, sources_of
from data_pipelines.errors import UserError
from data_pipelines.sources import Sources

log = logging.getLogger(__name__)

# Protocol -> (its name, the checkpoint, the videos, a folder for what it leaves behind, whether
# what another recipe left there may be deleted).
_RUN: dict[str, Callable[[str, Opened, Sources, pathlib.Path, bool], Judged]] = {
    "finetune": finetune,
    "semi_supervised_finetune": semi_supervised_finetune,
    "cka": compare,
}
assert set(_RUN) == set(ON_CHECKPOINTS)


@dataclasses.dataclass(frozen=True)
class _Round:
    """One evaluation: all there is, or one of `eval.repeat.over`."""

    by_protocol: dict[str, dict[str, float]]
    health: dict[str, float]
    census: dict[str, Any]
    left_out: list[dict[str, str]]
    files: dict[str, Any]
    results: Results | None
    sources: Sources

    @property
    def metrics(self) -> dict[str, float]:
        """All of them."""
        return self.health | {k: v for found in self.by_protocol.values() for k, v in found.items()}


def evaluate_checkpoint(
    asked: ConfigDict | None,
    checkpoint: pathlib.Path,
    workdir: pathlib.Path,
    command: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Runs the protocols of `config.eval` on a checkpoint.

    Args:
      asked: see `frozen.open_checkpoint`.
      checkpoint: likewise.
      workdir: where results go; made where it is missing.
      command: what was typed, for the report.
      overwrite: delete fine-tuned runs of another recipe in `workdir`.

    Returns:
      What is also in the file `written`: `recipe`, `protocols`, `checkpoint`, `step`, `seed`, all
      metrics by name, `census`, `left_out` (each video that could not be read, with the reason),
      and the files `report` and `table`.

    Raises:
      UserError: no checkpoint, or data without test videos and labels.
    """
    began = time.time()
    opened = open_checkpoint(asked, checkpoint)
    config = opened.config
    recipe = config.name
    rounds: list[_Round] = []
    for value, its_config in _repeated(config):
        one = dataclasses.replace(opened, config=its_config)
        place = workdir if value is None else workdir / f"{config.eval.repeat.field}_{value}"
        rounds.append(_judge(one, place, overwrite))
        log.info("%s %s: %s", recipe, "" if value is None else value, rounds[-1].metrics)
    metrics = mean_and_spread([one.metrics for one in rounds])
    workdir.mkdir(parents=True, exist_ok=True)
    name = f"eval_{file_name(recipe)}_{opened.step}"
    summary: dict[str, Any] = {
        "recipe": recipe,
        "protocols": list(rounds[0].by_protocol),
        "checkpoint": str(opened.path),
        "step": opened.step,
        "seed": config.seed,
        **metrics,
        "census": rounds[0].census,
        "left_out": _once([entry for one in rounds for entry in one.left_out]),
        **rounds[0].files,
    }
    if len(rounds) > 1:
        summary["repeated"] = {"field": config.eval.repeat.field} | {
            str(value): one.metrics for value, one in zip(config.eval.repeat.over, rounds)
        }
    summary["report"] = str(workdir / f"{name}.html")
    summary["table"] = str(workdir / "results.csv")
    wall = time.time() - began
    report.write(summary, opened, rounds[0].results, rounds[0].sources, command, wall)
    write_json(workdir / f"{name}.json", summary)
    append_rows(workdir / "results.csv", _rows(summary, rounds))
    return finite(summary | {"written": str(workdir / f"{name}.json")})


def _judge(opened: Opened, workdir: pathlib.Path, overwrite: bool) -> _Round:
    config = opened.config
    sources = sources_of(config)
    check_labels(sources, tuple(config.eval.protocols))
    frozen = [name for name in config.eval.protocols if name not in _RUN]
    by_protocol: dict[str, dict[str, float]] = {}
    results, health, left_out, files = None, {}, [], {}
    if frozen or not config.eval.protocols:
        network = _for(sources, opened.classes, opened.network)
        results = evaluate(network, sources, config, frozen)
        if results is None:
            why = sources.no_test_because or (
                f"no labelled video of {sources.train.name} can be read, or none of "
                f"{sources.test.name if sources.test else 'its test split'}; the log names the "
                "reasons"
            )
            raise UserError(f"nothing to evaluate on: {why}")
        health = dict(results.health)
        left_out = listed(results.left_out)
        by_protocol = {name: found.metrics for name, found in results.findings.items()}
    for name in config.eval.protocols:
        if name in _RUN:
            judged = _RUN[name](name, opened, sources, workdir, overwrite)
            by_protocol[name] = judged.metrics
            left_out += judged.left_out
            files |= judged.files
    if not any(by_protocol.values()):
        raise UserError(
            f"nothing could be measured by {', '.join(config.eval.protocols)} on "
            f"{sources.train.name}; the log says why"
        )
    return _Round(by_protocol, health, _census(sources), left_out, files, results, sources)


def _repeated(config: ConfigDict) -> Iterator[tuple[Any, ConfigDict]]:
    """Yields (value, config) for each of `eval.repeat.over`, or once (None, config)."""
    repeat = config.eval.get("repeat", ConfigDict({"field": "", "over": ()}))
    if not repeat.field:
        yield None, config
        return
    *sections, field = repeat.field.split(".")
    try:
        get(config, repeat.field)
    except (KeyError, TypeError) as error:
        raise UserError(f"config.eval.repeat.field = {repeat.field!r} is no field") from error
    if not repeat.over:
        raise UserError("config.eval.repeat.over is empty; list the values that the field takes")
    for value in repeat.over:
        its_config = config.copy_and_resolve_references()
        section: Any = its_config
        for name in sections:
            section = section[name]
        if isinstance(section[field], str):
            value = str(value)
        section[field] = value
        yield value, its_config


def _census(sources: Sources) -> dict[str, Any]:
    tested = sources.test
    return {
        "source": sources.train.name,
        "train_videos": len(sources.train) if sources.folds is None else 0,
        "test_videos": 0 if tested is None else len(tested),
        "classes": len(sources.train.classes),
        "listed_without_file": sum(len(s.missing) for s in (sources.train, tested) if s),
    }


def _rows(summary: dict[str, Any], rounds: list[_Round]) -> list[dict[str, Any]]:
    census = dict(summary["census"])
    census.pop("listed_without_file")
    rows = []
    for protocol in summary["protocols"]:
        metrics = mean_and_spread([one.by_protocol[protocol] for one in rounds])
        if not metrics:
            continue
        metric = headline(protocol) if headline(protocol) in metrics else next(iter(metrics))
        rows.append(
            {name: summary[name] for name in ("recipe", "checkpoint", "step", "seed")}
            | {"protocol": protocol, "metric": metric, "value": metrics[metric]}
            | {"metrics": metrics, "versions": versions(), "left_out": len(summary["left_out"])}
            | census
        )
    return rows


def _once(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({entry["path"]: entry for entry in entries}.values())


def _for(sources: Sources, classes: list[str], network: Network) -> Network:
    """Without the classifier's output where the videos have other classes than it knows."""
    if list(sources.train.classes) == classes:
        return network

    def embed(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: v for name, v in network.embed(batch).items() if name != "logits"}

    return dataclasses.replace(network, embed=embed)
