import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.sources.walk import VideosByName, is_video, videos_below


def test_videos_of_all_depths_in_order(tmp_path: pathlib.Path, touch) -> None:
    names = ["b.mp4", "a/c.webm", "a/b/d e.MKV"]
    touch(tmp_path, *names, "a/notes.txt", ".hidden/e.mp4", "a/.f.mp4")
    assert videos_below(tmp_path) == sorted(names)
    assert videos_below(tmp_path / "a") == ["b/d e.MKV", "c.webm"]


def test_links_to_folders_elsewhere_are_followed_once_and_no_loop(
    tmp_path: pathlib.Path, touch
) -> None:
    touch(tmp_path, "here/a/1.mp4", "there/2.mp4", "there/deep/3.mp4")
    here = tmp_path / "here"
    for name, target in {"b": "../there", "c": "../there/deep", "d": "..", "e": "a"}.items():
        (here / name).symlink_to(target)
    (tmp_path / "there" / "back").symlink_to("../here")
    assert videos_below(here) == ["a/1.mp4", "b/2.mp4", "b/deep/3.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_cannot_be_listed(tmp_path: pathlib.Path, touch) -> None:
    touch(tmp_path, "a/b.mp4")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(UserError, match=r"cannot be listed \(Permission denied\)"):
            videos_below(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o755)


def test_videos_are_found_by_name_in_any_container(tmp_path: pathlib.Path, touch) -> None:
    touch(tmp_path, "x/a.mp4", "b.b.webm", "c", "x/-d.MKV")
    videos = VideosByName(tmp_path)
    assert videos.find("a.avi") == videos.find("a") == "x/a.mp4"
    assert videos.find("b.b") == "b.b.webm"
    assert videos.find("-d") == "x/-d.MKV"
    assert [videos.find(name) for name in ("b", "c", "x/a.mp4.mp4", "")] == [None] * 4


def test_the_folder_decides_between_equal_names(tmp_path: pathlib.Path, touch) -> None:
    touch(tmp_path, "train/air_drumming/a.mp4", "val/Air Drumming/a.mp4", "val/yoga/a.mp4")
    videos = VideosByName(tmp_path)
    assert videos.find("a", ("val", "air drumming")) == "val/Air Drumming/a.mp4"
    assert videos.find("a", ("train", "air drumming")) == "train/air_drumming/a.mp4"
    assert videos.find("a", ("val", "yoga")) == "val/yoga/a.mp4"
    assert videos.find("a", ("yoga",)) == "val/yoga/a.mp4"
    assert videos.find("a") == "train/air_drumming/a.mp4"  # the first by name, in every run


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=20))
def test_any_file_is_found_by_its_own_name(tmp_path_factory, name: str) -> None:
    name = f"{name}.mp4"
    if is_video(name):
        folder = tmp_path_factory.mktemp("any")
        (folder / name).touch()
        assert VideosByName(folder).find(name) == name
