import csv
import json
import pathlib

import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.msrvtt import read_msrvtt
from data_pipelines.video import Caption

LISTS = ("MSRVTT_JSFUSION_test.csv", "MSRVTT_train.9k.csv", "MSRVTT_train.7k.csv")


def official(videos: dict[str, str], sentences: list[tuple[str, str]]) -> str:
    """The official JSON file."""
    return json.dumps(
        {
            "info": {"year": "2016", "version": "1.0"},
            "videos": [
                {
                    "id": number,
                    "video_id": name,
                    "category": 9,
                    "url": "https://www.youtube.com/watch?v=x",
                    "start time": 137.72,
                    "end time": 149.44,
                    "split": split,
                }
                for number, (name, split) in enumerate(videos.items())
            ],
            "sentences": [
                {"sen_id": number, "video_id": name, "caption": text}
                for number, (name, text) in enumerate(sentences)
            ],
        }
    )


@pytest.fixture
def lists(real_data: pathlib.Path) -> pathlib.Path:
    return real_data / "annotations" / "msrvtt"


def test_the_real_lists_of_1k_a(lists: pathlib.Path, tmp_path: pathlib.Path, touch) -> None:
    with (lists / LISTS[0]).open() as file:
        test = list(csv.DictReader(file))
    with (lists / LISTS[1]).open() as file:
        train = [row["video_id"] for row in csv.DictReader(file)]
    there = [row["video_id"] for row in test] + train[:-1]
    root = touch(tmp_path / "all", *(f"{name}.mp4" for name in there))
    splits = read_msrvtt(root, lists)
    assert [len(splits[name]) for name in ("train", "test")] == [8999, 1000]
    assert len(splits["train"].missing) == 1
    source = splits["test"]
    assert source.info(0).captions == (Caption("a person is connecting something to system"),)
    assert source.info(2).captions == (Caption("a woman creating a fondant baby and flower"),)
    assert source.info(2).id == "video7020.mp4"
    of_7k = read_msrvtt(root, lists, 2)
    assert len(of_7k["train"]) + len(of_7k["train"].missing) == 7010
    with pytest.raises(UserError, match="the official split needs it"):
        read_msrvtt(root, lists, 3)


@pytest.fixture
def folder(tmp_path: pathlib.Path, touch) -> pathlib.Path:
    """Four videos with the official file and lists of both kinds beside them."""
    root = pathlib.Path(touch(tmp_path / "videos", *(f"all/video{n}.mp4" for n in range(4))))
    lists = tmp_path / "annotation"
    lists.mkdir()
    videos = {"video0": "train", "video1": "validate", "video2": "test", "video3": "train"}
    said = [
        ("video0", "a man sings"),
        ("video3", " "),
        ("video0", "someone sings"),
        ("video2", "x"),
    ]
    (lists / "MSRVTT_data.json").write_text(official(videos, said))
    (lists / LISTS[0]).write_text("key,vid_key,video_id,sentence\nret0,msr2,video2,a dog runs\n")
    (lists / LISTS[1]).write_text("video_id\nvideo0\nvideo1\nvideo3\n")
    return root


def test_sentences_of_training_come_from_the_official_file(folder: pathlib.Path) -> None:
    splits = read_msrvtt(folder)
    assert splits["train"].info(0).captions == (Caption("a man sings"), Caption("someone sings"))
    assert splits["train"].info(2).captions == ()  # an empty one is left out
    assert splits["test"].info(0).captions == (Caption("a dog runs"),)  # that of the list alone
    assert splits["train"].classes == ()


def test_the_official_split(folder: pathlib.Path) -> None:
    splits = read_msrvtt(folder, split=3)
    assert {name: [v.path for v in source.videos] for name, source in splits.items()} == {
        "train": ["all/video0.mp4", "all/video3.mp4"],
        "val": ["all/video1.mp4"],
        "test": ["all/video2.mp4"],
    }
    assert splits["test"].info(0).captions == (Caption("x"),)


def test_two_official_files_are_joined(folder: pathlib.Path) -> None:
    lists = folder.parent / "annotation"
    (lists / "MSRVTT_data.json").unlink()
    first = official({"video0": "train"}, [("video0", "a")])
    (lists / "train_val_videodatainfo.json").write_text(first)
    second = official({"video2": "test"}, [("video2", "b")])
    (lists / "test_videodatainfo.json").write_text(second)
    splits = read_msrvtt(folder, split=3)
    assert [splits[name].info(0).captions[0].text for name in ("train", "test")] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("MSRVTT_data.json", "[]", "holds no dict"),
        ("MSRVTT_data.json", '{"videos": {}}', "no list 'videos'"),
        ("MSRVTT_data.json", '{"videos": [{"video_id": "a"}]}', "entry 1 of 'videos' lacks"),
        ("MSRVTT_data.json", official({"a": "training"}, []), "split 'training' is unknown"),
        (LISTS[0], "video_id\na\n", "no column 'sentence'"),
        (LISTS[1], "id\na\n", "no column 'video_id'"),
    ],
)
def test_lists_that_will_not_do(name, content, message, folder: pathlib.Path) -> None:
    (folder.parent / "annotation" / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_msrvtt(folder)


def test_a_list_that_is_missing(folder: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"7k\.csv does not exist"):
        read_msrvtt(folder, split=2)
