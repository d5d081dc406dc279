from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cvrl_jax.evaluation.bench import Finding
from cvrl_jax.evaluation.cross_modal_retrieval import retrieval_metrics
from cvrl_jax.evaluation.features import Features
from cvrl_jax.evaluation.suite import Results
from cvrl_jax.methods import create_method
from cvrl_jax.reports.retrieval import gather_retrieval
from data_pipelines.sources import Sources
from data_pipelines.sources.moving_shapes import MovingShapes

VIDEOS = 24


@pytest.fixture(scope="module")
def config(tiny_config):
    return tiny_config("vatt", eval__retrieval_ways=8, eval__clips=2)


def features():
    rng = np.random.default_rng(0)
    place = rng.normal(size=(VIDEOS, 1, 16)).astype(np.float32)
    names = ("video_va", "audio_va", "video_vt", "audio_vt", "text_vt")
    outputs = {name: np.repeat(place, 2, axis=1) for name in names}
    present = {"audio": np.ones((VIDEOS, 2), bool), "text": np.ones((VIDEOS, 2), bool)}
    return Features(outputs, np.arange(VIDEOS) % 16, np.ones(VIDEOS, bool), (), present)


def gather(config, found, untrained=None):
    metrics = retrieval_metrics(found, ways=config.eval.retrieval_ways)
    results = Results({"cross_modal_retrieval": Finding(metrics)}, {}, None, found)
    source = MovingShapes(VIDEOS, 0, "test")
    inputs = create_method(config).inputs
    return source, gather_retrieval(
        results, Sources(source, source), config, inputs, untrained or {}
    )


def test_what_a_perfect_network_shows(config):
    source, shown = gather(config, features(), {"text_to_video_r1": 0.25})
    assert [d.name for d in shown.directions] == [
        "text → video", "video → text", "audio → video", "video → audio", "text → audio",
        "audio → text",
    ]  # fmt: skip
    assert shown.directions[0].recalls == {1: 1.0, 5: 1.0, 10: 1.0}
    assert [d.untrained_r1 for d in shown.directions[:2]] == [0.25, None]
    assert (shown.chance_r1, shown.among) == (1 / 8, 8)
    for matrix in shown.similarities:
        assert matrix.values_RxR.shape == (8, 8)
        assert (matrix.values_RxR.argmax(axis=1) == np.arange(8)).all()
    assert [len(query.found) for query in shown.queries] == [3] * 8
    for index, query in enumerate(shown.queries):
        assert (query.rank, query.among, query.found[0].right) == (1.0, 8, True)
        np.testing.assert_array_equal(query.found[0].frames_FxHxWx3, query.frames_FxHxWx3)
        assert query.sentence in [caption.text for caption in source.info(index).captions]
    assert [place.modality for place in shown.places] == ["video", "audio", "text"]
    assert {len(place.videos_M) for place in shown.places} == {VIDEOS}


def test_matrices_are_sorted_by_class_and_rows_and_columns_stay_together(config):
    found = features()
    rng = np.random.default_rng(1)
    for values in found.outputs.values():
        values += 2.0 * rng.normal(size=values.shape).astype(np.float32)
    labels = np.arange(VIDEOS)[::-1] % 16
    _, shown = gather(config, dataclasses.replace(found, labels_N=labels))

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    video, audio = (unit(unit(found.outputs[f"{m}_va"]).mean(axis=1)) for m in ("video", "audio"))
    order = np.argsort(labels[:8], kind="stable")
    np.testing.assert_allclose(
        shown.similarities[1].values_RxR, audio[order] @ video[order].T, atol=1e-5
    )


def test_without_text_there_are_no_sentences_and_the_map_is_that_of_sound(config):
    found = features()
    del found.outputs["text_vt"]
    found.present["audio"][:3] = False
    _, shown = gather(config, found)
    assert shown.queries == []
    assert [(s.rows, s.columns) for s in shown.similarities] == [("audio", "video")]
    assert {place.modality: len(place.videos_M) for place in shown.places} == {
        "video": VIDEOS,
        "audio": VIDEOS - 3,
    }
    assert shown.left_out == {"audio": 3, "text": 0}


def test_nothing_retrieved_is_nothing_to_show(config):
    found = features()
    found.outputs.clear()
    assert gather(config, found)[1] is None
