"""The evaluations a config asks for, on the training and test videos of a run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from cvrl_jax.evaluation.classification import CLASSIFIERS, accuracies, classify, mean_over_folds
from cvrl_jax.evaluation.features import (
    Embed,
    Features,
    Network,
    extract_features,
    with_tokens,
)
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings
from cvrl_jax.evaluation.multilabel import multilabel_metrics
from cvrl_jax.evaluation.retrieval import retrieval_metrics
from cvrl_jax.evaluation.temporal_probes import TemporalProbeSettings, temporal_probes
from cvrl_jax.observe import collapse
from data_pipelines.loading import kill_after, worker_count
from data_pipelines.sources import Sources, create_sources
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source, VideoInfo

PROTOCOLS = (*CLASSIFIERS, "retrieval", "temporal_probes")
QUICK = ("knn", "retrieval")
"""What is measured during training too."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
      metrics: scalars by name: knn_top1, knn1_top1, linear_top1, linear_top5, attentive_top1,
        audio_linear_top1, audio_attentive_top1, classifier_top1, <protocol>_top1_<factor>; of
        videos with several labels linear_map and the like; those of `retrieval_metrics`;
        eval/rankme, eval/uniformity, eval/feature_std, eval_left_out, chance, probe_*.
      train: features of the training videos (the gallery), all of them; None where no protocol
        needs them.
      test: features of the test videos, all of them.
      predictions_M: of the linear probe if it ran, else of kNN; of the readable test videos.
    """

    metrics: dict[str, float]
    train: Features | None
    test: Features
    predictions_M: np.ndarray | None

    @property
    def left_out(self) -> tuple[tuple[VideoInfo, str], ...]:
        """The videos of either side that could not be read, each with the reason."""
        return (*(self.train.left_out if self.train else ()), *self.test.left_out)


def sources_of(config: ConfigDict) -> Sources:
    """Opens the videos of an experiment; a test set without labels serves where it retrieves."""
    return create_sources(config.data, config.seed, "retrieval" in config.eval.protocols)


def evaluation_spec(config: ConfigDict, clips: int, crops: int, inputs: InputSpec) -> InputSpec:
    """Evenly spaced clips, centre or three crops, at the evaluation's size.

    Sound and sentences are those of `inputs`, what the method wants delivered.
    """
    data, evaluation = config.data, config.eval
    return InputSpec(
        clips=clips,
        frames=evaluation.frames or data.frames,
        stride=data.stride,
        stride_unit=data.stride_unit,
        size=evaluation.size or data.size,
        sampling="even",
        crop="thirds" if crops == 3 else "center",
        audio=inputs.audio,
        text=inputs.text,
    )


def evaluate(
    network: Network, sources: Sources, config: ConfigDict, protocols: tuple[str, ...]
) -> Results | None:
    """Runs `protocols` with a frozen network.

    Returns:
      The results, or None where there is nothing to evaluate on (no test videos, no labels where
      all protocols need them, or none that can be read); the log then says so.

    Raises:
      UserError: the attentive probe would need too much memory.
    """
    if sources.test is None:
        log.info("evaluations that need labels are off: %s", sources.no_test_because)
        return None
    settings = config.eval
    all_test = _extract(
        network, sources.test, "test", config, (settings.clips, settings.crops), protocols
    )
    all_train = None
    if sources.folds is None and sources.train.classes and set(protocols) & set(CLASSIFIERS):
        clips = (settings.train_clips, 1)
        all_train = _extract(network, sources.train, "gallery", config, clips, protocols)
    sides = {"test": all_test} if all_train is None else {"training": all_train, "test": all_test}
    unlabelled = [name for name, side in sides.items() if not side.readable().labelled_N.any()]
    left_out = [entry for side in sides.values() for entry in side.left_out]
    if "retrieval" not in protocols and unlabelled:
        log.warning("nothing evaluated: no labelled %s video can be read", unlabelled[0])
        for info, reason in left_out:  # no result will carry them
            log.warning("left out, cannot be read: %s: %s", info.path, reason)
        return None

    test = all_test.readable()
    metrics = {
        "eval_left_out": float(len(left_out)),
        "eval/feature_std": collapse.feature_std(test.mean_NxD),
        "eval/rankme": collapse.rankme(test.mean_NxD),
        "eval/uniformity": collapse.uniformity(test.mean_NxD),
    }
    predictions = None
    if "retrieval" in protocols:
        metrics |= retrieval_metrics(test, ways=settings.retrieval_ways)
    if not unlabelled:
        found, predictions = _with_labels(all_train, all_test, sources, config, protocols)
        metrics |= found
    if "temporal_probes" in protocols:
        metrics |= _temporal(network.embed, sources, config)
    return Results(metrics, all_train, all_test, predictions)


def _with_labels(
    train: Features | None,
    test: Features,
    sources: Sources,
    config: ConfigDict,
    protocols: tuple[str, ...],
) -> tuple[dict[str, float], np.ndarray | None]:
    """What needs labels; the predictions are of the readable test videos."""
    classes, factors = len(sources.train.classes), sources.train.factors
    readable = test.readable()
    metrics: dict[str, float] = {}
    if readable.labels_N.ndim == 1:
        labelled = readable.labels_N[readable.labels_N >= 0]
        metrics["chance"] = float(np.bincount(labelled).max() / len(labelled))
    predictions = None
    for protocol in (p for p in CLASSIFIERS if p in protocols):
        found, everywhere = [], np.full(len(test.labels_N), -1)
        for train_side, test_side, rows in _rounds(train, test, sources.folds):
            values, guesses = classify(protocol, train_side, test_side, classes, factors, config)
            found.append(values)
            if guesses is not None:
                everywhere[rows] = guesses
        metrics |= mean_over_folds(found, protocol) if sources.folds is not None else found[0]
        if protocol in ("knn", "linear") and found[0]:
            predictions = everywhere[test.valid_N]
    scores = readable.outputs.get("probabilities")
    if scores is not None and readable.labels_N.ndim == 1:
        metrics |= accuracies("classifier", scores.argmax(axis=1), readable.labels_N, factors)
    elif scores is not None:
        several = multilabel_metrics(scores, readable.labels_N)
        metrics |= {f"classifier_{name}": value for name, value in several.items()}
    return metrics, predictions


def _rounds(
    train: Features | None, test: Features, folds: np.ndarray | None
) -> Iterator[tuple[Features, Features, np.ndarray]]:
    """Yields (to train on, to test on, rows of the latter in `test`): once, or once per fold."""
    if folds is None:
        assert train is not None
        yield train.readable(), test.readable(), test.valid_N
        return
    for fold in np.unique(folds):
        here = test.valid_N & (folds == fold)
        yield test.take(test.valid_N & (folds != fold)), test.take(here), here


def _extract(
    network: Network,
    source: Source,
    name: str,
    config: ConfigDict,
    views: tuple[int, int],
    protocols: tuple[str, ...],
) -> Features:
    embed = network.embed
    if modalities := [m for m in ("video", "audio") if _attends(protocols, m)]:
        embed = with_tokens(network, modalities, len(source))
    return extract_features(
        embed,
        source,
        evaluation_spec(config, *views, network.inputs),
        batch_size=config.eval.batch_size,
        workers=worker_count(config.data),
        timeout=kill_after(config.data),
        progress=_progress(f"features of {name}", len(source), config.eval.batch_size),
    )


def _attends(protocols: tuple[str, ...], modality: str) -> bool:
    return any(CLASSIFIERS.get(p) == ("attentive", modality) for p in protocols)


def _temporal(embed: Embed, sources: Sources, config: ConfigDict) -> dict[str, float]:
    def embed_clips(clips_NxTxHxWx3: np.ndarray) -> np.ndarray:
        return embed({"video": clips_NxTxHxWx3[:, None]})["video"][:, 0]

    assert sources.test is not None
    settings = TemporalProbeSettings(
        frames=config.data.frames,
        stride=config.eval.temporal_stride,
        size=config.data.size,
        batch_size=config.eval.batch_size,
        workers=worker_count(config.data),
        timeout=kill_after(config.data),
        probe=LinearProbeSettings(**config.eval.linear.to_dict()),
    )
    return temporal_probes(embed_clips, sources.train, sources.test, settings, config.seed)


def _progress(what: str, videos: int, batch_size: int) -> Callable:
    return lambda batches: tqdm(
        batches, desc=what, total=-(-videos // batch_size), unit="batch", leave=False, disable=None
    )
