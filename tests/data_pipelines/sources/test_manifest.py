import contextlib
import csv
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.sources.files import VideoFile
from data_pipelines.sources.manifest import read_manifest


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4", "sub/d, e.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def manifest(folder: pathlib.Path, *lines: str, encoding: str = "utf-8") -> pathlib.Path:
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_labels_segments_and_splits(folder: pathlib.Path) -> None:
    path = manifest(
        folder,
        "label,path,start,end,split,note",
        "run,a.mp4,,,train,x",
        "sit,b.mp4,1,2.5,train,",
        'run,"sub/d, e.mp4",,3,test,',
        ",b.mp4,0,1,test,",
        encoding="utf-8-sig",
    )
    sources = read_manifest(path)
    assert list(sources) == ["train", "test"]
    assert sources["train"].classes == sources["test"].classes == ("run", "sit")
    assert sources["train"].videos == (VideoFile("a.mp4", 0), VideoFile("b.mp4", 1, 1.0, 2.5))
    assert sources["test"].videos == (
        VideoFile("sub/d, e.mp4", 0, None, 3.0),
        VideoFile("b.mp4", -1, 0.0, 1.0),
    )
    assert sources["test"].root == str(folder)


def test_only_paths(folder: pathlib.Path) -> None:
    sources = read_manifest(manifest(folder, "path", "b.mp4", str(folder / "a.mp4")))
    assert list(sources) == ["all"]
    assert sources["all"].classes == ()
    assert sources["all"].videos == (VideoFile("b.mp4"), VideoFile("a.mp4"))


def test_chosen_columns_and_root(folder: pathlib.Path, tmp_path_factory) -> None:
    path = manifest(
        tmp_path_factory.mktemp("lists"), "path,class,fold", "a.mp4,10,1", "b.mp4,9,0", "c.mp4,9,1"
    )
    sources = read_manifest(path, root=folder, label_column="class", split_column="fold")
    assert list(sources) == ["1", "0"]
    assert sources["0"].classes == ("9", "10")
    assert [video.label for video in sources["1"].videos] == [1, 0]


WRONG = {
    "no column 'path'; did you mean 'paths'.* known: paths, label": [
        "paths,label",
        "a.mp4,x",
    ],
    ": its first line is empty; it must be like 'path,label'": [],
    "lists no video": ["path"],
    "the path is empty": ["path,label", ",x"],
    "line 2: path '../a.mp4' leads out": ["path", "../a.mp4"],
    "line 2: path '/etc/passwd' leads out": ["path", "/etc/passwd"],
    "line 2: start is '-1'": ["path,start", "a.mp4,-1"],
    "line 2: start is 'nan'": ["path,start", "a.mp4,nan"],
    "line 2: end is '1:30'": ["path,end", "a.mp4,1:30"],
    "line 3: the segment ends at 2 s, not after 2 s": ["path,start,end", "a.mp4,1,2", "a.mp4,2,2"],
    "line 2: the segment ends at 0 s": ["path,end", "a.mp4,0"],
    "line 3: a.mp4 is already in list.csv line 2": ["path", "a.mp4", "./a.mp4"],
    "line 2: the number of values": ["path,label", "a.mp4,x,y"],
    "line 3: the number of values": ["path,label", "a.mp4,x", "b.mp4"],
    "line 3: column 'split' is empty": ["path,split", "a.mp4,x", "b.mp4,"],
    "two columns have the same name": ["path,label,label", "a.mp4,x,y"],
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(folder: pathlib.Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_manifest(manifest(folder, *WRONG[message]))
    assert "\n" not in str(error.value)


def test_chosen_columns_must_exist(folder: pathlib.Path) -> None:
    path = manifest(folder, "path,class,src_fold", "a.mp4,x,1")
    with pytest.raises(UserError, match=r"no column 'classes'; did you mean 'class'"):
        read_manifest(path, label_column="classes")
    with pytest.raises(UserError, match=r"no column 'fold'; did you mean 'src_fold'"):
        read_manifest(path, split_column="fold")


def test_unreadable_lists(folder: pathlib.Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_manifest(folder / "absent.csv")
    with pytest.raises(UserError, match="is a folder"):
        read_manifest(folder / "sub")
    with pytest.raises(UserError, match=r"the root folder .* does not exist"):
        read_manifest(manifest(folder, "path", "a.mp4"), root=folder / "absent")
    (folder / "list.csv").write_bytes(b"path\n\xff\xfe\x00\n")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        read_manifest(folder / "list.csv")


@given(st.text(max_size=60))
def test_any_text_is_read_or_explained(tmp_path_factory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / "list.csv"
    path.write_bytes(("path,label\n" + text).encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError):
        read_manifest(path)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=8)), min_size=1, max_size=6))
def test_labels_survive_the_csv(tmp_path_factory, rows: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("round")
    rows = [(name, label.strip()) for name, label in rows if "\0" not in label]
    rows = list({name: (name, label) for name, label in rows}.values())
    path = folder / "list.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    for name, _ in rows:
        (folder / name).touch()
    if rows:
        source = read_manifest(path)["all"]
        names = [source.classes[video.label] if video.label >= 0 else "" for video in source.videos]
        assert names == [label for _, label in rows]


def test_real_manifest(real_data: pathlib.Path) -> None:
    sources = read_manifest(
        real_data / "jhmdb" / "meta.csv", label_column="class", split_column="hmdb_split1"
    )
    assert {split: len(source) for split, source in sources.items()}.items() >= {
        ("train", 365),
        ("test", 148),
    }
    assert len(sources["train"].classes) == 12


def jsonl(folder: pathlib.Path, *lines: object) -> pathlib.Path:
    path = folder / "list.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_missing_videos_are_kept_with_their_lines(folder: pathlib.Path) -> None:
    path = manifest(folder, "path,split", "a.mp4,train", "x.mp4,train", "sub,test")
    sources = read_manifest(path)
    assert sources["train"].videos == (VideoFile("a.mp4"),)
    assert sources["train"].missing == ((f"{folder}/x.mp4", "list.csv line 3"),)
    assert sources["test"].missing == ((f"{folder}/sub", "list.csv line 4"),)


def test_json_lines_say_the_same(folder: pathlib.Path) -> None:
    path = jsonl(
        folder,
        {"path": "a.mp4", "label": 10, "split": "train", "note": ["free", {"x": 1}]},
        "",
        {"path": "b.mp4", "label": "9", "start": 1, "end": 2.5, "split": "train"},
        {"path": "sub/d, e.mp4", "label": None, "end": "3", "split": "test"},
        {"path": "c.mp4", "split": "test"},
    )
    sources = read_manifest(path, format="jsonl")
    assert sources["train"].classes == ("9", "10")
    assert sources["train"].videos == (VideoFile("a.mp4", 1), VideoFile("b.mp4", 0, 1.0, 2.5))
    assert sources["test"].videos == (VideoFile("sub/d, e.mp4", -1, None, 3.0), VideoFile("c.mp4"))


WRONG_JSON = {
    "no column 'path'; did you mean 'paths'": [{"paths": "a.mp4"}],
    "lists no video: add a line like": [],
    "line 2: the path is empty": [{"path": "a.mp4"}, {"label": "x"}],
    "line 1: not a JSON object on one line: Expecting": ["{"],
    "line 1: not a JSON object on one line: two fields have the same name: path, path": [
        '{"path": "a.mp4", "path": "b.mp4"}'
    ],
    "line 1: '.1, 2.' is not an object": ["[1, 2]"],
    "line 1: label is .'x'.: give text or a number": [{"path": "a.mp4", "label": ["x"]}],
    "line 1: path is True: give text": [{"path": True}],
    "line 1: start is 'nan': give seconds": ['{"path": "a.mp4", "start": NaN}'],
    "line 1: the segment ends at 1 s, not after 2 s": [{"path": "a.mp4", "start": 2, "end": 1}],
    "line 2: a.mp4 is already in list.jsonl line 1": [{"path": "a.mp4"}] * 2,
    "line 2: column 'split' is empty": [{"path": "a.mp4", "split": "x"}, {"path": "b.mp4"}],
    "line 1: path '../a.mp4' leads out": [{"path": "../a.mp4"}],
    r"line 1: not a JSON object on one line: .*recursion": ["[" * 100_000],
}


@pytest.mark.parametrize("message", WRONG_JSON)
def test_what_is_wrong_in_json_lines_is_named(folder: pathlib.Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_manifest(jsonl(folder, *WRONG_JSON[message]), format="jsonl")
    assert "\n" not in str(error.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
_FIELDS = ("path", "label", "start", "end", "split", "other")


@given(st.lists(st.dictionaries(st.sampled_from(_FIELDS), _JSON), min_size=1, max_size=3))
def test_any_json_is_read_or_explained(tmp_path_factory, rows: list[dict]) -> None:
    path = jsonl(tmp_path_factory.mktemp("any"), *rows)
    with contextlib.suppress(UserError):
        sources = read_manifest(path, format="jsonl")
        assert sum(len(part.missing) for part in sources.values()) == len(rows)
