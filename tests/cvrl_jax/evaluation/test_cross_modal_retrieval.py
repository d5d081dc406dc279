from __future__ import annotations

import numpy as np
import pytest

from cvrl_jax.evaluation.cross_modal_retrieval import retrieval_metrics
from cvrl_jax.evaluation.features import Features

DIRECTIONS = [
    f"{a}_to_{b}" for a in ("text", "video", "audio") for b in ("text", "video", "audio") if a != b
]


def aligned(rng, videos, clips=3, noise=0.0, width=24):
    """All modalities of a video lie near one place, which no other video is near to."""
    place = rng.normal(size=(videos, 1, width))

    def near(count):
        return (place + noise * rng.normal(size=(videos, count, width))).astype(np.float32)

    outputs = {"video": near(clips), "probabilities": np.zeros((videos, 4), np.float32)}
    for name in ("video_va", "audio_va", "video_vt", "audio_vt"):
        outputs[name] = near(clips)
    outputs["text_vt"] = near(2)
    return Features(
        outputs=outputs,
        labels_N=np.full(videos, -1),
        valid_N=np.ones(videos, bool),
        present={"audio": np.ones((videos, clips), bool), "text": np.ones((videos, 2), bool)},
    )


def test_all_directions_by_both_averages_of_clips():
    metrics = retrieval_metrics(aligned(np.random.default_rng(0), 12), ways=0)
    for direction in DIRECTIONS:
        for name in (direction, f"{direction}_mean_cosine"):
            assert metrics[f"{name}_r1"] == metrics[f"{name}_median_rank"] == 1.0
    assert metrics["chance_r1"] == pytest.approx(1 / 12)
    assert metrics["retrieval_without_audio"] == metrics["retrieval_without_text"] == 0.0
    assert len(metrics) == 2 * 6 * 5 + 6 + 3


def test_one_clip_needs_one_average_only():
    metrics = retrieval_metrics(aligned(np.random.default_rng(0), 6, clips=1), ways=0)
    assert not [name for name in metrics if "mean_cosine" in name]


def test_a_collapsed_network_is_at_chance_in_all_directions():
    features = aligned(np.random.default_rng(0), 20)
    features.outputs.update({name: np.ones_like(v) for name, v in features.outputs.items()})
    metrics = retrieval_metrics(features, ways=10)
    for direction in DIRECTIONS:
        assert metrics[f"{direction}_r1"] == pytest.approx(0.1)
        # To a video there are two right sentences among twenty.
        expected = 1 - miss_of_two(20, 5) if direction.endswith("_text") else 0.5
        assert metrics[f"{direction}_r5"] == pytest.approx(expected)
    assert metrics["chance_r1"] == pytest.approx(0.1)


def miss_of_two(answers, k):
    """Probability that neither of two right answers is among the first k of a random order."""
    return (answers - k) * (answers - k - 1) / (answers * (answers - 1))


def test_clips_without_sound_and_sentences_that_are_none_are_not_looked_at():
    rng = np.random.default_rng(1)
    features = aligned(rng, 8)
    features.present["audio"][:, 1] = False
    features.present["text"][:, 1] = False
    for name in ("audio_va", "audio_vt", "text_vt"):
        features.outputs[name][:, 1] = 100 * rng.normal(size=(8, 24))
    metrics = retrieval_metrics(features, ways=0)
    assert all(metrics[f"{direction}_r1"] == 1.0 for direction in DIRECTIONS)
    assert metrics["chance_r1"] == pytest.approx(1 / 8)


def test_videos_without_sound_or_text_are_left_out_where_they_lack_it_and_counted():
    features = aligned(np.random.default_rng(2), 10)
    features.present["audio"][:3] = False
    features.present["text"][9] = False
    features.valid_N[8] = False
    metrics = retrieval_metrics(features, ways=0)
    assert metrics["retrieval_without_audio"] == 3.0
    assert metrics["retrieval_without_text"] == 1.0
    assert metrics["text_to_video_r1"] == metrics["audio_to_video_r1"] == 1.0
    assert metrics["chance_r1"] == pytest.approx(1 / 8)  # text and video: videos 0 to 7
    assert metrics["audio_to_video_chance_r1"] == pytest.approx(1 / 6)  # 3 to 7, and 9


def test_a_modality_that_nothing_has_is_said_and_the_rest_measured(caplog):
    features = aligned(np.random.default_rng(3), 6)
    features.present["audio"][:] = False
    metrics = retrieval_metrics(features, ways=0)
    assert "no retrieval between audio and video" in caplog.text
    assert "audio_to_video_r1" not in metrics
    assert metrics["text_to_video_r1"] == 1.0
    del features.outputs["text_vt"]
    metrics = retrieval_metrics(features, ways=0)
    assert set(metrics) == {"retrieval_without_audio", "retrieval_without_text"}


def test_both_averages_equal_float64():
    rng = np.random.default_rng(4)
    features = aligned(rng, 30, noise=1.5)

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    audio, video = (
        unit(features.outputs[f"{m}_va"].astype(np.float64)) for m in ("audio", "video")
    )
    mean_cosine = np.einsum("avd,bwd->abvw", audio, video).mean(axis=(2, 3))
    mean_embedding = unit(audio.mean(axis=1)) @ unit(video.mean(axis=1)).T
    metrics = retrieval_metrics(features, ways=0)
    for suffix, similarity in (("", mean_embedding), ("_mean_cosine", mean_cosine)):
        ranks = 1 + (similarity > np.diag(similarity)[:, None]).sum(axis=1)
        assert 1 < ranks.mean() < 15
        assert metrics[f"audio_to_video{suffix}_mean_rank"] == pytest.approx(ranks.mean())
        assert metrics[f"audio_to_video{suffix}_r5"] == pytest.approx(np.mean(ranks <= 5))
