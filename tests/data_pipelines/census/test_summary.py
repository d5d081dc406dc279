from __future__ import annotations

import dataclasses
import json

import pytest

from data_pipelines.census import summary as numbers
from data_pipelines.census.record import Record
from data_pipelines.census.summary import LargestStride, Summary

VIDEO = Record(
    "kick/a.mp4", "train", "kick", frames=61, seconds=2.0, fps=30.0, height=240, width=320,
    codec="h264", container="mp4", key_gap=0.5, decoded=61, bytes=7,
)  # fmt: skip


def video(path: str, **changes: object) -> Record:
    return dataclasses.replace(VIDEO, path=path, **changes)


def of(*records: Record, quick: bool = False) -> Summary:
    return Summary("root", records, (("kick/gone.mp4", "list.csv line 3"),), quick)


def test_counts():
    summary = of(
        VIDEO,
        video("kick/b.mp4", split="test", seconds=4.0, irregular=0.1, audio="aac"),
        video("jump/c.mp4", class_name="jump").refused("truncated: 2 of 40 packets are present"),
        video("jump/d.mp4", class_name="").refused("truncated: 5 of 12 packets are present"),
        video("x").refused("a text", "other"),
    )
    found = numbers.as_json(summary)
    assert json.loads(json.dumps(found)) == found
    wanted = {
        "videos": 4,
        "readable": 2,
        "hours": 6 / 3600,
        "classes": {"jump": 1, "kick": 2},
        "splits": {
            "train": {"videos": 3, "classes": {"jump": 1, "kick": 1}},
            "test": {"videos": 1, "classes": {"kick": 1}},
        },
        "missing": [{"path": "kick/gone.mp4", "where": "list.csv line 3"}],
        "other": [{"path": "x", "reason": "a text"}],
        "frame_rates": {"30": 1, "variable": 1},
        "resolutions": {"320x240": 2},
        "audio": {"none": 1, "aac": 1},
        "clean": 2,
    }
    assert {key: found[key] for key in wanted} == wanted
    assert found["bad"][0] == {
        "path": "jump/c.mp4",
        "reason": "truncated: 2 of 40 packets are present",
    }
    assert [len(group) for group in summary.bad_by_reason()] == [2]


def test_nothing_at_all():
    found = numbers.as_json(of())
    assert (found["videos"], found["seconds"], found["largest_stride"]) == (0, None, [])


def test_duplicates_across_splits_come_first():
    within = [video("a", digest="1"), video("b", digest="1", copy_of="a")]
    across = [video("c", digest="2", copy_of="d"), video("d", digest="2", split="test")]
    segments = [video("e", digest="3", start=0.0), video("e", digest="3", start=1.0)]
    summary = of(*within, *across, *segments)
    assert summary.duplicates() == [across, within]
    assert [r.path for r in summary.clean] == ["a", "d", "e", "e"]
    assert numbers.as_json(summary)["duplicates_across_splits"] == 1


@pytest.mark.parametrize("frames", [1, 7, 8, 15, 61])
def test_the_largest_stride_fits_and_the_next_does_not(frames):
    for found in of(video("a", frames=frames)).strides():
        assert found.all == found.most == found.half
        assert found.all == 0 or (found.frames - 1) * found.all + 1 <= frames
        assert (found.frames - 1) * (found.all + 1) + 1 > frames


def test_one_video_in_twenty_may_be_shorter():
    lengths = [8, *[15] * 12, *[29] * 10]
    summary = of(*(video(str(i), frames=n) for i, n in enumerate(lengths)))
    assert summary.strides()[0] == LargestStride(8, all=1, most=2, half=2)


def test_a_video_decoded_in_part_is_told():
    records = (video("a", decoded=60), video("b"))
    assert of(*records).partly_decoded == 1
    assert of(*records, quick=True).partly_decoded == 0
