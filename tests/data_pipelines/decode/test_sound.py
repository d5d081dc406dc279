"""A stretch of sound is that of its time, to the sample, whatever the file."""

import contextlib
import csv
import pathlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from data_pipelines.decode import Limits, SoundReader, open_video
from data_pipelines.decode.limits import Unreadable
from data_pipelines.decode.runs import run_start
from data_pipelines.errors import BadVideo

FPS, SECONDS = 25, 4.0


def chirp(seconds: np.ndarray) -> np.ndarray:
    """A wave from 130 Hz to 1.2 kHz, whose shape tells the time; silent before and after."""
    wave = np.sin(2 * np.pi * 130 * seconds * (1 + seconds)) * (0.3 + 0.2 * np.sin(9 * seconds))
    return np.where((seconds >= 0) & (seconds < SECONDS), wave, 0.0)


def write(
    path: pathlib.Path,
    codec: str = "",
    *,
    rate: int = 48000,
    layout: str = "mono",
    volumes: Sequence[float] = (),
    frame: float = 0.0,
    video: str = "mpeg4",
    video_start: float = 0.0,
    sound_start: float = 0.0,
    gap: tuple[float, float] = (0.0, 0.0),
    wave: Callable[[np.ndarray], np.ndarray] = chirp,
    seconds: float = SECONDS,
) -> str:
    """Writes a video, with sound if there is a codec.

    `volumes` are of the channels, `frame` is seconds per packet where the codec lets one choose.
    Frames that begin within `gap` are left out.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(video, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        sound: Any = container.add_stream(codec, rate=rate, layout=layout) if codec else None
        for index in range(int(FPS * seconds)):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index % 256, np.uint8))
            picture.pts, picture.time_base = index + round(video_start * FPS), Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if codec:
            wave_N = wave(np.arange(int(seconds * rate)) / rate)
            channels = np.outer(volumes or [1.0] * sound.layout.nb_channels, wave_N)
            size = sound.codec_context.frame_size or round(frame * rate) or 1024
            for begin in range(0, channels.shape[1], size):
                if gap[0] <= begin / rate < gap[1]:
                    continue
                frame = sound_frame(channels[:, begin : begin + size], sound.format.name, layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = begin + round(sound_start * rate)
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return str(path)


def sound_frame(wave_CxN: np.ndarray, kind: str, layout: str) -> av.AudioFrame:
    dtype = {"flt": np.float32, "s16": np.int16, "s32": np.int32}[kind[:3]]
    full = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    data = (wave_CxN * full).astype(dtype)
    data = data if kind.endswith("p") else data.T.reshape(1, -1)
    return av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=kind, layout=layout)


def lag(wave_S: np.ndarray, expected: Callable[[np.ndarray], np.ndarray], rate: int) -> float:
    """By how many samples sound comes late, within 3; it must look as expected."""
    times_S = np.arange(len(wave_S)) / rate
    scores = {}
    for late in np.arange(-2.0, 2.01, 0.2):
        there = expected(times_S - late / rate)
        scores[late] = wave_S @ there / np.linalg.norm(wave_S) / np.linalg.norm(there)
    best = max(scores, key=scores.__getitem__)
    assert scores[best] > 0.97
    return best


FORMATS: dict[str, dict[str, Any]] = {
    "pcm.mov": {"codec": "pcm_s16le"},
    "pcm.avi": {"codec": "pcm_s16le"},
    "flac.mkv": {"codec": "flac", "rate": 44100},
    "aac.mp4": {"codec": "aac", "rate": 44100},  # with an edit list for the priming
    "aac.ts": {"codec": "aac"},
    "aac.flv": {"codec": "aac", "rate": 44100, "video": "flv1"},
    "aac.mkv": {"codec": "aac", "rate": 44100},
    "mp3.mp4": {"codec": "libmp3lame", "rate": 44100},
    "opus.mkv": {"codec": "libopus"},
    "ac3.ts": {"codec": "ac3"},
    "mp2.mpg": {"codec": "mp2"},
    "eight.mp4": {"codec": "aac", "rate": 8000},
    "eight.mkv": {"codec": "pcm_s16le", "rate": 8000},
    "stereo.mp4": {"codec": "aac", "layout": "stereo"},
    "five.mp4": {"codec": "aac", "layout": "5.1"},
    "late_video.mp4": {"codec": "aac", "video_start": 0.4},
    "late_sound.ts": {"codec": "aac", "sound_start": 0.5},
    "late_sound.mkv": {"codec": "flac", "sound_start": 0.5},
    "late_video.ts": {"codec": "aac", "video_start": 0.4},
    "both_late.mkv": {"codec": "flac", "video_start": 1.0, "sound_start": 1.3},
}
# Written by a program that rounds the start of a track to milliseconds, after taking the priming of
# the codec into account.
ROUNDED: dict[str, dict[str, Any]] = {
    "rounded.mp4": {"codec": "aac", "sound_start": 0.5},
    "rounded.mkv": {"codec": "libopus", "video_start": 1.0, "sound_start": 1.3},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("sound")

    def make(name: str) -> str:
        path = folder / name
        return str(path) if path.exists() else write(path, **(FORMATS | ROUNDED)[name])

    return make


@pytest.mark.parametrize("name", FORMATS)
def test_a_window_is_in_time_to_the_sample(name: str, made: Callable[[str], str]) -> None:
    late = FORMATS[name].get("sound_start", 0.0) - FORMATS[name].get("video_start", 0.0)
    with open_video(made(name)) as video:
        for rate in (48000, 11025):
            for start in (0.75, 1.7321, 3.0):

                def expected(seconds: np.ndarray, start: float = start) -> np.ndarray:
                    return chirp(start - late + seconds)

                wave_S = video.audio(start, rate // 5, rate)
                assert wave_S is not None
                assert wave_S.dtype == np.float32
                assert wave_S.shape == (rate // 5,)
                # Half a sample to the next one there is, and some for what codecs do.
                assert abs(lag(wave_S, expected, rate)) < 0.7, (rate, start)


@pytest.mark.parametrize("name", ROUNDED)
def test_a_late_start_may_be_rounded_to_a_millisecond(name, made) -> None:
    late = ROUNDED[name]["sound_start"] - ROUNDED[name].get("video_start", 0.0)
    with open_video(made(name)) as video:
        wave_S = video.audio(1.0, 8000, 16000)
    off = np.arange(-40, 41)  # samples: 2.5 ms
    scores = [wave_S @ chirp(1.0 - late + (np.arange(8000) - late_s) / 16000) for late_s in off]
    assert abs(off[int(np.argmax(scores))]) <= 16


@pytest.mark.parametrize("name", ["pcm.mov", "flac.mkv", "eight.mkv"])
def test_what_is_stored_without_loss_comes_without(name: str, made: Callable[[str], str]) -> None:
    rate = FORMATS[name].get("rate", 48000)
    with open_video(made(name)) as video:
        wave_S = video.audio(1.5, rate, rate)
    np.testing.assert_allclose(wave_S, chirp(1.5 + np.arange(rate) / rate), atol=2 / 32768)


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv", "c.mkv", "d.mkv", "e.ts"])
def test_far_from_the_beginning_too(name: str, tmp_path: pathlib.Path) -> None:
    codec = {"b": "libopus", "c": "flac"}.get(name[0], "aac")

    def repeated(seconds: np.ndarray) -> np.ndarray:
        return chirp(seconds % SECONDS)

    path = write(tmp_path / name, codec, wave=repeated, seconds=24.0)
    with open_video(path) as video:
        for start in (14.5, 21.125):
            wave_S = video.audio(start, 9600, 48000)
            assert wave_S is not None
            late = lag(wave_S, lambda s, start=start: repeated(start + s), 48000)
            assert abs(late) < 0.7, start


def test_windows_do_not_depend_on_each_other(made: Callable[[str], str]) -> None:
    for name in ("aac.mp4", "opus.mkv", "aac.ts"):
        with open_video(made(name)) as video:
            first = [video.audio(start, 4000, 8000) for start in (2.0, 0.0, 3.5, 2.0, 9.0)]
        np.testing.assert_array_equal(first[0], first[3])
        for start, wave_S in zip((2.0, 0.0, 3.5), first):
            with open_video(made(name)) as video:
                np.testing.assert_array_equal(wave_S, video.audio(start, 4000, 8000))


@pytest.mark.parametrize("name", ["pcm.mov", "aac.mp4"])
def test_beyond_the_ends_there_is_silence_and_wholly_outside_nothing(name, made) -> None:
    with open_video(made(name)) as video:
        across = video.audio(3.5, 8000, 8000)
        assert across is not None
        assert np.abs(across[:3900]).max() > 0.1
        assert not across[4300:].any()  # AAC ends with its last frame
        before = video.audio(-0.5, 8000, 8000)
        assert before is not None
        assert not before[:3900].any()
        assert np.abs(before[4000:]).max() > 0.1
        assert video.audio(4.5, 8000, 8000) is None
        assert video.audio(-2.0, 8000, 8000) is None


def test_a_segment_has_its_own_sound_and_no_other(made: Callable[[str], str]) -> None:
    with open_video(made("pcm.mov"), start=1.0, end=2.0) as video:
        wave_S = video.audio(0.5, 48000, 48000)
        assert video.audio(1.0, 100, 48000) is None
    assert wave_S is not None
    np.testing.assert_allclose(wave_S[:24000], chirp(1.5 + np.arange(24000) / 48000), atol=1e-4)
    assert not wave_S[24000:].any()


@pytest.mark.parametrize(
    ("codec", "ending"), [("pcm_s16le", "mkv"), ("aac", "mkv"), ("aac", "mp4")]
)
def test_a_gap_is_silent_and_what_follows_is_in_time(codec, ending, tmp_path) -> None:
    path = write(tmp_path / f"gap.{ending}", codec, gap=(1.0, 2.0))
    with open_video(path) as video:
        hole, after = video.audio(1.1, 4800, 48000), video.audio(1.5, 48000, 48000)
        middle = video.audio(1.3, 4800, 48000)
    assert hole is None or not hole[2400:].any()
    assert middle is None
    assert after is not None
    assert not after[:20000].any()
    assert abs(lag(after[30000:], lambda s: chirp(1.5 + 30000 / 48000 + s), 48000)) < 1


@pytest.mark.parametrize(
    ("layout", "volumes", "expected"),
    [
        ("stereo", (1.0, 0.0), 0.5),
        ("stereo", (1.0, -1.0), 0.0),
        ("5.1", (1.0,) * 6, 1.0),  # the low-frequency channel is left out
        ("5.1", (0, 0, 1.0, 0, 0, 0), 1 / (2 + 2**0.5)),  # centre 1, front √½, back ½, of their sum
        ("5.1", (1.0, 0, 0, 0, 0, 0), 2**-0.5 / (2 + 2**0.5)),
        ("7.1", (0.5,) * 8, 0.5),
    ],
)
def test_channels_are_mixed(layout, volumes, expected, tmp_path) -> None:
    path = write(tmp_path / "mixed.mov", "pcm_s16le", layout=layout, volumes=volumes)
    with open_video(path) as video:
        wave_S = video.audio(1.0, 8000, 48000)
    np.testing.assert_allclose(wave_S, expected * chirp(1.0 + np.arange(8000) / 48000), atol=2e-4)


def test_what_is_louder_than_full_is_cut_off(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "loud.mov", "pcm_f32le", volumes=(5.0,))
    with open_video(path) as video:
        wave_S = video.audio(1.0, 8000, 48000)
    expected = np.clip(5 * chirp(1.0 + np.arange(8000) / 48000), -1, 1)
    assert np.abs(expected).max() == 1.0
    np.testing.assert_allclose(wave_S, expected, atol=1e-6)


def test_silence_is_sound_and_no_track_is_none(tmp_path: pathlib.Path) -> None:
    with open_video(write(tmp_path / "silent.mp4", "aac", wave=np.zeros_like)) as video:
        wave_S = video.audio(1.0, 100, 8000)
    assert wave_S is not None
    assert not wave_S.any()
    with open_video(write(tmp_path / "pictures.mp4")) as video:
        assert video.audio(0.0, 100, 8000) is None


def test_a_damaged_packet_costs_what_it_holds(tmp_path: pathlib.Path) -> None:
    path = pathlib.Path(write(tmp_path / "damaged.mkv", "flac"))
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(audio=0) if p.size]
    content = path.read_bytes()
    broken = packets[20]
    assert content.count(broken) == 1
    path.write_bytes(content.replace(broken, broken[:4] + b"\xff" * (len(broken) - 4)))
    size = 4608  # samples of a packet
    with open_video(str(path)) as video:
        wave_S = video.audio(0.0, int(SECONDS * 48000), 48000)
    assert wave_S is not None
    expected = chirp(np.arange(len(wave_S)) / 48000)
    good = np.ones(len(wave_S), bool)
    good[20 * size - 100 : 21 * size + 100] = False
    np.testing.assert_allclose(wave_S[good], expected[good], atol=1e-4)
    assert np.abs(wave_S).max() <= 1.0


def test_more_sound_than_there_is_time_for_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "crowded.mkv"
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for _ in range(4000):
            frame = sound_frame(np.zeros((1, 8000)), "s16", "mono")
            frame.sample_rate, frame.pts = 8000, 0
            for packet in sound.encode(frame):
                packet.pts = packet.dts = 0
                container.mux(packet)
    reader = SoundReader(str(path))
    with contextlib.closing(reader), pytest.raises(Unreadable, match="far more samples"):
        reader.read(0.0, 8000, 8000)


@pytest.mark.parametrize("frame", [1.3, 4.0])
def test_packets_may_be_longer_than_the_window(frame: float, tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "a.mkv", "pcm_s16le", rate=8000, frame=frame)
    with contextlib.closing(SoundReader(path)) as reader:
        for start in (0.0, 1.29, 2.55, 3.9):
            wave_S = reader.read(start, 400, 8000)
            np.testing.assert_allclose(wave_S, chirp(start + np.arange(400) / 8000), atol=1e-3)


def test_reading_for_too_long_is_given_up(made: Callable[[str], str]) -> None:
    with (
        open_video(made("aac.mp4"), limits=Limits(seconds=5.0)) as video,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(
            "data_pipelines.decode.limits.time.monotonic", iter(range(0, 10**6, 3)).__next__
        )
        with pytest.raises(BadVideo, match="took more than 5 s"):
            video.audio(0.0, 32000, 8000)


def test_where_a_run_begins() -> None:
    unit, rounding = 1e-3, np.random.default_rng(0).uniform(-0.5e-3, 0.5e-3, 200)
    assert run_start(0.2 + rounding, unit, False) == pytest.approx(0.2, abs=1e-5)
    assert run_start(np.array([0.0, *rounding]), unit, True) == pytest.approx(0.0, abs=1e-5)
    assert run_start(np.array([0.0, *[5e-4] * 9]), unit, True) == 0.0  # as Opus in Matroska
    assert run_start(np.array([4e-4, *rounding]), unit, True) == pytest.approx(0.0, abs=2e-5)
    assert run_start(np.full(9, 0.25), unit, False) == 0.25
    late = 0.046 + np.repeat([0.02, 0.0, 0.01], 70)[:200] + rounding  # as Vorbis in Matroska
    assert run_start(late, unit, True) == pytest.approx(0.046, abs=2e-5)
    shifted = np.array([0.0, *[2e-3] * 50])  # as phones do to the first frame
    assert run_start(shifted, 1 / 48000, True) == 2e-3


REAL = (
    *("applausing.mp4", "bigbuckbunny.mp4", "echo-hereweare.webm"),
    *("flipping_a_pancake.mkv", "mdn_crystal.webm", "nasa_13013.mp4"),
)


@pytest.mark.parametrize("name", REAL)
def test_real_windows_agree_where_they_overlap(real_data: pathlib.Path, name: str) -> None:
    """Also those before and behind the point from which on the reader seeks."""
    with open_video(str(real_data / "audio_visual" / "varied" / name)) as video:
        whole = video.audio(0.0, 24 * 16000, 16000)
        assert whole is not None
        for start in (0.5, 2.25, 11.0, 19.5):
            part = video.audio(start, 16000, 16000)
            there = whole[int(start * 16000) :][:16000].astype(np.float64)
            if part is None or not there.any():
                assert not there.any()
                continue
            scores = np.correlate(there, part[100 : len(there) - 100], "valid")
            assert abs(int(np.argmax(scores)) - 100) <= 8, start  # half a millisecond
            if start < 10:
                np.testing.assert_allclose(part[200:-200], there[200:-200], atol=0.02)


def test_real_speech_is_where_its_words_are(real_data: pathlib.Path) -> None:
    folder = real_data / "audio_visual"
    with (folder / "meta.csv").open() as file:
        rows = list(csv.DictReader(file))[::40]
    for row in rows:
        with open_video(str(folder / row["path"])) as video:
            wave_S = video.audio(0.0, 3 * 16000, 16000)
        assert wave_S is not None
        first, last = float(row["speech_start_s"]), float(row["speech_end_s"])
        power = (wave_S.reshape(-1, 160) ** 2).mean(axis=1)  # of every 10 ms
        spoken = np.zeros(300, bool)
        spoken[int(first * 100) : int(last * 100)] = True
        assert power[spoken].mean() > 10 * power[: int(first * 100) - 10].mean()
