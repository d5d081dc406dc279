"""How other libraries deliver the same clips: each function reads one video as its users would.

All take (path, positions int64 [C, T], boxes, size) and return uint8 [C, T, size, size, 3] RGB: the
same frames and crops as ours, so that only the way there differs. Each reads a file in one pass
where its interface lets it, on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import cv2
import numpy as np

Box = tuple[int, int, int, int]
Read = Callable[[str, np.ndarray, Sequence[Box], int], np.ndarray]


def _crop_clips(
    frames: dict[int, np.ndarray], positions_CxT: np.ndarray, boxes: Sequence[Box], size: int
) -> np.ndarray:
    clips = np.empty((*positions_CxT.shape, size, size, 3), np.uint8)
    for clip, row_T, (y, x, h, w) in zip(clips, positions_CxT, boxes):
        for out, position in zip(clip, row_T):
            cv2.resize(frames[int(position)][y : y + h, x : x + w], (size, size), out)
    return clips


def opencv(path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], size: int) -> np.ndarray:
    """`grab` over what is not wanted, `retrieve` what is; colours swapped after the crop."""
    wanted = set(positions_CxT.ravel().tolist())
    video = cv2.VideoCapture(path)
    video.set(cv2.CAP_PROP_N_THREADS, 1)
    frames = {}
    for position in range(max(wanted) + 1):
        video.grab()
        if position in wanted:
            frames[position] = video.retrieve()[1]
    video.release()
    return _crop_clips(frames, positions_CxT, boxes, size)[..., ::-1].copy()


def pyav(path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], size: int) -> np.ndarray:
    """The loop of its documentation: decode, convert the wanted frames, stop after the last."""
    import av

    wanted = set(positions_CxT.ravel().tolist())
    frames = {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for position, frame in enumerate(container.decode(stream)):
            if position in wanted:
                frames[position] = frame.to_ndarray(format="rgb24")
            if position == max(wanted):
                break
    return _crop_clips(frames, positions_CxT, boxes, size)


def decord(path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], size: int) -> np.ndarray:
    """One `get_batch` of all wanted frames, then torchvision's v2 crop of each clip."""
    import decord as library
    import torch
    from torchvision.transforms.v2 import functional

    reader = library.VideoReader(path, num_threads=1)
    wanted, where = np.unique(positions_CxT, return_inverse=True)
    frames = torch.from_numpy(reader.get_batch(wanted.tolist()).asnumpy()).permute(0, 3, 1, 2)
    clips = [
        functional.resized_crop(frames[torch.from_numpy(row)], *box, [size, size], antialias=False)
        for row, box in zip(where.reshape(positions_CxT.shape), boxes)
    ]
    return torch.stack(clips).permute(0, 1, 3, 4, 2).contiguous().numpy()


def pytorchvideo(
    path: str, positions_CxT: np.ndarray, boxes: Sequence[Box], size: int
) -> np.ndarray:
    """`EncodedVideo.get_clip` for each clip, every frame of it, of which the wanted are kept."""
    import torch
    from pytorchvideo.data.encoded_video import EncodedVideo
    from torchvision.transforms.v2 import functional

    video = EncodedVideo.from_path(path, decode_audio=False)
    rate = float(video._container.streams.video[0].average_rate)
    clips = []
    for row_T, box in zip(positions_CxT, boxes):
        first, last = int(row_T.min()), int(row_T.max())
        clip = video.get_clip(max(0.0, (first - 0.1) / rate), (last + 0.9) / rate)["video"]
        kept = clip[:, torch.from_numpy(np.minimum(row_T - first, clip.shape[1] - 1))]
        kept = kept.permute(1, 0, 2, 3).to(torch.uint8)
        clips.append(functional.resized_crop(kept, *box, [size, size], antialias=False))
    video.close()
    return torch.stack(clips).permute(0, 1, 3, 4, 2).contiguous().numpy()


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
    """Declares what PyPI's torchvision expects to be compiled in and a CPU-only torch lacks."""
    if find_spec("torchvision") is None:
        return
    import torch

    torch.set_num_threads(1)
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    load_torchvision.kept = library  # type: ignore[attr-defined]  # undone when collected
