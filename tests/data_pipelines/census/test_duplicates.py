from __future__ import annotations

import dataclasses
import pathlib

import pytest

from data_pipelines.census.duplicates import with_copies, with_digests
from data_pipelines.census.record import Record


def quiet(items, total, title):
    return items


def found(root: pathlib.Path, contents: dict[str, bytes]) -> list[Record]:
    records = []
    for name, content in contents.items():
        (root / name).write_bytes(content)
        records.append(Record(name, bytes=len(content)))
    return records


def test_only_files_of_equal_size_are_read(tmp_path):
    records = found(tmp_path, {"a": b"12", "b": b"12", "c": b"34", "d": b"123"})
    (tmp_path / "d").unlink()
    a, b, c, d = with_digests(records, str(tmp_path), 2, quiet)
    assert a.digest == b.digest != c.digest
    assert c.digest
    assert (d.digest, d.status) == ("", "readable")


def test_segments_of_one_file_are_no_copies_of_it(tmp_path):
    (record,) = found(tmp_path, {"a": b"12"})
    parts = [dataclasses.replace(record, start=t) for t in (0.0, 1.0)]
    assert with_digests(parts, str(tmp_path), 1, quiet) == parts


def test_a_file_that_breaks_off_is_bad(tmp_path):
    records = found(tmp_path, {"a": b"12", "b": b"34"})
    (tmp_path / "b").unlink()
    a, b = with_digests(records, str(tmp_path), 1, quiet)
    assert (a.status, b.status, b.reason) == ("readable", "bad", "No such file or directory")


@pytest.mark.parametrize(
    ("splits", "kept"),
    [
        (("train", "test", "train"), 1),
        (("train", "train", "train"), 0),
        (("2", "1", "3"), 0),
        (("train", "val", "test"), 1),
    ],
)
def test_the_copy_outside_train_is_kept(splits, kept):
    records = [Record(str(i), split, digest="d") for i, split in enumerate(splits)]
    got = with_copies([*records, Record("alone", "train")])
    assert [r.copy_of for r in got] == ["" if i == kept else str(kept) for i in range(3)] + [""]


def test_other_segments_of_a_copied_file_are_kept():
    records = [Record("a", digest="d", end=1.0), Record("b", digest="d", start=1.0)]
    assert with_copies(records) == records
