"""The report: one file, all parts, nothing from outside, nothing unescaped."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import io
import pathlib
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from cvrl_jax.observe.report import (
    Classified,
    Confused,
    FactorAccuracy,
    Layers,
    Mistaken,
    Neighbour,
    NeighbourQuery,
    ReportContents,
    SummaryNumber,
    curves,
    figures,
    filmstrips,
    write_report,
)

SECTIONS = ("summary", "curves", "clips", "map", "neighbours", "confusion", "census", "run")
VOID = {"meta", "img", "br", "hr", "link", "input"}
NASTY = "<script>alert('x')</script> & $5_x$ \u8dd1 \udcff \x07"


class Page(html.parser.HTMLParser):
    """Collects ids, addresses, tags and text, and checks that the tags balance."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.addresses, self.tags = [], [], [], []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.addresses.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def decode(uri: str) -> bytes:
    return base64.b64decode(uri.split(",", 1)[1])


def smooth_clips(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Coarse noise made large, uint8 of this shape: it compresses as video does."""
    *lead, height, width, _ = shape
    small = np.random.default_rng(seed).integers(
        0, 256, (*lead, height // 14, width // 14, 3), np.uint8
    )
    return small.repeat(14, axis=-3).repeat(14, axis=-2)


def full_contents() -> ReportContents:
    rng = np.random.default_rng(0)
    classes = [f"class {i}" for i in range(7)] + [NASTY]
    labels = rng.integers(-1, 8, 60)
    videos = smooth_clips((6, 4, 56, 56, 3), 1)
    found = [
        Neighbour(video, name, 0.9 - 0.1 * i)
        for i, (video, name) in enumerate(zip(videos[1:], [NASTY, "class 1", None, NASTY, NASTY]))
    ]
    return ReportContents(
        title=f"Run {NASTY}",
        description="A test.",
        summary=[
            SummaryNumber("kNN top-1", 0.614, before=0.188, chance=0.125),
            SummaryNumber("RankMe", 98.4, percent=False),
        ],
        history=[
            {"step": s, "loss": 6 - s / 30, "knn_top1": s / 200, "rankme": None, "odd": 1.0}
            for s in range(100)
        ],
        chance=0.125,
        clips_NxVxTxHxWx3=smooth_clips((16, 2, 16, 112, 112, 3), 2),
        vectors_MxD=rng.normal(size=(60, 16)),
        vector_labels_M=labels,
        classes=classes,
        neighbours=[NeighbourQuery(videos[0], NASTY, found)],
        true_K=labels,
        predicted_K=rng.integers(0, 8, 60),
        by_factor=[FactorAccuracy("motion", 0.79, 0.25)],
        census={
            "videos": 12840,
            "hours": 21.37,
            "bad_files": [(f"walk/{NASTY}.avi", "no video stream")],
            "left_out": [],
        },
        config={"model": {"depth": 18, "name": NASTY}},
        versions={"jax": "0.10.2"},
        command=f"python main.py --config {NASTY}",
        seed=7,
        hardware="8 devices",
        wall_seconds=3725.0,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    write_report(path, full_contents())
    return path


@pytest.fixture(scope="module")
def text(report: pathlib.Path) -> str:
    return report.read_text("utf-8")


def test_every_section_is_there_once_and_filled(text: str):
    page = Page(text)
    assert page.ids == list(SECTIONS)
    assert "Not shown" not in page.text
    for expected in ("61.4 %", "+42.6 points", "98.4", "12,840", "1 h 02 min", "0.10.2", "79.0 %"):
        assert expected in page.text


def test_nothing_comes_from_outside_and_no_script_runs(text: str):
    page = Page(text)
    assert all(a.startswith(("data:image/", "#")) for a in page.addresses)
    assert {a[1:] for a in page.addresses if a.startswith("#")} == set(SECTIONS)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_text_from_the_user_is_escaped_everywhere(text: str):
    assert "<script" not in text
    page = Page(text)
    for where in ("walk/<script>", "Run <script>", "--config <script>", '"name": "<script>'):
        assert where in page.text


def test_light_dark_and_phone_are_provided_for(text: str):
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_a_default_report_is_a_small_file_and_nothing_else(report: pathlib.Path):
    assert 50_000 < report.stat().st_size < 5_000_000
    assert [p.name for p in report.parent.iterdir()] == ["report.html"]


def test_right_and_wrong_neighbours_differ_in_sign_and_colour(text: str):
    section = text.split('id="neighbours"')[1].split("</section>")[0]
    assert re.findall('<figure class="(right|wrong|)">', section) == [
        "right", "wrong", "", "right", "right",
    ]  # fmt: skip
    assert section.count('class="sign">✓') == 3
    assert section.count('class="sign">✗') == 1


def test_images_are_valid(text: str):
    for address in Page(text).addresses:
        if address.startswith("data:image/svg+xml"):
            svg = decode(address).decode("utf-8")
            xml.etree.ElementTree.fromstring(svg)
            assert "prefers-color-scheme:dark" in svg
        elif address.startswith("data:"):
            Image.open(io.BytesIO(decode(address))).load()


def test_the_same_contents_give_the_same_file(report: pathlib.Path, tmp_path: pathlib.Path):
    write_report(tmp_path / "again.html", full_contents())
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()


def classified() -> Classified:
    videos = smooth_clips((2, 4, 56, 56, 3), 4)
    return Classified(
        accuracy_C=np.array([0.25, np.nan, 1.0] + [0.5] * 5),
        count_C=np.array([4, 0, 3] + [2] * 5),
        confused=[Confused(NASTY, "class 2", 3, 0.75, [Mistaken(v, 0.9) for v in videos])],
        confidence_K=np.array([np.nan, 0.6, 0.9]),
        right_K=np.array([np.nan, 0.5, 0.8]),
        count_K=np.array([0, 4, 6]),
        calibration_error=0.1,
    )


def test_classes_are_shown_one_by_one_with_their_confusions_and_calibration(tmp_path: pathlib.Path):
    contents = dataclasses.replace(full_contents(), classified=classified(), of_training=False)
    write_report(tmp_path / "r.html", contents)
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    shown = [name for name in SECTIONS if name not in ("curves", "clips")]
    assert page.ids == [*shown[:-2], "classes", *shown[-2:]]
    assert {a[1:] for a in page.addresses if a.startswith("#")} == set(page.ids)
    section = page.text.split("Class by class")[1]
    assert "7 classes, hardest first; without a test video: 1" in section
    assert section.index("class 0") < section.index("class 3") < section.index("class 2")
    assert "3 videos, 75.0 % of the class" in section
    assert section.count("90.0 % sure") == 2
    assert "error 10.0 % (10 videos" in section


@pytest.mark.parametrize("other", ["", NASTY])
def test_layers_are_drawn_one_by_one(tmp_path: pathlib.Path, other: str):
    matrix = {"stem": {"block0": 1.0, "features": 0.25}, "top": {"block0": 0.5, "features": np.nan}}
    contents = ReportContents("x", layers=Layers(matrix, other), of_training=False)
    write_report(tmp_path / "r.html", contents)
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert page.ids[-3] == "layers"
    assert "#layers" in page.addresses
    assert ("the same once more" in page.text) == (not other)
    (image,) = (address for address in page.addresses if address.startswith("data:image/svg"))
    drawn = base64.b64decode(image.partition(",")[2]).decode()
    for text in (">100<", ">25<", ">50<", "block0", "features", "top"):
        assert text in drawn
    assert "nan" not in drawn
    xml.etree.ElementTree.fromstring(drawn)


def test_missing_parts_are_explained(tmp_path: pathlib.Path):
    write_report(tmp_path / "empty.html", ReportContents("Nothing yet"))
    page = Page((tmp_path / "empty.html").read_text("utf-8"))
    assert page.ids == list(SECTIONS)
    for reason in (
        "No results", "No metrics", "No augmented clips", "No embeddings", "No neighbour search",
        "No class predictions", "No census", "The command", "Package versions",
        "The configuration",
    ):  # fmt: skip
        assert f"Not shown: {reason}" in page.text
    assert "No accuracy by factor" in page.text
    assert "img" not in page.tags


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        (np.ones((20, 8)), "collapsed"),
        (np.full((20, 8), np.nan), "not finite"),
        (np.eye(3), "at least five"),
    ],
)
def test_embeddings_without_a_map_are_explained(tmp_path: pathlib.Path, vectors, reason: str):
    labels = np.zeros(len(vectors), int)
    contents = ReportContents("x", vectors_MxD=vectors, vector_labels_M=labels, classes=["a"])
    write_report(tmp_path / "r.html", contents)
    assert reason in (tmp_path / "r.html").read_text("utf-8")


@pytest.mark.parametrize(
    "fields",
    [
        {"clips_NxVxTxHxWx3": np.zeros((1, 3, 2, 8, 8, 3), np.uint8)},
        {"clips_NxVxTxHxWx3": np.zeros((1, 2, 2, 8, 8, 3), np.float32)},
        {"neighbours": [NeighbourQuery(np.zeros((8, 8, 3), np.uint8), None, [])]},
        {"vectors_MxD": np.zeros((5, 2))},
        {"true_K": np.zeros(5, int), "predicted_K": np.zeros(4, int)},
    ],
)
def test_wrong_arrays_are_refused(fields: dict):
    with pytest.raises(ValueError, match=r"must be|together|rows"):
        ReportContents("x", **fields)


def test_the_map_separates_what_is_apart_and_needs_few_points():
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(6)[:2], 20, axis=0) + 0.05 * rng.normal(size=(40, 6))
    xy = figures.project(vectors)
    centres = xy.reshape(2, 20, 2).mean(axis=1)
    nearest = np.linalg.norm(xy[:, None] - centres, axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(nearest, np.repeat([0, 1], 20))
    assert np.isfinite(figures.project(rng.normal(size=(5, 2)))).all()


def test_the_map_has_a_legend_for_few_classes_only_and_a_bounded_size(monkeypatch):
    monkeypatch.setattr(figures, "MAX_MAP_POINTS", 50)
    vectors = np.random.default_rng(0).normal(size=(80, 4))
    few = figures.draw_map(vectors, np.arange(80) % 3 - 1, ["a", "b"])
    assert [entry.name for entry in few.legend] == ["no label", "a", "b"]
    assert few.points == 50
    many = figures.draw_map(vectors, np.arange(80) % 21, [str(i) for i in range(21)])
    assert many.legend == []


def test_confusion_counts_leave_out_what_has_no_class():
    drawn = figures.draw_confusion(
        np.array([0, 0, 1, 1, 1, -1]), np.array([0, 1, 1, 1, 0, 0]), ["a", "b"]
    )
    assert (drawn.videos, drawn.left_out) == (5, 1)
    assert drawn.accuracy == pytest.approx(3 / 5)
    assert drawn.worst == [("a", "b", 0.5), ("b", "a", pytest.approx(1 / 3))]
    with pytest.raises(ValueError, match="no video"):
        figures.draw_confusion(np.array([-1]), np.array([0]), ["a"])


@pytest.mark.parametrize("count", [1, 60, 101])
def test_confusion_names_up_to_sixty_classes(count: int):
    labels = np.arange(count)
    svg = decode(figures.draw_confusion(labels, labels, [f"n{i}n" for i in labels]).image)
    assert (b">n0n<" in svg) == (count <= 60)


def test_curves_group_metrics_take_the_later_record_and_skip_what_is_no_number():
    history = [
        {"step": 0, "train/loss": 3.0, "eval/loss": 4.0, "knn_top1": float("nan")},
        {"step": 0, "train/loss": 2.0, "note": "text", "flag": True, "gradient_norm": 1.0},
        {"step": 1, "train/loss": None, "time/clips_per_s": 2.0},
        {"loss": 1.0},
    ]
    drawn, others = curves.draw_curves(history)
    assert [curve.title for curve in drawn] == ["Loss", "Clips per second"]
    assert others == ["gradient_norm"]
    assert curves._collect(history)["train/loss"] == {0: 2.0}


def test_chance_is_drawn_on_the_accuracy_curve_only_if_known():
    history = [{"step": 0, "knn_top1": 0.1}, {"step": 1, "knn_top1": 0.2}]
    with_chance = decode(curves.draw_curves(history, 0.05)[0][0].image)
    without = decode(curves.draw_curves(history)[0][0].image)
    assert b">chance<" in with_chance
    assert b">chance<" not in without


def test_an_animation_loops_keeps_time_and_is_bounded():
    clip = smooth_clips((40, 140, 280, 3), 3)
    image = Image.open(io.BytesIO(decode(filmstrips.animation(clip, fps=10))))
    image.load()
    assert (image.n_frames, image.info["loop"], image.size) == (32, 0, (112, 56))
    assert image.info["duration"] == 125  # 40 frames at 10 per second, in 32 pictures


def test_a_filmstrip_lays_frames_out_in_order_of_time():
    clip = np.stack([np.full((32, 32, 3), 25 * t, np.uint8) for t in range(10)])
    strip = Image.open(io.BytesIO(decode(filmstrips.filmstrip(clip, 4, rows=2))))
    pixels = np.asarray(strip.convert("RGB")).astype(int)
    assert pixels.shape == (67, 67, 3)
    seen = [pixels[y, x].mean() for y in (16, 51) for x in (16, 51)]
    np.testing.assert_allclose(seen, [0, 75, 150, 225], atol=6)
