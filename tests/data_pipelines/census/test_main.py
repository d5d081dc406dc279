from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from data_pipelines.census.__main__ import main
from data_pipelines.errors import UserError


def test_a_folder_from_the_command_line(make_video, tmp_path):
    for name in ("train/kick/a.mp4", "train/jump/b.mp4", "test/kick/c.mp4"):
        make_video(tmp_path / "data" / name)
    make_video(tmp_path / "data/test/jump/d.mp4", frames=10)
    (tmp_path / "data/train/kick/bad.mp4").write_bytes(b"nothing")
    done = subprocess.run(
        [sys.executable, "-m", "data_pipelines.census", "data", "--workers=1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == 1
    for text in (
        *("5: 4 readable, 1 bad", "train/kick/bad.mp4", "not a video in any known format"),
        "--config.data.manifest=census/clean.csv --config.data.root=data",
    ):
        assert text in done.stdout
    assert "5/5" in done.stderr  # the progress bar
    found = {path.name for path in (tmp_path / "census").iterdir()}
    assert found == {"census.json", "census.html", "clean.csv", "files.parquet"}
    with (tmp_path / "census/clean.csv").open() as file:
        rows = [(row["path"], row["label"], row["split"]) for row in csv.DictReader(file)]
    assert rows == [  # of the three equal ones, that of the test split
        ("test/jump/d.mp4", "jump", "test"),
        ("test/kick/c.mp4", "kick", "test"),
    ]


def test_json_alone_on_stdout(make_video, tmp_path, capsys):
    make_video(tmp_path / "v/kick/a.mp4")
    assert main([str(tmp_path / "v"), "--json", "--out", str(tmp_path / "o"), "--workers=1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "o/census.json").read_text())
    assert (found["videos"], found["readable"], found["bad"]) == (1, 1, [])
    assert found["classes"] == {"kick": 1}
    assert found["hours"] == pytest.approx(2 / 3600)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["gone"], "gone does not exist: name a folder"),
        (["v", "--out=v/census"], "lies in the videos' folder"),
        (["v", "--out=v/a.mp4/x"], "lies in the videos' folder"),
        (["v", "--out=list.csv"], "cannot be made"),
        (["v", "--workers=0"], "--workers must be at least 1"),
        (["v", "--timeout=nan"], "--timeout above 0"),
        (["list.csv", "--source=ucf101"], "list.csv is a file, not a folder"),
        (["v", "--source=csv"], "v is a folder: name the file"),
        (["v", "--source=ucf102"], "did you mean 'ucf101'"),
        (["v", "--quik"], "unrecognized arguments: --quik; --help lists the flags"),
        ([], "required"),
    ],
)
def test_what_cannot_be_done_is_one_line(flags, message, tmp_path, monkeypatch, make_video):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "v/a.mp4")
    (tmp_path / "list.csv").write_text("path\nv/a.mp4\n")
    with pytest.raises(UserError, match=message) as error:
        main(flags)
    assert "\n" not in str(error.value)


def test_a_list_that_lacks_too_much_or_says_nothing(make_video, tmp_path, capsys):
    for name in "abc":
        make_video(tmp_path / f"v/{name}.mp4", frames=10 + ord(name) % 3)
    (tmp_path / "v/bad.json").write_text("{")
    manifest = tmp_path / "v/list.csv"

    def census(rows: str, *flags: str) -> tuple[int, dict]:
        manifest.write_text(f"path,captions_file\n{rows}")
        out = str(tmp_path / "o")
        status = main([str(manifest), "--json", "--workers=1", "--out", out, *flags])
        printed = capsys.readouterr()
        assert ("--max_missing_fraction=0.05 allows" in printed.err) == (
            "gone" in rows and not flags
        )
        return status, json.loads(printed.out)

    status, found = census("a.mp4,\nb.mp4,\ngone.mp4,\n")
    assert (status, found["readable"], len(found["missing"])) == (1, 2, 1)
    assert census("a.mp4,\nb.mp4,\ngone.mp4,\n", "--max_missing_fraction=0.4")[0] == 0
    status, found = census("a.mp4,bad.json\nb.mp4,\n")
    assert (status, found["readable"]) == (1, 1)
    assert "its sentences cannot be read" in found["bad"][0]["reason"]
    assert "bad.json" in found["bad"][0]["reason"]


def test_a_census_that_cannot_be_written(make_video, tmp_path):
    make_video(tmp_path / "v/a.mp4")
    (tmp_path / "o/clean.csv").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot be written to .*/o .*clean.csv.*: mend that"):
        main([str(tmp_path / "v"), "--json", "--workers=1", "--out", str(tmp_path / "o")])


def test_errors_name_flags_and_exit_with_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "data_pipelines.census", str(tmp_path), "--source=ucf101"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "--lists=DIR" in done.stderr
    assert "config" not in done.stderr


def test_files_that_break_loaders(real_data, tmp_path, capsys):
    """Those that a plain decode of all frames fails on are bad, the others readable."""
    with (real_data / "nasty/manifest.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert main([str(real_data / "nasty"), "--json", "--out", str(tmp_path)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["videos"] == len(rows) == found["readable"] + len(found["bad"])
    assert [row["path"] for row in found["other"]] == ["manifest.tsv"]
    # What is wrong with this one is its sound.
    sound = {"streams/sample_missing_stsd.mp4"}
    broken = {row["path"] for row in rows if row["error"] or row["n_frames_decoded"] in ("", "0")}
    assert {row["path"] for row in found["bad"]} == broken - sound
