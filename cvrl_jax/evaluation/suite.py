"""The evaluations a config asks for, on the training and test videos of a run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from cvrl_jax.evaluation import knn
from cvrl_jax.evaluation.features import Embed, Features, extract_features
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings, linear_probe
from cvrl_jax.evaluation.temporal_probes import TemporalProbeSettings, temporal_probes
from cvrl_jax.observe import collapse
from data_pipelines.loading import kill_after, worker_count
from data_pipelines.sources import Sources
from data_pipelines.spec import InputSpec
from data_pipelines.video import VideoInfo

PROTOCOLS = ("knn", "linear", "temporal_probes")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
      metrics: scalars by name: knn_top1, knn1_top1, linear_top1, linear_top5, classifier_top1,
        <protocol>_top1_<factor>, eval/rankme, eval/uniformity, eval/feature_std, eval_left_out,
        chance, probe_*.
      train: features of the training videos (the gallery), all of them.
      test: features of the test videos, all of them.
      predictions_M: of the linear probe if it ran, else of kNN; of the readable test videos.
    """

    metrics: dict[str, float]
    train: Features
    test: Features
    predictions_M: np.ndarray | None

    @property
    def left_out(self) -> tuple[tuple[VideoInfo, str], ...]:
        """The videos of either side that could not be read, each with the reason."""
        return (*self.train.left_out, *self.test.left_out)


def evaluation_spec(config: ConfigDict, clips: int, crops: int) -> InputSpec:
    """Evenly spaced clips, centre or three crops, at the evaluation's size."""
    data, evaluation = config.data, config.eval
    return InputSpec(
        clips=clips,
        frames=evaluation.frames or data.frames,
        stride=data.stride,
        stride_unit=data.stride_unit,
        size=evaluation.size or data.size,
        sampling="even",
        crop="thirds" if crops == 3 else "center",
    )


def evaluate(
    embed: Embed, sources: Sources, config: ConfigDict, protocols: tuple[str, ...]
) -> Results | None:
    """Runs `protocols` with the frozen network `embed`.

    Returns:
      The results, or None where there is nothing to evaluate on (no test videos, no labels, or none
      that can be read); the log then says so.
    """
    if sources.test is None:
        log.info("evaluations that need labels are off: %s", sources.no_test_because)
        return None
    settings = config.eval
    features = []
    for name, source, clips, crops in (
        ("gallery", sources.train, settings.train_clips, 1),
        ("test", sources.test, settings.clips, settings.crops),
    ):
        features.append(
            extract_features(
                embed,
                source,
                evaluation_spec(config, clips, crops),
                batch_size=settings.batch_size,
                workers=worker_count(config.data),
                timeout=kill_after(config.data),
                progress=_progress(f"features of {name}", len(source), settings.batch_size),
            )
        )
    all_train, all_test = features
    train, test = all_train.readable(), all_test.readable()
    left_out = (*all_train.left_out, *all_test.left_out)
    for name, readable in (("training", train), ("test", test)):
        if not (readable.labels_N >= 0).any():
            log.warning("nothing evaluated: no labelled %s video can be read", name)
            for info, reason in left_out:  # no result will carry them
                log.warning("left out, cannot be read: %s: %s", info.path, reason)
            return None

    classes = len(sources.train.classes)
    labelled = test.labels_N[test.labels_N >= 0]
    metrics = {
        "chance": float(np.bincount(labelled).max() / len(labelled)),
        "eval_left_out": float(len(left_out)),
        "eval/feature_std": collapse.feature_std(test.mean_NxD),
        "eval/rankme": collapse.rankme(test.mean_NxD),
        "eval/uniformity": collapse.uniformity(test.mean_NxD),
    }
    predictions = None
    if "knn" in protocols:
        predictions = knn.knn_predict(
            train.mean_NxD,
            train.labels_N,
            test.mean_NxD,
            classes,
            settings.knn_k,
            settings.knn_temperature,
        )
        nearest = knn.knn_predict(train.mean_NxD, train.labels_N, test.mean_NxD, classes, k=1)
        metrics |= _accuracies("knn", predictions, test, sources)
        metrics["knn1_top1"] = knn.accuracy(nearest, test.labels_N)
    if "linear" in protocols:
        probe = linear_probe(
            train.vectors_NxVxD,
            train.labels_N,
            test.vectors_NxVxD,
            test.labels_N,
            classes,
            LinearProbeSettings(**settings.linear.to_dict()),
            config.seed,
        )
        predictions = probe.predictions_M
        metrics |= _accuracies("linear", predictions, test, sources)
        metrics["linear_top5"] = probe.top5
    if test.probabilities_NxC is not None:
        metrics |= _accuracies("classifier", test.probabilities_NxC.argmax(axis=1), test, sources)
    if "temporal_probes" in protocols:
        metrics |= _temporal(embed, sources, config)
    return Results(metrics, all_train, all_test, predictions)


def _accuracies(
    protocol: str, predictions_M: np.ndarray, test: Features, sources: Sources
) -> dict[str, float]:
    by_factor = knn.accuracy_by_factor(predictions_M, test.labels_N, sources.train.factors)
    return {f"{protocol}_top1": knn.accuracy(predictions_M, test.labels_N)} | {
        f"{protocol}_top1_{factor}": value for factor, value in by_factor.items()
    }


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
