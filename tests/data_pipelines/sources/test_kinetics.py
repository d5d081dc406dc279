import csv
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.sources.files import VideoFile
from data_pipelines.sources.kinetics import read_kinetics

HEADER = "label,youtube_id,time_start,time_end,split"


@pytest.fixture
def lists(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "annotations"
    folder.mkdir()
    rows = ["yoga,a-a,10,20,train", "air drumming,_bb,1,11,train"]
    (folder / "kinetics-400_train.csv").write_text("\n".join([HEADER, *rows]))
    (folder / "validate.csv").write_text(f"{HEADER}\nabseiling,c,100,110,val\n")
    (folder / "test.csv").write_text("youtube_id,time_start,time_end,split\nd,0,10,test\n")
    (folder / "kinetics_400_labels.csv").write_text("id,name\n0,abseiling\n")
    return folder


LAYOUTS = {
    "flat": ("", ""),
    "splits": ("train/", "validation/"),
    "classes": ("air_drumming/", "abseiling/"),
    "splits and classes": ("train/air drumming/", "val/abseiling/"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trimmed_segments_in_any_layout(tmp_path, touch, lists, layout: str) -> None:
    train, val = LAYOUTS[layout]
    names = [f"{train}a-a_000010_000020.mp4", f"{train}_bb_000001_000011.webm"]
    touch(tmp_path / "videos", *names, f"{val}c_000100_000110.mkv")
    sources = read_kinetics(tmp_path / "videos")
    assert list(sources) == ["train", "val", "test"]
    assert sources["train"].classes == ("abseiling", "air drumming", "yoga")
    assert sources["train"].videos == (VideoFile(names[0], 2), VideoFile(names[1], 1))
    assert sources["val"].videos == (VideoFile(f"{val}c_000100_000110.mkv", 0),)
    assert sources["test"].videos == ()
    assert [m.where for m in sources["test"].missing] == ["test.csv line 2"]
    assert sources["test"].missing[0].path.endswith("/videos/d_000000_000010.mp4")


def test_whole_videos_are_cut(tmp_path, touch, lists) -> None:
    root = touch(tmp_path / "videos", "a-a.mp4", "_bb.mp4", "_bb_000001_000011.mp4", "d.mp4")
    sources = read_kinetics(root, lists)
    assert sources["train"].videos == (
        VideoFile("a-a.mp4", 2, 10.0, 20.0),
        VideoFile("_bb_000001_000011.mp4", 1),
    )
    assert sources["test"].videos == (VideoFile("d.mp4", -1, 0.0, 10.0),)
    assert len(sources["val"].missing) == 1
    sources = read_kinetics(root, lists, trimmed=True)
    assert sources["train"].videos[0] == VideoFile("a-a.mp4", 2)


def test_the_segment_is_read(tmp_path, make_video) -> None:
    make_video(tmp_path / "x.mp4")  # 2 s
    (tmp_path / "train.csv").write_text("youtube_id,time_start,time_end\nx,1,3\n")
    with read_kinetics(tmp_path)["train"].open(0) as video:
        assert len(video.times) == 10
        assert abs(int(video.frames([0])[0].mean()) - 100) < 6


def test_one_file_says_the_split_in_a_column(tmp_path, touch) -> None:
    path = tmp_path / "all.csv"
    path.write_text(f"{HEADER}\nyoga,a,1,2,validate\nyoga,b,1,2,train\n")
    root = touch(tmp_path / "videos", "a.mp4", "b.mp4")
    assert {split: len(part) for split, part in read_kinetics(root, path).items()} == {
        "val": 1,
        "train": 1,
    }
    path.write_text(f"{HEADER}\nyoga,a,1,2,holdout\n")
    with pytest.raises(UserError, match=r"all.csv line 2: split is 'holdout': give one of train"):
        read_kinetics(root, path)
    path.write_text("youtube_id,time_start,time_end\na,1,2\n")
    with pytest.raises(UserError, match=r"all.csv has no column 'split'"):
        read_kinetics(root, path)


def test_what_is_wrong_is_named(tmp_path, touch, lists) -> None:
    root = touch(tmp_path / "videos", "a.mp4")
    (lists / "k_val.csv").write_text(f"{HEADER}\nyoga,a,1,2,val\n")
    with pytest.raises(UserError, match=r"both .*k_val.csv and validate.csv list the split 'val'"):
        read_kinetics(root, lists)
    (lists / "k_val.csv").unlink()
    for row in ("yoga,,1,2,train", "yoga,a,5,5,train", "yoga,a,,5,train"):
        (lists / "kinetics-400_train.csv").write_text(f"{HEADER}\n{row}\n")
        with pytest.raises(UserError, match=r"_train.csv line 2: give a youtube_id, a time_start"):
            read_kinetics(root, lists)
    (lists / "kinetics-400_train.csv").write_text(f"{HEADER}\nyoga,a,1:30,5,train\n")
    with pytest.raises(UserError, match="line 2: time_start is '1:30'"):
        read_kinetics(root, lists)
    (lists / "kinetics-400_train.csv").write_text("label,id\nyoga,a\n")
    with pytest.raises(UserError, match=r"has no column 'youtube_id'; known: label, id"):
        read_kinetics(root, lists)
    with pytest.raises(UserError, match=r"no annotation file of kinetics in .*\*validate.csv"):
        read_kinetics(root, root)
    with pytest.raises(UserError, match=r"the kinetics folder .* does not exist"):
        read_kinetics(tmp_path / "absent", lists)


@given(
    st.lists(
        st.tuples(
            st.text("abcXYZ019-_", min_size=11, max_size=11),
            st.integers(0, 99_999),
            st.sampled_from(["trimmed", "whole", "missing"]),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    )
)
def test_every_row_is_found_or_missing(tmp_path_factory, rows) -> None:
    root = tmp_path_factory.mktemp("kinetics")
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["youtube_id", "time_start", "time_end"])
        writer.writerows((name, start, start + 10) for name, start, _ in rows)
    for name, start, kind in rows:
        if kind != "missing":
            stem = f"{name}_{start:06d}_{start + 10:06d}" if kind == "trimmed" else name
            (root / f"{stem}.mp4").touch()
    source = read_kinetics(root)["train"]
    assert len(source) == sum(kind != "missing" for *_, kind in rows)
    assert len(source) + len(source.missing) == len(rows)
    assert [video.start for video in source.videos] == [
        None if kind == "trimmed" else float(start) for _, start, kind in rows if kind != "missing"
    ]


def test_the_official_validation_list(real_data, tmp_path, touch) -> None:
    lists = real_data / "annotations" / "kinetics"
    with (lists / "kinetics_val.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = rows[::10]
    touch(
        tmp_path,
        *(
            f"val/{row['label'].replace(' ', '_')}/{row['youtube_id']}"
            f"_{int(row['time_start']):06d}_{int(row['time_end']):06d}.mp4"
            for row in kept
        ),
    )
    source = read_kinetics(tmp_path, lists)["val"]
    assert (len(source), len(source.missing)) == (len(kept), len(rows) - len(kept))
    with (lists / "kinetics_400_labels.csv").open(newline="") as file:
        official = [row["name"] for row in csv.DictReader(file)]
    assert list(source.classes) == official
    assert [source.classes[v.label] for v in source.videos] == [row["label"] for row in kept]
