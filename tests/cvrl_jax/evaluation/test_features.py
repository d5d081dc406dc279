from __future__ import annotations

import numpy as np
import pytest

from cvrl_jax.evaluation import features as features_module
from cvrl_jax.evaluation.features import Features, Network, extract_features, with_tokens
from data_pipelines.errors import UserError
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.spec import AudioSpec, InputSpec, TextSpec

SPEC = InputSpec(
    clips=2,
    frames=2,
    stride=2,
    size=16,
    sampling="even",
    crop="center",
    audio=AudioSpec(rate=2000, samples=100),
    text=TextSpec(sentences=3, tokens=8),
)


def embed(batch):
    """Which video it was, in every output."""
    video = batch["video"].astype(np.float64).mean(axis=(2, 3, 4))
    return {
        "video": video,
        "audio": np.abs(batch["audio"]).mean(axis=-1, keepdims=True),
        "text_vt": batch["text"].sum(axis=-1, keepdims=True),
        "probabilities": np.full((len(video), 4), 0.25),
    }


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_every_video_comes_once_and_in_order_whatever_the_batch(batch_size):
    source = MovingShapes(videos=9, seed=0, split="test")
    found = extract_features(embed, source, SPEC, batch_size=batch_size)
    whole = extract_features(embed, source, SPEC, batch_size=9)
    assert found.labels_N.tolist() == list(range(9))
    assert found.valid_N.all()
    shapes = {name: value.shape for name, value in found.outputs.items()}
    assert shapes == {
        "video": (9, 2, 3),
        "audio": (9, 2, 1),
        "text_vt": (9, 3, 1),
        "probabilities": (9, 4),
    }
    for name, value in found.outputs.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, whole.outputs[name])
    assert {name: value.shape for name, value in found.present.items()} == {
        "audio": (9, 2),
        "text": (9, 3),
    }


def example() -> Features:
    return Features(
        outputs={"video": np.ones((3, 2, 4)), "audio_va": np.ones((3, 2, 5)), "x": np.arange(3)},
        labels_N=np.array([0, -1, 2]),
        valid_N=np.array([True, True, False]),
        present={"audio": np.array([[True, False], [False, False], [True, True]])},
    )


def test_what_is_present():
    found = example()
    assert found.is_present("video").tolist() == [[True, True], [True, True], [False, False]]
    assert found.is_present("audio_va").tolist() == [[True, False], [False, False], [False, False]]
    assert found.labelled_N.tolist() == [True, False, True]


def test_readable_and_take_keep_all_rows_together():
    found = example()
    assert found.readable().outputs["x"].tolist() == [0, 1]
    one = found.take(np.array([1]))
    assert one.labels_N.tolist() == [-1]
    assert one.outputs["audio_va"].shape == (1, 2, 5)
    assert one.present["audio"].shape == (1, 2)


def test_several_labels_per_video():
    found = Features({}, np.array([[0.0, 1.0], [0.0, 0.0]]), np.ones(2, bool))
    assert found.labelled_N.tolist() == [True, False]


def test_tokens_join_the_outputs_where_the_network_has_any_and_memory_allows(monkeypatch):
    def tokens(batch, modality):
        return np.zeros((4, 1, 8, 16), np.float16) if modality == "video" else None

    network = Network(SPEC, lambda batch: {"video": np.zeros((4, 1, 2))}, tokens)
    batch = {"video": np.zeros(4), "audio": np.zeros(4)}
    outputs = with_tokens(network, ("video", "audio"), videos=100)(batch)
    assert set(outputs) == {"video", "video_tokens"}
    monkeypatch.setattr(features_module, "_MAX_TOKENS_BYTES", 99 * 8 * 16 * 2)
    with pytest.raises(UserError, match=r"every token of 100 videos.*config\.eval\.train_clips"):
        with_tokens(network, ("video",), videos=100)(batch)
