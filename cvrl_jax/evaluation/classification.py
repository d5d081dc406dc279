"""Classification of videos, or of their sound, on features of a frozen network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.evaluation import knn
from cvrl_jax.evaluation.attentive_probe import AttentiveProbeSettings, attentive_probe
from cvrl_jax.evaluation.features import Features
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings, linear_probe, multilabel_probe
from cvrl_jax.evaluation.multilabel import multilabel_metrics

# Protocol -> the classifier and the modality whose features it gets.
CLASSIFIERS = {
    "knn": ("knn", "video"),
    "linear": ("linear", "video"),
    "attentive": ("attentive", "video"),
    "audio_linear": ("linear", "audio"),
    "audio_attentive": ("attentive", "audio"),
}

log = logging.getLogger(__name__)


def classify(
    protocol: str,
    train: Features,
    test: Features,
    classes: int,
    factors: Mapping[str, np.ndarray],
    config: ConfigDict,
) -> tuple[dict[str, float], np.ndarray | None]:
    """Trains one classifier on `train` and measures it on `test`.

    Videos without the modality (no sound track) take no part on either side.

    Args:
      protocol: a key of `CLASSIFIERS`.
      train: readable videos, some of them labelled.
      test: likewise.
      classes: number of classes.
      factors: for each factor of the classes, int [classes].
      config: the experiment; `eval` and `seed` are used.

    Returns:
      Metrics by name (<protocol>_top1, and <protocol>_top1_<factor>; of data with several labels
      per video <protocol>_map, _auc, _dprime), and the predicted classes int [test videos], -1
      where a video took no part; None of data with several labels.
    """
    kind, modality = CLASSIFIERS[protocol]
    tokens = f"{modality}_tokens"
    name = tokens if kind == "attentive" and tokens in train.outputs else modality
    if name not in train.outputs:
        log.warning("%s is left out: the network has no features of %s", protocol, modality)
        return {}, None
    x, rows = present_views(train, name)
    test_x, test_rows = present_views(test, name)
    y, test_y = train.labels_N[rows], test.labels_N[test_rows]
    if not train.labelled_N[rows].any() or not test.labelled_N[test_rows].any():
        log.warning("%s is left out: no labelled video has %s on both sides", protocol, modality)
        return {}, None
    settings = config.eval
    linear = LinearProbeSettings(**settings.linear.to_dict())
    if y.ndim == 2:
        if kind != "linear":
            log.warning("%s is left out: it knows one label per video, not several", protocol)
            return {}, None
        scores = multilabel_probe(x, y, test_x, linear, config.seed)
        found = multilabel_metrics(scores, test_y)
        return {f"{protocol}_{metric}": value for metric, value in found.items()}, None
    more = {}
    if kind == "knn":
        mean, test_mean = (knn.normalise(views).mean(axis=1) for views in (x, test_x))
        chosen = settings.knn_k, settings.knn_temperature
        predictions = knn.knn_predict(mean, y, test_mean, classes, *chosen)
        nearest = knn.knn_predict(mean, y, test_mean, classes, k=1)
        more["knn1_top1"] = knn.accuracy(nearest, test_y)
    elif kind == "linear":
        probe = linear_probe(x, y, test_x, test_y, classes, linear, config.seed)
        predictions = probe.predictions_M
        more[f"{protocol}_top5"] = probe.top5
    else:
        attentive = AttentiveProbeSettings(**settings.attentive.to_dict())
        if name == modality:  # no tokens: the views are what it attends to
            x, test_x = x[:, None], test_x[:, None]
        predictions = attentive_probe(
            x, y, test_x, test_y, classes, attentive, config.seed
        ).predictions_M
    everywhere = np.full(len(test.labels_N), -1)
    everywhere[test_rows] = predictions
    return accuracies(protocol, predictions, test_y, factors) | more, everywhere


def accuracies(
    protocol: str,
    predictions_M: np.ndarray,
    labels_M: np.ndarray,
    factors: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Returns <protocol>_top1 and <protocol>_top1_<factor>."""
    by_factor = knn.accuracy_by_factor(predictions_M, labels_M, factors)
    return {f"{protocol}_top1": knn.accuracy(predictions_M, labels_M)} | {
        f"{protocol}_top1_{factor}": value for factor, value in by_factor.items()
    }


def present_views(features: Features, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of one output, of the videos that have any of it.

    Returns:
      (float [n, V, ...], rows int [n]). A view that is missing (the sound ends early) is taken by
      those of the same video that are not, in turn.
    """
    present_NxV = features.is_present(name)
    rows = np.flatnonzero(present_NxV.any(axis=1))
    vectors = features.outputs[name][rows]
    if present_NxV[rows].all():
        return vectors, rows
    there_nxV = np.argsort(~present_NxV[rows], axis=1, kind="stable")
    turn_nxV = np.arange(vectors.shape[1]) % present_NxV[rows].sum(axis=1, keepdims=True)
    chosen_nxV = np.take_along_axis(there_nxV, turn_nxV, axis=1)
    return vectors[np.arange(len(rows))[:, None], chosen_nxV], rows


def mean_over_folds(found: Sequence[dict[str, float]], protocol: str) -> dict[str, float]:
    """The mean of each metric over folds, and <protocol>_top1_std, their standard deviation."""
    metrics = {name: float(np.mean([fold[name] for fold in found])) for name in found[0]}
    top1 = f"{protocol}_top1"
    if top1 in metrics:
        metrics[f"{top1}_std"] = float(np.std([fold[top1] for fold in found], ddof=1))
    return metrics
