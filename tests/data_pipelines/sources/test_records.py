import functools
import hashlib
import json
import pathlib
import pickle
import shutil
from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.crops import crops_of_frames
from data_pipelines.decode import open_video
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.prepare.encode import Encoding, encode_jpeg
from data_pipelines.prepare.pipeline import prepare
from data_pipelines.prepare.plan import Job
from data_pipelines.prepare.schema import Record
from data_pipelines.sources.folder import folder_splits
from data_pipelines.sources.record_video import open_record
from data_pipelines.sources.records import RecordSource, open_records
from data_pipelines.video import Video


@pytest.fixture(scope="module")
def input_folder(
    tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., pathlib.Path]
) -> pathlib.Path:
    root = tmp_path_factory.mktemp("input") / "made"
    for name, frames in (("run/a.mp4", 20), ("run/b.mp4", 7), ("sit/c.mp4", 12)):
        make_video(root / name, frames)
    return root


@pytest.fixture(scope="module")
def roots(
    input_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pathlib.Path]:
    """Prepared folders by storage; read-only."""
    made = {}
    for storage in ("jpeg", "h264"):
        made[storage] = tmp_path_factory.mktemp("prepared") / storage
        encoding = Encoding(storage=storage, short_side=40, gop=4)
        opened = functools.partial(folder_splits, input_folder)
        prepare(Job(opened, str(made[storage]), encoding, videos_per_shard=2), quiet=True)
    return made


@pytest.fixture(params=["jpeg", "h264"])
def source(request: pytest.FixtureRequest, roots: dict[str, pathlib.Path]) -> RecordSource:
    return open_records(str(roots[request.param]))["all"]


@pytest.fixture
def copied(roots: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(roots["jpeg"], tmp_path / "copy"))


def test_a_source_is_what_it_was_made_from(source: RecordSource) -> None:
    assert source.classes == ("run", "sit")
    assert source.name == "made"
    found = [(i.id, i.label) for i in map(source.info, range(len(source)))]
    assert found == [("run/a.mp4", 0), ("run/b.mp4", 0), ("sit/c.mp4", 1)]
    again = pickle.loads(pickle.dumps(source))  # noqa: S301  (as grain's workers get it)
    assert isinstance(again.open(1), Video)
    np.testing.assert_array_equal(again.open(2).frames([3]), source.open(2).frames([3]))
    assert len(again.open(0).times) == 20


@given(st.lists(st.integers(0, 19), max_size=12))
def test_any_frames_in_any_order(roots: dict[str, pathlib.Path], indices: list[int]) -> None:
    for root in roots.values():
        video = open_records(str(root))["all"].open(0)
        got = video.frames(indices)
        assert len(got) == len(indices)
        for index, frame in zip(indices, got):
            assert frame.shape == (*video.size, 3)
            assert frame.mean() == pytest.approx(min(10 * index, 255), abs=5)
        video.close()


boxes = st.tuples(st.integers(0, 39), st.integers(0, 52), st.integers(1, 40), st.integers(1, 53))


@given(st.lists(st.tuples(st.integers(0, 11), boxes), min_size=1, max_size=8))
def test_crops_equal_crops_of_whole_frames(roots: dict, places: list) -> None:
    for root in roots.values():
        video = open_records(str(root))["all"].open(2)
        height, width = video.size
        inside = [
            (i, (y % height, x % width, min(h, height - y % height), min(w, width - x % width)))
            for i, (y, x, h, w) in places
        ]
        np.testing.assert_array_equal(video.crops(inside, 16), crops_of_frames(video, inside, 16))


def test_only_tiles_that_are_wanted_are_decoded_and_once(
    roots: dict[str, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(
        simplejpeg,
        "decode_jpeg",
        lambda *a, **k: shapes.append(k["buffer"].shape) or decode(*a, **k),
    )
    video = open_records(str(roots["jpeg"]))["all"].open(0)
    assert video.size == (40, 53)
    wanted = [(3, (0, 0, 9, 9)), (4, (0, 0, 9, 9)), (5, (2, 3, 9, 9)), (3, (5, 5, 20, 20))]
    video.crops(wanted, 8)
    assert shapes == [(32, 32, 3), (2 * 16, 32, 3)]  # frame 3; the others below each other
    video.frames([3, 3, 3])
    assert shapes[2:] == [(40, 53, 3)]


def test_crops_go_where_they_are_wanted(roots: dict[str, pathlib.Path]) -> None:
    for root in roots.values():
        video = open_records(str(root))["all"].open(0)
        wanted = [(3, (0, 0, 9, 9)), (4, (1, 2, 9, 30))]
        out = np.zeros((2, 8, 8, 3), np.uint8)
        assert video.crops(wanted, 8, out) is out
        np.testing.assert_array_equal(out, video.crops(wanted, 8))


def test_a_flipped_byte_is_a_bad_video(copied: pathlib.Path) -> None:
    shard = sorted(copied.glob("shards/*.array_record"))[1]  # holds only sit/c.mp4
    content = bytearray(shard.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    content[200:300] = bytes(100)
    shard.write_bytes(content)
    source = open_records(str(copied))["all"]
    assert len(source.open(0).frames([0])) == 1
    with pytest.raises(BadVideo) as bad:
        source.open(2).frames(range(12))
    assert "record 0 (sit/c.mp4)" in bad.value.path
    assert bad.value.reason


def test_a_shard_of_another_preparation_is_not_taken_for_this_one(
    copied: pathlib.Path, tmp_path: pathlib.Path, make_video: Callable[..., pathlib.Path]
) -> None:
    make_video(tmp_path / "made/sit/c.mp4", 15)
    for name in ("run/a.mp4", "run/b.mp4"):
        make_video(tmp_path / "made" / name, 5)
    opened = functools.partial(folder_splits, tmp_path / "made")
    other = Job(opened, str(tmp_path / "other"), Encoding(short_side=40), videos_per_shard=2)
    prepare(other, quiet=True)
    old, new = (sorted(r.glob("shards/*.array_record"))[1] for r in (tmp_path / "other", copied))
    assert old.stat().st_size == new.stat().st_size  # shards are padded
    shutil.copy(old, new)
    source = open_records(str(copied))["all"]
    source.open(0).close()
    with pytest.raises(BadVideo, match=r"not the one .* written with: copy the shard anew"):
        source.open(2)


JPEG = encode_jpeg(np.zeros((8, 10, 3), np.uint8), 90)
RECORD = Record("a", 0, (), (0.0, 0.1), 8, 10, (JPEG, JPEG), b"", b"", 0.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"times": (0.0, 0.0)}, "times do not increase"),
        ({"times": (0.5, 1.0)}, "times do not increase"),
        ({"times": (0.0, float("nan"))}, "times do not increase"),
        ({"times": ()}, "times do not increase"),
        ({"times": (0.0,)}, "2 frames for 1 times"),
        ({"times": (0.0, float("inf"))}, "lasts inf hours, more than the limit of 24"),
        ({"times": (0.0, 90_000.0)}, "lasts 25 hours, more than the limit of 24"),
        ({"height": 60_000, "width": 60_000}, "60000x60000 pixels is refused"),
        ({"height": 10, "width": 8}, "frame 1 cannot be read: it is .* not"),
        ({"height": 7}, "frame 1 cannot be read: .* too small"),
        ({"jpegs": (b"", b"")}, "frame 1 cannot be read"),
        ({"jpegs": (JPEG, b"x" * 90)}, "frame 1 cannot be read"),
        ({"h264": b"no video at all"}, "not a video"),
        ({"jpegs": (JPEG, JPEG[:-150])}, "frame 1 cannot be read"),
    ],
)
def test_a_record_that_contradicts_itself(changes: dict, reason: str) -> None:
    with pytest.raises(BadVideo, match=reason) as bad:
        open_record(msgspec.structs.replace(RECORD, **changes), "here").frames([1])
    assert bad.value.path == "here"


PICTURES = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
PLACES = [(0, (20, 40, 30, 40)), (1, (20, 40, 30, 40)), (2, (0, 0, 64, 96))]


def stored(*jpegs: bytes) -> Record:
    times = (0.0, 0.1, 0.2)
    return msgspec.structs.replace(RECORD, height=64, width=96, times=times, jpegs=jpegs)


def test_frames_of_any_encoder_beside_each_other() -> None:
    frames = [simplejpeg.encode_jpeg(picture) for picture in PICTURES]
    tiles = [encode_jpeg(picture, 80) for picture in PICTURES]
    others = [encode_jpeg(picture, 9) for picture in PICTURES]
    for jpegs in (frames, [tiles[0], *frames[1:]], [tiles[0], others[1], tiles[2]]):
        video = open_record(stored(*jpegs), "here")
        np.testing.assert_array_equal(video.crops(PLACES, 24), crops_of_frames(video, PLACES, 24))


def test_damage_inside_a_crop_names_the_frame() -> None:
    tiles = [encode_jpeg(picture, 80) for picture in PICTURES]
    damaged = tiles[1][:-40] + tiles[1][-2:]  # the last tile is cut off
    video = open_record(stored(tiles[0], damaged, tiles[2]), "here")
    upper = [(index, (0, 0, 16, 40)) for index in range(3)]
    good = open_record(stored(*tiles), "here")
    np.testing.assert_array_equal(video.crops(upper, 24), good.crops(upper, 24))
    with pytest.raises(BadVideo, match="frame 1 cannot be read: "):
        video.crops([(index, (40, 0, 24, 96)) for index in range(3)], 24)


def test_a_picture_larger_than_its_record_is_not_decoded() -> None:
    huge = encode_jpeg(np.zeros((2000, 3000, 3), np.uint8), 50)
    with pytest.raises(BadVideo):
        open_record(msgspec.structs.replace(RECORD, jpegs=(huge, huge)), "x").frames([0])


def rewrite(path: pathlib.Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_damaged_collection_is_refused(copied: pathlib.Path) -> None:
    info, index = copied / "dataset_info.json", copied / "index.parquet"
    shard = sorted(copied.glob("shards/*.array_record"))[0]
    description, table, content = info.read_bytes(), index.read_bytes(), shard.read_bytes()
    rewrite(info, version=7)
    with pytest.raises(UserError, match="is of schema version 7"):
        open_records(str(copied))
    info.write_bytes(description)
    index.write_bytes(table + b"x")
    with pytest.raises(UserError, match="is not the one that"):
        open_records(str(copied))
    index.unlink()
    with pytest.raises(UserError, match=r"index\.parquet is missing"):
        open_records(str(copied))
    index.write_bytes(table)
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match=f"{shard.name} has {len(content) - 1} bytes, it should"):
        open_records(str(copied))
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name} is missing"):
        open_records(str(copied))
    info.unlink()
    with pytest.raises(UserError, match="holds no prepared records"):
        open_records(str(copied))


def rewrite_index(root: pathlib.Path, column: str, values: list) -> None:
    index = root / "index.parquet"
    table = pq.read_table(index)
    place = table.schema.get_field_index(column)
    field = table.schema.field(column)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), index)
    digest = hashlib.sha256(index.read_bytes()).hexdigest()
    rewrite(root / "dataset_info.json", index_sha256=digest)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("label", [0, 2, 1], "labels outside -1..1"),
        ("label", [0, -2, 1], "labels outside -1..1"),
        ("split", ["all", "all", "odd"], "counts other videos"),
        ("captions", [None] * 3, "rows without captions"),
        ("shard", ["../../other"] * 3, r"names the shard '\.\./\.\./other', which there is not"),
    ],
)
def test_an_index_that_contradicts_itself(
    column: str, values: list, message: str, copied: pathlib.Path
) -> None:
    rewrite_index(copied, column, values)
    with pytest.raises(UserError, match=message):
        open_records(str(copied))


def test_an_index_that_is_no_table(copied: pathlib.Path) -> None:
    (copied / "index.parquet").write_bytes(b"PAR1")
    digest = hashlib.sha256(b"PAR1").hexdigest()
    rewrite(copied / "dataset_info.json", index_sha256=digest)
    with pytest.raises(UserError, match="is no Parquet file"):
        open_records(str(copied))


def test_a_split_without_a_video(copied: pathlib.Path) -> None:
    rewrite(copied / "dataset_info.json", splits={"all": 3, "test": 0})
    with pytest.raises(UserError, match=r"split 'test' of .* holds no video: none of"):
        open_records(str(copied))


@pytest.mark.parametrize("storage", ["jpeg", "h264"])
def test_real_videos_look_alike(
    storage: str, real_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for path in sorted((real_data / "jhmdb").glob("*/*.avi"))[::80]:
        (tmp_path / "in" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "in" / path.parent.name)
    opened = functools.partial(folder_splits, tmp_path / "in")
    prepare(Job(opened, str(tmp_path / "o"), Encoding(storage=storage, short_side=0)), quiet=True)
    source = open_records(str(tmp_path / "o"))["all"]
    assert len(source) == 7
    for index in range(len(source)):
        record = source.open(index)
        with open_video(source.info(index).path) as original:
            np.testing.assert_array_equal(record.times, original.times)
            assert record.size == original.size
            some = range(0, len(original.times), 7)
            pairs = zip(record.frames(some), original.frames(some), strict=True)
            error = [np.abs(a.astype(int) - b).mean() for a, b in pairs]
            assert np.mean(error) < 4
        record.close()
