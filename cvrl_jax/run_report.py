"""Gathers what report.html shows of a run: its metrics, what the network saw, what it learned."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.checkpoint import versions
from cvrl_jax.config import plain
from cvrl_jax.evaluation.knn import neighbours
from cvrl_jax.evaluation.suite import Results, evaluation_spec
from cvrl_jax.methods import Method
from cvrl_jax.observe.report import (
    FactorAccuracy,
    Neighbour,
    NeighbourQuery,
    ReportContents,
    SummaryNumber,
    write_report,
)
from cvrl_jax.retrieval_report import gather_retrieval
from cvrl_jax.workdir import Workdir
from data_pipelines.bad_examples import read_bad_examples
from data_pipelines.errors import BadVideo
from data_pipelines.examples import load_example, read_clips
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
    chance = metrics.get("chance")
    bad = [(row["path"], row["reason"]) for row in read_bad_examples(folder.bad_examples)]
    test = results.test.readable() if results else None
    predictions = results.predictions_M if results else None
    spec = evaluation_spec(config, clips=1, crops=1, inputs=method.inputs)
    contents = ReportContents(
        title=config.name or config.method.name,
        description=f"{config.method.name} on {sources.train.name}, {config.steps} steps of "
        f"{config.batch_size} videos. {sources.no_test_because}",
        summary=_summary(metrics, untrained),
        multimodal=gather_retrieval(results, sources, config, method.inputs, untrained),
        history=history,
        chance=chance,
        clips_NxVxTxHxWx3=_augmented_clips(method, sources.train, config.seed),
        vectors_MxD=test.mean_NxD if test else None,
        vector_labels_M=test.class_N if test else None,
        classes=sources.train.classes,
        neighbours=_neighbours(results, sources, spec),
        true_K=test.labels_N if test and predictions is not None else None,
        predicted_K=predictions,
        predictor="linear probe" if "linear_top1" in metrics else "kNN",
        by_factor=_by_factor(metrics, sources),
        census=_census(sources, facts.survey, bad, metrics),
        config=plain(config),
        versions=versions(),
        command=facts.command,
        seed=config.seed,
        hardware=f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        wall_seconds=facts.wall_seconds,
    )
    write_report(folder.report, contents)


def _summary(metrics: dict[str, float], untrained: dict[str, Any]) -> list[SummaryNumber]:
    shown = {
        "text_to_video_r1": "Text to video R@1",
        "audio_to_video_r1": "Sound to video R@1",
        "knn_top1": "kNN top-1",
        "linear_top1": "Linear probe top-1",
        "attentive_top1": "Attentive probe top-1",
        "audio_linear_top1": "Linear probe top-1, sound",
        "audio_attentive_top1": "Attentive probe top-1, sound",
        "classifier_top1": "Classifier top-1",
    } | {name: name for name in metrics if name.startswith("probe_") and name.endswith("_top1")}
    numbers = []
    for name, title in shown.items():
        if name in metrics:
            chance = metrics.get("chance_r1")
            if name.endswith("_top1"):
                chance = metrics.get(name.replace("_top1", "_chance"), metrics.get("chance"))
            numbers.append(SummaryNumber(title, metrics[name], untrained.get(name), chance))
    return numbers


def _by_factor(metrics: dict[str, float], sources: Sources) -> list[FactorAccuracy] | None:
    protocol = "linear" if "linear_top1" in metrics else "knn"
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


def _neighbours(
    results: Results | None, sources: Sources, spec: InputSpec
) -> list[NeighbourQuery] | None:
    """Test videos spread over the collection, with their nearest training videos."""
    if results is None or results.train is None or sources.test is None:
        return None
    test_rows = np.flatnonzero(results.test.valid_N)
    train_rows = np.flatnonzero(results.train.valid_N)
    chosen = np.unique(np.linspace(0, len(test_rows) - 1, _QUERIES).round().astype(int))
    queries = results.test.readable().mean_NxD[chosen]
    found, similarity = neighbours(results.train.readable().mean_NxD, queries, _NEIGHBOURS)
    entries = []
    for row, nearest, similar in zip(test_rows[chosen], found, similarity):
        near = [
            Neighbour(frames, _label(sources.train, index), float(s))
            for index, s in zip(train_rows[nearest].tolist(), similar)
            if (frames := _filmstrip(sources.train, index, spec)) is not None
        ]
        frames = _filmstrip(sources.test, int(row), spec)
        if frames is not None:
            entries.append(NeighbourQuery(frames, _label(sources.test, int(row)), near))
    return entries


def _label(source: Source, index: int) -> str | None:
    label = source.info(index).label
    return source.classes[label] if label >= 0 else None


def _filmstrip(source: Source, index: int, spec: InputSpec) -> np.ndarray | None:
    with (
        contextlib.suppress(BadVideo),
        contextlib.closing(source.open(index)) as video,
    ):
        clips, _ = read_clips(video, spec, np.random.default_rng(0))
        frames = np.linspace(0, spec.frames - 1, min(6, spec.frames)).round().astype(int)
        return clips[0][frames]
    return None
