"""What a method wants delivered: the one type that models and data share."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from data_pipelines.errors import UserError
from data_pipelines.sampling import LAWS, check_law
from data_pipelines.suggest import nearest

Sampling = Literal["decreasing", "uniform", "increasing", "same", "random", "even"]
Crop = Literal["random", "center", "thirds"]
StrideUnit = Literal["frames", "seconds"]


@dataclasses.dataclass(frozen=True)
class AudioSpec:
    """The waveform that belongs to each clip; it begins with the clip's first frame.

    Attributes:
      rate: samples per second.
      samples: length of the waveform.
    """

    rate: int = 48_000
    samples: int = 153_600


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """The sentences that belong to a video.

    Attributes:
      sentences: K, those nearest in time to the first clip.
      tokens: L, tokens of a sentence; longer ones are cut, shorter ones end in padding (0).
      tokenizer: file of the tokenizer; "" = the source's own.
    """

    sentences: int = 5
    tokens: int = 16
    tokenizer: str = ""


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """The clips of one video: how many, how long, from where, how cropped.

    A batch made by this spec holds `video` uint8 [B, V, T, H, W, 3] with V = `views`, T = `frames`
    and H = W = `size`.

    Attributes:
      clips: clips per video.
      frames: frames per clip.
      stride: distance between neighbouring frames of a clip, in `stride_unit`; a whole number of
        frames.
      stride_unit: "frames" of the file, or "seconds" (the same speed whatever the frame rate).
      size: height and width of a delivered frame, pixels.
      sampling: where clips begin. Laws of the interval between the two clips of a pair
        ("decreasing", "uniform", "increasing", "same"; they need clips = 2), "random" (independent)
        or "even" (evenly spaced, for evaluation).
      power: exponent of the "decreasing" and "increasing" laws.
      crop: "random" resized crop (one box per clip), "center", or "thirds" (three per clip).
      area: range of the random crop's area as a fraction of the frame.
      aspect: range of the random crop's width/height.
      resize_short: short side in pixels before an evaluation crop; None = `size`.
      audio: the waveforms wanted; None = no sound.
      text: the sentences wanted; None = no text.

    Raises:
      UserError: a name is unknown, a number out of range, or a law for pairs has no pair.
    """

    clips: int
    frames: int
    stride: float
    size: int
    stride_unit: StrideUnit = "frames"
    sampling: Sampling = "decreasing"
    power: float = 1.0
    crop: Crop = "random"
    area: tuple[float, float] = (0.3, 1.0)
    aspect: tuple[float, float] = (0.5, 2.0)
    resize_short: int | None = None
    audio: AudioSpec | None = None
    text: TextSpec | None = None

    def __post_init__(self) -> None:
        names = {"sampling": Sampling, "crop": Crop, "stride_unit": StrideUnit}
        for field, known in names.items():
            name = getattr(self, field)
            if name not in get_args(known):
                raise UserError(
                    f"{field} {name!r} does not exist; {nearest(name, get_args(known))}"
                )
        for field in ("clips", "frames", "size"):
            if getattr(self, field) < 1:
                raise UserError(f"{field} = {getattr(self, field)} must be at least 1")
        if not self.stride > 0:
            raise UserError(f"stride = {self.stride:g} must be above 0")
        if self.stride_unit == "frames" and not float(self.stride).is_integer():
            raise UserError(
                f"stride = {self.stride:g} must be a whole number of frames; "
                "use stride_unit 'seconds' for others"
            )
        if self.is_pair:
            check_law(self.sampling, self.power)
            if self.clips != 2:
                raise UserError(
                    f"sampling {self.sampling!r} is a law for a pair of clips, but clips = "
                    f"{self.clips}; use sampling 'random' or 'even'"
                )

    @property
    def is_pair(self) -> bool:
        """Whether `sampling` is a law of the interval between two clips."""
        return self.sampling in LAWS

    @property
    def views(self) -> int:
        """Clips times crops per video."""
        return self.clips * (3 if self.crop == "thirds" else 1)

    @property
    def clip_shape(self) -> tuple[int, int, int, int, int]:
        """Of the `video` of one example: [V, T, H, W, 3]."""
        return self.views, self.frames, self.size, self.size, 3

    @property
    def span(self) -> float:
        """Distance from a clip's first frame to its last, in `stride_unit`."""
        return (self.frames - 1) * self.stride
