from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

import av
import numpy as np
import pytest

from data_pipelines.crops import crops_of_frames
from data_pipelines.errors import BadVideo
from data_pipelines.video import Box, MissingVideo, VideoInfo


class FakeVideo:
    """Frame i is filled with the value i (its index), so that a clip tells its positions."""

    def __init__(self, times: Sequence[float], bad: bool = False) -> None:
        self.times = np.asarray(times, np.float64)
        self.bad = bad
        self.asked: list[list[int]] = []
        self.closed = 0

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        self.asked.append(list(indices))
        if self.bad:
            raise BadVideo("bad.mp4", "breaks off")
        return [np.full((12, 20, 3), i, np.uint8) for i in indices]

    size = (12, 20)

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        return crops_of_frames(self, places, size, out)

    def audio(self, start: float, samples: int, rate: int) -> None:
        return None

    def close(self) -> None:
        self.closed += 1


@dataclasses.dataclass
class FakeSource:
    """Videos by their frame times; None stands for a file that cannot be opened."""

    videos: Sequence[FakeVideo | None]
    labels: Sequence[int] = ()
    name: str = "fake"
    classes: tuple[str, ...] = ()
    factors: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    missing: tuple[MissingVideo, ...] = ()

    def __len__(self) -> int:
        return len(self.videos)

    def info(self, index: int) -> VideoInfo:
        return VideoInfo(f"v{index}", f"v{index}.mp4", self.labels[index] if self.labels else -1)

    def open(self, index: int) -> FakeVideo:
        video = self.videos[index]
        if video is None:
            raise BadVideo(self.info(index).path, f"reason {index}")
        return video


@pytest.fixture
def fake_video() -> type[FakeVideo]:
    return FakeVideo


@pytest.fixture
def fake_source() -> type[FakeSource]:
    return FakeSource


@pytest.fixture(scope="session")
def make_video() -> Callable[[pathlib.Path], pathlib.Path]:
    """Writes a small real video (mpeg4, 64x48, 20 frames at 10 fps) and makes its folders."""

    def make(path: pathlib.Path, frames: int = 20) -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for index in range(frames):
                picture = np.full((48, 64, 3), 10 * index, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode())
        return path

    return make
