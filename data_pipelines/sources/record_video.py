"""Videos read from records: only the frames that are wanted are decoded."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from data_pipelines.crops import Part, crops_of_parts, resize_crop, whole_frames
from data_pipelines.decode import Limits, open_video
from data_pipelines.decode.jpeg_tiles import TiledJpegs, Tiling, decode_jpeg, tiling
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.errors import BadVideo
from data_pipelines.prepare.schema import Record
from data_pipelines.sources.record_sound import RecordSound
from data_pipelines.video import Box, Video

_PIXELS_AT_ONCE = 1 << 19  # of frames decoded together, so that they stay in the cache


def open_record(record: Record, place: str, limits: Limits = DEFAULT) -> Video:
    """Opens the frames of a record; `place` says where it lies, for messages.

    Raises:
      BadVideo: the record contradicts itself, or its frames cannot be read.
    """
    times = np.asarray(record.times, np.float64)
    if not len(times) or times[0] != 0 or not (np.diff(times) > 0).all():
        raise BadVideo(place, "its times do not increase from 0")
    if times[-1] > limits.hours * 3600:
        raise BadVideo(
            place, f"it lasts {times[-1] / 3600:g} hours, more than the limit of {limits.hours:g}"
        )
    if record.height * record.width > limits.pixels:
        raise BadVideo(place, f"a picture of {record.width}x{record.height} pixels is refused")
    if record.h264:
        return H264Frames(record, times, place, limits)
    return JpegFrames(record, times, place, limits)


class JpegFrames:
    """One JPEG file per frame; a `Video`, with its `sound` as it is stored."""

    def __init__(self, record: Record, times: np.ndarray, place: str, limits: Limits) -> None:
        if len(record.jpegs) != len(times):
            raise BadVideo(place, f"{len(record.jpegs)} frames for {len(times)} times")
        self.times, self.size = times, (record.height, record.width)
        self._jpegs, self._place = record.jpegs, place
        self.sound = RecordSound(record, place, limits)

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """See `Video.frames`."""
        pictures = {index: self._decode(index) for index in {int(index) for index in indices}}
        return [pictures[int(index)] for index in indices]

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Video.crops`; what lies outside is not decoded where the files are tiled."""
        return crops_of_parts(self._parts, places, size, out)

    def audio(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """See `Video.audio`."""
        return self.sound.read(start, samples, rate)

    def close(self) -> None:
        """Releases the decoder of its sound."""
        self.sound.close()

    def _parts(self, wanted: Mapping[int, Box]) -> Iterator[Part]:
        tiled = tiling(self._jpegs[next(iter(wanted))]) if wanted else None
        if tiled is None or (tiled.height, tiled.width) != self.size:
            return whole_frames((index, self._decode(index)) for index in wanted)
        return self._tiles(tiled, wanted)

    def _tiles(self, tiled: Tiling, wanted: Mapping[int, Box]) -> Iterator[Part]:
        indices = list(wanted)
        alike: dict[Box, list[int]] = {}
        for place, box in enumerate(wanted.values()):
            alike.setdefault(tiled.around(box), []).append(place)
        try:
            jpegs = TiledJpegs(tiled, [self._jpegs[index] for index in indices])
            for tiles, places in alike.items():
                some = tiled.at_once(tiles, _PIXELS_AT_ONCE)
                for first in range(0, len(places), some):
                    few = places[first : first + some]
                    for place, picture in zip(few, jpegs.decode(few, tiles)):
                        cut = functools.partial(resize_crop, picture)
                        yield indices[place], cut, tiled.corner(tiles)
        except ValueError:  # one is damaged, or made in another way: which, and why?
            yield from whole_frames((index, self._decode(index)) for index in wanted)

    def _decode(self, index: int) -> np.ndarray:
        try:
            return decode_jpeg(self._jpegs[index], *self.size)
        except ValueError as error:
            raise BadVideo(self._place, f"frame {index} cannot be read: {error}") from error


class H264Frames:
    """An MP4 file in memory whose frames are shown at the record's times; a `Video`.

    Its `sound` is as it is stored.
    """

    def __init__(self, record: Record, times: np.ndarray, place: str, limits: Limits) -> None:
        self._file = open_video(place, content=record.h264, limits=limits)
        self.times, self.size = times, (record.height, record.width)
        self.sound = RecordSound(record, place, limits)
        if len(self._file.times) != len(times) or self._file.size != self.size:
            self._file.close()
            raise BadVideo(
                place,
                f"{len(self._file.times)} frames of {self._file.size} pixels, where its times and "
                f"size say {len(times)} of {self.size}",
            )

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """See `Video.frames`."""
        return self._file.frames(indices)

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Video.crops`."""
        return self._file.crops(places, size, out)

    def audio(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """See `Video.audio`."""
        return self.sound.read(start, samples, rate)

    def close(self) -> None:
        """Releases the decoders."""
        self._file.close()
        self.sound.close()
