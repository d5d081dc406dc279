"""The whole preparation, from files to records and back."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from data_pipelines.decode import Limits, open_video
from data_pipelines.errors import UserError
from data_pipelines.prepare.__main__ import main
from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.pipeline import prepare
from data_pipelines.prepare.plan import Job
from data_pipelines.prepare.storage import Storage
from data_pipelines.sources.folder import folder_splits
from data_pipelines.sources.manifest import read_manifest
from data_pipelines.sources.records import open_records

Make = Callable[..., Job]
REPO = pathlib.Path(__file__).resolve().parents[3]


def checksums(output: str) -> dict[str, str]:
    """Of every file, by path below the output."""
    root = pathlib.Path(output)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("storage", ["jpeg", "h264"])
def test_everything_carries_over(job: Make, videos: pathlib.Path, storage: str) -> None:
    made = job(encoding=Encoding(storage=storage, short_side=48, jpeg_quality=95, crf=5))
    census = prepare(made, quiet=True)
    assert (census.videos, census.written, census.bad) == (5, 4, 1)
    given, stored = folder_splits(videos), open_records(made.output)
    assert list(stored) == ["train", "test"]
    (bad,) = map(json.loads, Storage(made.output).read("quarantine.jsonl").splitlines())
    assert bad["id"] == "train/a/broken.mp4"
    assert "not a video" in bad["reason"]
    frames, seconds = 0, 0.0
    for split, source in stored.items():
        infos = {info.id: info for info in map(given[split].info, range(len(given[split])))}
        infos.pop(bad["id"], None)
        assert [source.info(i) for i in range(len(source))] == list(infos.values())
        assert source.classes == given[split].classes == ("a", "b")
        for index in range(len(source)):
            path = source.info(index).path
            with open_video(path) as original:
                record = source.open(index)
                np.testing.assert_array_equal(record.times, original.times)
                assert abs(min(record.size) - min(48, *original.size)) <= 1
                height, width = record.size
                every = range(len(original.times))
                for whole, small in zip(original.frames(every), record.frames(every), strict=True):
                    assert small.shape == (height, width, 3)
                    assert np.abs(small.mean((0, 1)) - whole.mean((0, 1))).max() < 4
                frames += len(original.times)
                seconds += original.times[-1]
                record.close()
    assert frames == 10 + 4 + 1 + 20
    assert census.hours == pytest.approx(seconds / 3600)


def test_bytes_do_not_depend_on_the_number_of_workers(job: Make, tmp_path: pathlib.Path) -> None:
    one, two = job(output=str(tmp_path / "one")), job(output=str(tmp_path / "two"), workers=2)
    prepare(one, quiet=True)
    prepare(two, quiet=True)
    assert checksums(one.output) == checksums(two.output)
    assert len(list(pathlib.Path(one.output, "shards").glob("*.array_record"))) == 3


def test_finished_shards_are_kept_and_damaged_ones_made_anew(job: Make) -> None:
    made = job()
    prepare(made, quiet=True)
    before = checksums(made.output)
    shards = sorted(pathlib.Path(made.output, "shards").glob("*.array_record"))
    times = [path.stat().st_mtime_ns for path in shards]
    pathlib.Path(made.output, "dataset_info.json").unlink()
    content = bytearray(shards[1].read_bytes())
    content[len(content) // 2] ^= 1
    shards[1].write_bytes(content)
    assert prepare(made, quiet=True).written == 4
    assert checksums(made.output) == before
    kept = [path.stat().st_mtime_ns == at for path, at in zip(shards, times)]
    assert kept == [True, False, True]


def test_another_preparation_is_not_overwritten(job: Make) -> None:
    made = job()
    prepare(made, quiet=True)
    with pytest.raises(UserError, match="other settings: name another --output"):
        prepare(dataclasses.replace(made, encoding=Encoding(short_side=32)), quiet=True)


def test_an_object_store(
    job: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    remote, local = job(output=f"memory://{uuid.uuid4()}/x"), job()
    prepare(remote, quiet=True)
    prepare(local, quiet=True)
    for there, here in zip(
        open_records(remote.output).values(), open_records(local.output).values()
    ):
        for index in range(len(here)):
            assert there.info(index) == here.info(index)
            got, expected = there.open(index).frames([0])[0], here.open(index).frames([0])[0]
            np.testing.assert_array_equal(got, expected)


def test_segments_of_a_list(videos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "path,label,start,end,split\n"
        "train/a/vary.mkv,x,0.2,1.0,../odd/split\n"
        "train/a/vary.mkv,,0.5,,../odd/split\n"
    )
    made = Job(functools.partial(read_manifest, manifest, videos), str(tmp_path / "o"), Encoding())
    prepare(made, quiet=True)
    (source,) = open_records(made.output).values()
    assert list(open_records(made.output)) == ["../odd/split"]
    assert [source.info(i).label for i in range(2)] == [0, -1]
    np.testing.assert_allclose(
        source.open(0).times, np.array([200, 210, 500, 501, 900]) / 1e3 - 0.2
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "o"]


def test_a_duplicate_id_is_refused(videos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def twice() -> dict:
        source = folder_splits(videos)["train"]
        return {"a": source, "b": source}

    with pytest.raises(UserError, match="is in split 'a' and again in 'b'"):
        prepare(Job(twice, str(tmp_path / "o"), Encoding()), quiet=True)


def test_unknown_flags_are_refused(job: Make) -> None:
    with pytest.raises(UserError, match="unknown flag --shortside"):
        prepare(job(), ["--shortside=3"], quiet=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers=-3"], "--workers=-3 must be at least 1"),
        (["--timeout=-1"], "--timeout=-1.0 must be above 0"),
        (["--timeout=nan"], "--timeout=nan must be above 0"),
        (["--max_bad_fraction=2"], "--max_bad_fraction=2.0 must be from 0 to 1"),
        (["--storage=png"], "invalid choice: 'png'"),
        (["--output="], "--output= must be a folder"),
        (["--max_pixels=0"], "--max_pixels=0 must be above 0"),
        (["--max_seconds=nan"], "--max_seconds=nan must be above 0"),
        (["--output=out_\udce9"], "is no place for records: give a name in UTF-8"),
        (["more"], "stray argument 'more'"),
        (["--runner=NoRunner"], "Apache Beam cannot start: .*NoRunner"),
        (["--output=list.csv/out"], "list.csv/out/plan.json cannot be read or written .Not a dir"),
        (["--input=gone"], "gone does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    flags: list[str], message: str, videos: pathlib.Path, tmp_path: pathlib.Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("path\n")
    with pytest.raises(UserError, match=message) as error:
        main([f"--input={videos}", "--output=out", "--json", *flags])
    assert "\n" not in str(error.value)


def test_a_cluster_that_fails_is_one_line(job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("Unable to fetch\nits job server")

    monkeypatch.setattr("apache_beam.Pipeline.run", fail)
    with pytest.raises(UserError, match="Apache Beam's SparkRunner: Unable to fetch its job serv"):
        prepare(job(), ["--runner=SparkRunner"], quiet=True)
    with pytest.raises(RuntimeError, match="Unable to fetch"):
        prepare(job(), quiet=True)


def test_a_name_that_is_not_utf8_is_quarantined(videos: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "v").mkdir()
    for name in (b"a.mkv", b"caf\xe9.mkv"):
        shutil.copy(videos / "test/b/small.mkv", os.path.join(os.fsencode(tmp_path), b"v", name))
    opened = functools.partial(folder_splits, tmp_path / "v")
    made = Job(opened, str(tmp_path / "o"), Encoding(short_side=16))
    census = prepare(made, quiet=True)
    assert (census.written, census.bad) == (1, 1)
    (bad,) = map(json.loads, Storage(made.output).read("quarantine.jsonl").splitlines())
    assert "not UTF-8" in bad["reason"]


def test_a_class_whose_name_is_not_utf8(videos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    root = os.path.join(os.fsencode(tmp_path), b"v\xe9")
    for name in (b"ok", b"caf\xe9"):
        os.makedirs(os.path.join(root, name))
        shutil.copy(videos / "test/b/small.mkv", os.path.join(root, name, b"a.mkv"))
    opened = functools.partial(folder_splits, os.fsdecode(root))
    made = Job(opened, str(tmp_path / "o"), Encoding(short_side=16))
    assert prepare(made, quiet=True).written == 1
    (source,) = open_records(made.output).values()
    assert source.classes == ("caf\\xe9", "ok")
    assert source.info(0).id == "ok/a.mkv"


def test_other_limits_and_changed_files_are_another_preparation(
    videos: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    root = tmp_path / "v"
    shutil.copytree(videos / "test", root)
    opened = functools.partial(folder_splits, root)
    made = Job(opened, str(tmp_path / "o"), Encoding(short_side=16))
    prepare(made, quiet=True)
    for other in (
        dataclasses.replace(made, limits=Limits(pixels=10**6)),
        dataclasses.replace(made, timeout=5.0),
    ):
        with pytest.raises(UserError, match="changed since, or with other settings"):
            prepare(other, quiet=True)
    shutil.copy(videos / "train/b/one.mkv", root / "b/small.mkv")
    with pytest.raises(UserError, match="changed since, or with other settings"):
        prepare(made, quiet=True)


def test_a_damaged_receipt_is_made_anew(job: Make) -> None:
    made = job()
    prepare(made, quiet=True)
    before = checksums(made.output)
    receipt = sorted(pathlib.Path(made.output, "shards").glob("*.receipt"))[0]
    content = receipt.read_bytes()
    for damage in (b"{", b"[]", b"\xff", content[:-9], content.replace(b'"label":1', b'"label":9')):
        assert damage != content
        receipt.write_bytes(damage)
        prepare(made, quiet=True)
        assert checksums(made.output) == before


@pytest.mark.parametrize(
    "name", ["plan.json", "shards/X.receipt", "shards/X.array_record", "dataset_info.json"]
)
def test_a_folder_or_a_dangling_link_in_the_place_of_an_output(
    name: str, job: Make, videos: pathlib.Path
) -> None:
    made = job(root=videos / "test")
    prepare(made, quiet=True)
    before = checksums(made.output)
    path = pathlib.Path(made.output, name.replace("X", "all-00000-of-00001"))
    path.unlink()
    path.mkdir()
    with pytest.raises(
        UserError, match=re.escape(f"{path} cannot be read or written (Is a d")
    ) as e:
        prepare(made, quiet=True)
    assert "\n" not in str(e.value)
    path.rmdir()
    path.symlink_to("nowhere")  # as good as no file
    prepare(made, quiet=True)
    assert checksums(made.output) == before


def test_a_full_disk_is_one_line_and_the_rest_goes_on_from_there(job: Make) -> None:
    made = job(encoding=Encoding(short_side=0, jpeg_quality=100))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"shards/.* cannot be read or written \(.*too large"):
            prepare(made, quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(pathlib.Path(made.output, "shards").glob("*.tmp"))
    assert prepare(made, quiet=True).written == 4


def command(videos: pathlib.Path, output: pathlib.Path, *flags: str) -> list[str]:
    program = [sys.executable, "-m", "data_pipelines.prepare", "--workers=1", "--short_side=24"]
    return [*program, f"--input={videos}", f"--output={output}", "--videos_per_shard=1", *flags]


def test_the_command_and_a_kill(videos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(command(videos, killed), cwd=REPO, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(killed.glob("shards/*.receipt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "dataset_info.json").exists()
    first = {
        name: path for name, path in checksums(str(killed)).items() if name.endswith(".receipt")
    }
    run = functools.partial(subprocess.run, cwd=REPO, capture_output=True, text=True)
    again = run(command(videos, killed, "--max_bad_fraction=0.2"))
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("5 videos: 4 written, 1 bad; ")
    assert "5/5" in again.stderr
    assert first.items() <= checksums(str(killed)).items()
    straight = run(command(videos, whole, "--json"))
    assert straight.returncode == 1
    assert "1 of 5 videos cannot be read" in straight.stderr
    assert json.loads(straight.stdout)["written"] == 4
    assert checksums(str(killed)) == checksums(str(whole))


def test_bad_files_are_quarantined(real_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Of real files that break loaders, all are accounted for; the quickest are tried."""
    root = tmp_path / "nasty"
    root.mkdir()
    kinds = ("zero_or_garbage", "zero_frames", "encrypted", "rotated", "single_frame")
    paths = [p for kind in kinds for p in sorted((real_data / "nasty" / kind).iterdir())]
    for path in (p for p in paths if p.stat().st_size < 300_000):
        shutil.copy(path, root / f"{path.parent.name}_{path.name}")
    made = Job(functools.partial(folder_splits, root), str(tmp_path / "o"), Encoding(short_side=32))
    census = prepare(made, quiet=True)
    bad = [json.loads(line) for line in Storage(made.output).read("quarantine.jsonl").splitlines()]
    (source,) = open_records(made.output).values()
    ids = [source.info(i).id for i in range(len(source))] + [row["id"] for row in bad]
    assert sorted(ids) == sorted(path.name for path in root.iterdir())
    assert census.bad == len(bad) >= 5
    assert all(row["reason"] and "\n" not in row["reason"] for row in bad)
    for index in range(len(source)):
        with open_video(source.info(index).path) as original:
            size, times = original.size, original.times
        record = source.open(index)
        np.testing.assert_array_equal(record.times, times)
        assert (record.size[0] > record.size[1]) == (size[0] > size[1])  # upright


def test_records_are_what_the_schema_says(job: Make) -> None:
    """Read through grain and msgspec alone, as others would."""
    import grain

    made = job()
    prepare(made, quiet=True)
    shards = sorted(map(str, pathlib.Path(made.output, "shards").glob("*.array_record")))
    records = [msgspec.msgpack.decode(data) for data in grain.sources.ArrayRecordDataSource(shards)]
    assert [record["id"] for record in records] == [
        "test/b/small.mkv",
        "train/a/vary.mkv",
        "train/b/it's [odd] & 'quoted'?.mkv",
        "train/b/one.mkv",
    ]
    assert len(records[1]["jpegs"]) == len(records[1]["times"]) == 10
    assert records[1]["sound"]
