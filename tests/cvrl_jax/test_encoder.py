"""What an encoder says of clips, files and long videos."""

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.description import Description
from data_pipelines.decode import open_video
from data_pipelines.errors import BadVideo, UserError


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Fifty frames at 10 a second."""
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 24, 16, "yuv420p"
        for _ in range(50):
            picture = rng.integers(0, 256, (16, 24, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def encoder(random_encoder):
    return random_encoder()


def clip_at(video, indices):
    with open_video(str(video)) as opened:
        return np.stack(opened.frames(indices))[:, :, 4:20]


def test_clips_give_the_towers_features_whatever_the_batch(encoder):
    clips = np.random.default_rng(1).integers(0, 256, (5, 4, 16, 16, 3), np.uint8)
    expected = encoder.tower.apply(encoder.variables, clips.astype(np.float32) / 255, train=False)
    assert expected.std() > 1e-3
    for batch_size in (1, 3, 8):
        vectors = encoder.embed(clips, batch_size=batch_size)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert encoder.embed(clips[:0]).shape == (0, encoder.feature_size)
    floats = encoder.apply(encoder.params, clips.astype(np.float32) / 255)
    np.testing.assert_allclose(floats, expected, atol=1e-5)


def test_files_give_the_vector_of_their_middle_clip_or_the_mean_of_several(encoder, video):
    middle = clip_at(video, [21, 23, 25, 27])  # (50 - 4 * 2) // 2
    vectors = encoder.embed([video, str(video)])
    np.testing.assert_allclose(vectors, np.tile(encoder.embed(middle[None]), (2, 1)), atol=1e-5)
    ends = np.stack([clip_at(video, np.arange(s, s + 8, 2)) for s in (0, 42)])
    two = encoder.embed([video], clips=2)
    np.testing.assert_allclose(two[0], encoder.embed(ends).mean(axis=0), atol=1e-5)
    assert encoder.embed([]).shape == (0, encoder.feature_size)


def test_windows_go_through_a_long_video(encoder, video):
    windows = encoder.embed_windows(video, every=1.4, batch_size=2)
    np.testing.assert_allclose(windows.start_N, [0.0, 1.4, 2.8, 4.2], atol=1e-6)
    np.testing.assert_allclose(windows.end_N, windows.start_N + 0.6, atol=1e-6)
    clips = np.stack([clip_at(video, np.arange(s, s + 8, 2)) for s in (0, 14, 28, 42)])
    np.testing.assert_allclose(windows.vectors_NxD, encoder.embed(clips), atol=1e-5)
    assert len(encoder.embed_windows(video).start_N) == 7  # 5 s, each 0.8 s


def test_a_video_shorter_than_a_window_gives_one(random_encoder, video):
    windows = random_encoder(frames=32).embed_windows(video)
    assert windows.start_N.tolist() == [0.0]
    assert windows.vectors_NxD.shape == (1, 32)


def test_apply_is_differentiable_and_leaves_statistics_alone(encoder):
    clips = np.random.default_rng(1).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    loss = jax.jit(lambda params: jnp.square(encoder.apply(params, clips)).mean())
    gradient = jax.grad(loss)(encoder.params)
    assert jax.tree.structure(gradient) == jax.tree.structure(encoder.params)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("videos", "says"),
    [
        (np.zeros((1, 4, 16, 16, 3), np.float32), "clips are float32"),
        (np.zeros((1, 4, 20, 16, 3), np.uint8), r"\[1, 4, 20, 16, 3\], but r3d10 .* of cvrl takes"),
        (np.zeros((4, 16, 16, 3), np.uint8), r"\['N', 4, 16, 16, 3\]"),
        ("a.mp4", r"embed\(\['a.mp4'\]\)"),
        ([np.zeros((4, 16, 16, 3), np.uint8)] * 2, "one array of clips, not several"),
    ],
)
def test_what_is_no_list_of_clips_or_files(encoder, videos, says):
    with pytest.raises(UserError, match=says):
        encoder.embed(videos)


def test_a_file_that_cannot_be_read_is_named(encoder, video, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(BadVideo, match=r"bad\.mp4"):
        encoder.embed([video, tmp_path / "bad.mp4"])
    with pytest.raises(BadVideo, match=r"missing\.mp4"):
        encoder.embed_windows(tmp_path / "missing.mp4")
    with pytest.raises(UserError, match="every"):
        encoder.embed_windows(video, every=0)
    with pytest.raises(UserError, match="batch_size = 0 must be at least 1"):
        encoder.embed_windows(video, batch_size=0)
    with pytest.raises(UserError, match="clips = 0 must be at least 1"):
        encoder.embed([video], clips=0)


def test_a_description_survives_json_and_refuses_others(encoder):
    d = encoder.description
    assert Description.from_json(d.to_json(), "here") == d
    for text, says in {
        "{}": "describes no encoder",
        "no json": "describes no encoder",
        "[1]": "describes no encoder",
        '{"format": "cvrl_jax.encoder", "version": 2}': "version 2",
        '{"format": "cvrl_jax.encoder", "version": 1, "size": 3}': "incomplete",
        d.to_json().replace('"size": 16', '"size": "big"'): r"incomplete \(Expected `int`",
    }.items():
        with pytest.raises(UserError, match=says):
            Description.from_json(text, "here")
