"""Videos whose frames are in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipelines.crops import crops_of_frames
from data_pipelines.video import Box


class StoredFrames:
    """A video whose frames are in memory; a `Video`.

    Args:
      frames: T frames, uint8 [H, W, 3], or [H, W, 1] for grey ones.
      fps: frames per second.
    """

    def __init__(self, frames: Sequence[np.ndarray], fps: float) -> None:
        self._frames = frames
        self.times = np.arange(len(frames)) / fps

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames in pixels."""
        height, width = self._frames[0].shape[:2]
        return height, width

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """See `Video.frames`."""
        return [np.broadcast_to(self._frames[i], (*self.size, 3)) for i in indices]

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Video.crops`."""
        return crops_of_frames(self, places, size, out)

    def audio(self, start: float, samples: int, rate: int) -> None:
        """None: there are pictures alone."""

    def close(self) -> None:
        """Does nothing: there is no file."""
