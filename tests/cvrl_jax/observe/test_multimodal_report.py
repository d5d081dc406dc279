"""The part of the report on retrieval between modalities."""

from __future__ import annotations

import base64
import dataclasses
import re
import xml.etree.ElementTree

import numpy as np
import pytest

from cvrl_jax.observe.report import (
    Direction,
    Found,
    Multimodal,
    Places,
    ReportContents,
    SentenceQuery,
    Similarity,
    write_report,
)
from cvrl_jax.observe.report.multimodal_section import draw_modality_map, draw_similarity

NASTY = "<script>alert('x')</script> & $5_x$ \u8dd1 \udcff"


def places(videos=12, classes=3):
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(videos, 8))
    return [
        Places(name, centre + 0.1 * rng.normal(size=(videos, 8)), np.arange(videos))
        for name in ("video", "audio", "text")
    ], np.arange(videos) % classes


def contents(**changes):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 28, 28, 3), np.uint8)
    given, labels = places()
    found = [Found(frames, 0.9 - 0.1 * i, right=i == 1) for i in range(3)]
    multimodal = Multimodal(
        directions=[
            Direction("text → video", {1: 0.625, 5: 0.9, 10: 1.0}, 1.0, 2.25, 1 / 64, 0.0156),
            Direction("video → text", {1: 0.5, 5: 0.9, 10: 1.0}, 1.5, 2.5, 1 / 64),
        ],
        left_out={"audio": 3, "text": 0},
        similarities=[Similarity("text", "video", rng.normal(size=(9, 9)))],
        queries=[SentenceQuery(NASTY, frames, 2.0, 64, found)],
        places=given,
        labels_N=labels,
    )
    return ReportContents(
        "x",
        history=[
            {
                "step": s,
                "video_text_loss": 4.0 - s,
                "text_to_video_r1": s / 9,
                "text_to_video_r5": 1,
            }
            for s in range(3)
        ],
        classes=["a", "b", NASTY],
        multimodal=dataclasses.replace(multimodal, **changes),
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, contents())
    return path.read_text("utf-8")


def test_the_part_is_there_with_its_numbers(text):
    section = text.split('id="retrieval"')[1].split("</section>")[0]
    for expected in ("62.5 %", "2.25", "1.6 %", "3 videos have no audio"):
        assert expected in section
    assert "have no text" not in section
    assert re.findall('<figure class="(right|wrong)">', section) == ["wrong", "right", "wrong"]
    assert "found at place 2 of 64" in section
    assert "Not shown" not in section
    assert 'href="#retrieval"' in text


def test_it_is_not_there_without_retrieval(tmp_path):
    write_report(tmp_path / "r.html", ReportContents("x"))
    assert "retrieval" not in (tmp_path / "r.html").read_text("utf-8")


def test_what_users_wrote_is_escaped(text):
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_curves_by_pair_and_of_retrieval_are_drawn_and_the_table_is_not_repeated(text):
    section = text.split('id="curves"')[1].split("</section>")[0]
    assert "Loss by pair of modalities" in section
    assert "Retrieval on held-out videos" in section
    assert "text_to_video_r5" not in section


def svg_of(uri):
    content = base64.b64decode(uri.split(",", 1)[1]).decode()
    xml.etree.ElementTree.fromstring(content)
    return content


@pytest.mark.parametrize("values", [np.eye(5), np.zeros((3, 3)), np.ones((1, 1))])
def test_any_matrix_is_drawn(values):
    assert "prefers-color-scheme:dark" in svg_of(draw_similarity(Similarity("a", "b", values)))


def test_dots_are_dark_on_the_diagonal_and_orange_beside_it():
    right = svg_of(draw_similarity(Similarity("a", "b", np.eye(4))))
    wrong = svg_of(draw_similarity(Similarity("a", "b", np.eye(4)[::-1])))
    assert "fill: var(--c1)" not in right
    assert "fill: var(--c1)" in wrong


def test_few_classes_are_colours_and_modalities_shapes_otherwise_modalities_are_colours():
    given, labels = places(classes=3)
    drawn = draw_modality_map(given, labels, ["a", "b", "c"])
    assert [entry.name for entry in drawn.modalities] == ["video", "audio", "text"]
    assert {entry.colour for entry in drawn.modalities} == {"inherit"}
    assert [entry.colour for entry in drawn.classes] == ["var(--c0)", "var(--c1)", "var(--c2)"]
    for unknown in (np.full(12, -1), np.arange(12)):
        drawn = draw_modality_map(given, unknown, [str(i) for i in range(12)])
        assert drawn.classes == []
        assert [entry.colour for entry in drawn.modalities] == [
            "var(--c0)",
            "var(--c1)",
            "var(--c2)",
        ]
        svg_of(drawn.image)


def test_a_map_of_many_videos_shows_some_of_all_modalities():
    given, _ = places(videos=400)
    assert draw_modality_map(given, np.full(400, -1), []).videos == 150


def test_a_collapsed_network_has_no_map_and_the_page_says_why(tmp_path):
    given, _ = places()
    flat = [dataclasses.replace(p, vectors_MxD=np.ones((12, 8))) for p in given]
    write_report(tmp_path / "r.html", contents(places=flat))
    assert "collapsed" in (tmp_path / "r.html").read_text("utf-8")


def test_frames_of_another_type_are_refused():
    query = SentenceQuery("x", np.zeros((2, 8, 8, 3)), 1.0, 4, [])
    with pytest.raises(ValueError, match="of what a sentence found"):
        contents(queries=[query])
