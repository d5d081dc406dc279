import io
import pathlib

import av
import numpy as np
import pytest

from data_pipelines.decode import SoundReader, open_video
from data_pipelines.prepare.sound import NO_SOUND, Sound, sound_of
from data_pipelines.sources.moving_shapes import MovingShapes


def samples(file: str | io.BytesIO) -> tuple[np.ndarray, np.ndarray]:
    """(seconds [S] on the file's clock, samples [S] of the first channel); there are no gaps."""
    values = []
    with av.open(file) as container:
        frames = list(container.decode(audio=0))
    for frame in frames:
        wave = frame.to_ndarray()
        wave = wave[0] if frame.format.is_planar else wave[0, :: len(frame.layout.channels)]
        values.append(wave.astype(np.float64))
    wave = np.concatenate(values)
    return float(frames[0].pts * frames[0].time_base) + np.arange(len(wave)) / frames[0].rate, wave


def check(path: str, start: float | None = None, end: float | None = None) -> Sound:
    """What the record says at any time is what the file says there."""
    with open_video(path, start=start, end=end) as video:
        clock, seconds = video.clock, float(video.times[-1])
        sound = sound_of(video)
    kept_s, kept = samples(io.BytesIO(sound.file))
    kept_s += sound.start
    file_s, file = samples(path)
    file_s -= clock
    inside = (kept_s > 0.0) & (kept_s < min(seconds, file_s[-1] - 0.05))
    assert inside.sum() > 100
    scale = np.abs(file).max() + 1e-9
    step = file_s[1] - file_s[0]
    lags = np.arange(-round(1e-3 / step), round(1e-3 / step) + 1) * step  # up to a millisecond
    errors = [
        np.abs(kept[inside] - np.interp(kept_s[inside] + lag, file_s, file)).mean() for lag in lags
    ]
    assert min(errors) < 0.01 * scale
    assert kept_s[0] <= max(0.0, file_s[0]) + 0.002
    assert kept_s[-1] < seconds + 1.0
    return sound


def test_sound_stays_in_time(videos: pathlib.Path) -> None:
    path = str(videos / "train" / "a" / "vary.mkv")
    whole = check(path)
    assert whole.codec == "flac"
    part = check(path, 0.5, 1.2)
    assert len(part.file) < len(whole.file)


def test_silence(videos: pathlib.Path) -> None:
    with open_video(str(videos / "train" / "b" / "one.mkv")) as video:
        assert sound_of(video) == NO_SOUND


def test_sound_of_a_file_in_memory(videos: pathlib.Path) -> None:
    path = videos / "train" / "a" / "vary.mkv"
    with open_video(str(path)) as video, open_video("", content=path.read_bytes()) as in_memory:
        assert sound_of(in_memory) == sound_of(video)


def test_rendered_sound_is_written() -> None:
    video = MovingShapes(videos=1, seed=0, frames=50).open(0)
    sound = sound_of(video)
    assert (sound.codec, sound.start) == ("flac", 0.0)
    reader = SoundReader("", sound.file)
    expected, read = video.audio(0.5, 4_800, 48_000), reader.read(0.5, 4_800, 48_000)
    reader.close()
    assert expected is not None
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(read, expected, atol=1e-4)


@pytest.mark.parametrize("segment", [(None, None), (1.0, 2.0)])
def test_real_sound_stays_in_time(real_data: pathlib.Path, segment: tuple) -> None:
    path = sorted((real_data / "audio_visual" / "video").glob("*.mp4"))[0]
    assert check(str(path), *segment).codec == "aac"
