from __future__ import annotations

import dataclasses
import os
import pathlib

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.census.inspect_file import frame_rate, inspect_file
from data_pipelines.census.record import Record
from data_pipelines.decode import Limits
from data_pipelines.decode.limits import DEFAULT

FOUND = Record("x", is_listed=False)  # by looking into a folder, with a name of no video


def look(
    path: pathlib.Path,
    record: Record = FOUND,
    decode_seconds: float = 60.0,
    limits: Limits = DEFAULT,
) -> Record:
    named = dataclasses.replace(record, path=path.name)
    return inspect_file(named, str(path.parent), limits, decode_seconds)


def test_a_good_video(make_video, tmp_path):
    got = look(make_video(tmp_path / "a.mp4"), Record("", split="train", class_name="kick"))
    assert (got.status, got.reason, got.split, got.class_name) == ("readable", "", "train", "kick")
    assert (got.frames, got.decoded, got.damaged) == (20, 20, 0)
    assert (got.height, got.width, got.codec, got.audio) == (48, 64, "mpeg4", "")
    assert (got.fps, got.irregular) == (10.0, 0.0)
    assert got.seconds == pytest.approx(2.0)
    assert got.bytes == (tmp_path / "a.mp4").stat().st_size
    assert got.key_gap is not None
    assert 0 < got.key_gap <= 1.9


def test_a_quick_look_and_a_segment(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4")
    assert look(path, decode_seconds=0.0).decoded == 0
    got = look(path, Record("", start=0.5, end=1.0))
    assert (got.frames, got.decoded) == (5, 5)
    assert got.seconds == pytest.approx(0.5)
    late = look(path, Record("", start=9.0))
    assert (late.status, late.reason[:13]) == ("bad", "no frame betw")


def test_a_video_by_another_name_is_a_video(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4").rename(tmp_path / "download")
    assert look(path).status == "readable"


def test_what_is_no_video_and_not_meant_to_be(tmp_path):
    cv2.imwrite(str(tmp_path / "thumb.jpg"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "notes").write_bytes("kick;tr\xe9s vite\n".encode("latin-1"))
    (tmp_path / "_SUCCESS").touch()
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    found = {path.name: look(path) for path in tmp_path.iterdir()}
    assert {name: (r.status, r.reason) for name, r in found.items()} == {
        "thumb.jpg": ("other", "a still picture"),
        "notes": ("other", "a text"),
        "_SUCCESS": ("other", "an empty file"),
        "pipe": ("other", "it is not a regular file"),
    }


def test_lists_of_other_files_are_no_videos(make_video, tmp_path):
    make_video(tmp_path / "a.mp4")
    os.mkfifo(tmp_path / "pipe.dat")
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile 'a.mp4'\n")
    (tmp_path / "c.mp4").write_text("ffconcat version 1.0\nfile 'pipe.dat'\n")  # would never end
    (tmp_path / "d.mp4").write_text("#EXTM3U\n#EXTINF:2,\na.mp4\n#EXT-X-ENDLIST\n")
    for name in "bcd":
        got = look(tmp_path / f"{name}.mp4", Record(""))
        assert (got.status, got.reason) == ("bad", "it is not a video in any known format")


def test_bad_ones_say_why(tmp_path):
    (tmp_path / "text.mp4").write_text("<html>404</html>")
    (tmp_path / "garbage").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "link.mp4").symlink_to("nowhere")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    listed = Record("")
    assert look(tmp_path / "text.mp4", listed).reason == "it is not a video in any known format"
    assert look(tmp_path / "garbage").reason == "it is not a video in any known format"
    assert look(tmp_path / "link.mp4", listed).reason == "No such file or directory"
    got = look(tmp_path / "sound.wav")
    assert (got.status, got.reason) == ("bad", "it holds no video")


def test_limits_are_those_asked_for(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4")
    assert look(path, limits=Limits(frames=20, hours=0.001)).status == "readable"
    for limits, reason in (
        (Limits(pixels=48 * 64 - 1), "64x48 is larger than the limit of 3071 pixels"),
        (Limits(frames=19), "more than 19 frames"),
        (Limits(hours=0.0005), "span 0.0 hours, more than the limit of 0.0005"),
    ):
        got = look(path, limits=limits)
        assert got.status == "bad"
        assert reason in got.reason


def test_a_link_that_leads_out_is_bad_unless_asked_for(make_video, tmp_path):
    path = make_video(tmp_path / "elsewhere/a.mp4")
    (tmp_path / "root").mkdir()
    link = tmp_path / "root/b.mp4"
    link.symlink_to(path)
    assert "leads out of" in look(link).reason
    assert look(link, limits=Limits(follow_links=True)).status == "readable"


def test_a_damaged_still_is_no_bad_video(tmp_path):
    (tmp_path / "thumb.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(200)))
    assert look(tmp_path / "thumb.jpg").status == "other"


@given(
    fps=st.floats(1, 120),
    frames=st.integers(2, 200),
    digits=st.integers(3, 6),
    off=st.floats(-1, 1),
)
def test_a_constant_rate_is_told_in_spite_of_rounded_times(fps, frames, digits, off):
    times = np.round(np.arange(frames) / fps, digits)
    got, irregular = frame_rate(times, fps * (1 + off / 200))
    assert irregular == 0.0
    assert got == pytest.approx(fps, rel=0.16 if frames < 5 else 0.04)


def test_a_variable_rate():
    dropped = np.delete(np.arange(30), [4, 9, 14]) / 30
    fps, irregular = frame_rate(dropped, 30.0)
    assert irregular == pytest.approx(3 / 26)
    assert fps == pytest.approx(26 / (29 / 30))
    assert frame_rate(np.zeros(1), 25.0) == (25.0, 0.0)
