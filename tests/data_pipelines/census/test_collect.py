from __future__ import annotations

from data_pipelines.census import collect as module
from data_pipelines.census.collect import collect
from data_pipelines.census.inputs import Inputs
from data_pipelines.census.record import Record
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.isolation import Lost


def quiet(items, total, title):
    return items


def test_files_that_hang_or_crash_are_bad_and_the_rest_goes_on(monkeypatch, tmp_path, make_video):
    def some_lost(function, arguments, *, workers, timeout):
        for record in arguments:
            yield record, Lost("it hung") if record.path == "hangs.mp4" else function(record)

    monkeypatch.setattr(module, "isolated_map", some_lost)
    for name in ("a.mp4", "hangs.mp4", "b.mp4"):
        make_video(tmp_path / name)
    hidden = Record(".x", is_listed=False).refused("hidden", "other")
    records = [Record("a.mp4"), hidden, Record("hangs.mp4"), Record("b.mp4", split="train")]
    inputs = Inputs(str(tmp_path), DEFAULT, tuple(records))
    found = collect(inputs, workers=1, timeout=60.0, quick=False, progress=quiet)
    assert [(r.path, r.status, r.reason, r.decoded, r.copy_of) for r in found] == [
        ("a.mp4", "readable", "", 20, ""),
        (".x", "other", "hidden", 0, ""),
        ("hangs.mp4", "bad", "it hung", 0, ""),
        ("b.mp4", "readable", "", 20, "a.mp4"),
    ]


def test_nothing_to_open_starts_no_process(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "isolated_map", None)
    hidden = Record(".x", is_listed=False).refused("hidden", "other")
    found = collect(
        Inputs(str(tmp_path), DEFAULT, (hidden,)), workers=1, timeout=1, quick=True, progress=quiet
    )
    assert found == [hidden]
