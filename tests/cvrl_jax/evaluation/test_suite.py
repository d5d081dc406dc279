"""The protocols by name, with made-up networks that know as much as a test wants."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cvrl_jax.evaluation.features import Features, Network
from cvrl_jax.evaluation.specs import evaluation_spec
from cvrl_jax.evaluation.suite import evaluate, sources_of
from data_pipelines.sources import Sources
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.spec import AudioSpec, InputSpec, TextSpec

INPUTS = InputSpec(
    clips=1,
    frames=2,
    stride=1,
    size=16,
    sampling="random",
    audio=AudioSpec(rate=1000, samples=50),
    text=TextSpec(sentences=1, tokens=16),
)


def codes(values, width=32):
    """A fixed random unit vector for each value."""
    table = np.random.default_rng(7).normal(size=(1000, width))
    return table[np.asarray(values) % 1000].astype(np.float32)


def knows_all(batch):
    """A network that says in every modality which video it is, and of its towers which class."""
    clips = batch["video"].shape[1]
    which = codes(batch["index"])[:, None]
    kind = codes(batch["label"])[:, None] + 0.05 * which
    outputs = {name: np.repeat(kind, clips, axis=1) for name in ("video", "audio")}
    for name in ("video_va", "audio_va", "video_vt", "audio_vt"):
        outputs[name] = np.repeat(which, clips, axis=1)
    return outputs | {"text_vt": which}


def knows_nothing(batch):
    return {name: np.ones_like(value) for name, value in knows_all(batch).items()}


def network(embed, tokens=lambda batch, modality: None):
    return Network(INPUTS, embed, tokens)


@pytest.fixture
def config(tiny_config):
    config = tiny_config(eval__retrieval_ways=8, data__train_videos=64, data__test_videos=24)
    config.eval.linear.update(epochs=20, batch_size=32)
    config.eval.attentive.update(epochs=30, batch_size=16)
    return config


ALL = ("knn", "linear", "attentive", "audio_linear", "audio_attentive", "cross_modal_retrieval")


def test_all_protocols_find_what_the_network_knows(config):
    results = evaluate(network(knows_all), sources_of(config), config, ALL)
    assert results is not None
    for name in ALL[:-1]:
        assert results.metrics[f"{name}_top1"] == 1.0
    assert results.metrics["text_to_video_r1"] == results.metrics["audio_to_video_r1"] == 1.0
    assert results.metrics["chance_r1"] == 1 / 8
    assert results.metrics["chance"] == pytest.approx(2 / 24)
    assert results.train is not None
    assert results.predictions_M is not None
    np.testing.assert_array_equal(results.predictions_M, results.test.labels_N)


def test_a_network_that_knows_nothing_is_at_chance(config):
    results = evaluate(network(knows_nothing), sources_of(config), config, ALL)
    assert results is not None
    for name in ALL[:-1]:
        assert results.metrics[f"{name}_top1"] <= results.metrics["chance"]
    for name in ("text_to_video_r1", "video_to_text_r1", "audio_to_video_r1"):
        assert results.metrics[name] == pytest.approx(1 / 8)


def test_the_attentive_probe_gets_tokens_where_there_are_any(config):
    def tokens(batch, modality):
        return (
            codes(batch["label"])[:, None, None].astype(np.float16) if modality == "video" else None
        )

    outputs = network(knows_nothing, tokens)
    results = evaluate(outputs, sources_of(config), config, ("attentive", "audio_attentive"))
    assert results is not None
    assert results.metrics["attentive_top1"] == 1.0
    assert results.metrics["audio_attentive_top1"] <= results.metrics["chance"]


def test_one_test_video_is_enough(config):
    sources = Sources(MovingShapes(16, 0, "train"), MovingShapes(1, 0, "test"))
    results = evaluate(network(knows_all), sources, config, ("knn",))
    assert results.metrics["knn_top1"] in (0.0, 1.0)
    assert "eval/rankme" not in results.metrics


def test_sound_is_shown_where_sound_alone_is_judged(config):
    sources = Sources(MovingShapes(16, 0, "train"), MovingShapes(8, 0, "test"))
    results = evaluate(network(knows_all), sources, config, ("audio_linear",))
    assert (results.shown, results.shown_output) == ("audio_linear", "audio")
    assert len(results.predictions_M) == 8


def test_retrieval_alone_reads_no_training_video(config):
    sources = dataclasses.replace(sources_of(config), train=Unread(64, 0))
    results = evaluate(network(knows_all), sources, config, ("cross_modal_retrieval",))
    assert results is not None
    assert results.train is None
    assert results.metrics["text_to_video_r1"] == 1.0


class Unread(MovingShapes):
    def open(self, index):
        raise AssertionError("a training video was opened")


class Unlabelled(MovingShapes):
    @property
    def classes(self):
        return ()

    @property
    def factors(self):
        return {}

    def info(self, index):
        return dataclasses.replace(super().info(index), label=-1)


class UnlabelledUnread(Unread, Unlabelled):
    pass


def test_videos_without_labels_are_retrieved_but_not_classified(config, caplog):
    sources = Sources(UnlabelledUnread(16, 0), Unlabelled(16, 0, "test"))
    results = evaluate(
        network(knows_all), sources, config, ("knn", "linear", "cross_modal_retrieval")
    )
    assert results is not None
    assert results.metrics["text_to_video_r1"] == 1.0
    assert not {"chance", "knn_top1", "linear_top1"} & set(results.metrics)
    assert results.predictions_M is None
    assert evaluate(network(knows_all), sources, config, ("knn", "linear")) is None
    assert "no labelled test video" in caplog.text


def test_folds_take_the_place_of_training_videos(config):
    test = MovingShapes(48, 0, "test")
    folds = np.arange(48) // 16  # each has every class once
    sources = Sources(Unread(8, 0), test, folds=folds)
    protocols = ("linear", "audio_linear", "cross_modal_retrieval")
    results = evaluate(network(knows_all), sources, config, protocols)
    assert results is not None
    assert results.metrics["audio_linear_top1"] == results.metrics["linear_top1"] == 1.0
    assert results.metrics["linear_top1_std"] == 0.0
    assert results.predictions_M is not None
    np.testing.assert_array_equal(results.predictions_M, np.arange(48) % 16)


def test_a_fold_is_never_tested_by_what_it_trained(config):
    """Classes that occur in one fold only cannot be learned from the others."""
    test = MovingShapes(32, 0, "test")
    folds = np.arange(32) % 16 // 8
    results = evaluate(
        network(knows_all), Sources(test, test, folds=folds), config, ("linear", "knn")
    )
    assert results is not None
    assert results.metrics["linear_top1"] == results.metrics["knn_top1"] == 0.0


def test_sound_missing_from_some_views_or_videos(config, monkeypatch):
    from cvrl_jax.evaluation import suite

    extract = suite.extract_features

    def with_gaps(*args, **kwargs) -> Features:
        found = extract(*args, **kwargs)
        present = found.present["audio"].copy()
        present[:, 0] = False
        present[3] = False
        found.outputs["audio"][~present] = 1000.0
        return dataclasses.replace(found, present={**found.present, "audio": present})

    monkeypatch.setattr(suite, "extract_features", with_gaps)
    config.eval.update(clips=2, train_clips=2)
    results = evaluate(network(knows_all), sources_of(config), config, ("audio_linear",))
    assert results is not None
    assert results.metrics["audio_linear_top1"] == 1.0


def test_several_labels_per_video_give_map_auc_and_d_prime(config, monkeypatch):
    from cvrl_jax.evaluation import suite

    extract = suite.extract_features

    def with_several(*args, **kwargs) -> Features:
        found = extract(*args, **kwargs)
        shape, motion = np.divmod(found.labels_N, 4)
        several = np.zeros((len(shape), 16), np.float32)
        several[np.arange(len(shape)), shape] = several[np.arange(len(shape)), 4 + motion] = 1.0
        return dataclasses.replace(found, labels_N=several)

    monkeypatch.setattr(suite, "extract_features", with_several)
    config.eval.linear.update(epochs=60)
    results = evaluate(network(knows_all), sources_of(config), config, ("knn", "audio_linear"))
    assert results is not None
    assert results.metrics["audio_linear_map"] > 0.95
    assert results.metrics["audio_linear_map_chance"] == pytest.approx(0.25, abs=0.02)
    assert results.metrics["audio_linear_classes_left_out"] == 8.0
    assert "knn_top1" not in results.metrics


def test_the_views_of_an_evaluation(config):
    config.eval.update(frames=6, size=24)
    spec = evaluation_spec(config, 4, 3, INPUTS)
    assert (spec.views, spec.frames, spec.size, spec.sampling) == (12, 6, 24, "even")
    assert (spec.audio, spec.text) == (INPUTS.audio, INPUTS.text)
