"""Gathers what the report of an evaluation shows, for `--mode=eval`."""

from __future__ import annotations

import pathlib
from typing import Any

import jax

from cvrl_jax.checkpoint import versions
from cvrl_jax.classified_report import PREDICTORS, gather_classified
from cvrl_jax.config import plain
from cvrl_jax.evaluation.specs import evaluation_spec
from cvrl_jax.evaluation.suite import Results
from cvrl_jax.frozen import Opened
from cvrl_jax.observe.report import ReportContents, write_report
from cvrl_jax.retrieval_report import gather_retrieval
from cvrl_jax.run_report import by_factor, neighbour_queries, summary_numbers
from data_pipelines.sources import Sources


def write(
    summary: dict[str, Any],
    opened: Opened,
    results: Results | None,
    sources: Sources,
    command: str | None,
    wall_seconds: float,
) -> None:
    """Writes the page `summary["report"]`.

    Args:
      summary: the result of the evaluation.
      opened: what was evaluated.
      results: of the protocols of a frozen network, None where there were none.
      sources: what they ran on; where an evaluation is repeated, the first time.
      command: what was typed, if known.
      wall_seconds: how long it took.
    """
    config, inputs = opened.config, opened.method.inputs
    metrics = {k: v for k, v in summary.items() if isinstance(v, float)}
    test = results.test.readable() if results else None
    predictions, shown = (results.predictions_M, results.shown) if results else (None, None)
    spec = evaluation_spec(config, clips=1, crops=1, inputs=inputs)
    repeated = summary.get("repeated", {})
    contents = ReportContents(
        title=f"{summary['recipe']} of step {summary['step']}",
        description=f"{', '.join(summary['protocols'])} on {sources.train.name}; checkpoint "
        f"{summary['checkpoint']}, method {config.method.name}. "
        + (f"Means over {repeated['field']}; pictures are of the first." if repeated else ""),
        of_training=False,
        summary=summary_numbers(metrics, {}),
        chance=metrics.get("chance"),
        multimodal=gather_retrieval(results, sources, config, inputs, {}),
        vectors_MxD=test.mean_NxD if test else None,
        vector_labels_M=test.class_N if test else None,
        classes=sources.train.classes,
        neighbours=neighbour_queries(results, sources, spec),
        true_K=test.labels_N if test and predictions is not None else None,
        predicted_K=predictions,
        predictor=PREDICTORS.get(shown or "", "classifier"),
        by_factor=by_factor(metrics, shown, sources),
        classified=gather_classified(results, sources, spec),
        census=summary["census"]
        | {"left_out": [(entry["path"], entry["reason"]) for entry in summary["left_out"]]},
        config=plain(config),
        versions=versions(),
        command=command,
        seed=config.seed,
        hardware=f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        wall_seconds=wall_seconds,
    )
    write_report(pathlib.Path(summary["report"]), contents)
