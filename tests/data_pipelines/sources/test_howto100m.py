import json
import pathlib

import pytest

from data_pipelines.captions import CaptionFile
from data_pipelines.errors import UserError
from data_pipelines.sources.howto100m import read_howto100m
from data_pipelines.video import Caption

# The official list: a video of two tasks has two rows.
LIST = """video_id,category_1,category_2,rank,task_id
nVbIUDjzWY4,Cars & Other Vehicles,Motorcycles,27,52907
CTPAZ2euJ2Q,Cars & Other Vehicles,Motorcycles,35,109057
CTPAZ2euJ2Q,Hobbies and Crafts,Woodworking,3,109058
-tCQ4tCQdWE,Food and Entertaining,Recipes,1,7
"""
SPOKEN = {
    "nVbIUDjzWY4": {"text": ["hello", "world"], "start": [0.19, 3.38], "end": [6.08, 8.76]},
    "unlisted": {"text": ["x"], "start": [0], "end": [1]},
}


@pytest.fixture
def root(tmp_path: pathlib.Path, touch) -> pathlib.Path:
    names = ("nVbIUDjzWY4.mp4", "part1/CTPAZ2euJ2Q.webm", "-tCQ4tCQdWE.mkv", "unlisted.mp4")
    root = pathlib.Path(touch(tmp_path / "videos", *names))
    (tmp_path / "HowTo100M_v1.csv").write_text(LIST)
    return root


def test_videos_are_those_of_the_list_once_each(root: pathlib.Path) -> None:
    splits = read_howto100m(root)
    assert list(splits) == ["train"]
    source = splits["train"]
    assert [video.path for video in source.videos] == [
        "nVbIUDjzWY4.mp4",
        "part1/CTPAZ2euJ2Q.webm",
        "-tCQ4tCQdWE.mkv",
    ]
    assert source.classes == ()
    assert source.info(0).captions == ()


def test_a_file_of_sentences_for_each_video(root: pathlib.Path) -> None:
    """As MIL-NCE distributes them, beside others."""
    folder = root.parent / "howto100m_captions"
    folder.mkdir()
    (folder / "nVbIUDjzWY4.csv").write_text("start,end,text\n0.19,6.08,monica's art hall\n")
    (folder / "-tCQ4tCQdWE.json").write_text(json.dumps(SPOKEN["nVbIUDjzWY4"]))
    (folder / "readme.txt").write_text("no sentences")
    source = read_howto100m(root)["train"]
    assert isinstance(source.info(0).captions, CaptionFile)
    assert tuple(source.info(0).captions) == (Caption("monica's art hall", 0.19, 6.08),)
    assert source.info(1).captions == ()
    assert [caption.text for caption in source.info(2).captions] == ["hello", "world"]


def test_one_file_of_all_sentences(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root.parent / "caption.json"
    file.write_text(json.dumps(SPOKEN))
    for captions in ("", file):
        source = read_howto100m(root, captions=captions)["train"]
        assert source.info(0).captions == (
            Caption("hello", 0.19, 6.08),
            Caption("world", 3.38, 8.76),
        )
        assert source.info(2).captions == ()
    monkeypatch.setattr("data_pipelines.sources.howto100m._LARGEST", 10)
    with pytest.raises(UserError, match=r"too large .* python -m data_pipelines\.captions"):
        read_howto100m(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no dict"),
        ("{", "is not JSON"),
        ('{"a": {"text": ["x"], "start": []}}', "video a: the lists of sentences differ"),
    ],
)
def test_malformed_sentences_of_all(content: str, message: str, root: pathlib.Path) -> None:
    (root.parent / "caption.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_howto100m(root)


def test_the_list_of_mil_nce(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("video_path\nvideos/nVbIUDjzWY4.mp4\nabsent.mp4\n")
    source = read_howto100m(root, path)["train"]
    assert [video.path for video in source.videos] == ["nVbIUDjzWY4.mp4"]
    assert [missing.path for missing in source.missing] == [f"{root}/absent.mp4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\na\n", "no column 'video_id'"),
        ("video_id,rank\n,1\n", "line 2: the video has no name"),
        ("video_id\n", "lists no video"),
    ],
)
def test_lists_that_will_not_do(content, message, root: pathlib.Path) -> None:
    (root.parent / "HowTo100M_v1.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_howto100m(root)


def test_no_list(root: pathlib.Path) -> None:
    (root.parent / "HowTo100M_v1.csv").unlink()
    with pytest.raises(UserError, match="no official list of howto100m"):
        read_howto100m(root)
    with pytest.raises(UserError, match="no list of howto100m in"):
        read_howto100m(root, root)
