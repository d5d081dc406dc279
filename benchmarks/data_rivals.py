"""How other libraries deliver the same clips: each function reads one video as its users would.

All take (path, positions int64 [C, T], boxes, out uint8 [C, T, S, S, 3]) and fill `out` with RGB:
the same frames and crops as ours, so that only the way there differs. Each reads a file in one pass
where its interface lets it, and decodes on one thread.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import cv2
import numpy as np

Box = tuple[int, int, int, int]
Read = Callable[[str, np.ndarray, Sequence[Box], np.ndarray], None]


def _crop_clips(
    frames: dict[int, np.ndarray], positions_CxT: np.ndarray, boxes: Sequence[Box], out: np.ndarray
) -> None:
    for clip, row_T, (y, x, h, w) in zip(out, positions_CxT, boxes):
        for cut, position in zip(clip, row_T):
            cv2.resize(frames[int(position)][y : y + h, x : x + w], cut.shape[:2], cut)


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Keeps this thread, and those that it starts, on one core (Linux)."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def opencv(path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], out: np.ndarray) -> None:
    """`grab` over what is not wanted, `retrieve` what is; colours swapped after the crop.

    The number of threads is asked for on opening: later it is not heeded.
    """
    wanted = set(positions_CxT.ravel().tolist())
    video = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if video.get(cv2.CAP_PROP_N_THREADS) != 1:
        raise RuntimeError("this OpenCV decodes on more than the one thread that it was given")
    frames = {}
    for position in range(max(wanted) + 1):
        video.grab()
        if position in wanted:
            frames[position] = video.retrieve()[1]
    video.release()
    _crop_clips(frames, positions_CxT, boxes, out)
    for cut in out.reshape(-1, *out.shape[2:]):
        cv2.cvtColor(cut, cv2.COLOR_BGR2RGB, cut)


def pyav(path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], out: np.ndarray) -> None:
    """The loop of its documentation: decode, convert the wanted frames, stop after the last."""
    import av

    wanted = set(positions_CxT.ravel().tolist())
    frames = {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for position, frame in enumerate(container.decode(stream)):
            if position in wanted:
                frames[position] = frame.to_ndarray(format="rgb24", threads=1)
            if position == max(wanted):
                break
    _crop_clips(frames, positions_CxT, boxes, out)


def decord(path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], out: np.ndarray) -> None:
    """One `get_batch` of all wanted frames, then torchvision's v2 crop of each clip."""
    import decord as library
    import torch
    from torchvision.transforms.v2 import functional

    reader = library.VideoReader(path, num_threads=1)
    wanted, where = np.unique(positions_CxT, return_inverse=True)
    frames = torch.from_numpy(reader.get_batch(wanted.tolist()).asnumpy()).permute(0, 3, 1, 2)
    for clip, row, box in zip(out, where.reshape(positions_CxT.shape), boxes):
        rows, size = torch.from_numpy(row), list(out.shape[2:4])
        cut = functional.resized_crop(frames[rows], *box, size, antialias=False)
        clip[:] = cut.permute(0, 2, 3, 1).numpy()


def pytorchvideo(
    path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], out: np.ndarray
) -> None:
    """`EncodedVideo.get_clip` for each clip, every frame of it, of which the wanted are kept.

    It does not deliver the last frames of a file; the last that it does stands in for them.
    """
    import torch
    from pytorchvideo.data.encoded_video import EncodedVideo
    from torchvision.transforms.v2 import functional

    video = EncodedVideo.from_path(path, decode_audio=False)
    rate = float(video._container.streams.video[0].average_rate)
    for cut, row_T, box in zip(out, positions_CxT, boxes):
        first, last = int(row_T.min()), int(row_T.max())
        with _one_core():  # its conversion to RGB starts a thread for each core that there is
            clip = video.get_clip(max(0.0, (first - 0.1) / rate), (last + 0.9) / rate)["video"]
        kept = clip[:, torch.from_numpy(np.minimum(row_T - first, clip.shape[1] - 1))]
        kept = kept.permute(1, 0, 2, 3).to(torch.uint8)
        kept = functional.resized_crop(kept, *box, list(out.shape[2:4]), antialias=False)
        cut[:] = kept.permute(0, 2, 3, 1).numpy()
    video.close()


RIVALS: dict[str, tuple[Read, tuple[str, ...]]] = {
    "opencv": (opencv, ()),
    "pyav": (pyav, ()),
    "decord": (decord, ("decord", "torchvision")),
    "pytorchvideo": (pytorchvideo, ("pytorchvideo", "torchvision")),
}
"""Each with the packages it needs besides our own."""


def installed() -> dict[str, Read]:
    """The rivals whose packages are here; says which are not."""
    found = {}
    for name, (read, packages) in RIVALS.items():
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            print(f"{name} is left out: {', '.join(missing)} not installed ([bench])")
        else:
            found[name] = read
    return found


def load_torchvision() -> None:
    """Imports torchvision where it is installed, and gives torch one thread."""
    if find_spec("torchvision") is not None:
        from cvrl_jax.export.torch_files import import_torchvision

        import_torchvision().set_num_threads(1)
