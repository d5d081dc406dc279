import json
import pathlib
from typing import Any

import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.youcook2 import read_youcook2
from data_pipelines.video import Caption

DATABASE: dict[str, Any] = {
    "database": {
        "9GX8f5EwwE4": {
            "duration": 241.64,
            "subset": "validation",
            "recipe_type": "212",
            "annotations": [
                {"segment": [25, 37], "id": 0, "sentence": "cut the onion in half and dice"},
                {"segment": [37, 50], "id": 1, "sentence": "peel and chop the carrots"},
                {"segment": [37, 50], "id": 2, "sentence": "chop carrots "},
            ],
            "video_url": "https://www.youtube.com/watch?v=9GX8f5EwwE4",
        },
        "GLd3aX16zBg": {
            "duration": 100.0,
            "subset": "training",
            "recipe_type": "113",
            "annotations": [{"segment": [1.5, 2], "id": 0, "sentence": "spread margarine"}],
            "video_url": "",
        },
        "tested": {
            "duration": 1.0,
            "subset": "testing",
            "recipe_type": "113",
            "annotations": [{"segment": [0, 1], "id": 0}],
        },
    },
    "licence": "MIT",
}


@pytest.fixture
def root(tmp_path: pathlib.Path, touch) -> pathlib.Path:
    names = ("val/212/9GX8f5EwwE4.mp4", "training/113/GLd3aX16zBg.webm", "tested.mkv")
    root = pathlib.Path(touch(tmp_path / "raw_videos", *names))
    (tmp_path / "youcookii_annotations_trainval.json").write_text(json.dumps(DATABASE))
    return root


def test_the_official_file(root: pathlib.Path) -> None:
    splits = read_youcook2(root)
    assert list(splits) == ["train", "val", "test"]
    val = splits["val"]
    assert val.classes == ("113", "212")
    assert [val.info(index).id for index in range(len(val))] == [
        "val/212/9GX8f5EwwE4.mp4#25-37",
        "val/212/9GX8f5EwwE4.mp4#37-50",
    ]
    assert val.info(0).label == 1
    assert val.info(0).captions == (Caption("cut the onion in half and dice"),)
    assert val.info(1).captions == (Caption("peel and chop the carrots"), Caption("chop carrots"))
    assert splits["train"].info(0).id == "training/113/GLd3aX16zBg.webm#1.5-2"
    assert splits["test"].info(0).captions == ()


def test_the_list_of_mil_nce(root: pathlib.Path) -> None:
    path = root.parent / "validation_youcook.csv"
    path.write_text(
        "end,start,task,text,video_id\n"
        "60,47,226,pick the ends off the verdalago,GLd3aX16zBg\n"
        "89,67,226,combine,GLd3aX16zBg\n"
    )
    (splits,) = (read_youcook2(root, path),)
    assert list(splits) == ["val"]
    assert splits["val"].info(0).captions == (Caption("pick the ends off the verdalago"),)
    assert splits["val"].info(1).id.endswith("#67-89")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subset": "validate"}, "video GLd3aX16zBg: subset 'validate' is unknown"),
        ({"annotations": [{"segment": [2, 1]}]}, r"segment 0: 'segment' must be .* not \[2, 1\]"),
        ({"annotations": [{"segment": "1-2"}]}, "not '1-2'"),
        ({"annotations": [None]}, "not None"),
    ],
)
def test_entries_that_will_not_do(change: dict, message: str, root: pathlib.Path) -> None:
    database = DATABASE["database"]
    changed = database | {"GLd3aX16zBg": database["GLd3aX16zBg"] | change}
    path = root.parent / "youcookii_annotations_trainval.json"
    path.write_text(json.dumps({"database": changed}))
    with pytest.raises(UserError, match=message):
        read_youcook2(root)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("youcookii_annotations_x.json", "{}", "no object 'database'"),
        ("youcookii_annotations_x.json", "[]", "holds no dict"),
        ("my_youcook.csv", "video_id,start,end\na,1,2\n", "no column 'text'"),
        ("my_youcook.csv", "video_id,start,end,text\na,2,1,x\n", "line 2: give a video_id"),
    ],
)
def test_lists_that_will_not_do(name, content, message, root: pathlib.Path) -> None:
    lists = root.parent / "lists"
    lists.mkdir()
    (lists / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_youcook2(root, lists)


def test_no_list(root: pathlib.Path) -> None:
    with pytest.raises(UserError, match="no list of youcook2 in"):
        read_youcook2(root, root)
