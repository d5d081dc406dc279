"""The sound of records."""

from __future__ import annotations

import numpy as np

from data_pipelines.decode import Limits, SoundReader
from data_pipelines.decode.reader import refusing
from data_pipelines.prepare.schema import Record


class RecordSound:
    """What a record keeps of the sound of its video; opened when it is first asked for.

    Attributes:
      file: as in `Record.sound`.
      start: as in `Record.sound_start`.
    """

    def __init__(self, record: Record, place: str, limits: Limits) -> None:
        self.file, self.start = record.sound, record.sound_start
        self._place, self._limits = place, limits
        self._reader: SoundReader | None = None

    def read(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """See `Video.audio`."""
        if not self.file:
            return None
        with refusing(self._place):
            if self._reader is None:
                self._reader = SoundReader(self._place, self.file, self._limits)
            return self._reader.read(start - self.start, samples, rate)

    def close(self) -> None:
        """Releases the decoder. Calling it twice is harmless."""
        if self._reader is not None:
            self._reader.close()
