"""The built-in videos as files, to try what one would do with a folder of one's own."""

from __future__ import annotations

import os
import pathlib

import av

from data_pipelines.sources.moving_shapes.source import MovingShapes


def write_files(
    folder: str | os.PathLike[str], videos: int = 32, *, seed: int = 0, frames: int = 40
) -> list[pathlib.Path]:
    """Writes FOLDER/CLASS/NUMBER.mp4, MPEG-4 at 25 frames a second; files that are there stay.

    Args:
      folder: where to.
      videos: how many.
      seed: of what happens in them.
      frames: of each.

    Returns:
      The files.
    """
    source = MovingShapes(videos=videos, seed=seed, frames=frames)
    paths = []
    for index in range(len(source)):
        name = source.classes[source.info(index).label]
        path = pathlib.Path(folder, name.replace(" ", "_"), f"{index:04d}.mp4")
        paths.append(path)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures = source.open(index).frames(range(frames))
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return paths
