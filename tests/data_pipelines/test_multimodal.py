"""Batches with sound and sentences: what they hold, and that they are the same however made."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.examples import load_example
from data_pipelines.pipeline import Batch, TrainBatches, evaluation_batches
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.sources.manifest import read_manifest
from data_pipelines.sources.mixture import Mixture
from data_pipelines.sources.moving_shapes import VOCABULARY, MovingShapes
from data_pipelines.spec import AudioSpec, InputSpec, TextSpec
from data_pipelines.video import Caption, VideoInfo

AUDIO, TEXT = AudioSpec(4000, 320), TextSpec(3, 8)
SPEC = InputSpec(clips=2, frames=2, stride=1, size=8, audio=AUDIO, text=TEXT)
EVEN = dataclasses.replace(SPEC, sampling="even", crop="thirds", clips=3)
RNG = np.random.default_rng


def shapes(videos: int) -> MovingShapes:
    return MovingShapes(videos, seed=0, size=16, frames=40, constant_colour=True)


def take(steps: int, source: Any = None, state: dict | None = None, **options: Any) -> list[Batch]:
    batches = TrainBatches(source or shapes(10), SPEC, batch_size=4, **{"seed": 3} | options)
    if state is not None:
        batches.set_state(state)
    got = list(itertools.islice(batches, steps))
    batches.close()
    return got


def assert_same(got: Sequence[Batch], expected: Sequence[Batch]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            np.testing.assert_array_equal(a[key], b[key])


def words(text_L: np.ndarray) -> str:
    return " ".join(VOCABULARY[token] for token in text_L[text_L > 0])


def test_what_a_batch_holds() -> None:
    (batch,) = take(1)
    assert {key: (value.dtype.str[1:], value.shape) for key, value in batch.items()} == {
        "video": ("u1", (4, 2, 2, 8, 8, 3)),
        "audio": ("f4", (4, 2, 320)),
        "audio_valid": ("b1", (4, 2)),
        "text": ("i4", (4, 3, 8)),
        "index": ("i8", (4,)),
        "label": ("i4", (4,)),
        "start": ("f4", (4, 2)),
        "valid": ("b1", (4,)),
        "error": ("U1", (4,)),
    }
    for row, index in enumerate(batch["index"].tolist()):
        video, info = shapes(10).open(index), shapes(10).info(index)
        for view, start in enumerate(batch["start"][row]):
            expected = video.audio(float(start), 320, 4000)
            assert expected is not None
            np.testing.assert_allclose(batch["audio"][row, view], expected, atol=1e-4)
        said = {caption.text for caption in info.captions}
        for sentence in batch["text"][row]:
            if sentence.any():
                assert any(whole.startswith(words(sentence)) for whole in said)
    assert batch["audio_valid"].all()


@pytest.mark.parametrize(
    ("audio", "text", "missing"),
    [
        (None, TEXT, {"audio", "audio_valid"}),
        (AUDIO, None, {"text"}),
        (None, None, {"audio", "audio_valid", "text"}),
    ],
)
def test_only_what_is_asked_for_comes(audio, text, missing) -> None:
    (whole,) = take(1)
    batches = TrainBatches(
        shapes(10), dataclasses.replace(SPEC, audio=audio, text=text), batch_size=4, seed=3
    )
    batch = next(batches)
    batches.close()
    assert whole.keys() - batch.keys() == missing
    for key in batch:  # nor does it change the rest
        np.testing.assert_array_equal(batch[key], whole[key])


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_the_same_for_any_number_of_workers_and_after_a_stop(workers: int) -> None:
    expected = take(5)
    batches = TrainBatches(shapes(10), SPEC, batch_size=4, seed=3, workers=workers)
    got = [next(batches) for _ in range(2)]
    state = batches.get_state()
    batches.close()
    assert_same(got, expected[:2])
    assert_same(take(3, state=state, workers=workers), expected[2:])
    assert_same(take(3, state=state), expected[2:])
    parts = [take(5, host=(host, 2)) for host in range(2)]
    for batch, *of_hosts in zip(expected, *parts):
        for key, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([p[key] for p in of_hosts]), value)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluation_pads_and_repeats_sound_for_its_crops(workers: int) -> None:
    *_, last = evaluation_batches(shapes(5), EVEN, batch_size=3, workers=workers)
    assert last["audio"].shape == (3, 9, 320)
    assert last["audio_valid"].tolist() == [[True] * 9] * 2 + [[False] * 9]
    assert not last["audio"][2].any()
    assert not last["text"][2].any()
    assert last["text"][:2].any(axis=(1, 2)).all()
    for clip in range(3):
        np.testing.assert_array_equal(last["audio"][0, 3 * clip], last["audio"][0, 3 * clip + 2])
    assert (last["audio"][0, 0] != last["audio"][0, 3]).any()
    *_, again = evaluation_batches(shapes(5), EVEN, batch_size=3)
    assert_same([again], [last])


def test_padding_of_training_has_no_sound_no_text_and_no_label(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.mkv", "pcm_s16le")
    for labels in (None, (0,)):
        file = VideoFile("a.mkv", label=0, labels=labels)
        source = FileSource("one", (file,), ("a", "b"), str(tmp_path))
        (batch,) = take(1, source, last_batch="pad")
        assert batch["valid"].tolist() == [True, False, False, False], batch["error"][0]
        for key in ("video", "audio", "audio_valid", "text", "start"):
            assert not batch[key][1:].any()
        assert (batch["label"][1:] == -1).all()


@dataclasses.dataclass
class Spoken:
    """Clips of a FakeVideo whose sound tells the time, and sentences about it."""

    video: Any
    captions: Sequence[Caption] = ()
    labels: tuple[int, ...] | None = None
    name: str = "spoken"
    classes: tuple[str, ...] = ("a", "b", "c")
    factors: Any = dataclasses.field(default_factory=dict)
    missing: tuple = ()

    def __len__(self) -> int:
        return 1

    def info(self, index: int) -> VideoInfo:
        return VideoInfo("v", "v.mp4", -1, self.captions, self.labels)

    def open(self, index: int) -> Any:
        return self.video


@pytest.fixture
def ramp(fake_video) -> Any:
    """10 s at 10 fps; its sound is its own time, from second 1 to 8."""

    class Ramp(fake_video):
        def audio(self, start: float, samples: int, rate: int) -> np.ndarray | None:
            seconds = start + np.arange(samples) / rate
            inside = (seconds >= 1) & (seconds < 8)
            return np.where(inside, seconds / 10, 0).astype(np.float32) if inside.any() else None

    return Ramp(np.arange(100) / 10)


def test_sound_begins_with_its_clip(ramp: Any) -> None:
    spec = InputSpec(
        clips=5, frames=10, stride=2, size=4, sampling="even", crop="center",
        audio=AudioSpec(10, 20),
    )  # fmt: skip
    example = load_example(Spoken(ramp), spec, 0, RNG(0))
    np.testing.assert_allclose(example["start"], [0, 2, 4, 6, 8], atol=1e-6)
    assert example["audio_valid"].tolist() == [True, True, True, True, False]
    expected = np.array([[t / 10 for t in range(s, s + 20)] for s in (0, 20, 40, 60)]) / 10
    expected[(expected < 0.1 - 1e-6) | (expected > 0.8 - 1e-6)] = 0
    np.testing.assert_allclose(example["audio"][:4], expected, atol=1e-6)
    assert not example["audio"][4].any()


@pytest.mark.parametrize("unit", ["frames", "seconds"])
def test_sentences_are_those_near_the_first_clip(unit: Any, ramp: Any) -> None:
    said = [Caption(f"red {name}", t, t + 1) for t, name in enumerate(("box", "bar", "arc"))]
    said += [Caption("blue box", 20, 21), Caption("blue bar", 5, 6)]
    stride = 2 if unit == "frames" else 0.2
    spec = InputSpec(
        clips=2, frames=5, stride=stride, stride_unit=unit, size=4, sampling="even", crop="center",
        text=TextSpec(4, 3),
    )  # fmt: skip
    example = load_example(Spoken(ramp, said), spec, 0, RNG(0))
    # The first clip is from 0 to 0.8 s; what lies beyond the end is of another video.
    assert [words(row) for row in example["text"]] == ["red box", "red bar", "red arc", "blue bar"]
    text = TextSpec(1, 3)
    last = dataclasses.replace(spec, clips=1, frames=1, text=text)
    middle = load_example(Spoken(ramp, said), last, 0, RNG(0))
    assert words(middle["text"][0]) == "blue bar"  # the one clip is the central one


def test_of_equal_sentences_training_draws_and_evaluation_takes_the_first(ramp: Any) -> None:
    said = [Caption(word) for word in ("red", "blue", "green", "white", "yellow")]
    source = Spoken(ramp, said)
    text = TextSpec(2, 2)
    even = dataclasses.replace(EVEN, text=text, audio=None)
    train = dataclasses.replace(SPEC, text=text, audio=None)
    firsts = {words(load_example(source, even, 0, RNG(s))["text"][0]) for s in range(20)}
    drawn = {words(load_example(source, train, 0, RNG(s))["text"][0]) for s in range(40)}
    assert firsts == {"red"}
    assert drawn == {"red", "blue", "green", "white", "yellow"}


def test_several_labels_come_as_one_row(ramp: Any) -> None:
    example = load_example(Spoken(ramp, labels=(0, 2)), SPEC, 0, RNG(0))
    assert example["label"].dtype == np.float32
    assert example["label"].tolist() == [1, 0, 1]
    ramp.bad = True
    bad = load_example(Spoken(ramp, labels=()), SPEC, 0, RNG(0))
    assert not bad["valid"]
    assert bad["label"].tolist() == [0, 0, 0]
    (batch,) = evaluation_batches(Spoken(ramp, labels=(1,)), SPEC, batch_size=2)
    assert batch["label"].shape == (2, 3)


def write(path: pathlib.Path, codec: str = "", seconds: float = 2.0) -> None:
    """A video of two seconds, with a tone of `seconds` if there is a codec."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound: Any = container.add_stream(codec, rate=8000, layout="mono") if codec else None
        for index in range(20):
            picture = np.full((32, 32, 3), 10 * index, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(video.encode())
        if codec:
            wave = np.full((1, round(8000 * seconds)), 8000, np.int16)
            frame = av.AudioFrame.from_ndarray(wave, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode())


@pytest.fixture
def collection(tmp_path: pathlib.Path) -> FileSource:
    """With sound; without; with sound shorter than a window; unreadable; bad sentences."""
    for name, codec, seconds in (("a", "pcm_s16le", 2.0), ("b", "", 0), ("c", "pcm_s16le", 0.5)):
        write(tmp_path / f"{name}.mkv", codec, seconds)
    (tmp_path / "d.mkv").write_bytes(b"no video" * 99)
    write(tmp_path / "e.mkv")
    (tmp_path / "e.json").write_text('{"text": ["a"], "start": [1, 2]}')
    rows = ["path,caption,captions_file", "a.mkv,a red box,", "b.mkv,...,", "c.mkv,,"]
    rows += ["d.mkv,gone,", "e.mkv,,e.json"]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    return read_manifest(tmp_path / "list.csv")["all"]


@pytest.mark.parametrize("workers", [0, 2])
def test_files_with_and_without(workers: int, collection: FileSource) -> None:
    spec = dataclasses.replace(EVEN, clips=1, crop="center", frames=10, audio=AudioSpec(8000, 8000))
    (batch,) = evaluation_batches(collection, spec, batch_size=5, workers=workers)
    assert batch["valid"].tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(batch["start"], [[0.5], [0.5], [0.5], [0], [0]])
    assert batch["audio_valid"].ravel().tolist() == [True, False, False, False, False]
    np.testing.assert_allclose(batch["audio"][0], 8000 / 32768, atol=1e-4)
    assert not batch["audio"][1:].any()
    assert words(batch["text"][0][0]) == "a red box"
    assert not batch["text"][1:].any()
    assert "differ in length: 1 of text, 2 of start" in batch["error"][4]
    shorter = dataclasses.replace(spec, frames=20)  # the one clip now begins at 0
    (batch,) = evaluation_batches(collection, shorter, batch_size=5, workers=workers)
    assert batch["audio_valid"].ravel().tolist() == [True, False, True, False, False]
    assert batch["audio"][2, 0, :3900].all()
    assert not batch["audio"][2, 0, 4100:].any()


def test_every_batch_of_a_mixture_has_both_with_text_and_without(collection: FileSource) -> None:
    silent = FileSource("silent", (VideoFile("b.mkv"), VideoFile("e.mkv")), (), collection.root)
    mixture = Mixture.of({"shapes": shapes(6), "silent": silent}, {"shapes": 3.0, "silent": 1.0})
    for batch in take(6, mixture):
        spoken = batch["text"].any(axis=(1, 2))
        assert spoken.sum() == 3
        np.testing.assert_array_equal(spoken, batch["index"] < 6)
        np.testing.assert_array_equal(batch["audio_valid"].all(axis=1), spoken)
        assert not batch["audio"][~spoken].any()


def test_a_collection_without_any_is_warned_of(collection: FileSource, caplog) -> None:
    silent = FileSource("silent", (VideoFile("b.mkv"),), (), collection.root)
    batches = TrainBatches(silent, SPEC, batch_size=1, seed=0)
    next(batches)
    batches.close()
    assert "none of the 1 first videos has sound" in caplog.text
    assert "none of the 1 first videos has a sentence" in caplog.text
    caplog.clear()
    take(1)
    assert not caplog.records


def test_a_tokenizer_that_will_not_do_stops_before_anything_is_read(tmp_path) -> None:
    (tmp_path / "v.txt").write_text("<unk>\na\n")
    spec = dataclasses.replace(SPEC, text=TextSpec(tokenizer=str(tmp_path / "v.txt")))
    for workers in (0, 1):
        with pytest.raises(UserError, match="has no <pad>"):
            TrainBatches(shapes(4), spec, batch_size=4, seed=0, workers=workers)
        with pytest.raises(UserError, match="has no <pad>"):
            next(evaluation_batches(shapes(4), spec, batch_size=4, workers=workers))


def test_real_speech(real_data: pathlib.Path) -> None:
    source = read_manifest(
        real_data / "audio_visual" / "meta.csv", split_column="split", caption_column="text"
    )["test"]
    clips = dataclasses.replace(EVEN, clips=2, crop="center", frames=4, stride=5, size=16)
    spec = dataclasses.replace(clips, audio=AudioSpec(16000, 9600), text=TextSpec(1, 8))
    batch = next(evaluation_batches(source, spec, batch_size=4))
    assert batch["valid"].all()
    assert batch["audio_valid"].all()
    assert (np.abs(batch["audio"]).max(axis=2) > 0.02).any(axis=1).all()
    assert (batch["text"][:, 0, :6] > 0).all()  # six words each
