from __future__ import annotations

import os
import pathlib

import pytest

from data_pipelines.census.inputs import read_inputs
from data_pipelines.census.record import Record
from data_pipelines.errors import UserError
from data_pipelines.sources import DataSection


def folder(root: pathlib.Path, *names: str) -> dict[str, Record]:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"?")
    return {record.path: record for record in read_inputs(DataSection("folder", str(root))).records}


def test_every_file_of_a_folder_is_looked_at(tmp_path):
    found = folder(
        tmp_path,
        *("kick/a.mp4", "kick/b.raw", "jump/x/c.AVI", "jump/x/noext", "new/d.bin"),
        *("list.csv", ".hidden.mp4", ".git/config", ".git/objects/1"),
    )
    assert {path: (r.class_name, r.is_listed, r.status) for path, r in found.items()} == {
        "jump/x/c.AVI": ("jump", True, "readable"),
        "kick/a.mp4": ("kick", True, "readable"),
        "kick/b.raw": ("kick", False, "readable"),
        "jump/x/noext": ("jump", False, "readable"),
        "new/d.bin": ("", False, "readable"),
        "list.csv": ("", False, "readable"),
        ".hidden.mp4": ("", False, "other"),
        ".git/": ("", False, "other"),
    }


def test_splits_and_labels_are_those_of_training(tmp_path):
    found = folder(tmp_path, "train/kick/a.mp4", "val/kick/b.mp4", "val/kick/c.odd", "val/d.txt")
    assert {path: (r.split, r.class_name) for path, r in found.items()} == {
        "train/kick/a.mp4": ("train", "kick"),
        "val/kick/b.mp4": ("test", "kick"),
        "val/kick/c.odd": ("test", "kick"),
        "val/d.txt": ("test", "kick"),  # in test, of the one class there
    }


def test_odd_names(tmp_path):
    odd = "a b 'c' \"d\" ?e=f&g [h] %s, ;\n<b>.mp4"
    found = folder(tmp_path, odd)
    assert found[odd].status == "readable"
    assert "\n" not in found[odd].name


def test_names_that_no_list_can_hold_are_bad(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4")
    with open(path, "wb"):
        pass
    found = folder(tmp_path, " lead.mp4")
    assert len(found) == len(read_inputs(DataSection("folder", str(tmp_path))).records)
    assert found["caf\\xe9.mp4"].reason.startswith("its name is not UTF-8")
    assert found[" lead.mp4"].reason.startswith("its name begins or ends with white space")
    assert {record.status for record in found.values()} == {"bad"}


def test_files_without_any_video_name_are_looked_at_too(tmp_path):
    assert folder(tmp_path, "x", "y/z.bin").keys() == {"x", "y/z.bin"}


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="is empty"):
        folder(tmp_path)


def test_a_list_with_segments(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"?")
    (tmp_path / "list.csv").write_text(
        "path,class,start,end,fold\na.mp4,kick,,1,1\na.mp4,jump,1,2.5,2\n"
    )
    section = DataSection(
        "csv", manifest=str(tmp_path / "list.csv"), label_column="class", split_column="fold"
    )
    inputs = read_inputs(section)
    assert inputs.root == str(tmp_path)
    assert inputs.records == (
        Record("a.mp4", "1", "kick", None, 1.0),
        Record("a.mp4", "2", "jump", 1.0, 2.5),
    )
