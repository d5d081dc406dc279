from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import pickle
import wave

import numpy as np
import pytest
from ml_collections import ConfigDict

from data_pipelines.errors import BadVideo, UserError
from data_pipelines.examples import load_example
from data_pipelines.sources import DataSection, create_sources
from data_pipelines.sources.esc50 import read_esc50
from data_pipelines.spec import AudioSpec, InputSpec
from data_pipelines.video import Video

RATE = 8000
HEADER = "filename,fold,target,category,esc10,src_file,take"


def write(root: pathlib.Path, *rows: str, header: str = HEADER) -> pathlib.Path:
    """The layout of ESC-50; the pitch of a sound is 200 Hz times 1 + its class."""
    (root / "meta").mkdir(parents=True)
    (root / "audio").mkdir()
    (root / "meta" / "esc50.csv").write_text("\n".join((header, *rows)) + "\n")
    for row in rows:
        file, _, target, *_ = row.split(",")
        hertz = 200 * (1 + int(target)) if target.isdecimal() else 1
        tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(5 * RATE) / RATE)
        with wave.open(str(root / "audio" / pathlib.PurePath(file).name), "wb") as out:
            out.setparams((1, 2, RATE, 0, "NONE", ""))
            out.writeframes((tone * 32767).astype("<i2").tobytes())
    return root


ROWS = (
    "1-100032-A-0.wav,1,0,dog,True,100032,A",
    "2-100038-A-2.wav,2,2,chirping_birds,False,100038,A",
    "1-1-A-1.wav,1,1,rooster,True,1,A",
)


def test_the_list_gives_classes_and_folds(tmp_path: pathlib.Path) -> None:
    source = read_esc50(write(tmp_path / "e", *ROWS))
    assert source.classes == ("dog", "rooster", "chirping_birds")
    assert source.folds == (1, 2, 1)
    assert [source.info(i).label for i in range(3)] == [0, 2, 1]
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 (for worker processes)


def test_a_sound_is_heard_at_its_pitch_and_nothing_is_seen(tmp_path: pathlib.Path) -> None:
    source = read_esc50(write(tmp_path / "e", *ROWS))
    audio = AudioSpec(rate=4000, samples=4000)
    spec = InputSpec(3, 8, 0.1, 32, "seconds", sampling="even", crop="thirds", audio=audio)
    with contextlib.closing(source.open(1)) as video:
        assert isinstance(video, Video)
    example = load_example(source, spec, 1, np.random.default_rng(0))
    assert example["valid"]
    assert example["audio_valid"].all()
    assert not example["video"].any()
    spectrum = np.abs(np.fft.rfft(example["audio"], axis=-1))
    assert (spectrum.argmax(axis=-1) == 600).all()


def test_a_sound_that_cannot_be_read_is_a_bad_video(tmp_path: pathlib.Path) -> None:
    source = read_esc50(write(tmp_path / "e", *ROWS))
    (tmp_path / "e" / "audio" / "1-1-A-1.wav").write_bytes(b"no sound")
    with pytest.raises(BadVideo):
        source.open(2)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (("../a.wav,1,0,dog",), "filename,fold,target,category", "line 2: give a file name"),
        (("a.wav,one,0,dog",), "filename,fold,target,category", "line 2: .* whole numbers"),
        (("a.wav,1,0,dog", "b.wav,1,0,cat"), "filename,fold,target,category", "is also 'dog'"),
        (("a.wav,1,0",), "filename,fold,target", "no column 'category'"),
    ],
)
def test_a_malformed_list_is_explained(
    tmp_path: pathlib.Path, rows: tuple[str, ...], header: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_esc50(write(tmp_path / "e", *rows, header=header))


def test_sources_have_folds_and_missing_sounds_are_counted(tmp_path: pathlib.Path) -> None:
    root = write(tmp_path / "e", *ROWS)
    section = DataSection(source="esc50", root=str(root), max_missing_fraction=0.5)
    fields = dataclasses.asdict(section) | {
        "test_split": "",
        "eval_fraction": 0.2,
        "train_share": 1.0,
    }
    fields |= {"train_videos": 0, "test_videos": 0}
    sources = create_sources(ConfigDict(fields), 0)
    assert sources.folds is not None
    assert sources.folds.tolist() == [1, 2, 1]
    assert sources.test is not None
    assert len(sources.test) == 3
    (root / "audio" / "1-1-A-1.wav").unlink()
    sources = create_sources(ConfigDict(fields), 0)
    assert [entry.path.endswith("1-1-A-1.wav") for entry in sources.train.missing] == [True]
    with pytest.raises(UserError, match="1 of 3 listed videos do not exist"):
        create_sources(ConfigDict(fields | {"max_missing_fraction": 0.1}), 0)
