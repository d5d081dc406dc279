import logging
import pathlib
import pickle

import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.sources.listing import Listed, check_missing, find_lists, listed_sources
from data_pipelines.video import MissingVideo


def listed(name: str, class_name: str = "", split: str = "all", exists: bool = True) -> Listed:
    return Listed(VideoFile(name), class_name, split, f"list line of {name}", exists)


def source(there: int, absent: int) -> FileSource:
    return FileSource(
        "mine",
        tuple(VideoFile(f"{i}.mp4") for i in range(there)),
        (),
        "root",
        tuple(MissingVideo(f"root/x{i}.mp4", f"line {i}") for i in range(absent)),
    )


def test_splits_labels_and_what_is_missing() -> None:
    entries = [
        listed("a", "sit", "train"),
        listed("b", "run", "test"),
        listed("c", "", "train"),
        listed("d", "run", "train", exists=False),
        listed("e", "run", "val", exists=False),
    ]
    sources = listed_sources("mine", pathlib.Path("root"), entries, ["run", "sit"])
    assert list(sources) == ["train", "test", "val"]
    assert sources["train"].videos == (VideoFile("a", 1), VideoFile("c", -1))
    assert sources["train"].missing == (MissingVideo("root/d", "list line of d"),)
    assert sources["test"].missing == ()
    assert (len(sources["val"]), len(sources["val"].missing)) == (0, 1)
    assert sources["val"].name == "mine/val"
    assert all(part.classes == ("run", "sit") for part in sources.values())
    assert pickle.loads(pickle.dumps(sources["train"])) == sources["train"]  # noqa: S301


def test_a_video_listed_twice_is_refused() -> None:
    entries = [listed("a", split="train"), listed("a", split="test", exists=False)]
    with pytest.raises(UserError, match="list line of a: a is already in list line of a: remove"):
        listed_sources("mine", pathlib.Path("root"), entries, [])


def test_missing_videos_are_counted_and_the_first_named(caplog) -> None:
    with pytest.raises(
        UserError,
        match=r"mine: 4 of 10 listed videos do not exist \(line 0: root/x0.mp4; line 1: .*; "
        r"line 2: root/x2.mp4; \.\.\.\), more than data.max_missing_fraction = 0.25: check",
    ) as error:
        check_missing(source(6, 4), 0.25)
    assert "\n" not in str(error.value)
    with caplog.at_level(logging.WARNING):
        check_missing(source(6, 0), 0.0)
        assert not caplog.records
        check_missing(source(6, 4), 0.4)
    (record,) = caplog.records
    assert "4 of 10 listed videos do not exist" in record.getMessage()


def test_a_list_of_nothing_but_missing_videos_is_refused_at_any_limit() -> None:
    with pytest.raises(UserError, match="2 of 2 listed videos do not exist"):
        check_missing(source(0, 2), 1.0)


@pytest.mark.parametrize("place", ["videos", "videos/lists", "lists", "."])
def test_lists_are_found_in_and_beside_the_root(tmp_path, touch, place: str) -> None:
    root = tmp_path / "videos"
    touch(root, "a.mp4")
    with pytest.raises(UserError, match=r"no official list of mine found: looked for \*.txt x.c"):
        find_lists("mine", root, "", ("lists",), ("*.txt", "x.csv"))
    touch(tmp_path / place, "x.csv")
    found = find_lists("mine", root, "", ("lists",), ("*.txt", "x.csv"))
    assert found.resolve() == (tmp_path / place).resolve()


def test_a_named_folder_of_lists_is_taken_as_it_is(tmp_path, touch) -> None:
    touch(tmp_path, "videos/x.csv", "elsewhere/y")
    root, lists = tmp_path / "videos", tmp_path / "elsewhere"
    assert find_lists("mine", root, lists, (), ("x.csv",)) == lists
    with pytest.raises(UserError, match=r"the folder of mine's lists .* does not exist"):
        find_lists("mine", root, tmp_path / "absent", (), ("x.csv",))
