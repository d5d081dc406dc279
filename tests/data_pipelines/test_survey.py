import os
import signal
import time

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.stored import StoredFrames
from data_pipelines.spec import InputSpec
from data_pipelines.survey import survey
from data_pipelines.video import Video, VideoInfo


def spec(frames: int = 4, stride: float = 2, unit: str = "frames") -> InputSpec:
    return InputSpec(clips=2, frames=frames, stride=stride, stride_unit=unit, size=8)


def test_a_sample_stands_for_all(fake_source, fake_video) -> None:
    videos = [fake_video(np.arange(3601) / 10) for _ in range(100)]
    videos[0] = fake_video(np.arange(1801) / 10)
    videos[99] = None
    source = fake_source(videos)
    got = survey(source, spec())
    assert got.videos == 100
    assert got.hours == pytest.approx(100 * (30 * 360 + 180) / 31 / 3600)
    assert got.frames == (1801, 3601, 3601)
    assert got.bad == (("v99.mp4", "reason 99"),)
    opened = [video for video in videos if video and video.closed]
    assert len(opened) == 31  # 32 were looked at, and each was closed
    assert all(video.closed == 1 and not video.asked for video in opened)


class HangsOrCrashes:
    """Of three videos, the first hangs what opens it and the second kills it."""

    name, classes, factors, missing = "odd", (), {}, ()

    def __len__(self) -> int:
        return 3

    def info(self, index: int) -> VideoInfo:
        return VideoInfo(f"v{index}", f"v{index}.mp4")

    def open(self, index: int) -> Video:
        if index == 0:
            time.sleep(60)
        if index == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        return StoredFrames([np.zeros((8, 8, 3), np.uint8)] * 20, fps=10.0)


def test_what_hangs_or_crashes_is_bad_and_harms_nothing() -> None:
    got = survey(HangsOrCrashes(), spec(), workers=2, timeout=1.0)
    assert got.frames == (20, 20, 20)
    assert got.bad == (
        ("v0.mp4", "reading it took more than 1 s and was given up"),
        ("v1.mp4", "its decoder crashed 2 times (SIGSEGV)"),
    )


def test_every_video_of_a_small_source_is_looked_at_once(fake_source, fake_video) -> None:
    videos = [fake_video([0.0, 0.1, 0.2, 0.3]) for _ in range(5)]
    survey(fake_source(videos), spec(frames=2, stride=1))
    assert [video.closed for video in videos] == [1] * 5


def test_nothing_readable(fake_source) -> None:
    with pytest.raises(UserError, match=r"fake: none of 3 videos .* the first: v0.mp4: reason 0"):
        survey(fake_source([None] * 3), spec())


@pytest.mark.parametrize(
    ("unit", "stride", "fits", "message"),
    [
        ("frames", 3, 10, "4 frames at stride 3 spans 9 frames, but the longest of 2 .* has 8"),
        ("seconds", 0.3, 10, "stride 0.3 spans 0.9 seconds, but the longest .* has 0.8"),
    ],
)
def test_a_clip_longer_than_every_video(
    unit, stride, fits, message, fake_source, fake_video
) -> None:
    def source(length: int):
        return fake_source([fake_video(np.arange(n) / 10) for n in (3, length)])

    with pytest.raises(UserError, match=message):
        survey(source(fits - 1), spec(4, stride, unit))
    assert survey(source(fits), spec(4, stride, unit)).frames == (3, 6, 10)


def test_pictures_are_videos_of_one_frame(fake_source, fake_video) -> None:
    got = survey(fake_source([fake_video([0.0])] * 2), spec())
    assert got.frames == (1, 1, 1)
    assert got.hours == 0
