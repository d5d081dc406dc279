import itertools
import json
import pathlib
import pickle

import pytest

from data_pipelines.captions import CaptionFile, read_captions
from data_pipelines.errors import BadVideo
from data_pipelines.video import Caption

VTT = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE a comment
of two lines

00:00.000 --> 00:02.500 align:start position:0%
\x20
hello<00:00:00.500><c> there</c><00:00:01.000><c> everyone</c>

label
1:02:03.500 --> 1:02:05
<v.loud Mary>Long &amp; late <i>&lt;b&gt;</i></v>

00:05.000 --> 00:04.000
backwards
"""

SRT = """\ufeff1\r
00:00:01,000 --> 00:00:02,5\r
{\\an8}Two <b>lines</b>\r
of text\r
\r
2\r
00:00:02 --> 00:00:03.250  X1:40 X2:600\r
&quot;Odd&quot; &#x41;\r
\r
3\r
00:00:04,000 --> 00:00:05,000\r
\r
"""


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_bytes(text.encode())
    return path


def test_webvtt(tmp_path: pathlib.Path) -> None:
    assert read_captions(write(tmp_path / "a.vtt", VTT)) == (
        Caption("hello there everyone", 0.0, 2.5),
        Caption("Long & late <b>", 3723.5, 3725.0),
    )


def test_subrip(tmp_path: pathlib.Path) -> None:
    assert read_captions(write(tmp_path / "a.SRT", SRT)) == (
        Caption("Two lines of text", 1.0, 2.5),
        Caption('"Odd" A', 2.0, 3.25),
    )


@pytest.mark.parametrize("content", ["", "WEBVTT", "WEBVTT\n\nNOTE nothing is said\n"])
def test_a_file_may_say_nothing(content: str, tmp_path: pathlib.Path) -> None:
    if "NOTE" in content:
        with pytest.raises(BadVideo, match="no cue"):
            read_captions(write(tmp_path / "a.vtt", content))
    else:
        assert read_captions(write(tmp_path / "a.vtt", content)) == ()


def test_json_and_csv(tmp_path: pathlib.Path) -> None:
    columns = {"text": ["a", "b"], "start": [0.5, 1], "end": [1, 2]}
    expected = (Caption("a", 0.5, 1.0), Caption("b", 1.0, 2.0))
    assert read_captions(write(tmp_path / "a.json", json.dumps(columns))) == expected
    text = 'start,end,text\n0.5,1,a\n1,2,"b"\n'
    assert read_captions(write(tmp_path / "a.csv", text)) == expected
    assert read_captions(write(tmp_path / "b.csv", 'text\n"one, two"\n')) == (Caption("one, two"),)
    assert read_captions(write(tmp_path / "c.csv", "start,end,text\n")) == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "Expecting"),
        ("a.json", "[" * 100_000, "recursion"),
        ("a.json", '{"text": ["a"], "start": []}', "differ in length"),
        ("a.csv", "words\na\n", "no column 'text', only words"),
        ("a.csv", "text,start\na\n", "other columns"),
        ("a.csv", 'text\n"a\n', "unexpected end"),
        ("a.srt", "there is no time in it", "no cue with times"),
        ("a.srt", "1\n00:00:01,000 -> 00:00:02,000\na\n", "no cue with times"),
        ("a.vtt", "WEBVTTX\n\nno", "no"),
        ("a.txt", "a", r"must end in one of \.json"),
    ],
)
def test_what_is_malformed_is_a_bad_video(name, content, message, tmp_path) -> None:
    with pytest.raises(BadVideo, match=message) as error:
        read_captions(write(tmp_path / name, content))
    assert error.value.path == str(tmp_path / name)
    assert "\n" not in error.value.reason


def test_other_failures(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadVideo, match="No such file"):
        read_captions(tmp_path / "none.json")
    (tmp_path / "latin.srt").write_bytes(b"1\n00:00:01,000 --> 00:00:02,000\ncaf\xe9\n")
    with pytest.raises(BadVideo, match="utf-8"):
        read_captions(tmp_path / "latin.srt")
    monkeypatch.setattr("data_pipelines.captions.files._LARGEST", 5)
    with pytest.raises(BadVideo, match="too much"):
        read_captions(write(tmp_path / "a.json", '["123456"]'))


def test_a_file_is_read_when_it_is_looked_at(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.json"
    later = CaptionFile(str(path), 1.0, 3.0)
    assert later == pickle.loads(pickle.dumps(later))  # noqa: S301
    with pytest.raises(BadVideo):
        len(later)
    write(path, '[{"text": "a", "end": 1}, {"text": "b", "start": 2}, {"text": "c", "start": 3}]')
    assert tuple(later) == (Caption("b", 1.0),)
    assert later[0] == later[-1] == Caption("b", 1.0)
    assert later[:5] == (Caption("b", 1.0),)
    assert tuple(CaptionFile(str(path)))[2] == Caption("c", 3.0)


def test_real_files(real_data: pathlib.Path) -> None:
    folder = real_data / "audio_visual" / "varied"
    odd = read_captions(folder / "mediaelement.srt")  # times such as 00:00:00,1 and 00:00:04
    assert len(odd) == 15
    assert odd[0].text.startswith("HTML5 <video> and <audio> was supposed")
    assert (odd[0].start, odd[0].end) == (0.1, 4.0)
    assert all(a.end <= b.start for a, b in itertools.pairwise(odd))  # pyright: ignore
    sintel = read_captions(folder / "sintel-en.vtt")
    assert len(sintel) == 14
    assert sintel[0] == Caption("[Test]", 0.0, 12.0)
    assert sintel[3].text == "You're a fool for traveling alone, so completely unprepared."
