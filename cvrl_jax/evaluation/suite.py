"""Runs the protocols a config asks for on a frozen network and the videos of a run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from cvrl_jax.evaluation.bench import Bench, Finding
from cvrl_jax.evaluation.classification import own_classifier
from cvrl_jax.evaluation.features import Features, Network, extract_features, with_tokens
from cvrl_jax.evaluation.protocols import PROTOCOLS
from cvrl_jax.evaluation.specs import evaluation_spec, mirrored, training_spec
from cvrl_jax.observe import collapse
from data_pipelines.loading import kill_after, worker_count
from data_pipelines.sources import Sources, create_sources
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source, VideoInfo

# Whose predictions a report shows: the first of these that there are.
_SHOWN = ("classifier", "linear", "attentive", "knn", "audio_linear", "audio_attentive")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
      findings: by protocol; "classifier" is what the network itself says of classes.
      health: metrics of no protocol: eval/rankme, eval/uniformity, eval/feature_std, eval_left_out,
        and chance, the share of the most frequent class among the test videos.
      train: features of the training videos (the gallery), all of them; None where no protocol
        needs them.
      test: features of the test videos, all of them.
    """

    findings: Mapping[str, Finding]
    health: Mapping[str, float]
    train: Features | None
    test: Features

    @property
    def metrics(self) -> dict[str, float]:
        """All scalars by name."""
        metrics = dict(self.health)
        for finding in self.findings.values():
            metrics |= finding.metrics
        return metrics

    @property
    def shown(self) -> str | None:
        """The protocol whose predictions of the readable test videos are worth showing."""
        found = (name for name in _SHOWN if name in self.findings)
        return next((name for name in found if self.findings[name].scores_MxC is not None), None)

    @property
    def shown_output(self) -> str:
        """Whose features `shown` judges: "video" or "audio"."""
        return "audio" if (self.shown or "").startswith("audio_") else "video"

    @property
    def scores_MxC(self) -> np.ndarray | None:
        """The probabilities that `shown` gave the readable test videos."""
        return None if self.shown is None else self.findings[self.shown].scores_MxC

    @property
    def predictions_M(self) -> np.ndarray | None:
        """Its predicted classes, -1 where a video took no part; None of several labels a video."""
        scores = self.scores_MxC
        if scores is None or self.test.labels_N.ndim == 2:
            return None
        there_M = np.asarray(np.isfinite(scores).all(axis=1))
        best_M = np.where(there_M[:, None], scores, 0).argmax(axis=1)
        return np.where(there_M, best_M, -1)

    @property
    def left_out(self) -> tuple[tuple[VideoInfo, str], ...]:
        """The videos of either side that could not be read, each with the reason."""
        return (*(self.train.left_out if self.train else ()), *self.test.left_out)


def sources_of(config: ConfigDict) -> Sources:
    """Opens the videos of an experiment; a test set without labels serves where it is searched."""
    searched = "cross_modal_retrieval" in config.eval.protocols
    return create_sources(config.data, config.seed, searched)


def evaluate(
    network: Network, sources: Sources, config: ConfigDict, protocols: Collection[str]
) -> Results | None:
    """Runs those protocols of the table with a frozen network.

    Returns:
      The results, or None where there is nothing to evaluate on (no test videos, no labels where
      all protocols need them, or none that can be read); the log then says so.

    Raises:
      UserError: a protocol asks for more than there is (memory, shots).
    """
    if sources.test is None:
        log.info("evaluations that need labels are off: %s", sources.no_test_because)
        return None
    chosen = {name: PROTOCOLS[name] for name in PROTOCOLS if name in protocols}
    bench = _bench(network, sources, config, list(chosen))
    sides = {"test": bench.test}
    if bench.train is not None:
        sides = {"training": bench.train, **sides}
    unlabelled = [name for name, side in sides.items() if not side.readable().labelled_N.any()]
    left_out = [entry for side in sides.values() for entry in side.left_out]
    nothing_read = not bench.test.valid_N.any()
    if nothing_read or (unlabelled and all(PROTOCOLS[name].needs_labels for name in chosen)):
        side = "test" if nothing_read else f"labelled {unlabelled[0]}"
        log.warning("nothing evaluated: no %s video can be read", side)
        for info, reason in left_out:  # no result will carry them
            log.warning("left out, cannot be read: %s: %s", info.path, reason)
        return None
    test = bench.test.readable()
    findings = {}
    if not unlabelled and "logits" in test.outputs:
        findings["classifier"] = own_classifier(test, config.eval.view_mean, sources.train.factors)
    for name, protocol in chosen.items():
        if not (unlabelled and protocol.needs_labels):
            findings[name] = protocol.run(name, bench)
    return Results(findings, _health(test, len(left_out)), bench.train, bench.test)


def _health(test: Features, left_out: int) -> dict[str, float]:
    health = {"eval_left_out": float(left_out)}
    mean_NxD = test.mean_NxD
    if len(mean_NxD) > 1:
        health |= {
            "eval/feature_std": collapse.feature_std(mean_NxD),
            "eval/rankme": collapse.rankme(mean_NxD),
            "eval/uniformity": collapse.uniformity(mean_NxD),
        }
    labelled = test.class_N[test.class_N >= 0]
    if len(labelled):
        health["chance"] = float(np.bincount(labelled).max() / len(labelled))
    return health


def _bench(network: Network, sources: Sources, config: ConfigDict, protocols: list[str]) -> Bench:
    """Extracts the features that the protocols need."""
    assert sources.test is not None
    spec = evaluation_spec(config, config.eval.clips, config.eval.crops, network.inputs)
    test = _extract(network, sources.test, "test", config, spec, protocols)
    train = None
    compared = any(PROTOCOLS[name].needs_labels for name in protocols)
    if compared and sources.folds is None and sources.train.classes:
        spec = training_spec(config, network.inputs)
        train = _extract(network, sources.train, "gallery", config, spec, protocols)
    return Bench(network, sources, config, train, test)


def _extract(
    network: Network,
    source: Source,
    what: str,
    config: ConfigDict,
    spec: InputSpec,
    protocols: list[str],
) -> Features:
    embed = network.embed
    attended = sorted({PROTOCOLS[name].tokens_of for name in protocols} - {""})
    if attended:
        embed = with_tokens(network, attended, len(source))
    if spec.crop == "random":
        embed = mirrored(embed)
    videos = max(1, config.eval.batch_size // spec.views)
    return extract_features(
        embed,
        source,
        spec,
        batch_size=videos,
        workers=worker_count(config.data),
        timeout=kill_after(config.data),
        share=network.share,
        progress=_progress(f"features of {what}", len(source), videos),
    )


def _progress(what: str, videos: int, batch_size: int) -> Callable:
    return lambda batches: tqdm(
        batches, desc=what, total=-(-videos // batch_size), unit="batch", leave=False, disable=None
    )
