from __future__ import annotations

import dataclasses
import json
import pathlib
from html.parser import HTMLParser

import pyarrow.parquet as pq

from data_pipelines.census.outputs import write_outputs
from data_pipelines.census.record import Record
from data_pipelines.census.report import render
from data_pipelines.census.summary import Summary
from data_pipelines.census.terminal import print_summary
from data_pipelines.sources.manifest import read_manifest
from data_pipelines.video import Caption

EVIL = "kick/<script>alert(1)</script> 'x', \"y\".mp4"
RECORDS = (
    Record(EVIL, "train", "kick", frames=20, seconds=2.0, fps=10.0, height=8, width=8),
    Record(
        *("jump/b.mp4", "test", "jump", 0.5, 1.25, (Caption("up", -0.25, 0.5), Caption("she"))),
        frames=9,
        seconds=0.9,
        fps=10.0,
    ),
    Record("c.mp4", "test", "", frames=9, seconds=0.9, fps=10.0, digest="1", damaged=2),
    Record("d.mp4", "train", "", frames=9, seconds=1, fps=10.0, digest="1", copy_of="c.mp4"),
    Record("e.mp4", "test", "jump").refused("<b>none of its frames decodes"),
    Record("list.csv", is_listed=False).refused("a text", "other"),
)
SUMMARY = Summary("root", RECORDS, (("gone.mp4", "list line 2"),), quick=False)


def test_the_clean_list_is_a_manifest_of_what_can_be_read(tmp_path, make_video):
    for record in RECORDS:
        (tmp_path / record.path).parent.mkdir(parents=True, exist_ok=True)
        make_video(tmp_path / record.path.replace(".csv", ".mp4"))
    (tmp_path / "out").mkdir()
    write_outputs(SUMMARY, tmp_path / "out")
    splits = read_manifest(tmp_path / "out" / "clean.csv", tmp_path)
    read = {
        (
            video.path,
            tuple(video.captions),
            split,
            source.classes[video.label] if video.label >= 0 else "",
            video.start,
        )
        for split, source in splits.items()
        for video in source.videos
    }
    assert read == {(r.path, r.captions, r.split, r.class_name, r.start) for r in RECORDS[:3]}


def test_the_table_holds_every_record(tmp_path):
    write_outputs(SUMMARY, tmp_path)
    rows = pq.read_table(tmp_path / "files.parquet").to_pylist()
    for row in rows:
        row["captions"] = tuple(Caption(**caption) for caption in row["captions"])
    assert [Record(**row) for row in rows] == list(RECORDS)
    assert json.loads((tmp_path / "census.json").read_text())["readable"] == 4


class Page(HTMLParser):
    """Texts and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags = "", set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_escapes_what_files_say():
    page = Page(render(SUMMARY))
    assert "script" not in page.tags
    for text in ("<b>none of its frames decodes", "e.mp4", "gone.mp4", "list line 2", "a text"):
        assert text in page.text
    assert "1 in more than one split" in " ".join(page.text.split())


def test_pages_without_videos_or_with_very_many():
    assert "No video can be read" in render(Summary("root", (), (), quick=True))
    bad = RECORDS[4]
    many = tuple(dataclasses.replace(bad, path=f"{i}.mp4") for i in range(1500))
    page = Page(render(Summary("root", many, (), quick=False)))
    assert "500 more are in files.parquet" in page.text


def test_the_template_is_part_of_the_package():
    setup = pathlib.Path(__file__).parents[3] / "setup.py"
    assert '"data_pipelines.census": ["census.html.j2"]' in setup.read_text(encoding="utf-8")


def test_a_test_split_of_another_name_is_told(capsys, tmp_path):
    records = tuple(dataclasses.replace(r, split=r.split.replace("test", "val")) for r in RECORDS)
    print_summary(Summary("my videos", records, (), quick=False), tmp_path)
    out = capsys.readouterr().out
    assert out.endswith("--config.data.root='my videos' --config.data.test_split=val\n")
