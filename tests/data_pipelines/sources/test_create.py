import pathlib
from collections import Counter

import numpy as np
import pytest
from ml_collections import ConfigDict

from data_pipelines.errors import UserError
from data_pipelines.sources import Sources, create_sources
from data_pipelines.sources.mixture import Mixture
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.video import Source


def create(seed: int = 0, unlabelled_test: bool = False, **fields: object) -> Sources:
    defaults = {
        "source": "folder",
        "root": "",
        "manifest": "",
        "label_column": "label",
        "split_column": "split",
        "caption_column": "caption",
        "captions": "",
        "test_split": "",
        "lists": "",
        "list_split": 1,
        "eval_fraction": 0.25,
        "train_share": 1.0,
        "stride": 2.0,
        "stride_unit": "frames",
        "train_videos": 0,
        "test_videos": 0,
        "max_missing_fraction": 0.05,
        "max_pixels": 10**6,
        "max_frames": 1000,
        "max_hours": 1.0,
        "follow_links": False,
        "max_seconds": 60.0,
        "trimmed": False,
        "dataset": "",
        "video_column": "video",
        "fps": 25.0,
        "parts": {},
        "constant_colour": False,
        "sound_noise": 0.0,
        "caption_noise": 0.0,
        "misalignment": 0.0,
    }
    assert fields.keys() <= defaults.keys()
    return create_sources(ConfigDict(defaults | fields), seed, unlabelled_test)


def ids(source: Source | None) -> list[str]:
    assert source is not None
    return [source.info(index).id for index in range(len(source))]


def touch(root: pathlib.Path, *names: str) -> str:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return str(root)


def manifest(root: pathlib.Path, *lines: str) -> str:
    touch(root, *(line.split(",")[0] for line in lines[1:]))
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return str(root / "list.csv")


@pytest.fixture
def classes(tmp_path: pathlib.Path) -> str:
    return touch(tmp_path, *(f"{c}/{i}.mp4" for c in ("run", "sit") for i in range(8)))


def test_moving_shapes_are_made() -> None:
    sources = create(source="moving_shapes", seed=7, train_videos=5)
    assert sources.train == MovingShapes(videos=5, seed=7, split="train")
    assert sources.test == MovingShapes(videos=512, seed=7, split="test")
    assert len(create(source="moving_shapes").train) == 1024


def test_class_folders_are_held_out_by_class(classes: str) -> None:
    sources = create(root=classes)
    assert sources.test is not None
    assert sources.train.classes == sources.test.classes == ("run", "sit")
    assert Counter(name.split("/")[0] for name in ids(sources.test)) == {"run": 2, "sit": 2}
    assert sorted(ids(sources.train) + ids(sources.test)) == sorted(
        f"{c}/{i}.mp4" for c in ("run", "sit") for i in range(8)
    )
    assert ids(create(root=classes).test) == ids(sources.test)
    assert sources.no_test_because == ""


def test_nothing_is_held_out(classes: str) -> None:
    sources = create(root=classes, eval_fraction=0)
    assert (len(sources.train), sources.test) == (16, None)
    assert "eval_fraction is 0" in sources.no_test_because


def test_an_unlabelled_folder(tmp_path: pathlib.Path) -> None:
    sources = create(root=touch(tmp_path, "a.mp4", "b.mp4"))
    assert (len(sources.train), sources.test) == (2, None)
    assert "have no labels" in sources.no_test_because
    sources = create(root=touch(tmp_path / "splits", "train/a.mp4", "test/b.mp4", "test/c.mp4"))
    assert (ids(sources.train), sources.test) == (["train/a.mp4"], None)
    assert "have no labels" in sources.no_test_because


def test_a_test_without_labels_where_it_is_of_use(tmp_path: pathlib.Path) -> None:
    split = touch(tmp_path / "splits", "train/a.mp4", "test/b.mp4", "test/c.mp4")
    sources = create(root=split, unlabelled_test=True)
    assert ids(sources.test) == ["test/b.mp4", "test/c.mp4"]
    flat = touch(tmp_path / "flat", *(f"{i}.mp4" for i in range(8)))
    sources = create(root=flat, unlabelled_test=True)
    assert (len(sources.train), len(ids(sources.test))) == (6, 2)
    assert sorted(ids(sources.train) + ids(sources.test)) == [f"{i}.mp4" for i in range(8)]
    with pytest.raises(UserError, match="there are not two files"):
        create(root=touch(tmp_path / "one", "a.mp4"), unlabelled_test=True)


def test_train_and_test_folders(tmp_path: pathlib.Path) -> None:
    sources = create(root=touch(tmp_path, "train/run/a.mp4", "train/sit/b.mp4", "val/sit/c.mp4"))
    assert ids(sources.train) == ["train/run/a.mp4", "train/sit/b.mp4"]
    assert ids(sources.test) == ["val/sit/c.mp4"]


def test_real_videos_open(tmp_path: pathlib.Path, make_video) -> None:
    for name in ("run/a.mp4", "run/b.mp4"):
        make_video(tmp_path / name)
    sources = create(root=str(tmp_path))
    assert sources.test is not None
    for source in (sources.train, sources.test):
        video = source.open(0)
        assert len(video.times) == 20
        assert video.frames([19])[0].shape == (48, 64, 3)
        video.close()


def test_a_manifest_with_splits(tmp_path: pathlib.Path) -> None:
    path = manifest(
        tmp_path, "path,label,split", "a.mp4,x,train", "b.mp4,y,val", "c.mp4,y,test", "d.mp4,x,test"
    )
    sources = create(source="csv", manifest=path)
    assert (ids(sources.train), ids(sources.test)) == (["a.mp4"], ["c.mp4", "d.mp4"])
    sources = create(source="csv", manifest=path, test_split="val")
    assert (ids(sources.train), ids(sources.test)) == (["a.mp4"], ["b.mp4"])


def test_a_manifest_with_folds(tmp_path: pathlib.Path) -> None:
    rows = [f"v{i}.mp4,{'xy'[i % 2]},{i % 3}" for i in range(6)]
    path = manifest(tmp_path / "csv", "path,label,fold", *rows)
    sources = create(source="csv", manifest=path, split_column="fold", test_split="0")
    assert ids(sources.train) == ["v1.mp4", "v4.mp4", "v2.mp4", "v5.mp4"]
    assert ids(sources.test) == ["v0.mp4", "v3.mp4"]
    assert [sources.train.info(i).label for i in range(4)] == [1, 0, 0, 1]
    with pytest.raises(
        UserError, match=r"config.data.test_split='3' is none of the splits .* known: 0, 1, 2"
    ):
        create(source="csv", manifest=path, split_column="fold", test_split="3")


def test_a_manifest_without_a_usable_split(tmp_path: pathlib.Path) -> None:
    rows = ["a.mp4,x", "b.mp4,x", "c.mp4,y", "d.mp4,y"]
    path = manifest(tmp_path, "path,label", *rows)
    assert len(create(source="csv", manifest=path).train) == 2
    path = manifest(tmp_path, "path,label,split", *(f"{row},train" for row in rows))
    assert len(create(source="csv", manifest=path).train) == 2
    path = manifest(tmp_path, "path,label,split", *(f"{row},test" for row in rows))
    with pytest.raises(UserError, match=r"all videos are in split 'test', .* none is left to tr"):
        create(source="csv", manifest=path)
    path = manifest(tmp_path, "path,label,split", *(f"{row},tests" for row in rows))
    with pytest.raises(UserError, match=r"test_split='test' is none .* did you mean 'tests'"):
        create(source="csv", manifest=path)
    path = manifest(tmp_path / "unlabelled", "path", "a.mp4", "b.mp4")
    assert create(source="csv", manifest=path).test is None


def test_the_official_lists(tmp_path: pathlib.Path) -> None:
    (tmp_path / "classInd.txt").write_text("1 Run\n2 Sit\n")
    (tmp_path / "trainlist02.txt").write_text("Run/a.avi 1\nSit/b.avi 2\n")
    (tmp_path / "testlist02.txt").write_text("Sit/c.avi\n")
    (tmp_path / "run_test_split2.txt").write_text("a.avi 1\nd.avi 0\n")
    (tmp_path / "sit_test_split2.txt").write_text("b.avi 1 \nc.avi 2 \n")
    for name, run, sit in (("ucf101", "Run", "Sit"), ("hmdb51", "run", "sit")):
        root = touch(tmp_path / name, f"{run}/a.avi", f"{sit}/b.avi", f"{sit}/c.avi")
        sources = create(source=name, root=root, lists=str(tmp_path), list_split=2)
        assert ids(sources.train) == [f"{run}/a.avi", f"{sit}/b.avi"]
        assert ids(sources.test) == [f"{sit}/c.avi"]
        assert sources.train.classes == (run, sit)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "folders"}, "unknown config.data.source 'folders'; did you mean 'folder'"),
        ({"source": "folder"}, "config.data.source=folder needs --config.data.root=DIR"),
        ({"source": "csv"}, "csv needs --config.data.manifest=FILE.csv"),
        ({"source": "ucf101"}, "ucf101 needs --config.data.root"),
        ({"source": "jsonl"}, "jsonl needs --config.data.manifest=FILE.jsonl"),
        (
            {"source": "ucf101", "root": "ROOT"},
            "ucf101 found: looked for classInd.txt in ",
        ),
        ({"source": "hmdb51", "root": "ROOT"}, "hmdb51 found: looked for .*_test_split1.txt in "),
        ({"source": "jhmdb", "root": "ROOT", "list_split": 2}, "looked for .*_test_split2.txt in"),
        ({"source": "kinetics", "root": "ROOT"}, "kinetics found: looked for .*train.csv .* in "),
        (
            {"source": "ssv2", "root": "ROOT"},
            "ssv2 found: looked for something-something-v2-la",
        ),
        ({"source": "ssv2", "root": "ROOT", "lists": "/absent"}, "/absent does not exist"),
        ({"source": "tfds"}, "tfds needs --config.data.dataset=NAME"),
        ({"source": "folder", "root": "/absent/folder"}, "/absent/folder does not exist"),
    ],
)
def test_what_is_missing_is_named(tmp_path: pathlib.Path, fields: dict, message: str) -> None:
    if fields.get("root") == "ROOT":
        fields = fields | {"root": touch(tmp_path / "ROOT", "a.mp4")}
    with pytest.raises(UserError, match=message):
        create(**fields)


def test_subsets_are_the_first_of_a_fixed_shuffle(classes: str) -> None:
    whole = create(root=classes)
    some = create(root=classes, train_videos=6, test_videos=3)
    assert (len(some.train), len(ids(some.test))) == (6, 3)
    assert ids(create(root=classes, train_videos=6).train) == ids(some.train)
    assert set(ids(create(root=classes, train_videos=4).train)) < set(ids(some.train))
    order = [ids(whole.train).index(name) for name in ids(some.train)]
    assert order == sorted(order) != list(range(6))
    assert set(ids(some.test)) < set(ids(whole.test))
    assert ids(create(root=classes, train_videos=99).train) == ids(whole.train)
    assert len({tuple(ids(create(seed, root=classes, eval_fraction=0, train_videos=6).train))
                for seed in range(4)}) == 4  # fmt: skip
    assert np.all([some.train.info(i).label in (0, 1) for i in range(6)])


def test_a_share_of_each_class_is_trained_on(classes):
    whole, half = create(root=classes).train, create(root=classes, train_share=0.5).train
    labels = [[s.info(i).label for i in range(len(s))] for s in (whole, half)]
    for label in set(labels[0]):
        assert labels[1].count(label) == max(1, round(0.5 * labels[0].count(label)))
    assert set(ids(half)) < set(ids(whole))
    assert ids(half) == ids(create(root=classes, train_share=0.5).train)
    assert ids(create(root=classes, train_share=0.5).test) == ids(create(root=classes).test)


def test_missing_videos_are_left_out_below_the_limit(tmp_path: pathlib.Path, caplog) -> None:
    rows = [f"v{i}.mp4,{'xy'[i % 2]},{'test' if i < 10 else 'train'}" for i in range(30)]
    path = manifest(tmp_path, "path,label,split", *rows)
    (tmp_path / "v20.mp4").unlink()
    sources = create(source="csv", manifest=path)
    assert (len(sources.train), len(sources.test or ())) == (19, 10)
    assert sources.train.missing == ((f"{tmp_path}/v20.mp4", "list.csv line 22"),)
    assert "1 of 20 listed videos do not exist" in caplog.text
    (tmp_path / "v3.mp4").unlink()
    with pytest.raises(UserError, match=r"list/test: 1 of 10 .* data.max_missing_fraction = 0.05"):
        create(source="csv", manifest=path)
    sources = create(source="csv", manifest=path, max_missing_fraction=0.1, train_videos=5)
    assert (len(sources.train), len(sources.train.missing)) == (5, 1)


def test_a_list_whose_videos_are_all_elsewhere(tmp_path: pathlib.Path) -> None:
    path = manifest(tmp_path / "a", "path,label", "a.mp4,x", "b.mp4,x")
    with pytest.raises(UserError, match="2 of 2 listed videos do not exist"):
        create(source="csv", manifest=path, root=touch(tmp_path / "b", "c.mp4"))


def test_json_lines(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "l.jsonl").write_text(
        '{"path": "a.mp4", "label": "x", "fold": 1}\n{"path": "b.mp4", "label": "x", "fold": 2}\n'
    )
    sources = create(
        source="jsonl", manifest=str(tmp_path / "l.jsonl"), split_column="fold", test_split="2"
    )
    assert (ids(sources.train), ids(sources.test)) == (["a.mp4"], ["b.mp4"])


def test_official_lists_beside_the_videos(tmp_path: pathlib.Path) -> None:
    lists = tmp_path / "ucfTrainTestlist"
    touch(lists, "classInd.txt")
    (lists / "classInd.txt").write_text("1 Run\n")
    (lists / "trainlist01.txt").write_text("Run/a.avi 1\n")
    (lists / "testlist01.txt").write_text("Run/b.avi\n")
    root = touch(tmp_path / "UCF-101", "Run/a.avi", "Run/b.avi")
    for place in (root, str(tmp_path)):
        sources = create(source="ucf101", root=place)
        assert [name.rpartition("/")[2] for name in ids(sources.train)] == ["a.avi"]
        assert [name.rpartition("/")[2] for name in ids(sources.test)] == ["b.avi"]


def test_kinetics_and_ssv2_are_tested_on_val(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "kinetics"
    touch(root, "a.mp4", "b.mp4", "c.mp4")
    for split, name in (("train", "a"), ("validate", "b")):
        (root / f"{split}.csv").write_text(
            f"label,youtube_id,time_start,time_end\nyoga,{name},0,10\n"
        )
    (root / "test.csv").write_text("youtube_id,time_start,time_end\nc,0,10\nmissing,0,10\n")
    sources = create(source="kinetics", root=str(root), trimmed=True)
    assert (ids(sources.train), ids(sources.test)) == (["a.mp4"], ["b.mp4"])
    sources = create(source="kinetics", root=str(root), test_split="test")
    assert (ids(sources.train), sources.test) == (["a.mp4#0-10"], None)
    assert sources.no_test_because == "the videos of kinetics/test have no labels"
    touch(tmp_path / "ssv2", "1.webm", "2.webm")
    for name, text in (
        ("labels", '{"Closing something": "0"}'),
        ("train", '[{"id": "1", "template": "Closing [something]"}]'),
        ("validation", '[{"id": "2", "template": "Closing [something]"}]'),
    ):
        (tmp_path / "ssv2" / f"{name}.json").write_text(text)
    sources = create(source="ssv2", root=str(tmp_path / "ssv2"))
    assert (ids(sources.train), ids(sources.test)) == (["1.webm"], ["2.webm"])


def test_a_mixture_of_parts(tmp_path: pathlib.Path) -> None:
    a = touch(tmp_path / "a", "train/run/1.mp4", "train/sit/2.mp4", "test/sit/3.mp4")
    b = touch(tmp_path / "b", "4.mp4", "5.mp4")
    parts = {
        "a": {"weight": 3, "source": "folder", "root": a},
        "b": {"weight": 0.5, "source": "folder", "root": b},
        "c": {"weight": 1.0, "source": "moving_shapes", "train_videos": 4, "test_videos": 2},
    }
    sources = create(source="mixture", parts=parts)
    assert isinstance(sources.train, Mixture)
    assert sources.train.parts == ((0, 2, 3.0), (2, 4, 0.5), (4, 8, 1.0))
    assert ids(sources.train)[:4] == [
        "a/train/run/1.mp4",
        "a/train/sit/2.mp4",
        "b/4.mp4",
        "b/5.mp4",
    ]
    assert sources.test is not None
    assert ids(sources.test) == ["a/test/sit/3.mp4", "c/test/000000", "c/test/000001"]
    assert sources.train.classes == sources.test.classes
    names = [sources.test.classes[sources.test.info(i).label] for i in range(3)]
    assert names == ["sit", *MovingShapes(2, 0).classes[:2]]
    del parts["a"], parts["c"]
    sources = create(source="mixture", parts=parts)
    assert (len(sources.train), sources.test) == (2, None)
    assert sources.no_test_because == "b: the videos of b have no labels"


def test_a_collection_with_folds_is_no_part_of_a_mixture(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "audio/1.wav", "meta/esc50.csv")
    (tmp_path / "meta/esc50.csv").write_text("filename,fold,target,category\n1.wav,1,0,dog\n")
    part = {"weight": 1.0, "source": "esc50", "root": str(tmp_path)}
    with pytest.raises(UserError, match=r"parts\.x: esc50 has folds"):
        create(source="mixture", parts={"x": part})


def test_sources_with_sound_and_sentences(tmp_path: pathlib.Path) -> None:
    root = touch(tmp_path / "audioset", "a_30_40.mp4", "b_0_10.mp4")
    for name, row in (("balanced_train", "a, 30, 40"), ("eval", "b, 0, 10")):
        path = pathlib.Path(root, f"{name}_segments.csv")
        path.write_text(f'{row}, "/m/1,/m/2"\n')
    sources = create(source="audioset", root=root)
    assert (ids(sources.train), ids(sources.test)) == (["a_30_40.mp4"], ["b_0_10.mp4"])
    assert sources.train.info(0).labels == (0, 1)

    root = touch(tmp_path / "youcook2", "c.mp4", "d.mp4")
    pathlib.Path(root, "youcookii_annotations_trainval.json").write_text(
        '{"database": {"c": {"subset": "training", "annotations": [{"segment": [0, 1]}]}, '
        '"d": {"subset": "validation", "annotations": [{"segment": [0, 1], "sentence": "x"}]}}}'
    )
    sources = create(0, True, source="youcook2", root=root)
    assert (ids(sources.train), ids(sources.test)) == (["c.mp4#0-1"], ["d.mp4#0-1"])
    assert create(source="youcook2", root=root).test is None  # nothing to classify there

    root = touch(tmp_path / "msrvtt", "video0.mp4", "video1.mp4")
    pathlib.Path(root, "MSRVTT_train.7k.csv").write_text("video_id\nvideo0\n")
    pathlib.Path(root, "MSRVTT_JSFUSION_test.csv").write_text("video_id,sentence\nvideo1,x\n")
    sources = create(0, True, source="msrvtt", root=root, list_split=2)
    assert (ids(sources.train), ids(sources.test)) == (["video0.mp4"], ["video1.mp4"])

    root = touch(tmp_path / "howto100m", *(f"{n}.mp4" for n in "efgh"))
    pathlib.Path(root, "HowTo100M_v1.csv").write_text("video_id\ne\nf\ng\nh\n")
    said = tmp_path / "said"
    touch(said, "e.csv")
    (said / "e.csv").write_text("text\nspoken\n")
    howto100m = {"source": "howto100m", "root": root, "captions": str(said)}
    assert len(create(0, False, **howto100m).train) == 4
    sources = create(0, True, **howto100m)
    assert len(sources.train) == 3
    assert len(ids(sources.test)) == 1
    infos = [s.info(i) for s in (sources.train, sources.test) if s for i in range(len(s))]
    assert [info.id for info in infos if info.captions] == ["e.mp4"]


def test_sentences_of_one_s_own_column(tmp_path: pathlib.Path) -> None:
    path = manifest(tmp_path, "path,said", "a.mp4,hello")
    sources = create(source="csv", manifest=path, caption_column="said", eval_fraction=0.0)
    assert sources.train.info(0).captions[0].text == "hello"


def test_noise_is_for_the_training_of_moving_shapes_alone() -> None:
    noise = {"sound_noise": 0.1, "caption_noise": 0.2, "misalignment": 0.3}
    sources = create(source="moving_shapes", constant_colour=True, train_videos=4, **noise)
    assert sources.train == MovingShapes(4, 0, constant_colour=True, **noise)
    assert sources.test == MovingShapes(512, 0, "test", constant_colour=True)
