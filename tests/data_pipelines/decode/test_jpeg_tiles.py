import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.decode.jpeg_tiles import TiledJpegs, Tiling, decode_jpeg, tiling
from data_pipelines.prepare.encode import encode_jpeg
from tests.data_pipelines.decode.strategies import boxes


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, height // 3 + 1, width // 3 + 1, 3), np.uint8)
    return np.stack([cv2.resize(picture, (width, height)) for picture in small])


def written(picture: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


def tiled(jpeg: bytes) -> Tiling:
    found = tiling(jpeg)
    assert found is not None
    return found


@given(boxes(90), st.integers(1, 4), st.integers(1, 100), st.integers(0, 99))
def test_tiles_equal_those_of_the_whole_pictures(size_and_box, count, quality, seed):
    height, width, box = size_and_box
    jpegs = [encode_jpeg(picture, quality) for picture in noise(count, height, width, seed)]
    if (found := tiling(jpegs[0])) is None:  # one tile: there is no marker
        assert max(height, width) <= 16 or height <= 16 >= width / 2
        return
    assert (found.height, found.width) == (height, width)
    tiles = found.around(box)
    y, x = found.corner(tiles)
    got = TiledJpegs(found, jpegs).decode(range(len(jpegs)), tiles)
    assert y <= box[0]
    assert x <= box[1]
    assert got.shape[1] + y >= box[0] + box[2]
    assert got.shape[2] + x >= box[1] + box[3]
    for part, jpeg in zip(got, jpegs, strict=True):
        expected = decode_jpeg(jpeg, height, width)[y : y + part.shape[0], x : x + part.shape[1]]
        np.testing.assert_array_equal(part[: expected.shape[0]], expected)


def test_a_head_may_hold_what_looks_like_a_marker():
    jpegs = [encode_jpeg(picture, 13) for picture in noise(2, 64, 96)]  # 255, 211 in a table
    found = tiled(jpegs[0])
    assert b"\xff\xd3" in found.head
    got = TiledJpegs(found, jpegs).decode(range(len(jpegs)), (0, 0, found.rows, found.columns))
    for picture, jpeg in zip(got, jpegs, strict=True):
        np.testing.assert_array_equal(picture, decode_jpeg(jpeg, 64, 96))


def test_some_of_the_files():
    jpegs = [encode_jpeg(picture, 80) for picture in noise(5, 70, 100)]
    found = tiled(jpegs[0])
    files, tiles = TiledJpegs(found, jpegs), (1, 1, 3, 4)
    together = files.decode(range(5), tiles)
    np.testing.assert_array_equal(together[2:4], files.decode(range(2, 4), tiles))


def test_what_is_left_out_is_not_decoded():
    (picture,) = noise(1, 64, 96)
    jpeg = encode_jpeg(picture, 80)
    found = tiled(jpeg)
    assert (found.rows, found.columns, found.tile) == (4, 3, (16, 32))
    tiles = (2, 1, 2, 2)
    before = TiledJpegs(found, [jpeg]).decode([0], tiles)
    end = jpeg.index(b"\xff\xd0", len(found.head))
    damaged = jpeg[: end - 20] + jpeg[end:]  # the first tile is cut off
    with pytest.raises(ValueError, match="orrupt"):
        decode_jpeg(damaged, 64, 96)
    after = TiledJpegs(found, [damaged]).decode([0], tiles)
    np.testing.assert_array_equal(before, after)
    with pytest.raises(ValueError, match="orrupt"):
        TiledJpegs(found, [damaged]).decode([0], (0, 0, 1, 1))


@pytest.mark.parametrize("factor", ["411", "420", "422", "440", "444"])
def test_any_sampling_of_chroma(factor):
    factors = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{factor}")
    options = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors, cv2.IMWRITE_JPEG_RST_INTERVAL, 1
    jpegs = [written(picture, *options) for picture in noise(2, 50, 77)]
    found = tiled(jpegs[0])
    tiles = found.around((20, 40, 25, 30))
    (y, x), got = found.corner(tiles), TiledJpegs(found, jpegs).decode(range(len(jpegs)), tiles)
    for part, jpeg in zip(got, jpegs, strict=True):
        expected = decode_jpeg(jpeg, 50, 77)[y : y + part.shape[0], x : x + part.shape[1]]
        np.testing.assert_array_equal(part[: len(expected)], expected)


def test_what_is_not_tiled():
    (picture,) = noise(1, 40, 80)
    assert tiling(simplejpeg.encode_jpeg(picture)) is None
    restart = cv2.IMWRITE_JPEG_RST_INTERVAL
    assert tiling(written(picture, restart, 3)) is None  # 5 blocks a row
    assert tiling(written(picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1, restart, 1)) is None
    assert tiling(written(picture[..., 0], restart, 1)) is None
    jpeg = encode_jpeg(picture, 80)
    head = len(tiled(jpeg).head)
    for damaged in (b"", b"\xff", b"no picture at all", jpeg[:10], jpeg[: head - 1]):
        assert tiling(damaged) is None


def test_heads_that_lie():
    jpeg = encode_jpeg(noise(1, 40, 80)[0], 80)
    found = tiled(jpeg)
    scan = found.head.rindex(b"\xff\xda")
    for head in (
        b"\xff\xd8\xff\xc0\0\2\xff\xdd\0\4\0\1\xff\xda\0\2\3",  # sizes and factors left out
        found.head[: scan + 2] + b"\0\0",
        b"\xff\xd8\xff\x01" + found.head[2:],  # a marker without a length
        found.head[: found.size_at] + b"\xff\xff" + found.head[found.size_at + 2 :],
    ):
        assert tiling(head + jpeg[len(found.head) :]) is None


def test_pictures_that_are_not_alike():
    pictures = noise(2, 40, 80)
    good, other = (encode_jpeg(picture, 80) for picture in pictures)
    found = tiled(good)
    TiledJpegs(found, [good, other])
    marker = other.index(b"\xff\xd0", len(found.head))
    for bad, reason in (
        (encode_jpeg(pictures[1], 70), "begins or ends"),
        (encode_jpeg(pictures[1][:, :64], 80), "begins or ends"),
        (other[:-2], "begins or ends"),
        (other[:marker] + other[marker + 2 :], "other tiles"),
        (other[:marker] + b"\xff\xd7" + other[marker:], "other tiles"),
    ):
        with pytest.raises(ValueError, match=reason):
            TiledJpegs(found, [good, bad])
    second = other.index(b"\xff\xd1", marker)
    swapped = other[:marker] + b"\xff\xd1" + other[marker + 2 : second] + b"\xff\xd0"
    with pytest.raises(ValueError, match="in disorder"):
        TiledJpegs(found, [good, swapped + other[second + 2 :]])
    # As many markers in all, but one file has one of the other's.
    more, less = good[:-2] + b"\xff\xd0\xff\xd9", other[:marker] + other[marker + 2 :]
    for files in ((more, less), (less, more)):
        with pytest.raises(ValueError, match="other tiles"):
            TiledJpegs(found, list(files))


def test_a_box_outside_is_refused():
    found = tiled(encode_jpeg(noise(1, 40, 80)[0], 80))
    assert found.around((39, 79, 1, 1)) == (2, 4, 1, 1)
    for box in ((-1, 0, 2, 2), (0, 0, 41, 2), (0, 79, 1, 2), (0, 0, 0, 1)):
        with pytest.raises(ValueError, match="is not inside a picture of 40 x 80"):
            found.around(box)


def test_how_many_at_once():
    found = Tiling(b"", 0, 1080, 1920, (16, 32), 68, 60)
    assert found.at_once((0, 0, 68, 60), 1) == 1
    assert found.at_once((0, 0, 10, 10), 160 * 320 * 7) == 7
    assert found.at_once((0, 0, 68, 1), 10**9) == 65_500 // 1088  # libjpeg counts no further
