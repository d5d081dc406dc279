"""The table of protocols that judge a frozen network, and what each of them needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from cvrl_jax.evaluation.bench import Bench, Finding, Round
from cvrl_jax.evaluation.classification import (
    Classifier,
    by_attentive,
    by_knn,
    by_linear,
    classify,
)
from cvrl_jax.evaluation.clip_retrieval import clip_retrieval
from cvrl_jax.evaluation.cross_modal_retrieval import retrieval_metrics
from cvrl_jax.evaluation.few_labels import few_shot, semi_supervised
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings
from cvrl_jax.evaluation.temporal_probes import TemporalProbeSettings, temporal_probes
from data_pipelines.loading import kill_after, worker_count


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way to judge a frozen network.

    Attributes:
      run: (its name, the bench) -> what it found.
      headline: the metric that stands for it.
      needs_labels: whether it compares with labelled training videos (or folds); the others look at
        test videos alone, or read for themselves.
      tokens_of: the modality whose every token it looks at, where the network has tokens.
      quick: whether it is also run between the beginning and the end of training.
      needs_several: whether the network must know sound or text.
    """

    run: Callable[[str, Bench], Finding]
    headline: str
    needs_labels: bool = True
    tokens_of: str = ""
    quick: bool = False
    needs_several: bool = False


def _in_rounds(judge: Callable[[str, Round], Finding], headline: str) -> Protocol:
    def run(name: str, bench: Bench) -> Finding:
        return bench.over_rounds(lambda round_: judge(name, round_))

    return Protocol(run, headline)


def _classifier(classifier: Classifier, modality: str, headline: str) -> Protocol:
    def judge(name: str, round_: Round) -> Finding:
        return classify(name, round_, classifier, modality)

    tokens_of = modality if classifier is by_attentive else ""
    return dataclasses.replace(_in_rounds(judge, headline), tokens_of=tokens_of)


def _cross_modal(name: str, bench: Bench) -> Finding:
    """Zero-shot, so its metrics bear the names of what is searched by what."""
    del name
    return Finding(retrieval_metrics(bench.test.readable(), bench.config.eval.retrieval_ways))


def _temporal(name: str, bench: Bench) -> Finding:
    del name
    config, network = bench.config, bench.network

    def embed_clips(clips_NxTxHxWx3: np.ndarray) -> np.ndarray:
        return network.embed({"video": clips_NxTxHxWx3[:, None]})["video"][:, 0]

    train, test = bench.sources.train, bench.sources.test
    assert test is not None
    settings = TemporalProbeSettings(
        frames=config.data.frames,
        stride=config.eval.temporal_stride,
        size=config.data.size,
        batch_size=config.eval.batch_size,
        workers=worker_count(config.data),
        timeout=kill_after(config.data),
        probe=LinearProbeSettings(**config.eval.linear.to_dict()),
    )
    return Finding(temporal_probes(embed_clips, train, test, settings, config.seed))


PROTOCOLS: dict[str, Protocol] = {
    "knn": dataclasses.replace(_classifier(by_knn, "video", "knn_top1"), quick=True),
    "linear": _classifier(by_linear, "video", "linear_top1"),
    "attentive": _classifier(by_attentive, "video", "attentive_top1"),
    "audio_linear": _classifier(by_linear, "audio", "audio_linear_top1"),
    "audio_attentive": _classifier(by_attentive, "audio", "audio_attentive_top1"),
    "clip_retrieval": _in_rounds(clip_retrieval, "clip_retrieval_r1"),
    "few_shot": _in_rounds(few_shot, "few_shot_1_top1"),
    "semi_supervised": _in_rounds(semi_supervised, "semi_supervised_10pct_top1"),
    "cross_modal_retrieval": Protocol(
        _cross_modal, "text_to_video_r1", needs_labels=False, quick=True, needs_several=True
    ),
    "temporal_probes": Protocol(_temporal, "probe_speed_top1", needs_labels=False),
}

QUICK = tuple(name for name, protocol in PROTOCOLS.items() if protocol.quick)

ON_CHECKPOINTS = {
    "finetune": "finetune_top1",
    "semi_supervised_finetune": "semi_supervised_10pct_finetune_top1",
    "cka": "cka",
}
"""Protocols that need more than a frozen network, and their headlines;
`cvrl_jax.downstream.evaluate` runs them on a checkpoint."""


def headline(protocol: str) -> str:
    """The metric that stands for a protocol."""
    if protocol in ON_CHECKPOINTS:
        return ON_CHECKPOINTS[protocol]
    return PROTOCOLS[protocol].headline if protocol in PROTOCOLS else f"{protocol}_top1"
