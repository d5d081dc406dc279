"""What a method wants delivered: the one type that models and data share."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.sampling import LAWS, check_law
from data_pipelines.suggest import nearest

Sampling = Literal["decreasing", "uniform", "increasing", "same", "random", "even"]
Crop = Literal["random", "scale_jittered", "center", "thirds"]
StrideUnit = Literal["frames", "seconds"]


@dataclasses.dataclass(frozen=True)
class AudioSpec:
    """The waveform that belongs to each clip: it begins with the clip's first frame.

    The defaults are those of VATT (Akbari et al., "VATT: Transformers for Multimodal
    Self-Supervised Learning from Raw Video, Audio and Text", NeurIPS 2021): 3.2 s.

    Attributes:
      rate: samples per second.
      samples: how many, S.

    Raises:
      UserError: a number is below 1.
    """

    rate: int = 48_000
    samples: int = 153_600

    def __post_init__(self) -> None:
        _at_least_one(self, "rate", "samples", where="audio ")


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """The sentences that belong to the first clip: those nearest to it in time.

    Attributes:
      sentences: candidates per example, K; those that a video does not have are rows of zeros.
      tokens: of a sentence, L; longer ones are cut off, shorter ones are padded with zeros.
      tokenizer: a file that `data_pipelines.text.load_tokenizer` reads, "" for the words of the
        built-in source.

    Raises:
      UserError: a number is below 1.
    """

    sentences: int = 5
    tokens: int = 16
    tokenizer: str = ""

    def __post_init__(self) -> None:
        _at_least_one(self, "sentences", "tokens", where="text ")


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """The clips of one video: how many, how long, from where, how cropped, with what beside them.

    A batch made by this spec holds `video` uint8 [B, V, T, H, W, 3] with V = `views`, T = `frames`
    and H = W = `size`. With `audio` it also holds `audio` float32 [B, V, S] in [-1, 1] and
    `audio_valid` bool [B, V], False where there is no sound (then `audio` is zeros); with `text`,
    `text` int32 [B, K, L], 0 = padding.

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
      crop: "random" resized crop or "scale_jittered" (one box per clip, see `crops`), "center", or
        "thirds" (three per clip).
      area: range of the random crop's area as a fraction of the frame.
      aspect: range of the random crop's width/height.
      resize_short: short side in pixels before an evaluation crop; None = `size`.
      audio: the waveform wanted with each clip, None for none.
      text: the sentences wanted with each example, None for none.

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
        _at_least_one(self, "clips", "frames", "size")
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
    def arrays(self) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
        """Shape and kind of the large arrays of one example, by their keys."""
        arrays: dict[str, tuple[tuple[int, ...], type[np.generic]]]
        arrays = {"video": (self.clip_shape, np.uint8)}
        if self.audio is not None:
            arrays["audio"] = ((self.views, self.audio.samples), np.float32)
        return arrays

    @property
    def span(self) -> float:
        """Distance from a clip's first frame to its last, in `stride_unit`."""
        return (self.frames - 1) * self.stride


def _at_least_one(spec: object, *fields: str, where: str = "") -> None:
    for field in fields:
        if getattr(spec, field) < 1:
            raise UserError(f"{where}{field} = {getattr(spec, field)} must be at least 1")
