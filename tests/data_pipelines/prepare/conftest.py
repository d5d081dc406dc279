from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable

import av
import numpy as np
import pytest

from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.plan import Job
from data_pipelines.sources.folder import folder_splits

# Presentation times in milliseconds of a video whose frame rate varies.
TIMES_MS = [0, 40, 80, 200, 210, 500, 501, 900, 1000, 1500]


def picture(index: int, height: int, width: int) -> np.ndarray:
    """Smooth in space, different for every index."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / 9 + index), np.cos(y / 7 - index), np.sin((x + y) / 11 + 2 * index)]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def write_video(
    path: pathlib.Path, height: int, width: int, times_ms: list[int], tone: bool = False
) -> pathlib.Path:
    """A lossless video, with a 440 Hz tone in FLAC if asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
        if tone:
            _add_tone(container, times_ms[-1] / 1000 + 1.0)
        for index, when in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(index, height, width), format="rgb24")
            frame.pts = when
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _add_tone(container: av.container.OutputContainer, seconds: float, rate: int = 8000) -> None:
    stream = container.add_stream("flac", rate=rate, layout="mono")
    wave = tone(np.arange(int(seconds * rate)) / rate)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def tone(seconds: np.ndarray) -> np.ndarray:
    """A chirp: the value tells the time."""
    return (8000 * np.sin(2 * np.pi * 100 * seconds * (1 + seconds))).astype(np.int16)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two classes, one split each for train and test, a broken file, odd sizes and odd names."""
    root = tmp_path_factory.mktemp("videos") / "made"
    write_video(root / "train" / "a" / "vary.mkv", 97, 131, TIMES_MS, tone=True)
    write_video(root / "train" / "b" / "it's [odd] & 'quoted'?.mkv", 64, 48, [0, 33, 66, 100])
    write_video(root / "train" / "b" / "one.mkv", 33, 35, [0])
    (root / "train" / "a" / "broken.mp4").write_bytes(b"no video at all" * 9)
    write_video(root / "test" / "b" / "small.mkv", 20, 30, list(range(0, 800, 40)))
    return root


@pytest.fixture
def job(videos: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., Job]:
    def make(root: pathlib.Path = videos, output: str = "", **changes: object) -> Job:
        fields = {"videos_per_shard": 2, "timeout": 30.0, "encoding": Encoding(short_side=48)}
        opened = functools.partial(folder_splits, root)
        return Job(opened, output or str(tmp_path / "out"), **fields | changes)  # pyright: ignore

    return make
