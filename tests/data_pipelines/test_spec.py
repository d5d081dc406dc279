import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.spec import AudioSpec, InputSpec, TextSpec

GOOD = {"clips": 2, "frames": 4, "stride": 2.0, "size": 8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sampling": "decresing"},
            "sampling 'decresing' does not exist; did you mean 'decreasing'",
        ),
        ({"crop": "centre"}, "crop 'centre' does not exist; did you mean 'center'"),
        ({"stride_unit": "second"}, "stride_unit 'second' .* did you mean 'seconds'"),
        ({"clips": 1}, "law for a pair of clips, but clips = 1; use"),
        ({"clips": 0, "sampling": "even"}, "clips = 0 must be at least 1"),
        ({"frames": 0}, "frames = 0 must"),
        ({"size": 0}, "size = 0 must"),
        ({"stride": 0.0}, "stride = 0 must be above 0"),
        (
            {"stride": 1.5},
            "stride = 1.5 must be a whole number of frames; use stride_unit 'seconds'",
        ),
        ({"power": 0.0}, "power is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        InputSpec(**GOOD | change)


def test_views_and_span() -> None:
    assert InputSpec(**GOOD).views == 2
    assert InputSpec(**GOOD).span == 6.0
    assert InputSpec(**GOOD | {"clips": 5, "sampling": "even", "crop": "thirds"}).views == 15
    assert InputSpec(**GOOD | {"stride": 1.5, "stride_unit": "seconds"}).span == 4.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AudioSpec(rate=0), "audio rate = 0 must be at least 1"),
        (lambda: AudioSpec(samples=0), "audio samples = 0 must"),
        (lambda: TextSpec(sentences=0), "text sentences = 0 must"),
        (lambda: TextSpec(tokens=0), "text tokens = 0 must"),
    ],
)
def test_what_makes_no_sense_of_sound_and_text_is_refused(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_large_arrays() -> None:
    assert InputSpec(**GOOD).arrays == {"video": ((2, 4, 8, 8, 3), np.uint8)}
    whole = InputSpec(**GOOD, audio=AudioSpec(8000, 10), text=TextSpec())
    assert whole.arrays["audio"] == ((2, 10), np.float32)
    assert AudioSpec() == AudioSpec(48_000, 153_600)  # 3.2 s
    assert TextSpec() == TextSpec(5, 16, "")
