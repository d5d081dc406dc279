"""The sound of a file: any stretch of it, at any rate, in one channel, in time to the sample."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard

from data_pipelines.decode.limits import DEFAULT, Deadline, Limits
from data_pipelines.decode.runs import COARSE, Beat, Run, RunBuilder
from data_pipelines.decode.stream import open_container

# Seconds decoded before a stretch. Decoders need some to get going: Opus 0.08, MP3 up to 0.3.
_BEFORE = 0.5
_AROUND = 0.05  # seconds resampled on either side of a stretch: more than the filter is long
# Seconds up to which a track is decoded from its beginning: the one packet whose time is exact
# where a format rounds times to milliseconds.
_EARLY = 10.0


def first_track(container: InputContainer) -> AudioStream | None:
    """The first audio track of known codec, None without one."""
    tracks = (s for s in container.streams if isinstance(s, AudioStream))
    # A track of unknown codec has no codec context.
    return next((s for s in tracks if s.codec_context is not None), None)


class SoundReader:
    """The first audio track of a file whose codec is known.

    What is read does not depend on what was read before.
    """

    def __init__(self, path: str, content: bytes | None = None, limits: Limits = DEFAULT) -> None:
        """Opens a local file, or its content from memory.

        Raises:
          Unreadable, OSError, FFmpegError: it cannot be opened.
        """
        self._path, self._content, self._limits = path, content, limits
        self._open()

    def read(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """Returns a stretch of sound; damaged parts of it are silent.

        Args:
          start: seconds on the clock of the file, as its `pts` go.
          samples: how many, S.
          rate: samples per second.

        Returns:
          float32 [S] in [-1, 1]: the channels mixed by libswresample's weights, which sum up to 1.
          Each sample is that of its time to within half a sample, or, where all that the file says
          of the time is rounded more, to within that unit (a millisecond in Matroska, for sound
          that begins late or has gaps). There are zeros where the track has none. None where it has
          none in all of the stretch.

        Raises:
          Unreadable: it takes too long, or the track holds more samples than its times do.
        """
        if self._track is None:
            return None
        self._deadline = Deadline(self._limits)
        wave_S, found = np.zeros(samples, np.float32), False
        for run in self._runs(start, start + samples / rate):
            place, run_N = _one_channel(run, rate)
            first = round((run.start - start) * rate) + place
            low, high = max(0, first), min(samples, first + len(run_N))
            if low < high:
                wave_S[low:high], found = run_N[low - first : high - first], True
        return wave_S if found else None

    def close(self) -> None:
        """Releases the file. Calling it twice is harmless."""
        self._container.close()

    def _open(self) -> None:
        self._container = open_container(self._path, self._content)
        self._track = first_track(self._container)
        for stream in self._container.streams:
            if stream is not self._track:
                stream.discard = Discard.all  # saves reading it, where the format has an index
        self._fresh = True

    def _runs(self, start: float, end: float) -> list[Run]:
        """Decodes from before `start` to behind `end`."""
        assert self._track is not None
        first = float((self._track.start_time or 0) * (self._track.time_base or 0))
        early = start - _BEFORE <= first + _EARLY
        beat = None if early else self._beat
        builder = RunBuilder(start - _AROUND, end + _AROUND, early, beat)
        for frame in self._frames(-math.inf if early else start - _BEFORE, end + _AROUND):
            builder.add(frame)
        return builder.finish()

    @functools.cached_property
    def _beat(self) -> Beat | None:
        """That of a track whose times are rounded, if its frames are of one length."""
        assert self._track is not None
        unit = float(self._track.time_base or 0)
        if unit <= COARSE:
            return None
        frames = list(itertools.islice(self._frames(-math.inf, math.inf), 4))
        kinds = {(f.samples, f.sample_rate) for f in frames[1:]}
        begin = frames[0].time if frames else None
        if len(frames) < 4 or len(kinds) > 1 or begin is None:
            return None
        first, second, rate = frames[0], frames[1], frames[0].sample_rate
        return Beat(begin + first.samples / rate, second.samples / rate)

    def _frames(self, start: float, end: float) -> Iterator[av.AudioFrame]:
        assert self._track is not None
        unit, beyond, at_zero = float(self._track.time_base or 0), 0, None
        with contextlib.suppress(FFmpegError):  # where the file breaks off, its sound ends
            for packet in self._packets(start, unit):
                self._deadline.check()
                if at_zero is None:
                    at_zero = packet.pts == 0 and not math.isfinite(start)
                # A damaged packet costs what it holds. The last one is empty, and drains.
                with contextlib.suppress(FFmpegError):
                    frames = self._track.codec_context.decode(packet)
                    if at_zero and frames:
                        self._after_padding(frames[0])
                        at_zero = False
                    yield from frames
                beyond = beyond + 1 if packet.pts is not None and packet.pts * unit >= end else 0
                if beyond == 2:  # a lone one may be an error: times wrap round in MPEG-TS
                    break

    def _after_padding(self, first: av.AudioFrame) -> None:
        """Gives the first frame of a track that begins at 0 its time to the sample.

        Since FFmpeg 9 an encoder's padding is left out of sound from Matroska, and what follows is
        stamped in milliseconds.
        """
        assert self._track is not None
        seconds = self._track.codec_context.delay / first.sample_rate
        unit = float(first.time_base or 0)
        if first.pts is not None and abs(first.pts * unit - seconds) < unit:
            first.pts = self._track.codec_context.delay
            first.time_base = Fraction(1, first.sample_rate)

    def _packets(self, start: float, unit: float) -> Iterable[av.Packet]:
        """Returns packets from `start` seconds on, or from before it; all from -inf on."""

        def is_before(packet: av.Packet) -> bool:
            self._deadline.check()
            return packet.pts is not None and packet.pts * unit < start

        assert self._track is not None
        if math.isfinite(start):
            with contextlib.suppress(FFmpegError, StopIteration):  # or no seeking in this format
                self._fresh = False
                self._container.seek(math.floor(start / unit), stream=self._track, backward=True)
                packets = self._container.demux(self._track)
                if is_before(next(packets)):
                    return itertools.dropwhile(is_before, packets)
        if not self._fresh:
            self.close()
            self._open()
        self._fresh = False
        return itertools.dropwhile(is_before, self._container.demux(self._track))


def _one_channel(run: Run, rate: int) -> tuple[int, np.ndarray]:
    """Mixes and resamples what was kept of a run.

    Returns:
      (samples of the new rate from the start of the run to the first returned; float32 [N] in
      [-1, 1]). The new samples lie where they would if all of the run had been resampled.
    """
    first = run.frames[0]
    common = math.gcd(first.sample_rate, rate)
    step_in, step_out = first.sample_rate // common, rate // common
    steps, lead = divmod(run.skipped, step_in)  # both rates have a sample at each step
    # To whole numbers, for which the weights of the channels are made to sum up to 1.
    resampler = av.AudioResampler(format="s32", layout="mono", rate=rate)
    silence = [_silence(first, lead)] if lead else []
    pieces = []
    for frame in (*silence, *run.frames, None):  # None drains it
        if frame is not None:
            frame.pts = None  # their order is all that counts
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    return steps * step_out, np.concatenate(pieces).astype(np.float32) / np.float32(2**31)


def _silence(like: av.AudioFrame, samples: int) -> av.AudioFrame:
    frame = av.AudioFrame(format=like.format.name, layout=like.layout.name, samples=samples)
    frame.sample_rate = like.sample_rate
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame
