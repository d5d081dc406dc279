"""The commands of docs/evaluation.md, executed on a tiny run and tiny files."""

from __future__ import annotations

import ast
import csv
import importlib
import json
import pathlib
import re
import shlex

import numpy as np
import pytest

from cvrl_jax.downstream.evaluate import evaluate_checkpoint

REPO = pathlib.Path(__file__).resolve().parents[3]
TEXT = (REPO / "docs/evaluation.md").read_text()
# What makes them quick; a command's own fields come first.
SMALL = {
    "eval.batch_size": "8",
    "eval.clips": "1",
    "eval.train_clips": "1",
    "eval.linear.epochs": "1",
    "eval.linear.steps": "0",
    "eval.attentive.epochs": "1",
    "eval.few_shot.shots": "(1,)",
    "eval.few_shot.draws": "2",
    "eval.semi_supervised.shares": "(0.1,)",
    "eval.finetune.epochs": "1",
    "eval.finetune.batch_size": "8",
    "data.workers": "0",
}


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    assert all(line.startswith("python main.py --mode=eval ") for line in lines)
    return [re.sub(" +", " ", line) for line in lines]


def set_field(config, name, text):
    *sections, field = name.split(".")
    for section in sections:
        if section not in config:
            return
        config = config[section]
    if field not in config:
        return
    kind = config.get_type(field)
    config[field] = text if kind is str else kind(ast.literal_eval(text))


@pytest.fixture(scope="module")
def places(folder, tmp_path_factory):
    """What the commands call DIR and LIST.csv, and a tree for each standard dataset."""
    root = tmp_path_factory.mktemp("lists")
    paths = [(f"{kind}/{i}.mp4", kind, i) for kind in ("cats", "dogs") for i in range(1, 7)]
    with (root / "LIST.csv").open("w", newline="") as file:
        rows = [(path, kind, i % 4) for path, kind, i in paths]
        csv.writer(file).writerows([("path", "label", "fold"), *rows])
    for name in ("ucf", "hmdb", "k400"):
        (root / name).mkdir()
    (root / "ucf/classInd.txt").write_text("1 cats\n2 dogs\n")
    for split in (1, 2, 3):
        test = [entry for entry in paths if entry[2] % 3 == split - 1]
        train = [entry for entry in paths if entry not in test]
        for name, entries in (("train", train), ("test", test)):
            lines = [f"{path} {1 + (kind == 'dogs')}\n" for path, kind, _ in entries]
            (root / f"ucf/{name}list0{split}.txt").write_text("".join(lines))
        for wanted in ("cats", "dogs"):
            lines = [
                f"{pathlib.Path(path).name} {2 if (path, kind, i) in test else 1}\n"
                for path, kind, i in paths
                if kind == wanted
            ]
            (root / f"hmdb/{wanted}_test_split{split}.txt").write_text("".join(lines))
    for name, odd in (("train", 1), ("val", 0)):
        rows = [(i, 0, 1, kind) for _, kind, i in paths if kind == "cats" and i % 2 == odd]
        with (root / f"k400/{name}.csv").open("w", newline="") as file:
            columns = ("youtube_id", "time_start", "time_end", "label")
            csv.writer(file).writerows([columns, *rows])
    videos = str(folder)
    return {
        "DIR": videos,
        "LIST.csv": str(root / "LIST.csv"),
        "UCF-101": (videos, str(root / "ucf")),
        "hmdb51_org": (videos, str(root / "hmdb")),
        "JHMDB_video": (videos, str(root / "hmdb")),
        "K400": (str(folder / "cats"), str(root / "k400")),
    }


@pytest.mark.parametrize("command", commands())
def test_command(command, trained, places, tmp_path):
    flags = dict(word.lstrip("-").split("=", 1) for word in shlex.split(command)[2:])
    file, _, preset = flags["config"].partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    config = module.get_config(f"{preset}:tiny" if preset else "tiny")
    small = SMALL | ({"data.root": places["DIR"]} if "LIST" in command else {})
    for name, text in small.items():
        set_field(config, name, text)
    for flag, text in flags.items():
        if not flag.startswith("config."):
            continue
        place = places.get(text, text)
        if isinstance(place, tuple):
            place, lists = place
            set_field(config, "data.lists", lists)
        elif flag == "config.data.lists":
            continue
        text = str(trained.workdir) if text == "runs/cvrl" else place
        set_field(config, flag.removeprefix("config."), text)
    assert flags.get("checkpoint", flags["workdir"]) == "runs/cvrl"
    summary = evaluate_checkpoint(config, trained.workdir, tmp_path, command)
    json.dumps(summary, allow_nan=False)
    assert pathlib.Path(summary["written"]).exists()
    assert pathlib.Path(summary["report"]).exists()
    for protocol in summary["protocols"]:
        assert f"`{protocol}`" in TEXT or protocol in (
            "finetune",
            "semi_supervised_finetune",
            "cka",
        )
    measured = [v for v in summary.values() if isinstance(v, float)]
    assert measured
    assert np.isfinite(measured).all()
