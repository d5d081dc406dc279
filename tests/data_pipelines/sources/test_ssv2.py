import json
import pathlib

import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.ssv2 import read_ssv2

LABELS = {"Closing something": "0", "Putting something onto something": "1"}
TRAIN = [
    {"id": "7", "label": "closing a box", "template": "Closing [something]"},
    {"id": "12", "template": "Putting [something] onto [something]", "placeholders": ["a", "b"]},
]
VALIDATION = [{"id": "3", "template": "Closing [something]"}]
TEST = [{"id": "4"}]


def write(folder: pathlib.Path, prefix: str = "something-something-v2-", **lists: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"labels": LABELS, "train": TRAIN, "validation": VALIDATION, "test": TEST} | lists
    for name, value in content.items():
        (folder / f"{prefix}{name}.json").write_text(json.dumps(value))


@pytest.mark.parametrize("prefix", ["something-something-v2-", ""])
@pytest.mark.parametrize("place", ["", "labels", "20bn-something-something-v2"])
def test_splits_and_labels(tmp_path, touch, prefix: str, place: str) -> None:
    root = tmp_path / "ssv2"
    inside = "20bn-something-something-v2/"
    touch(root, *(f"{inside}{name}" for name in ("7.webm", "12.mp4", "3.webm", "4.webm")))
    write(root / place, prefix)
    sources = read_ssv2(root / inside if place == inside[:-1] else root)
    assert list(sources) == ["train", "val", "test"]
    assert sources["train"].classes == tuple(LABELS)
    names = {split: [v.path.split("/")[-1] for v in part.videos] for split, part in sources.items()}
    assert names == {"train": ["7.webm", "12.mp4"], "val": ["3.webm"], "test": ["4.webm"]}
    assert [v.label for part in sources.values() for v in part.videos] == [0, 1, 0, -1]


def test_missing_videos_are_named_by_list_and_entry(tmp_path, touch) -> None:
    touch(tmp_path, "7.webm")
    write(tmp_path, "")
    missing = read_ssv2(tmp_path)["train"].missing
    assert missing == ((f"{tmp_path}/12.webm", "train.json entry 2"),)


WRONG = {
    "train.json entry 1: template 'Shutting .something.' is no class of labels.json": {
        "train": [{"id": "1", "template": "Shutting [something]"}]
    },
    "train.json entry 1: template None is no class": {"train": [{"id": "1"}]},
    "validation.json entry 1: '5' is not an object": {"validation": [5]},
    "train.json entry 1: .* is not an object": {"train": [{"id": 1}]},
    "train.json holds no list": {"train": {}},
    "labels.json holds no dict": {"labels": []},
    "are not the numbers from 0 to 1": {"labels": {"a": "0", "b": "2"}},
    "no video is listed in": {"train": [], "validation": [], "test": []},
    "train.json entry 2: 7.webm is already in train.json entry 1": {"train": TRAIN[:1] * 2},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(tmp_path, message: str) -> None:
    write(tmp_path, "", **WRONG[message])
    with pytest.raises(UserError, match=message) as error:
        read_ssv2(tmp_path)
    assert "\n" not in str(error.value)


def test_lists_that_are_not_there_or_no_json(tmp_path, touch) -> None:
    root = touch(tmp_path / "v", "a.mp4")
    with pytest.raises(UserError, match=r"no official list of ssv2 .* something-something-v2-lab"):
        read_ssv2(root)
    with pytest.raises(UserError, match=r"labels.json does not exist"):
        read_ssv2(root, root)
    write(tmp_path, "")
    (tmp_path / "train.json").write_text("[{]")
    with pytest.raises(UserError, match=r"train.json is not JSON"):
        read_ssv2(root)


def test_the_official_lists(real_data, tmp_path, touch) -> None:
    lists = real_data / "annotations" / "ssv2"
    ids = [e["id"] for e in json.loads((lists / "something-something-v2-test.json").read_text())]
    touch(tmp_path, *(f"{name}.webm" for name in ids[::10]))
    (source,) = read_ssv2(tmp_path, lists).values()
    assert len(source.classes) == 174
    assert (
        source.classes[41]
        == json.loads(
            (lists / "something-something-v2-labels.json").read_text(),
            object_pairs_hook=lambda pairs: {int(number): name for name, number in pairs},
        )[41]
    )
    assert [video.path for video in source.videos] == [f"{name}.webm" for name in ids[::10]]
    assert len(source) + len(source.missing) == 27_157
