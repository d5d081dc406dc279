"""The built-in videos as files."""

from __future__ import annotations

from data_pipelines.decode import open_video
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.sources.moving_shapes.files import write_files


def test_each_video_is_a_file_in_the_folder_of_its_class(tmp_path):
    paths = write_files(tmp_path, 3, frames=5)
    source = MovingShapes(videos=3, seed=0, frames=5)
    for index, path in enumerate(paths):
        assert path.parent.name == source.classes[source.info(index).label].replace(" ", "_")
        video = open_video(str(path))
        assert len(video.times) == 5
        assert video.size == source.open(index).size
        video.close()
    before = [path.stat().st_mtime_ns for path in paths]
    assert write_files(tmp_path, 3, frames=5) == paths
    assert [path.stat().st_mtime_ns for path in paths] == before
