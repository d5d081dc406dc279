import dataclasses
import pathlib
import pickle

import av
import numpy as np
import pytest

from data_pipelines.decode import Limits
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.sources.files import (
    FileSource,
    VideoFile,
    existing_folder,
    path_inside,
    sorted_classes,
)


def write_video(path: pathlib.Path, frames: int = 10) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for index in range(frames):
            picture = np.full((16, 32, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


def test_opens_videos_and_segments_also_after_pickling(tmp_path: pathlib.Path) -> None:
    (tmp_path / "jump").mkdir()
    write_video(tmp_path / "jump" / "a.mp4")
    videos = (VideoFile("jump/a.mp4", 0), VideoFile("jump/a.mp4", 0, 0.3, 0.75))
    source = FileSource("mine", videos, ("jump",), str(tmp_path))
    source = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert len(source) == 2
    assert source.factors == {}
    assert source.info(1).id == "jump/a.mp4#0.3-0.75"
    assert source.info(0).id == "jump/a.mp4"
    assert source.info(0).path == str(tmp_path / "jump" / "a.mp4")
    with source.open(0) as whole, source.open(1) as part:
        assert len(whole.times) == 10
        np.testing.assert_allclose(part.times, [0, 0.1, 0.2, 0.3, 0.4], atol=1e-9)
        assert abs(int(part.frames([0])[0].mean()) - 60) < 6


def test_a_bad_video_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.mp4").write_text("no")
    source = FileSource("mine", (VideoFile("a.mp4"),), (), str(tmp_path))
    with pytest.raises(BadVideo) as error:
        source.open(0)
    assert error.value.path == str(tmp_path / "a.mp4")


def test_a_link_that_leads_out_of_the_root_is_bad_unless_asked_for(tmp_path: pathlib.Path) -> None:
    (tmp_path / "root").mkdir()
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "root" / "a.mp4")
    (tmp_path / "root" / "out.mp4").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "root" / "in.mp4").symlink_to(tmp_path / "root" / "a.mp4")
    (tmp_path / "root" / "up").symlink_to(tmp_path)
    videos = tuple(map(VideoFile, ("in.mp4", "out.mp4", "up/a.mp4", "../a.mp4")))
    source = FileSource("mine", videos, (), str(tmp_path / "root"))
    source.open(0).close()
    for index in (1, 2, 3):
        with pytest.raises(BadVideo, match=r"leads out of .*; the option follow_links"):
            source.open(index)
    dataclasses.replace(source, limits=Limits(follow_links=True)).open(1).close()


def test_segment_ids_differ() -> None:
    segments = [(None, None), (1.0, None), (None, 1.0), (1.0, 1.5), (1.25, 1.5)]
    ids = {VideoFile("a", -1, start, end).id for start, end in segments}
    assert ids == {"a", "a#1-", "a#-1", "a#1-1.5", "a#1.25-1.5"}


def test_path_inside(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (root / "link").symlink_to(tmp_path / "other")
    (root / "loop").symlink_to(root / "loop")
    (tmp_path / "other" / "b.mp4").touch()
    (root / "out.mp4").symlink_to(tmp_path / "other" / "b.mp4")
    (root / "in.mp4").symlink_to(root / "sub" / "a.mp4")
    assert path_inside(root, "sub/a.mp4", "") == "sub/a.mp4"
    assert path_inside(root, "in.mp4", "") == "in.mp4"
    assert path_inside(root, "./sub/../sub/a.mp4", "") == "sub/a.mp4"
    assert path_inside(root, str(root / "sub" / "a.mp4"), "") == "sub/a.mp4"
    for listed in ("../a.mp4", "sub/../../a.mp4", "/etc/passwd", "link/a.mp4", "out.mp4", "a\0b"):
        with pytest.raises(UserError, match=r"list line 3: path .* leads out of"):
            path_inside(root, listed, "list line 3")


def test_existing_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    assert existing_folder(str(tmp_path), "the folder") == tmp_path
    with pytest.raises(UserError, match="is a file, not a folder"):
        existing_folder(tmp_path / "file", "the folder")
    with pytest.raises(UserError, match=r"the folder .* does not exist"):
        existing_folder(tmp_path / "absent", "the folder")


def test_classes_sort_by_number_only_if_all_are_numbers() -> None:
    assert sorted_classes({"10", "9", "-1"}) == ("-1", "9", "10")
    assert sorted_classes({"10", "9", "x"}) == ("10", "9", "x")
    assert sorted_classes({"+-1", "2"}) == ("+-1", "2")
    assert sorted_classes({"2", "1" * 5000}) == ("1" * 5000, "2")  # more digits than int() takes
    assert sorted_classes(set()) == ()
