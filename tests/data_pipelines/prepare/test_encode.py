import io

import av
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.prepare.encode import Encoding, encode_h264, encode_jpeg, shrink


def smooth(index: int, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 2 + index * 9, x * 2, 0 * x + 99], -1).clip(0, 255).astype(np.uint8)


@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 400))
def test_sizes(height, width, short):
    new = Encoding(short_side=short).size(height, width)
    if not short or min(height, width) <= short:
        assert new == (height, width)
    else:
        assert min(new) == short
        assert abs(max(new) - max(height, width) * short / min(height, width)) <= 0.5
    even = Encoding(storage="h264", short_side=short).size(height, width)
    assert all(side % 2 == 0 and abs(side - plain) <= 2 for side, plain in zip(even, new))


def test_shrinking_averages():
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (shrink(stripes, (4, 4)) == 100).all()
    assert shrink(stripes, (8, 8)) is stripes


def test_jpeg_is_close():
    frame = smooth(0, 33, 47)
    back = simplejpeg.decode_jpeg(encode_jpeg(frame[:, ::-1], 90))
    assert np.abs(back.astype(int) - frame[:, ::-1]).mean() < 3


def test_h264_has_short_groups_and_equal_bytes():
    frames = [smooth(index, 34, 46) for index in range(11)]
    data = encode_h264(frames, (34, 46), crf=12, gop=4)
    assert data == encode_h264(frames, (34, 46), crf=12, gop=4)
    with av.open(io.BytesIO(data)) as container:
        back = list(container.decode(video=0))
    assert [f.key_frame for f in back] == [index % 4 == 0 for index in range(11)]
    for frame, shown in zip(frames, back, strict=True):
        error = np.abs(shown.to_ndarray(format="rgb24").astype(int) - frame)
        assert error.mean() < 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"storage": "jpg"}, "did you mean 'jpeg'"),
        ({"short_side": -1}, "--short_side=-1 must be from 0"),
        ({"jpeg_quality": 0}, "--jpeg_quality=0"),
        ({"crf": 52}, "--crf=52"),
        ({"gop": 0}, "--gop=0"),
    ],
)
def test_nonsense_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Encoding(**fields)
