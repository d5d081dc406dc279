"""Decoding a whole file without pictures, and what a file says of itself."""

from __future__ import annotations

import pathlib

import av
import numpy as np
import pytest

from data_pipelines.decode import AudioFacts, open_video
from data_pipelines.errors import BadVideo


def write(path: pathlib.Path, codec: str, frames: int, gop: int, sound: bool = False) -> str:
    with av.open(str(path), "w") as container:
        # No keyframes but those of the interval.
        stream = container.add_stream(codec, rate=10, options={"sc_threshold": "1000000000"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = gop
        tone = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for index in range(frames):
            picture = np.full((48, 64, 3), 100 + index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
        if tone is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
            silence.sample_rate = 16000
            container.mux(tone.encode(silence))
            container.mux(tone.encode())
    return str(path)


def test_facts(tmp_path):
    path = write(tmp_path / "a.mp4", "mpeg4", frames=20, gop=5, sound=True)
    with open_video(path) as video:
        facts = video.facts()
    assert (facts.codec, facts.rate) == ("mpeg4", 10.0)
    assert "mp4" in facts.container
    assert facts.seconds == pytest.approx(1.9)
    np.testing.assert_allclose(facts.key_times, [0.0, 0.5, 1.0, 1.5])
    assert facts.audio == AudioFacts("aac", 16000, 1)


def test_facts_of_a_segment_are_those_of_the_file(tmp_path):
    path = write(tmp_path / "a.mkv", "mpeg4", frames=20, gop=5)
    with open_video(path) as whole, open_video(path, start=0.7, end=1.2) as part:
        assert part.facts().seconds == whole.facts().seconds
        np.testing.assert_array_equal(part.facts().key_times, whole.facts().key_times)
        assert part.facts().audio is None
        assert part.check() == (5, 0)


def test_check_leaves_the_reader_as_good_as_new(tmp_path):
    path = write(tmp_path / "a.mp4", "mpeg4", frames=20, gop=5)
    with open_video(path) as checked, open_video(path) as fresh:
        assert checked.check() == (20, 0)
        assert checked.check() == (20, 0)
        for got, wanted in zip(checked.frames([3, 17, 0]), fresh.frames([3, 17, 0])):
            np.testing.assert_array_equal(got, wanted)


def test_check_stops_in_time(tmp_path):
    path = write(tmp_path / "a.mp4", "mpeg4", frames=20, gop=5)
    with open_video(path) as video:
        assert video.check(seconds=0.0) == (0, 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("corrupt_mid_stream/corrupted.mp4", "frame 28 of 50 .* does not decode"),
        ("bad_container/no_timescale.mp4", "frame 8 of 182 .* does not decode"),
        ("corrupt_mid_stream/Error_I_P.264", "size of its picture changes at 0.080 s"),
    ],
)
def test_damage_that_opening_does_not_show(name, reason, real_data):
    with (
        open_video(str(real_data / "nasty" / name)) as video,
        pytest.raises(BadVideo, match=reason),
    ):
        video.check()


def test_a_track_of_unknown_codec_is_sound(real_data):
    with open_video(str(real_data / "nasty/streams/sample_missing_stsd.mp4")) as video:
        assert video.facts().audio == AudioFacts("unknown", 0, 0)
