"""Datasets built here, in ArrayRecord, without TensorFlow."""

import dataclasses
import io
import json
import pathlib
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipelines.decode import Limits
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.transcode import Transcoder
from data_pipelines.sources.tfds import TfdsSource, read_tfds

tfds = pytest.importorskip("tensorflow_datasets")
pytestmark = pytest.mark.filterwarnings("ignore:label.. is deprecated:DeprecationWarning")


def frames(index: int, channels: int = 3) -> np.ndarray:
    return np.full((3 + index, 8, 10, channels), 40 * index, np.uint8)


def pictures(index: int, channels: int = 3) -> list[io.BytesIO]:
    return [io.BytesIO(cv2.imencode(".png", f)[1].tobytes()) for f in frames(index, channels)]


def build(
    folder: pathlib.Path,
    feature: Callable[[], Any],
    video: Callable[[int], Any],
    label: Callable[[], Any] | None = lambda: tfds.features.ClassLabel(names=["sit", "run"]),
) -> str:
    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        __module__ = "tiny"  # TFDS looks for files beside a builder's module; this one has none
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"video": feature()} | ({"label": label()} if label else {})
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(4), "test": self._generate_examples(2)}

        def _generate_examples(self, videos):
            for index in range(videos):
                yield index, {"video": video(index)} | ({"label": index % 2} if label else {})

    Tiny(data_dir=str(folder), file_format="array_record").download_and_prepare()
    return str(folder)


def test_a_picture_bomb_is_refused_before_it_is_decoded(tmp_path: pathlib.Path) -> None:
    def feature() -> Any:
        return tfds.features.Sequence(tfds.features.Image())

    folder = build(tmp_path, feature, pictures)
    source = read_tfds("tiny", folder, "video", "label", 10.0)["train"]
    small = dataclasses.replace(source, limits=Limits(pixels=79))
    with pytest.raises(BadVideo, match="a picture of 10x8 pixels is refused"):
        small.open(0)
    with pytest.raises(BadVideo, match="frames, more than 2"):
        dataclasses.replace(source, limits=Limits(frames=2)).open(0)


def check(folder: str) -> None:
    splits = read_tfds("tiny", folder, "video", "label", 10.0)
    assert {split: len(source) for split, source in splits.items()} == {"train": 4, "test": 2}
    source = pickle.loads(pickle.dumps(splits["train"]))  # noqa: S301
    assert (source.classes, source.name) == (("sit", "run"), "tiny/train")
    found = set()
    for row in range(4):
        video = source.open(row)
        index = len(video.times) - 3  # records are stored in another order
        found.add(index)
        assert source.info(row).label == index % 2
        np.testing.assert_allclose(video.times, np.arange(3 + index) / 10)
        assert video.size == (8, 10)
        first, again = video.frames([2, 2])
        assert first.shape == again.shape == (8, 10, 3)
        assert (first == 40 * index).all()
        assert video.crops([(0, (1, 2, 4, 4))], 2).shape == (1, 2, 2, 3)
        video.close()
        video.close()
    assert found == {0, 1, 2, 3}
    assert len({source.info(row).id for row in range(4)}) == 4
    assert "tensorflow" not in sys.modules


def test_videos_as_pictures(tmp_path: pathlib.Path) -> None:
    images = lambda: tfds.features.Sequence(tfds.features.Image(shape=(8, 10, 3)))  # noqa: E731
    folder = build(tmp_path, images, pictures)
    check(folder)
    # The same records under the name by which TFDS's video datasets call them. Only TensorFlow can
    # write that name.
    (path,) = pathlib.Path(folder).rglob("features.json")
    features = json.loads(path.read_text())
    features["featuresDict"]["features"]["video"] = {
        "pythonClassName": "tensorflow_datasets.core.features.video_feature.Video",
        "video": {
            "shape": {"dimensions": ["-1", "8", "10", "3"]},
            "dtype": "uint8",
            "encodingFormat": "png",
        },
    }
    path.write_text(json.dumps(features))
    check(str(shutil.copytree(folder, tmp_path.with_name("again"))))


def test_videos_as_arrays_and_as_grey_pictures(tmp_path: pathlib.Path) -> None:
    array = lambda: tfds.features.Tensor(shape=(None, 8, 10, 3), dtype=np.uint8)  # noqa: E731
    check(build(tmp_path / "array", array, frames))
    grey = lambda: tfds.features.Sequence(tfds.features.Image(shape=(8, 10, 1)))  # noqa: E731
    check(build(tmp_path / "grey", grey, lambda index: pictures(index, 1)))


def test_videos_as_encoded_files(tmp_path: pathlib.Path, make_video) -> None:
    content = make_video(tmp_path / "a.mp4").read_bytes()
    folder = build(tmp_path, tfds.features.Text, lambda index: content if index else b"no video")
    source = read_tfds("tiny", folder, "video", "label", 10.0)["train"]
    opened, bad = [], []
    for row in range(4):
        try:
            video = source.open(row)
        except BadVideo as error:
            bad.append((row, error))
        else:
            with video:
                opened.append(len(video.times))
                assert abs(int(video.frames([19])[0].mean()) - 190) < 6
    assert opened == [20] * 3
    ((row, error),) = bad
    assert str(error) == f"tiny/train/{row:08d}: it is not a video in any known format"
    prepared = [Transcoder({"train": source}, Encoding())(("train", row)) for row in range(4)]
    assert [isinstance(result, BadVideo) for result in prepared] == [i == row for i in range(4)]


def test_records_that_are_no_pictures(tmp_path: pathlib.Path) -> None:
    shapes = [(0, 4, 4, 3), (2, 4, 4, 2), (2, 4, 4, 1), (3, 0, 4, 3)]
    feature = lambda: tfds.features.Tensor(shape=(None,) * 4, dtype=np.uint8, encoding="zlib")  # noqa: E731
    folder = build(tmp_path, feature, lambda index: np.zeros(shapes[index], np.uint8), None)
    source = read_tfds("tiny", folder, "video", "label", 10.0)["train"]
    assert source.classes == ()
    assert source.info(0).label == -1
    reasons = []
    for row in range(4):
        try:
            source.open(row).close()
        except BadVideo as error:
            reasons.append(error.reason)
    assert sorted(reasons) == [
        "it has no frames",
        "its frames are no pictures of one size: (0, 4, 3) ...",
        "its frames are no pictures of one size: (4, 4, 2) ...",
    ]


def test_what_is_missing_is_named(tmp_path: pathlib.Path, caplog) -> None:
    text = lambda: tfds.features.Text()  # noqa: E731
    folder = build(tmp_path / "a", text, lambda index: b"x", lambda: tfds.features.Scalar(np.int64))
    with pytest.raises(UserError, match=r"tiny has no feature 'vide'; did you mean 'video'"):
        read_tfds("tiny", folder, "vide", "label", 25.0)
    with pytest.raises(UserError, match=r"tiny has no class labels 'labl'; did you mean 'label'"):
        read_tfds("tiny", folder, "video", "labl", 25.0)
    assert read_tfds("tiny", folder, "video", "label", 25.0)["train"].classes == ()
    assert "feature 'label' holds no class labels" in caplog.text
    with pytest.raises(
        UserError, match=r"absent is not prepared as ArrayRecord in .*: run tfds build absent --fil"
    ) as error:
        read_tfds("absent", folder, "video", "label", 25.0)
    assert "\n" not in str(error.value)


def test_another_format_is_explained(tmp_path: pathlib.Path) -> None:
    folder = pathlib.Path(build(tmp_path, tfds.features.Text, lambda index: b"x"))
    (info,) = folder.rglob("dataset_info.json")
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(
        UserError, match=r"tiny is not prepared as .*file_format=array_record --dat"
    ):
        read_tfds("tiny", str(folder), "video", "label", 25.0)


def test_pictures_that_do_not_decode(tmp_path: pathlib.Path) -> None:
    images = lambda: tfds.features.Sequence(tfds.features.Image(shape=(8, 10, 3)))  # noqa: E731
    source = read_tfds(
        "tiny", build(tmp_path, images, lambda index: [io.BytesIO(b"no")]), "video", "label", 10.0
    )["test"]
    with pytest.raises(BadVideo, match=r"^tiny/test/00000001: its record cannot be decoded: "):
        source.open(1)


def test_one_thread_opens_it_while_others_wait(monkeypatch) -> None:
    inside, most = [], []

    def open_slowly(*_: object) -> list[dict[str, bytes]]:
        inside.append(0)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return [{"video": b"no video"}]

    monkeypatch.setattr("data_pipelines.sources.tfds._open", open_slowly)
    source = TfdsSource("tiny", "", "train", (), "video", "label", 10.0)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: len(source), range(4))) == [1] * 4
    assert most == [1] * 4


def test_without_the_library() -> None:
    program = """
import sys
sys.modules["tensorflow_datasets"] = None  # importing it raises ImportError
from data_pipelines.sources.tfds import TfdsSource, read_tfds
read_tfds("tiny", "", "video", "label", 25.0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "UserError: config.data.source=tfds needs tensorflow-datasets: pip" in done.stderr
