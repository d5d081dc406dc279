"""Classification of videos, or of their sound, on features of a frozen network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.evaluation import knn
from cvrl_jax.evaluation.attentive_probe import AttentiveProbeSettings, attentive_probe
from cvrl_jax.evaluation.bench import Finding, Round
from cvrl_jax.evaluation.calibration import calibration
from cvrl_jax.evaluation.features import Features
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings, linear_probe, multilabel_probe
from cvrl_jax.evaluation.multilabel import multilabel_metrics
from cvrl_jax.evaluation.views import mean_over_views

log = logging.getLogger(__name__)

# (train features, labels, test features, number of classes, config.eval, seed) -> probabilities
# [M, C]; features are [N, V, D] or tokens [N, V, L, D], labels int [N].
Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray, int, ConfigDict, int], np.ndarray]


def by_knn(x, y, test_x, classes: int, settings: ConfigDict, seed: int) -> np.ndarray:
    """A `Classifier`: votes of neighbours of the mean over views."""
    del seed
    mean, test_mean = (knn.normalise(views).mean(axis=1) for views in (x, test_x))
    return knn.knn_votes(mean, y, test_mean, classes, settings.knn_k, settings.knn_temperature)


def by_linear(x, y, test_x, classes: int, settings: ConfigDict, seed: int) -> np.ndarray:
    """A `Classifier`: the linear probe. Of several labels per video, float [N, C], too."""
    chosen = LinearProbeSettings(**settings.linear.to_dict())
    if y.ndim == 2:
        return multilabel_probe(x, y, test_x, chosen, seed, settings.view_mean)
    nothing = np.full(len(test_x), -1)
    probe = linear_probe(x, y, test_x, nothing, classes, chosen, seed, settings.view_mean)
    return probe.probabilities_MxC


def by_attentive(x, y, test_x, classes: int, settings: ConfigDict, seed: int) -> np.ndarray:
    """A `Classifier`: the attentive probe, on tokens, or where there are none on the views."""
    if x.ndim == 3:
        x, test_x = x[:, None], test_x[:, None]
    chosen = AttentiveProbeSettings(**settings.attentive.to_dict())
    nothing = np.full(len(test_x), -1)
    probe = attentive_probe(x, y, test_x, nothing, classes, chosen, seed, settings.view_mean)
    return probe.probabilities_MxC


def classify(name: str, round_: Round, classifier: Classifier, modality: str) -> Finding:
    """Trains one classifier and measures it.

    Videos without the modality (no sound track) take no part on either side.

    Args:
      name: of the protocol.
      round_: what to train and test on.
      classifier: see there.
      modality: "video" or "audio", whose features it gets; their tokens where these were kept.

    Returns:
      What `judged` says, without metrics where the protocol cannot be run; of kNN also
      knn1_top1, by the nearest neighbour alone.
    """
    train, test, settings = round_.train.readable(), round_.test, round_.settings
    tokens = f"{modality}_tokens"
    output = tokens if classifier is by_attentive and tokens in train.outputs else modality
    if output not in train.outputs:
        log.warning("%s is left out: the network has no features of %s", name, modality)
        return Finding({})
    x, rows = present_views(train, output)
    test_x, test_rows = present_views(test, output)
    y, test_y = train.labels_N[rows], test.labels_N[test_rows]
    if not train.labelled_N[rows].any() or not test.labelled_N[test_rows].any():
        log.warning("%s is left out: no labelled video has %s on both sides", name, modality)
        return Finding({})
    if y.ndim == 2 and classifier is not by_linear:
        log.warning("%s is left out: it knows one label per video, not several", name)
        return Finding({})
    scores = classifier(x, y, test_x, len(round_.classes), settings, round_.seed)
    everywhere = np.full((len(test.labels_N), scores.shape[1]), np.nan, scores.dtype)
    everywhere[test_rows] = scores
    metrics = judged(name, scores, test_y, round_.factors)
    if classifier is by_knn:
        one = settings.copy_and_resolve_references()
        one.knn_k = 1
        nearest = by_knn(x, y, test_x, len(round_.classes), one, round_.seed)
        metrics[f"{name}1_top1"] = knn.accuracy(nearest.argmax(axis=1), test_y)
    return Finding(metrics, everywhere)


def own_classifier(test: Features, view_mean: str, factors: Mapping[str, np.ndarray]) -> Finding:
    """Judges the classifier that a network has itself, by its output "logits" [N, V, C]."""
    several = test.labels_N.ndim == 2
    scores = mean_over_views(test.outputs["logits"], view_mean, several)
    return Finding(judged("classifier", scores, test.labels_N, factors), scores)


def judged(
    name: str, scores_MxC: np.ndarray, labels: np.ndarray, factors: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """How right probabilities are.

    Returns:
      <name>_top1, _top5, _ece (see `calibration`) and _top1_<factor>; of several labels per video,
      float [M, C], <name>_map, _auc and _dprime.
    """
    if labels.ndim == 2:
        found = multilabel_metrics(scores_MxC, labels)
        return {f"{name}_{metric}": value for metric, value in found.items()}
    best_Mx5 = np.argsort(-scores_MxC, axis=1, kind="stable")[:, :5]
    hit_M = np.where((best_Mx5 == labels[:, None]).any(axis=1), labels, -1)
    by_factor = knn.accuracy_by_factor(best_Mx5[:, 0], labels, factors)
    return {
        f"{name}_top1": knn.accuracy(best_Mx5[:, 0], labels),
        f"{name}_top5": knn.accuracy(hit_M, labels),
        f"{name}_ece": calibration(scores_MxC, labels).error,
    } | {f"{name}_top1_{factor}": value for factor, value in by_factor.items()}


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
