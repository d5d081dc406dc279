"""A record sounds like the file it was made from, at the same times."""

import contextlib
import pathlib
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from data_pipelines.decode import Limits, open_video
from data_pipelines.errors import BadVideo
from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.schema import Record
from data_pipelines.prepare.transcode import Transcoder
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.sources.record_video import open_record
from data_pipelines.video import Video

RATE = 48000


def write(path: pathlib.Path, codec: str) -> pathlib.Path:
    """Four seconds of a chirp; the video begins 0.2 s late."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound: Any = container.add_stream(codec, rate=48000, layout="mono")
        for index in range(100):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, np.uint8))
            frame.pts = index + 5
            container.mux(video.encode(frame))
        container.mux(video.encode())
        times = np.arange(4 * 48000) / 48000
        wave = 0.4 * np.sin(2 * np.pi * 100 * times * (1 + times))
        kind = sound.format.name
        dtype = {"flt": np.float32, "s16": np.int16, "s32": np.int32}[kind[:3]]
        data = (wave * (1.0 if kind[0] == "f" else np.iinfo(dtype).max)).astype(dtype)
        size = sound.codec_context.frame_size or 1024
        for begin in range(0, len(data), size):
            piece = av.AudioFrame.from_ndarray(data[None, begin : begin + size], kind, "mono")
            piece.sample_rate, piece.pts = 48000, begin
            container.mux(sound.encode(piece))
        container.mux(sound.encode())
    return path


def recorded(path: pathlib.Path, storage: Any, *segment: float) -> Video:
    file = VideoFile(path.name, -1, *segment)
    source = FileSource("files", (file,), (), str(path.parent))
    encoding = Encoding(storage=storage, short_side=32)
    made = Transcoder({"all": source}, encoding)(("all", 0))
    assert isinstance(made, tuple)
    return open_record(Record.from_bytes(made[0]), "record 0")


def lags(path: pathlib.Path, storage: str, rate: int, *segment: float) -> list[int]:
    """By how many samples the record's sound comes late, at several places."""
    bounds = dict(zip(("start", "end"), segment))
    found = []
    with (
        open_video(str(path), **bounds) as video,
        contextlib.closing(recorded(path, storage, *segment)) as record,
    ):
        last = float(video.times[-1])
        for start in (0.1, 0.31, last / 2):
            samples = round((last - start) * rate)
            expected, got = video.audio(start, samples, rate), record.audio(start, samples, rate)
            assert expected is not None
            assert got is not None
            scores = np.correlate(got, expected[200:-200], "valid")
            place = int(np.argmax(scores))
            shifted = got[place : place + samples - 400]
            error = np.abs(shifted - expected[200:-200]).max()
            assert error < 0.1 * np.abs(expected).max()
            found.append(place - 200)
        assert record.audio(last + 1.0, 100, rate) is None
    return found


@pytest.mark.parametrize("storage", ["jpeg", "h264"])
def test_both_storages(storage: str, tmp_path: pathlib.Path) -> None:
    assert lags(write(tmp_path / "a.mp4", "aac"), storage, RATE) == [0, 0, 0]


@pytest.mark.parametrize("codec", ["flac", "libopus", "aac", "libmp3lame"])
@pytest.mark.parametrize("segment", [(), (1.0, 3.0)])
def test_any_codec_whole_and_in_part(codec: str, segment: tuple, tmp_path: pathlib.Path) -> None:
    """Matroska rounds to milliseconds, and so does what is copied from it."""
    path = write(tmp_path / "a.mkv", codec)
    assert np.abs(lags(path, "jpeg", RATE, *segment)).max() <= (0 if codec == "flac" else 48)


@pytest.mark.parametrize("segment", [(), (1.0, 2.5)])
def test_real_speech(segment: tuple, real_data: pathlib.Path) -> None:
    path = sorted((real_data / "audio_visual" / "video").glob("*.mp4"))[7]
    assert lags(path, "jpeg", 44100, *segment) == [0, 0, 0]


def test_damaged_sound_is_a_bad_video(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "a.mkv", "flac")
    source = FileSource("files", (VideoFile("a.mkv"),), (), str(tmp_path))
    made = Transcoder({"all": source}, Encoding())(("all", 0))
    assert isinstance(made, tuple)
    record = msgspec.structs.replace(Record.from_bytes(made[0]), sound=b"no sound at all" * 9)
    with contextlib.closing(open_record(record, "record 7 of " + path.name, Limits())) as video:
        with pytest.raises(BadVideo, match="record 7"):
            video.audio(0.0, 100, RATE)
        assert len(video.frames([0])) == 1


def test_silence_has_none(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.mkv", "flac")
    source = FileSource("files", (VideoFile("a.mkv"),), (), str(tmp_path))
    made = Transcoder({"all": source}, Encoding(sound=False))(("all", 0))
    assert isinstance(made, tuple)
    assert open_record(Record.from_bytes(made[0]), "x").audio(0.0, 100, RATE) is None
