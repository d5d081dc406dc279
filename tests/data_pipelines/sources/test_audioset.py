import pathlib

import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.audioset import read_audioset

# The official form: the header is a comment, and blanks follow the commas.
HEADER = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=6
# YTID, start_seconds, end_seconds, positive_labels
"""
BALANCED = (
    HEADER
    + """--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw"
absent, 0.000, 10.000, "/m/09x0r"
"""
)
EVAL = HEADER + '_whole_, 1.500, 3.500, "/m/03v3yw,/m/09x0r"\n'
CLASSES = """index,mid,display_name
0,/m/09x0r,"Speech"
2,/t/dd00088,"Gush"
1,/m/03v3yw,"Keys jangling, loud"
"""


@pytest.fixture
def root(tmp_path: pathlib.Path, touch) -> pathlib.Path:
    names = ("--PJHxphWEs_30000_40000.mp4", "deep/-0RWZT-miFs_420.000_430.000.mkv", "_whole_.mp4")
    root = pathlib.Path(touch(tmp_path / "videos", *names))
    lists = tmp_path / "annotations"
    lists.mkdir()
    (lists / "balanced_train_segments.csv").write_text(BALANCED)
    (lists / "eval_segments.csv").write_text(EVAL)
    (lists / "class_labels_indices.csv").write_text(CLASSES)
    return root


def test_official_lists(root: pathlib.Path) -> None:
    splits = read_audioset(root)
    assert list(splits) == ["train", "eval"]
    train = splits["train"]
    assert train.classes == ("Speech", "Keys jangling, loud", "Gush")
    assert [(video.id, video.labels) for video in train.videos] == [
        ("--PJHxphWEs_30000_40000.mp4", (0, 2)),
        ("deep/-0RWZT-miFs_420.000_430.000.mkv", (1,)),
    ]
    assert len(train.missing) == 1
    info = splits["eval"].info(0)
    assert (info.id, info.label, info.labels) == ("_whole_.mp4#1.5-3.5", -1, (0, 1))
    whole = read_audioset(root, trimmed=True)["eval"].videos[0]
    assert (whole.start, whole.end) == (None, None)


@pytest.mark.parametrize(
    "name",
    ["x_30000_40000", "x_000030_000040", "x_30.000_40.000", "x_30_40", "x_30"],
)
def test_names_of_downloaders(name: str, tmp_path: pathlib.Path, touch) -> None:
    root = touch(tmp_path / "videos", f"{name}.mp4", "x.mp4")
    path = tmp_path / "eval_segments.csv"
    path.write_text('x, 30.000, 40.000, "/m/1"\n')
    source = read_audioset(root)["eval"]
    assert source.videos[0].id == f"{name}.mp4"
    assert source.classes == ("/m/1",)  # without the file of classes, the labels' own names


def test_both_lists_of_training_are_one_split_and_a_file_alone_too(root: pathlib.Path) -> None:
    lists = root.parent / "annotations"
    (lists / "unbalanced_train_segments.csv").write_text(EVAL.replace("1.500", "2.000"))
    assert len(read_audioset(root)["train"]) == 3
    (only,) = read_audioset(root, lists / "unbalanced_train_segments.csv").values()
    assert len(only) == 1
    path = lists / "mine.csv"
    path.write_text("YTID,start_seconds,end_seconds,positive_labels\n_whole_,1,2,/m/09x0r\n")
    assert list(read_audioset(root, path)) == ["train"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a, 1, 2\n", "line 1: give YTID, .* not 3 values"),
        ('a, 2, 1, "/m/09x0r"\n', "line 1: give a YTID, start_seconds and later"),
        ('a, x, 1, "/m/09x0r"\n', "start_seconds is 'x'"),
        ('a, 0, 1, "/m/none"\n', "label '/m/none' is not in class_labels_indices.csv"),
        ('a, 0, 1, "/m/09x0r\n', "not a CSV file"),
    ],
)
def test_lists_that_will_not_do(content: str, message: str, root: pathlib.Path) -> None:
    (root.parent / "annotations" / "eval_segments.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_audioset(root)


def test_classes_that_will_not_do(root: pathlib.Path) -> None:
    (root.parent / "annotations" / "class_labels_indices.csv").write_text(
        "index,mid,display_name\n0,/m/09x0r,a\n2,/m/03v3yw,b\n"
    )
    with pytest.raises(UserError, match="not the numbers from 0 to 1"):
        read_audioset(root)


def test_no_list(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="no list of audioset in"):
        read_audioset(root, root)
