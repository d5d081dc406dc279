import csv
import pathlib

import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.split_lists import read_hmdb51, read_ucf101


@pytest.fixture
def ucf(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "classInd.txt").write_text("1 Zoom\r\n2 Archery\r\n")
    (tmp_path / "trainlist02.txt").write_text("Zoom/v 1.avi 1\nArchery/v_2.avi 2\n\n")
    (tmp_path / "testlist02.txt").write_text("Archery/v_3.avi\n")
    return tmp_path


@pytest.mark.parametrize("flat", [False, True])
def test_ucf101(ucf: pathlib.Path, touch, flat: bool) -> None:
    names = ["Zoom/v 1.avi", "Archery/v_2.avi", "Archery/v_3.avi"]
    names = [name.split("/")[1] if flat else name for name in names]
    touch(ucf / "videos", *names)
    sources = read_ucf101(ucf / "videos", ucf, split=2)
    assert sources["train"].classes == sources["test"].classes == ("Zoom", "Archery")
    assert [(v.path, v.label) for v in sources["train"].videos] == [(names[0], 0), (names[1], 1)]
    assert [(v.path, v.label) for v in sources["test"].videos] == [(names[2], 1)]


def test_ucf101_problems(ucf: pathlib.Path, touch) -> None:
    root = ucf / "videos"
    touch(root, "Zoom/v 1.avi")
    sources = read_ucf101(root, ucf, split=2)
    assert sources["train"].missing == ((f"{root}/Archery/v_2.avi", "trainlist02.txt line 2"),)
    assert sources["test"].missing == ((f"{root}/Archery/v_3.avi", "testlist02.txt line 1"),)
    with pytest.raises(UserError, match=r"trainlist01.txt does not exist"):
        read_ucf101(root, ucf, split=1)
    with pytest.raises(UserError, match="does not exist"):
        read_ucf101(ucf / "absent", ucf)
    (ucf / "testlist02.txt").write_text("Archer/v_3.avi\n")
    with pytest.raises(UserError, match=r"testlist02.txt line 1: class 'Archer' is not"):
        read_ucf101(root, ucf, split=2)
    (ucf / "testlist02.txt").write_text("Zoom/../../x.avi\n")
    touch(ucf, "x.avi")
    assert read_ucf101(root, ucf, split=2)["test"].videos == ()  # nothing outside the root
    (ucf / "classInd.txt").write_text("1 Zoom\n3 Archery\n")
    with pytest.raises(UserError, match=r"classInd.txt line 2: '3 Archery' is not '2 ClassName'"):
        read_ucf101(root, ucf, split=2)


def test_official_ucf101_lists(real_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lists = real_data / "annotations" / "ucfTrainTestlist"
    numbers = {}
    for part in ("train", "test"):
        for line in (lists / f"{part}list01.txt").read_text().splitlines():
            path, *number = line.split()
            (tmp_path / path.split("/")[1]).touch()
            numbers |= {path.split("/")[1]: int(number[0]) for _ in number}
    for split in (1, 2, 3):
        sources = read_ucf101(tmp_path, lists, split)
        assert len(sources["train"].classes) == 101
        assert len(sources["train"]) + len(sources["test"]) == 13320
        videos = {video.path: video.label for part in sources.values() for video in part.videos}
        assert len(videos) == 13320
        assert all(videos[path] == number - 1 for path, number in numbers.items())


@pytest.fixture
def hmdb(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "walk_test_split1.txt").write_text("a.avi 1 \nb.avi 2 \nc.avi 0 \n")
    (tmp_path / "fall_floor_test_split1.txt").write_text("d [x] e.avi 1 \nf.avi 2 \n")
    (tmp_path / "walk_test_split2.txt").write_text("a.avi 3\n")
    return tmp_path


@pytest.mark.parametrize("flat", [False, True])
def test_hmdb51(hmdb: pathlib.Path, touch, flat: bool) -> None:
    names = ["walk/a.avi", "walk/b.avi", "fall_floor/d [x] e.avi", "fall_floor/f.avi"]
    names = [name.split("/")[1] if flat else name for name in names]
    touch(hmdb / "videos", *names)
    sources = read_hmdb51(hmdb / "videos", hmdb)
    assert sources["train"].classes == ("fall_floor", "walk")
    assert [(v.path, v.label) for v in sources["train"].videos] == [(names[2], 0), (names[0], 1)]
    assert [(v.path, v.label) for v in sources["test"].videos] == [(names[3], 0), (names[1], 1)]


def test_hmdb51_problems(hmdb: pathlib.Path, touch) -> None:
    touch(hmdb / "videos", "walk/a.avi")
    sources = read_hmdb51(hmdb / "videos", hmdb)
    assert [len(part.missing) for part in sources.values()] == [1, 2]
    assert sources["train"].missing[0] == (
        f"{hmdb}/videos/fall_floor/d [x] e.avi",
        "fall_floor_test_split1.txt line 1",
    )
    with pytest.raises(UserError, match=r"walk_test_split2.txt line 1: 'a.avi 3' is not"):
        read_hmdb51(hmdb / "videos", hmdb, split=2)
    with pytest.raises(UserError, match=r"no list in .*_test_split3.txt"):
        read_hmdb51(hmdb / "videos", hmdb, split=3)


def test_a_file_of_another_class_is_another_video(tmp_path: pathlib.Path, touch) -> None:
    hmdb, root = tmp_path, tmp_path / "videos"
    touch(root, "wave/a.avi", "smile/deep/b.avi", "c.avi")
    for name in ("wave", "smile"):
        (hmdb / f"{name}_test_split1.txt").write_text("a.avi 1\nb.avi 1\n")
    (hmdb / "clap_test_split1.txt").write_text("c.avi 1\n")
    found = read_hmdb51(root, hmdb)["train"]
    assert {(v.path, found.classes[v.label]) for v in found.videos} == {
        *(("wave/a.avi", "wave"), ("smile/deep/b.avi", "smile"), ("c.avi", "clap"))
    }
    assert {pathlib.Path(m.path).relative_to(root).as_posix() for m in found.missing} == {
        *("wave/b.avi", "smile/a.avi")
    }


def test_a_split_may_list_nothing_to_train_on(tmp_path: pathlib.Path, touch) -> None:
    touch(tmp_path, "walk/a.avi")
    (tmp_path / "walk_test_split1.txt").write_text("a.avi 2\n")
    assert {split: len(part) for split, part in read_hmdb51(tmp_path).items()} == {"test": 1}


@pytest.mark.parametrize("place", ["JHMDB/splits", "JHMDB/ReCompress_Videos/splits"])
def test_jhmdb_as_it_is_distributed(tmp_path: pathlib.Path, touch, place: str) -> None:
    root = tmp_path / "JHMDB" / "ReCompress_Videos"
    touch(root, "catch/a b.avi", "catch/c.avi", "wave/c.avi")
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "catch_test_split3.txt").write_text("a b.avi 1\nc.avi 2\n")
    (tmp_path / place / "wave_test_split3.txt").write_text("c.avi 1\n")
    sources = read_hmdb51(root, split=3, name="jhmdb")
    assert sources["train"].name == "jhmdb-3/train"
    assert [(v.path, v.label) for v in sources["train"].videos] == [
        ("catch/a b.avi", 0),
        ("wave/c.avi", 1),
    ]
    assert [(v.path, v.label) for v in sources["test"].videos] == [("catch/c.avi", 0)]
    if place == "JHMDB/splits":
        above = read_hmdb51(tmp_path / "JHMDB", split=3, name="jhmdb")
        assert len(above["train"]) == 2


def test_real_videos_by_lists(real_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lists: dict[str, list[str]] = {}
    with (real_data / "jhmdb" / "meta.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        use = {"train": 1, "test": 2}.get(row["hmdb_split1"], 0)
        lists.setdefault(row["class"], []).append(f"{pathlib.Path(row['path']).name} {use}")
    for name, lines in lists.items():
        (tmp_path / f"{name}_test_split1.txt").write_text("\n".join(lines))
    sources = read_hmdb51(real_data / "jhmdb", tmp_path, name="jhmdb")
    assert {split: len(part) for split, part in sources.items()} == {"train": 365, "test": 148}
    assert not sources["train"].missing
    label_of = {row["path"]: row["class"] for row in rows}
    for part in sources.values():
        assert all(part.classes[video.label] == label_of[video.path] for video in part.videos)
    with sources["test"].open(0) as video:
        assert video.size == (240, 320)
