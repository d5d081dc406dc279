import pathlib

import numpy as np
import PIL.Image
import pytest

from data_pipelines.errors import UserError
from data_pipelines.examples import load_example
from data_pipelines.sources.folder import EXTENSIONS, folder_splits, scan_folder
from data_pipelines.spec import InputSpec


def touch(root: pathlib.Path, *names: str) -> pathlib.Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_class_folders_give_labels(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "run/b.MP4", "run/deep/a.avi", "jump/c.webm", "empty/readme.txt")
    touch(tmp_path, ".hidden/d.mp4", "run/.e.mp4", "notes.txt", "run/.thumbs/f.mp4")
    source = scan_folder(tmp_path)
    assert source.classes == ("jump", "run")
    assert [(video.path, video.label) for video in source.videos] == [
        ("jump/c.webm", 0),
        ("run/b.MP4", 1),
        ("run/deep/a.avi", 1),
    ]
    assert source.name == tmp_path.name


def test_a_video_in_the_root_means_no_labels(tmp_path: pathlib.Path) -> None:
    source = scan_folder(touch(tmp_path, "run/b.mp4", "a.mp4"))
    assert source.classes == ()
    assert [(video.path, video.label) for video in source.videos] == [
        ("a.mp4", -1),
        ("run/b.mp4", -1),
    ]


@pytest.mark.parametrize("held_out", ["test", "val", "validation", "Test"])
def test_split_folders_share_their_classes(tmp_path: pathlib.Path, held_out: str) -> None:
    touch(tmp_path, "train/run/a.mp4", "train/jump/b.mp4", f"{held_out}/sit/c.mp4", "readme.md")
    splits = folder_splits(tmp_path)
    assert list(splits) == ["train", "test"]
    assert splits["train"].classes == splits["test"].classes == ("jump", "run", "sit")
    assert [video.label for video in splits["train"].videos] == [0, 1]
    assert splits["test"].videos[0].path == f"{held_out}/sit/c.mp4"
    assert splits["test"].videos[0].label == 2
    assert scan_folder(tmp_path, split="test") == splits["test"]
    with pytest.raises(UserError, match="no split 'all', only train, test"):
        scan_folder(tmp_path)


def test_unlabelled_splits(tmp_path: pathlib.Path) -> None:
    splits = folder_splits(touch(tmp_path, "train/a.mp4", "test/b.mp4"))
    assert [len(splits["train"]), len(splits["test"])] == [1, 1]
    assert splits["train"].classes == ()


def test_a_class_beside_split_folders_makes_them_classes(tmp_path: pathlib.Path) -> None:
    splits = folder_splits(touch(tmp_path, "train/a.mp4", "test/b.mp4", "bus/c.mp4"))
    assert list(splits) == ["all"]
    assert splits["all"].classes == ("bus", "test", "train")


def test_a_lone_train_folder_is_not_a_class(tmp_path: pathlib.Path) -> None:
    splits = folder_splits(touch(tmp_path, "train/run/a.mp4", "train/sit/b.mp4"))
    assert list(splits) == ["all"]
    assert splits["all"].classes == ("run", "sit")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_extension_is_found(tmp_path: pathlib.Path, extension: str) -> None:
    assert len(scan_folder(touch(tmp_path, f"a{extension.upper()}"))) == 1


def test_a_folder_of_images_is_one_of_videos_of_one_frame(tmp_path: pathlib.Path, caplog) -> None:
    root = tmp_path / "images"
    for label, value in (("cats", 40), ("dogs", 200)):
        (root / label).mkdir(parents=True)
        PIL.Image.new("RGB", (20, 12), (value, 0, 0)).save(root / label / "a.PNG")
    with caplog.at_level("INFO"):
        source = scan_folder(root)
    assert "each of its 2 images" in caplog.text
    assert source.classes == ("cats", "dogs")
    spec = InputSpec(clips=2, frames=4, stride=2, size=8, sampling="even", crop="center")
    example = load_example(source, spec, 1, np.random.default_rng(0))
    assert example["valid"]
    assert example["label"] == 1
    assert (example["video"][..., 0] == 200).all()
    # A thumbnail beside videos is none of them.
    touch(root, "cats/b.mp4")
    assert [source.path for source in scan_folder(root).videos] == ["cats/b.mp4"]


def test_what_cannot_be_scanned_is_explained(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        scan_folder(tmp_path / "absent")
    touch(tmp_path, "a.txt")
    with pytest.raises(UserError, match="is a file"):
        scan_folder(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"no video in folder .*\.mp4 \.avi"):
        scan_folder(tmp_path)
    touch(tmp_path, "train/a.mp4", "test/b.txt")
    with pytest.raises(UserError, match=r"no video in folder .*/test: "):
        scan_folder(tmp_path, "train")


def test_real_folder(real_data: pathlib.Path) -> None:
    source = scan_folder(real_data / "jhmdb")
    assert len(source) == 525
    assert len(source.classes) == 12
    with source.open(0) as video:
        assert video.frames([0])[0].shape == (240, 320, 3)
