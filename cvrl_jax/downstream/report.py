"""Gathers what the report of an evaluation shows, for `--mode=eval`."""

from __future__ import annotations

import pathlib
from typing import Any

from cvrl_jax.downstream.frozen import Opened
from cvrl_jax.evaluation.suite import Results
from cvrl_jax.observe.report import Layers, ReportContents, write_report
from cvrl_jax.reports.run import shown_of
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
    config = opened.config
    metrics = {k: v for k, v in summary.items() if isinstance(v, float)}
    repeated = summary.get("repeated", {})
    contents = ReportContents(
        **shown_of(results, metrics, {}, sources, config, opened.method.inputs),
        title=f"{summary['recipe']} of step {summary['step']}",
        description=f"{', '.join(summary['protocols'])} on {sources.train.name}; checkpoint "
        f"{summary['checkpoint']}, method {config.method.name}. "
        + (f"Means over {repeated['field']}; pictures are of the first." if repeated else ""),
        of_training=False,
        layers=_layers(summary),
        census=summary["census"]
        | {"left_out": [(entry["path"], entry["reason"]) for entry in summary["left_out"]]},
        command=command,
        wall_seconds=wall_seconds,
    )
    write_report(pathlib.Path(summary["report"]), contents)


def _layers(summary: dict[str, Any]) -> Layers | None:
    if "matrix" not in summary:
        return None
    other = summary["other"]
    return Layers(summary["matrix"], "" if other == summary["checkpoint"] else other)
