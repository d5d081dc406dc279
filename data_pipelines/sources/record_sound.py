"""The sound of records."""

from __future__ import annotations

import numpy as np

from data_pipelines.decode import Limits, SoundReader
from data_pipelines.decode.reader import refusing
from data_pipelines.prepare.schema import Record


class RecordSound:
    """What a record keeps of the sound of its video; opened when it is first asked for."""

    def __init__(self, record: Record, place: str, limits: Limits) -> None:
        self._content, self._start = record.sound, record.sound_start
        self._place, self._limits = place, limits
        self._reader: SoundReader | None = None

    def read(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """See `Video.audio`."""
        if not self._content:
            return None
        with refusing(self._place):
            if self._reader is None:
                self._reader = SoundReader(self._place, self._content, self._limits)
            return self._reader.read(start - self._start, samples, rate)

    def close(self) -> None:
        """Releases the decoder. Calling it twice is harmless."""
        if self._reader is not None:
            self._reader.close()
