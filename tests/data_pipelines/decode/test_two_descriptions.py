"""MP4 files joined from two encodings: one track with two descriptions of how to decode it."""

from __future__ import annotations

import io
import pathlib
import struct

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.decode import open_video

HEIGHT, WIDTH, FRAMES = 48, 64, 15

Part = tuple[list[tuple[bytes, bool]], bytes]
"""Packets, each with whether it is a keyframe, and what a decoder must know before them."""


def encoded(first: int, qp: int) -> Part:
    """Frames by x264; the parameters that are not in the packets depend on `qp`."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        params = f"qp={qp}:keyint=5:bframes=0:scenecut=0"
        stream = container.add_stream("libx264", rate=25, options={"x264-params": params})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for index in range(first, first + FRAMES):
            coarse = np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8)
            picture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    with av.open(io.BytesIO(out.getvalue())) as container:
        stream = container.streams.video[0]
        packets = [(bytes(p), p.is_keyframe) for p in container.demux(stream) if p.size]
        return packets, bytes(stream.codec_context.extradata or b"")


def box(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name.encode()) + body


def table(name: str, *numbers: int, head: int = 0) -> bytes:
    return box(name, struct.pack(f">{1 + len(numbers)}I", head, *numbers))


def joined(parts: list[Part]) -> bytes:
    """An MP4 file (ISO/IEC 14496-12) with a sample description for each part."""
    packets = [packet for part, _ in parts for packet in part]
    count, sizes = len(packets), [len(data) for data, _ in packets]
    start = box("ftyp", b"isom", bytes(4), b"isomavc1")
    places = len(start) + 8 + np.cumsum([0, *sizes[:-1]])
    keys = [number for number, (_, is_key) in enumerate(packets, 1) if is_key]
    size = struct.pack(">HH", WIDTH, HEIGHT)
    entries = [
        box(
            "avc1", bytes(6), struct.pack(">H", 1), bytes(16), size,
            struct.pack(">IIIH", 72 << 16, 72 << 16, 0, 1), bytes(32), struct.pack(">Hh", 24, -1),
            box("avcC", extradata),
        )
        for _, extradata in parts
    ]  # fmt: skip
    runs = [(1 + i * FRAMES, 1, 1 + i) for i in range(len(parts))]
    samples = box(
        "stbl",
        box("stsd", struct.pack(">II", 0, len(entries)), *entries),
        table("stts", 1, count, 1),
        table("stsc", len(runs), *np.ravel(runs)),
        table("stsz", 0, count, *sizes),
        table("stco", count, *places),
        table("stss", len(keys), *keys),
    )
    matrix = 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30
    sides = WIDTH << 16, HEIGHT << 16
    data_here = box("dinf", box("dref", bytes(4), struct.pack(">I", 1), table("url ", head=1)))
    media = box(
        "mdia",
        table("mdhd", 0, 0, 25, count, 0),
        box("hdlr", bytes(8), b"vide", bytes(13)),
        box("minf", table("vmhd", 0, 0, head=1), data_here, samples),
    )
    track = box("trak", table("tkhd", 0, 0, 1, 0, count, *(0,) * 4, *matrix, *sides, head=3), media)
    movie = table("mvhd", 0, 0, 25, count, 1 << 16, 1 << 24, 0, 0, *matrix, *(0,) * 6, 2)
    return start + box("mdat", *(data for data, _ in packets)) + box("moov", movie, track)


def test_each_part_is_decoded_by_its_own_description(tmp_path: pathlib.Path) -> None:
    parts = [encoded(0, qp=18), encoded(FRAMES, qp=34)]
    assert parts[0][1] != parts[1][1]
    path = tmp_path / "two.mp4"
    path.write_bytes(joined(parts))
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(plain) == 2 * FRAMES
    places = st.lists(st.integers(0, 2 * FRAMES - 1), min_size=1, max_size=3)

    @given(st.lists(places, min_size=1, max_size=4))
    def follow(plans: list[list[int]]) -> None:
        with open_video(str(path)) as video:
            for plan in plans:
                for index, frame in zip(plan, video.frames(plan), strict=True):
                    np.testing.assert_array_equal(frame, plain[index])

    follow()
