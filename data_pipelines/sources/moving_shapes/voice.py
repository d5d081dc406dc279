"""The sound of a moving shape: one can hear what moves, how, and when.

Everything is a function of time, so any stretch can be made at any rate, and agrees with the
picture to the sample:

- The shape's own voice: its pitch follows the height on the screen (an octave from the middle to
  a quarter of the frame above it), its loudness the size; its overtones tell which shape it is.
- A pair of steady notes, of which the lower sounds as far as the shape is on the left, and the
  other, a fifth above, as far as it is on the right. Where the colour lasts, it chooses the notes.
- A high partial as loud as the shape is turned clockwise.
- A knock at each cycle of the motion: its rhythm.

There is one channel, so right and left are told by pitch.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipelines.sources.moving_shapes.render import SHAPES
from data_pipelines.sources.moving_shapes.trajectory import Trajectory

_STEP = 1 / 250  # seconds between the values of what changes slowly
# All of it fits into half of 4 kHz, the lowest rate at which everything is heard.
_PITCH = 200.0  # Hz, of a shape in the middle
_OCTAVES = 4.0  # of pitch from the bottom of the frame to its top
_OVERTONES = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.6, 0, 0.4, 0], [0.4, 0.2, 0.2, 0.2]])
_NOTE = 350.0  # Hz, of the first colour on the left; the others follow in whole tones
_FIFTH = 1.5
_HIGH = 1500.0  # Hz
_KNOCK = 1300.0  # Hz
_KNOCK_SECONDS = 0.012  # until it has faded to 1/e
_LOUDNESS = {"voice": 0.4, "notes": 0.2, "high": 0.12, "knock": 0.25}  # sums up to less than 1
_NOISE = np.random.default_rng(1).standard_normal(2**16).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Voice:
    """The sound of one video.

    Attributes:
      shape: one of `SHAPES`.
      trajectory: how it moves.
      seconds: duration.
      colour: number of its colour if that lasts, 0 otherwise.
      delay: seconds by which the sound comes too late; nothing is heard of before the beginning and
        after the end but the standstill there.
      noise: standard deviation of the white noise that is added.
    """

    shape: str
    trajectory: Trajectory
    seconds: float
    colour: int = 0
    delay: float = 0.0
    noise: float = 0.0

    def wave(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """Returns the sound from `start` seconds on; see `Video.audio`."""
        first = round(start * rate)
        times_S = (first + np.arange(samples)) / rate
        inside_S = (times_S >= 0) & (times_S < self.seconds)
        if not inside_S.any():
            return None
        heard_S = np.clip(times_S - self.delay, 0.0, self.seconds)
        wave_S = self._tones(heard_S, rate)
        if self.noise:
            wave_S += self.noise * _NOISE[(first + np.arange(samples)) % len(_NOISE)]
        return np.where(inside_S, np.clip(wave_S, -1.0, 1.0), np.float32(0.0))

    def _tones(self, times_S: np.ndarray, rate: int) -> np.ndarray:
        grid_G = np.arange(0.0, self.seconds + 2 * _STEP, _STEP)
        pose = self.trajectory.at(np.minimum(grid_G, self.seconds))
        pitch_G = _PITCH * 2.0 ** (_OCTAVES * (0.5 - pose.y))
        cycles_G = np.cumsum(pitch_G) * _STEP  # of the voice's fundamental, up to each moment

        def at(values_G: np.ndarray) -> np.ndarray:
            return np.interp(times_S, grid_G, values_G)

        cycles_S = at(cycles_G)
        wave_S = np.zeros(len(times_S), np.float32)
        for partial, share in enumerate(_OVERTONES[SHAPES.index(self.shape)], start=1):
            if share:
                loud_G = pose.size / 0.6 * _audible(partial * pitch_G, rate)
                wave_S += _sine(partial * cycles_S) * at(_LOUDNESS["voice"] * share * loud_G)
        right_G = np.clip((pose.x - 0.2) / 0.6, 0.0, 1.0)
        for factor, share_G in ((1.0, 1.0 - right_G), (_FIFTH, right_G)):
            note = _NOTE * 2.0 ** (self.colour / 6) * factor
            loud_G = share_G * _audible(note, rate)
            wave_S += _sine(note * times_S) * at(_LOUDNESS["notes"] * loud_G)
        turned_G = (1 + np.sin(pose.angle)) / 2 * _audible(_HIGH, rate)
        wave_S += _sine(_HIGH * times_S) * at(_LOUDNESS["high"] * turned_G)
        return wave_S + self._knocks(times_S) * np.float32(_audible(_KNOCK, rate))

    def _knocks(self, times_S: np.ndarray) -> np.ndarray:
        phase_S = self.trajectory.phase[self.trajectory.motion] + times_S / self.trajectory.period
        since_S = ((phase_S % 1.0) * self.trajectory.period).astype(np.float32)
        fading_S = np.exp(-since_S / np.float32(_KNOCK_SECONDS))
        return np.float32(_LOUDNESS["knock"]) * fading_S * np.sin(2 * np.pi * _KNOCK * since_S)


def _sine(cycles_S: np.ndarray) -> np.ndarray:
    """float32 [S]; cycles are counted in float64, for seconds of kilohertz leave float32 few."""
    return np.sin(np.float32(2 * np.pi) * (cycles_S % 1.0).astype(np.float32))


def _audible(frequency: np.ndarray | float, rate: int) -> np.ndarray:
    """1 for what a rate can hold, 0 for what it would fold back."""
    return (np.asarray(frequency) < 0.45 * rate).astype(np.float64)
