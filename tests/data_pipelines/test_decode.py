import contextlib
import csv
import functools
import gc
import os
import pathlib
import time
from collections.abc import Callable

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from data_pipelines.crops import crops_of_frames
from data_pipelines.decode import Limits, VideoFileReader, open_video
from data_pipelines.decode.cursor import FrameCursor
from data_pipelines.decode.picture import turn_upright
from data_pipelines.errors import BadVideo
from data_pipelines.video import Video

HEIGHT, WIDTH, FRAMES = 48, 64, 40


def draw(index: int) -> np.ndarray:
    """A picture that tells its index, and that differs from all others in every part."""
    rng = np.random.default_rng(index)
    coarse = rng.integers(30, 226, (6, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def write(
    path: pathlib.Path,
    codec: str,
    pts: list[int] | None = None,
    prepare: Callable[[av.VideoStream], None] = lambda stream: None,
    pix_fmt: str = "yuv420p",
    **options: str,
) -> pathlib.Path:
    pts = pts or list(range(FRAMES))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        prepare(stream)
        for index, when in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(draw(index))
            frame.pts = when
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


H264 = {"preset": "veryfast", "sc_threshold": "0"}
MADE = {
    "h264.mp4": ("libx264", {"bf": "3", "g": "12", **H264}),
    "long_gop.mp4": ("libx264", {"bf": "3", "g": "1000", **H264}),
    "open_gop.mkv": ("libx264", {"x264-params": "keyint=8:open-gop=1:bframes=3", **H264}),
    "open_gop.ts": ("libx264", {"x264-params": "keyint=8:open-gop=1:bframes=3", **H264}),
    "refresh.mp4": ("libx264", {"x264-params": "keyint=12:intra-refresh=1:scenecut=0", **H264}),
    "h264.avi": ("libx264", {"bf": "2", "g": "8", **H264}),
    "hevc.mp4": ("libx265", {"x265-params": "keyint=8:open-gop=1:bframes=3:log-level=-1:pools=1"}),
    "mpeg4.avi": ("mpeg4", {"bf": "2", "g": "6"}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2", "g": "6"}),
    "vp8.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "10"}),
    "vp9.webm": ("libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "10"}),
    "flv1.flv": ("flv1", {"g": "6"}),
    "raw.h264": ("libx264", {"bf": "2", "g": "8", **H264}),
    "paint.gif": ("gif", {}),
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pathlib.Path]:
    folder = tmp_path_factory.mktemp("made")

    @functools.cache
    def make(name: str) -> pathlib.Path:
        codec, options = MADE[name]
        return write(
            folder / name, codec, pix_fmt="rgb8" if codec == "gif" else "yuv420p", **options
        )

    return make


@functools.cache
def plain(path: pathlib.Path) -> list[np.ndarray]:
    """Every frame of a plain decode from the start: what the reader must agree with."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def check(reader: VideoFileReader, plan: list[int], expected: list[np.ndarray]) -> None:
    got = reader.frames(plan)
    assert len(got) == len(plan)
    for index, picture in zip(plan, got):
        assert picture.dtype == np.uint8
        assert np.array_equal(picture, expected[index]), index


plans = st.lists(st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=6), max_size=4)


@pytest.mark.parametrize("name", MADE)
def test_any_plan_equals_a_plain_decode(name: str, made: Callable[[str], pathlib.Path]) -> None:
    path = made(name)
    expected = plain(path)
    assert len(expected) == FRAMES

    @given(plans)
    def follow(rounds: list[list[int]]) -> None:
        with open_video(str(path)) as reader:
            assert isinstance(reader, Video)
            assert len(reader.times) == FRAMES
            for plan in rounds:
                check(reader, plan, expected)

    follow()
    with open_video(str(path)) as reader:
        check(reader, list(range(FRAMES)), expected)
        np.testing.assert_allclose(reader.times, np.arange(FRAMES) / 25, atol=1.1e-3)


def test_real_clips_equal_a_plain_decode(real_data: pathlib.Path) -> None:
    paths = sorted((real_data / "jhmdb").glob("*/*.avi"))

    @given(st.sampled_from(paths), plans)
    def follow(path: pathlib.Path, rounds: list[list[int]]) -> None:
        expected = plain(path)
        with open_video(str(path)) as reader:
            assert len(reader.times) == len(expected)
            for plan in rounds:
                check(reader, [index % len(expected) for index in plan], expected)

    follow()


def test_stops_at_the_last_wanted_frame_and_jumps_ahead(
    made: Callable[[str], pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = FrameCursor._step
    monkeypatch.setattr(FrameCursor, "_step", lambda self: (steps.append(1), step(self))[1])

    def decoded(*plans: list[int]) -> list[int]:
        """Frames that came out of the decoder for each of `plans`."""
        counts = []
        with open_video(str(made("h264.mp4"))) as reader:  # keyframes at 0, 12, 24 and 36
            before = 0
            for plan in plans:
                reader.frames(plan)
                counts.append(len(steps) - before)
                before = len(steps)
        steps.clear()
        return counts

    assert decoded([2, 0, 2, 1]) == [3]
    assert decoded([2, 1, 0], [26, 25, 24])[1] == 3
    assert decoded([24, 25, 26], [1])[1] <= 2
    every, sparse = decoded(list(range(12))), decoded([0, 11])
    assert every == [12]
    assert sparse[0] < 10  # frames that no other needs are passed over


def test_irregular_times_are_exact(tmp_path: pathlib.Path) -> None:
    pts = [7, 8, 11, 12, 20, 21, 22, 40, 41, 90]
    path = write(tmp_path / "vfr.mkv", "libx264", pts, bf="2", **H264)
    with open_video(str(path)) as reader:
        np.testing.assert_allclose(reader.times, (np.array(pts) - 7) / 25, atol=1e-9)
        check(reader, [9, 3, 0], plain(path))


def test_segment(made: Callable[[str], pathlib.Path]) -> None:
    path = made("h264.mp4")
    with open_video(str(path), start=0.4, end=1.0) as reader:
        np.testing.assert_allclose(reader.times, np.arange(15) / 25, atol=1e-9)
        check(reader, [14, 0], plain(path)[10:25])
        with pytest.raises(IndexError):
            reader.frames([15])
        with pytest.raises(IndexError):
            reader.frames([-1])
    with pytest.raises(BadVideo, match=r"no frame between 1\.6 s"):
        open_video(str(path), start=1.6)


def test_pixels_are_made_square(tmp_path: pathlib.Path) -> None:
    def wide(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = 2

    path = write(tmp_path / "wide.mp4", "libx264", prepare=wide, **H264)
    with open_video(str(path)) as reader:
        picture = reader.frames([3])[0]
    assert picture.shape == (HEIGHT, 2 * WIDTH, 3)
    narrow = picture.reshape(HEIGHT, WIDTH, 2, 3).mean(2)
    assert np.abs(narrow - plain(path)[3]).mean() < 4
    with pytest.raises(BadVideo, match="too large"):
        open_video(str(path), limits=Limits(pixels=HEIGHT * WIDTH + 1)).frames([0])


@pytest.mark.parametrize("angle", [-90, 90, 180])
def test_rotation_is_applied(tmp_path: pathlib.Path, angle: int) -> None:
    def turn(stream: av.VideoStream) -> None:
        stream.set_display_rotation(angle)

    path = write(tmp_path / "turned.mp4", "libx264", list(range(3)), turn, **H264)
    with av.open(str(path)) as container:
        turned = next(container.decode(video=0)).rotation  # counterclockwise, as rot90 turns
    assert abs(turned) == abs(angle)
    with open_video(str(path)) as reader:
        check(reader, [1], [np.rot90(picture, turned // 90) for picture in plain(path)])


def test_crops_of_what_is_not_shown_as_it_is_stored_are_cut_from_whole_frames(
    tmp_path: pathlib.Path,
) -> None:
    def turn(stream: av.VideoStream) -> None:
        stream.set_display_rotation(90)

    def wide(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = 2

    pts, places = list(range(3)), [(1, (3, 5, 20, 31)), (0, (0, 0, 40, 40)), (1, (7, 8, 9, 10))]
    for name, prepare in (("turned.mp4", turn), ("wide.mp4", wide)):
        path = write(tmp_path / name, "libx264", pts, prepare, **H264)
        with open_video(str(path)) as reader:
            expected = crops_of_frames(reader, places, 16)
            np.testing.assert_array_equal(reader.crops(places, 16), expected)


def test_colours_that_have_no_way_to_rgb_are_bad(tmp_path: pathlib.Path) -> None:
    def coded(matrix: str) -> bytes:
        x264 = {**H264, "x264-params": f"colormatrix={matrix}:annexb=1"}
        return write(tmp_path / f"{matrix}.h264", "libx264", list(range(4)), **x264).read_bytes()

    path = tmp_path / "changes.h264"
    path.write_bytes(coded("bt709") + coded("YCgCo") + coded("bt709"))
    places = [(index, (0, 0, 20, 20)) for index in (1, 5)]
    with open_video(str(path)) as reader:
        assert len(reader.times) == 12
        reader.crops(places[:1], 16)
        for read in (lambda: reader.crops(places, 16), lambda: reader.frames([5])):
            with pytest.raises(BadVideo, match=r"colours \(yuv420p, matrix 8\) cannot be turned"):
                read()
    path.write_bytes(coded("YCgCo"))
    with pytest.raises(BadVideo, match="matrix 8"):
        open_video(str(path))


def test_a_stream_that_appears_later_is_bad_at_most(real_data: pathlib.Path) -> None:
    content = bytearray((real_data / "nasty/bad_container/skip_1.ts").read_bytes())
    content[7521] ^= 6
    # PyAV raised an IndexError until version 19, which reads it.
    with contextlib.suppress(BadVideo), open_video("skip_1.ts", content=bytes(content)) as video:
        assert len(video.frames([len(video.times) - 1])) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tiff"])
def test_pictures_with_exif_are_shown_upright(tmp_path, orientation, ending):
    """PyAV reads no side data of a frame that has EXIF among them."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Orientation] = "camera", orientation
    path = tmp_path / f"picture.{ending}"
    options = {"subsampling": 0} if ending == "jpg" else {}
    Image.fromarray(draw(0)).save(path, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    with open_video(str(path)) as reader:
        (picture,) = reader.frames([0])
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 3  # JPEG: two decoders


def test_display_matrices_turn_and_mirror() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for (a, b, c, d), expected in {
        (1, 0, 0, 1): picture,
        (-1, 0, 0, 1): picture[:, ::-1],
        (1, 0, 0, -1): picture[::-1],
        (-1, 0, 0, -1): np.rot90(picture, 2),
        (0, 1, -1, 0): np.rot90(picture, -1),  # (x, y) -> (-y, x): the top goes to the right
        (0, -1, 1, 0): np.rot90(picture, 1),
        (0, 1, 1, 0): picture.transpose(1, 0, 2),
        (0, 0, 0, 0): picture,
        (1, 1, -1, 1): picture,
    }.items():
        matrix = np.array([[a, b, 0], [c, d, 0], [0, 0, 1]], np.int32) * 65536
        assert np.array_equal(turn_upright(picture, matrix), expected)
    assert turn_upright(picture, None) is picture


def refused(path: pathlib.Path, **options: float) -> str:
    with pytest.raises(BadVideo) as error, open_video(str(path), **options) as reader:
        reader.frames([len(reader.times) - 1])
    assert error.value.path == str(path)
    assert error.value.reason
    assert "\n" not in error.value.reason
    return error.value.reason


def test_what_is_no_video_is_refused_with_a_reason(
    tmp_path: pathlib.Path,
    made: Callable[[str], pathlib.Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert "No such file" in refused(tmp_path / "absent.mp4")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "empty" in refused(empty)
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    assert "not a video" in refused(text)
    assert refused(tmp_path)
    whole = made("h264.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    assert refused(cut)
    assert "larger than the limit" in refused(
        made("h264.mp4"), limits=Limits(pixels=HEIGHT * WIDTH - 1)
    )
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        for start in range(4):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.rate, frame.pts = 8000, start * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "no video" in refused(sound)
    assert capfd.readouterr() == ("", "")


def test_truncated_with_index_in_front_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "front.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options=H264)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(index))))
        container.mux(stream.encode())
    whole = path.read_bytes()
    assert len(plain(path)) == FRAMES
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(path).startswith("truncated: ")


@given(
    st.sampled_from(["h264.mp4", "open_gop.ts", "mpeg4.avi", "vp8.webm", "paint.gif"]), st.data()
)
def test_damage_gives_frames_or_bad_video_and_nothing_else(
    made: Callable[[str], pathlib.Path],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    data: st.DataObject,
) -> None:
    content = bytearray(made(name).read_bytes())
    for _ in range(data.draw(st.integers(1, 30))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    with contextlib.suppress(BadVideo), open_video(str(path)) as reader:
        assert reader.times[0] == 0
        assert (np.diff(reader.times) > 0).all()
        length = len(reader.times)
        assert len(reader.frames([0, length - 1, length // 2])) == 3


@pytest.mark.parametrize("name", ["a b's \"?&=[x]%d#.mp4", "-dash.mp4", "http:x.mp4", "é:漢.mp4"])
def test_odd_names(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "plain.mp4", "libx264", list(range(3)), **H264)
    os.rename(tmp_path / "plain.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_video(name) as reader:
        assert len(reader.frames([0, 2])) == 2


def test_files_are_closed_after_success_and_failure(made: Callable[[str], pathlib.Path]) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    path = made("h264.mp4")
    before = opened()
    reader = open_video(str(path))
    assert opened() > before
    reader.close()
    reader.close()
    for options in ({"start": 99.0}, {"limits": Limits(pixels=1)}):
        with pytest.raises(BadVideo):
            open_video(str(path), **options)
    assert opened() == before


REFUSED = {
    "audio": 4,
    "bad_container": 4,
    "corrupt_mid_stream": 2,
    "encrypted": 3,
    "gif": 1,
    "streams": 1,
    "zero_frames": 2,
    "zero_or_garbage": 4,
}


def test_every_nasty_file_gives_all_its_frames_or_bad_video(
    real_data: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (real_data / "nasty" / "manifest.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    counts: dict[str, int] = {}
    reasons = []
    for row in rows:
        path, started = real_data / "nasty" / row["path"], time.monotonic()
        try:
            with open_video(str(path)) as reader:
                length = len(reader.times)
                assert reader.times[0] == 0
                assert (np.diff(reader.times) > 0).all()
                pictures = reader.frames([length - 1, 0, length // 2])
                assert len({picture.shape for picture in pictures}) == 1
                if row["n_frames_decoded"]:
                    assert length == int(row["n_frames_decoded"]), row["path"]
        except BadVideo as error:
            reasons.append(error.reason)
            counts[row["category"]] = counts.get(row["category"], 0) + 1
        assert time.monotonic() - started < 10, row["path"]
    assert counts == REFUSED
    assert not any("\n" in reason for reason in reasons)
    assert capfd.readouterr() == ("", "")


def test_nasty_frames_equal_a_plain_decode(real_data: pathlib.Path) -> None:
    nasty = real_data / "nasty"
    for name in (
        "bad_container/skip_1.ts",
        "codecs/Test.ogv",
        "codecs/sample.avi",
        "codecs/video_large_mpeg4.mp4",
        "edit_list_keyframes/sample_edit_list_only_preroll_sync_sample.mp4",
        "ten_bit_hdr_444/roadtrip-vp92-10bit.webm",
        "tiny_or_huge_dims/sample_with_fake_auxiliary_tracks.mp4",
        "vfr/sample_sef_super_slow_motion.mp4",
    ):
        expected = plain(nasty / name)
        with open_video(str(nasty / name)) as reader:
            last = len(expected) - 1
            check(reader, [last, last // 2, last // 3 + 1, 0], expected)
            check(reader, [last // 4, last - 1], expected)
    plain.cache_clear()


def test_limits_of_frames_and_time(made: Callable[[str], pathlib.Path]) -> None:
    assert refused(made("h264.mp4"), limits=Limits(frames=FRAMES - 1)) == (
        "it has more than 39 frames, the limit"
    )
    with open_video(str(made("h264.mp4")), limits=Limits(frames=FRAMES)) as reader:
        assert len(reader.times) == FRAMES
    assert "took more than 0 s" in refused(made("h264.mp4"), limits=Limits(seconds=0.0))


def test_the_time_limit_is_for_each_reading(
    made: Callable[[str], pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("data_pipelines.decode.limits.time.monotonic", lambda: now[0])
    with open_video(str(made("long_gop.mp4")), limits=Limits(seconds=5.0)) as reader:
        for _ in range(3):
            now[0] += 4.0
            reader.frames([FRAMES - 1])
        monkeypatch.setattr(
            "data_pipelines.decode.limits.time.monotonic",
            lambda: now.__setitem__(0, now[0] + 1) or now[0],
        )
        with pytest.raises(BadVideo, match="took more than 5 s"):
            reader.frames([0, FRAMES - 1])


def test_a_closed_reader_keeps_no_frame_in_memory(made: Callable[[str], pathlib.Path]) -> None:
    def frames() -> int:
        # Not isinstance: it would ask objects of other libraries for their class.
        found = [item for item in gc.get_objects() if type(item) is av.VideoFrame]
        return len([frame for frame in found if frame.format and frame.width == WIDTH])

    path = made("h264.mp4")
    gc.collect()
    before = frames()
    gc.disable()
    try:
        for _ in range(3):
            with open_video(str(path)) as reader:
                reader.frames([0, 20])
            assert frames() <= before
    finally:
        gc.enable()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refused(tmp_path / "pipe.mp4") == "it is not a regular file"
