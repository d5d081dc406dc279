"""Gathers what report.html shows of a run: its metrics, what the network saw, what it learned."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.checkpoint import versions
from cvrl_jax.config import plain
from cvrl_jax.evaluation.knn import neighbours
from cvrl_jax.evaluation.specs import evaluation_spec
from cvrl_jax.evaluation.suite import Results
from cvrl_jax.methods import Method
from cvrl_jax.observe.report import (
    FactorAccuracy,
    Neighbour,
    NeighbourQuery,
    ReportContents,
    SummaryNumber,
    write_report,
)
from cvrl_jax.reports.classified import PREDICTORS, filmstrip, gather_classified
from cvrl_jax.reports.retrieval import gather_retrieval
from cvrl_jax.workdir import Workdir
from data_pipelines.bad_examples import read_bad_examples
from data_pipelines.examples import load_example
from data_pipelines.sources import Sources
from data_pipelines.spec import InputSpec
from data_pipelines.survey import Survey
from data_pipelines.video import Source

_CLIPS = 12
_QUERIES = 8
_NEIGHBOURS = 5


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What only the train loop knows of its run.

    Attributes:
      survey: of the training videos.
      wall_seconds: of this process.
      command: that started the run, if known.
    """

    survey: Survey
    wall_seconds: float
    command: str | None


def write(
    folder: Workdir,
    config: ConfigDict,
    method: Method,
    sources: Sources,
    results: Results | None,
    facts: RunFacts,
) -> None:
    """Writes `report.html` of a finished run."""
    history = folder.read_metrics()
    untrained = {k: v for row in history if row["step"] == 0 for k, v in row.items()}
    metrics = results.metrics if results else {}
    bad = [(row["path"], row["reason"]) for row in read_bad_examples(folder.bad_examples)]
    contents = ReportContents(
        **shown_of(results, metrics, untrained, sources, config, method.inputs),
        title=config.name or config.method.name,
        description=f"{config.method.name} on {sources.train.name}, {config.steps} steps of "
        f"{config.batch_size} videos. {sources.no_test_because}",
        history=history,
        clips_NxVxTxHxWx3=_augmented_clips(method, sources.train, config.seed),
        census=_census(sources, facts.survey, bad, metrics),
        command=facts.command,
        wall_seconds=facts.wall_seconds,
    )
    write_report(folder.report, contents)


def shown_of(
    results: Results | None,
    metrics: dict[str, float],
    untrained: dict[str, Any],
    sources: Sources,
    config: ConfigDict,
    inputs: InputSpec,
) -> dict[str, Any]:
    """What every page of results shows: fields of `ReportContents`, by name.

    Args:
      results: of the protocols of a frozen network, None where there were none.
      metrics: to show as numbers.
      untrained: those of the network before training, as far as they are known.
      sources: what the protocols ran on.
      config: of the run or evaluation.
      inputs: what the method wants delivered.
    """
    test = results.test.readable() if results else None
    predictions, shown = (results.predictions_M, results.shown) if results else (None, None)
    spec = evaluation_spec(config, clips=1, crops=1, inputs=inputs)
    return {
        "summary": _summary_numbers(metrics, untrained),
        "chance": metrics.get("chance"),
        "multimodal": gather_retrieval(results, sources, config, inputs, untrained),
        "vectors_MxD": test.mean_of(results.shown_output) if test and results else None,
        "vector_labels_M": test.class_N if test else None,
        "classes": sources.train.classes,
        "neighbours": _neighbour_queries(results, sources, spec),
        "true_K": test.labels_N if test and predictions is not None else None,
        "predicted_K": predictions,
        "predictor": PREDICTORS.get(shown or "", "classifier"),
        "classified": gather_classified(results, sources, spec),
        "by_factor": _by_factor(metrics, shown, sources),
        "config": plain(config),
        "versions": versions(),
        "seed": config.seed,
        "hardware": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }


def _summary_numbers(metrics: dict[str, float], untrained: dict[str, Any]) -> list[SummaryNumber]:
    """The big numbers of a page, of those metrics that there are."""
    shown = {
        "text_to_video_r1": "Text to video R@1",
        "audio_to_video_r1": "Sound to video R@1",
        "knn_top1": "kNN top-1",
        "linear_top1": "Linear probe top-1",
        "attentive_top1": "Attentive probe top-1",
        "audio_linear_top1": "Linear probe top-1, sound",
        "audio_attentive_top1": "Attentive probe top-1, sound",
        "classifier_top1": "Classifier top-1",
        "classifier_map": "Classifier mAP",
        "linear_map": "Linear probe mAP",
        "finetune_top1": "Fine-tuned top-1",
        "finetune_map": "Fine-tuned mAP",
        "clip_retrieval_r1": "Clip retrieval R@1",
        "clip_retrieval_r5": "Clip retrieval R@5",
        "cka": "Linear CKA of the features",
    }
    prefixes = ("probe_", "few_shot_", "semi_supervised_")
    shown |= {n: _words(n) for n in metrics if n.startswith(prefixes) and n.endswith("_top1")}
    numbers = []
    for name, title in shown.items():
        if name in metrics:
            chance = None
            if name.endswith("_top1"):
                chance = metrics.get(name.replace("_top1", "_chance"), metrics.get("chance"))
            elif name.endswith("_r1"):
                chance = metrics.get(name.replace("_r1", "_chance_r1"))
            elif name.endswith("_map"):
                chance = metrics.get(f"{name}_chance")
            numbers.append(SummaryNumber(title, metrics[name], untrained.get(name), chance))
    return numbers


def _words(name: str) -> str:
    """A metric's name for readers: few_shot_5_top1 -> Few shot 5 top-1."""
    text = name.replace("_top1", " top-1").replace("pct", " %").replace("_", " ")
    return text[:1].upper() + text[1:]


def _by_factor(
    metrics: dict[str, float], protocol: str | None, sources: Sources
) -> list[FactorAccuracy] | None:
    """Of the protocol whose predictions are shown."""
    return [
        FactorAccuracy(factor, metrics[f"{protocol}_top1_{factor}"], 1 / len(np.unique(values)))
        for factor, values in sources.train.factors.items()
        if f"{protocol}_top1_{factor}" in metrics
    ] or None


def _census(
    sources: Sources, looked_at: Survey, bad: list[tuple[str, str]], metrics: dict[str, float]
) -> dict[str, Any]:
    shortest, median, longest = looked_at.frames
    census: dict[str, Any] = {
        "source": sources.train.name,
        "videos": looked_at.videos,
        "test videos": len(sources.test) if sources.test else 0,
        "hours": f"{looked_at.hours:.2f} (estimated from a sample)",
        "frames per video": f"{shortest} to {longest}, median {median} (of a sample)",
        "listed videos without a file": sum(
            len(source.missing) for source in (sources.train, sources.test) if source
        ),
        "classes": len(sources.train.classes),
        "left out of the evaluation": int(metrics.get("eval_left_out", 0)),
        "bad_files": bad,
    }
    return census


def _augmented_clips(method: Method, source: Source, seed: int) -> np.ndarray | None:
    """What the network sees of the first videos: uint8 [N, 1 or 2, T, H, W, 3]."""
    examples = [
        load_example(source, method.inputs, index, np.random.default_rng([seed, index]))
        for index in range(min(_CLIPS, len(source)))
    ]
    clips = [example["video"] for example in examples if example["valid"]]
    if not clips:
        return None
    views = jax.jit(method.augment)({"video": jnp.asarray(np.stack(clips))}, jax.random.key(seed))
    return np.asarray(np.clip(np.asarray(views, np.float32) * 255, 0, 255), np.uint8)[:, :2]


def _neighbour_queries(
    results: Results | None, sources: Sources, spec: InputSpec
) -> list[NeighbourQuery] | None:
    """Test videos spread over the collection, with their nearest training videos."""
    if results is None or results.train is None or sources.test is None:
        return None
    test_rows = np.flatnonzero(results.test.valid_N)
    train_rows = np.flatnonzero(results.train.valid_N)
    chosen = np.unique(np.linspace(0, len(test_rows) - 1, _QUERIES).round().astype(int))
    output = results.shown_output
    queries = results.test.readable().mean_of(output)[chosen]
    found, similarity = neighbours(results.train.readable().mean_of(output), queries, _NEIGHBOURS)
    entries = []
    for row, nearest, similar in zip(test_rows[chosen], found, similarity):
        near = [
            Neighbour(frames, _label(sources.train, index), float(s))
            for index, s in zip(train_rows[nearest].tolist(), similar)
            if (frames := filmstrip(sources.train, index, spec)) is not None
        ]
        frames = filmstrip(sources.test, int(row), spec)
        if frames is not None:
            entries.append(NeighbourQuery(frames, _label(sources.test, int(row)), near))
    return entries


def _label(source: Source, index: int) -> str | None:
    label = source.info(index).label
    return source.classes[label] if label >= 0 else None
