"""Datasets prepared by TensorFlow Datasets as ArrayRecord, read without TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import logging
import threading
import types
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from data_pipelines.decode import Limits, open_video
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.errors import BadVideo, UserError, first_line
from data_pipelines.sources.stored import StoredFrames
from data_pipelines.suggest import nearest
from data_pipelines.video import MissingVideo, Video, VideoInfo

_MOST_BYTES = 4 << 30  # of the decoded frames of one record
_LOCK = threading.Lock()  # threads that import tensorflow_datasets at once wait for each other


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """One split of a prepared dataset; a `Source`. Each process opens it for itself.

    Attributes:
      dataset: its name, such as "ucf101/ucf101_1:2.0.0".
      data_dir: the folder in which it was prepared, "" for `~/tensorflow_datasets`.
      split: the split.
      classes: class names by label, () if unlabelled.
      video_column: the feature that holds the video.
      label_column: the feature that holds the label.
      fps: frames per second of videos stored as frames.
      limits: what a record may ask for before it is refused.
    """

    dataset: str
    data_dir: str
    split: str
    classes: tuple[str, ...]
    video_column: str
    label_column: str
    fps: float
    limits: Limits = DEFAULT

    @property
    def name(self) -> str:
        """Dataset and split."""
        return f"{self.dataset}/{self.split}"

    @property
    def factors(self) -> Mapping[str, np.ndarray]:
        """No further grouping of the classes is known."""
        return {}

    @property
    def missing(self) -> tuple[MissingVideo, ...]:
        """Nothing: there is no list."""
        return ()

    def __len__(self) -> int:
        return len(self._records())

    def info(self, index: int) -> VideoInfo:
        """Returns id and label of video `index`; the label is read from its record."""
        label = -1
        if self.classes:
            features = _example(self._records(raw=True)[index]).features.feature
            label = int(features[self.label_column].int64_list.value[0])
        return VideoInfo(id=f"{self.split}/{index:08d}", path="", label=label)

    def open(self, index: int) -> Video:
        """Opens video `index`.

        Raises:
          BadVideo: its record is no video.
        """
        where = f"{self.name}/{index:08d}"
        self._check_size(index, where)
        records = self._records()
        try:
            video = records[index][self.video_column]
        except Exception as error:  # whatever its content provokes in the libraries that decode it
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BadVideo(where, f"its record cannot be decoded: {reason}") from error
        if isinstance(video, bytes):
            return open_video(where, content=video, limits=self.limits)
        frames = list(video)
        if not frames:
            raise BadVideo(where, "it has no frames")
        first, kinds = frames[0], {(frame.shape, frame.dtype) for frame in frames}
        is_picture = first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] in (1, 3)
        if len(kinds) > 1 or not is_picture or not first.size:
            raise BadVideo(where, f"its frames are no pictures of one size: {first.shape} ...")
        return StoredFrames(frames, self.fps)

    def _check_size(self, index: int, where: str) -> None:
        """Refuses a record whose pictures would be too large, before they are decoded at once."""
        feature = _example(self._records(raw=True)[index]).features.feature[self.video_column]
        pictures = feature.bytes_list.value
        if len(pictures) > self.limits.frames:
            raise BadVideo(where, f"it has {len(pictures)} frames, more than {self.limits.frames}")
        total = 0
        for picture in pictures:
            with contextlib.suppress(OSError), Image.open(io.BytesIO(picture)) as header:
                pixels = header.width * header.height
                total += 3 * pixels
                if pixels > self.limits.pixels:
                    size = f"{header.width}x{header.height}"
                    raise BadVideo(where, f"a picture of {size} pixels is refused")
        if total > _MOST_BYTES:
            raise BadVideo(where, f"its frames would take {total / 2**30:.1f} GB of memory at once")

    def _records(self, raw: bool = False) -> Sequence[Any]:
        """Opens the records: dicts of features, or bytes, whose label is read without the video."""
        with _LOCK:
            return _open(self.dataset, self.data_dir, self.split, raw)


def read_tfds(
    dataset: str, data_dir: str, video_column: str, label_column: str, fps: float
) -> dict[str, TfdsSource]:
    """Opens every split of a prepared dataset.

    Args:
      dataset: its name, with config and version where needed.
      data_dir: the folder in which it was prepared, "" for `~/tensorflow_datasets`.
      video_column: the feature that holds the video, as frames or as an encoded file.
      label_column: the feature of class labels. If left at "label" it may be missing: unlabelled.
      fps: frames per second of videos stored as frames, which TFDS does not keep.

    Raises:
      UserError: tensorflow-datasets is not installed, or the dataset is not prepared as ArrayRecord
        or lacks a feature.
    """
    if not dataset:
        raise UserError("config.data.source=tfds needs --config.data.dataset=NAME")
    tfds = _library()
    prepare = (
        f"tfds build {dataset} --file_format=array_record"
        f"{f' --data_dir={data_dir}' if data_dir else ''}"
    )
    try:
        builder = _builder(dataset, data_dir)
        builder.as_data_source(None, file_format="array_record")
        if not builder.info.splits:
            raise ValueError("it has no split")
    except (tfds.core.DatasetNotFoundError, NotImplementedError, ValueError) as error:
        raise UserError(
            f"{dataset} is not prepared as ArrayRecord in {data_dir or '~/tensorflow_datasets'} "
            f"({first_line(error)}): run {prepare}"
        ) from error
    features = dict(builder.info.features)
    if video_column not in features:
        raise UserError(
            f"{dataset} has no feature {video_column!r}; {nearest(video_column, features)}; "
            "name it with --config.data.video_column"
        )
    classes: tuple[str, ...] = ()
    if isinstance(features.get(label_column), tfds.features.ClassLabel):
        classes = tuple(features[label_column].names)
    elif label_column != "label":
        raise UserError(
            f"{dataset} has no class labels {label_column!r}; {nearest(label_column, features)}"
        )
    elif label_column in features:
        logging.getLogger(__name__).warning(
            "%s: feature %r holds no class labels; its videos are unlabelled", dataset, label_column
        )
    return {
        split: TfdsSource(dataset, data_dir, split, classes, video_column, label_column, fps)
        for split in builder.info.splits
    }


@functools.cache
def _open(dataset: str, data_dir: str, split: str, raw: bool) -> Sequence[Any]:
    method = _library().core.decode.DeserializeMethod
    records = _builder(dataset, data_dir).as_data_source(
        split,
        deserialize_method=method.RAW_BYTES if raw else method.DESERIALIZE_AND_DECODE,
        file_format="array_record",
    )
    with contextlib.suppress(Exception):
        records[0]  # imports the rest, while no other thread does
    return records


def _example(record: bytes) -> Any:
    from tensorflow_datasets.proto import tf_example_pb2

    messages: Any = tf_example_pb2  # made at import: no type checker knows them
    return messages.Example.FromString(record)


def _builder(dataset: str, data_dir: str) -> Any:
    tfds = _library()
    from tensorflow_datasets.core.features import video_feature

    # Its Video feature asks TensorFlow for a dtype, and for nothing else that reading needs.
    stand_in = types.SimpleNamespace(dtypes=types.SimpleNamespace(as_dtype=np.dtype))
    with mock.patch.object(video_feature, "tf", stand_in):
        return tfds.builder(dataset, **({"data_dir": data_dir} if data_dir else {}))


def _library() -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            "config.data.source=tfds needs tensorflow-datasets: pip install 'cvrl_jax[tfds]'"
        ) from error
    return tfds
