"""Runs every protocol of docs/evaluation.md on real videos; prints tables of docs/results.md.

Command:
  python benchmarks/results_protocols.py --jhmdb=JHMDB/meta.csv --faces=AUDIO_VISUAL/meta.csv \
    --out=runs/protocols

Three networks of the preset :tiny: untrained, CVRL, and trained with labels, all of one
source-disjoint fold of JHMDB. Each protocol is a plain `main.py --mode=eval` of its config in
configs/eval/ on each of them, then the same checkpoints are asked for the spoken command and the
colour word of talking faces, from pixels alone. What is there already is not repeated.
"""

from __future__ import annotations

import argparse
import pathlib

import runs

NETWORKS = {
    # One step at rate zero: its checkpoint has the parameters as they were drawn.
    "untrained": (
        "cvrl_r3d50.py:tiny",
        (
            *("--config.steps=1", "--config.optimizer.learning_rate=0.0"),
            "--config.optimizer.warmup_steps=0",
        ),
    ),
    "CVRL": ("cvrl_r3d50.py:tiny", ()),
    # One clip per video, so twice the videos per step: as many clips seen.
    "with labels": (
        "supervised_r3d50.py:tiny",
        ("--config.data.frames=8", "--config.batch_size=64"),
    ),
}
VIEWS = ("--config.eval.clips=4", "--config.eval.crops=1", "--config.eval.train_clips=4")
# CVRL's linear evaluation at the size of the preset; these videos have room for few clips.
LINEAR = ("--config.eval.frames=8", "--config.eval.size=32", "--config.eval.clips=4")
SHORT = (
    *("--config.eval.finetune.epochs=15", "--config.eval.finetune.batch_size=64"),
    *(
        "--config.eval.finetune.base_learning_rate=0.012",
        "--config.eval.finetune.warmup_epochs=2.0",
    ),
)  # 0.003 at 64, the rate of the preset's own training
FEW = (*SHORT, "--config.eval.finetune.least_steps=60")
# Title -> config in configs/eval/, flags, and metrics by what the table calls them. Protocols that
# look at the same views share a run, which extracts the features once.
FROZEN = "--config.eval.protocols=('knn','attentive','clip_retrieval','few_shot')"
PROTOCOLS = {
    "frozen": (
        "knn.py",
        (*VIEWS, FROZEN),
        {"kNN, k = 20": "knn_top1", "kNN, k = 1": "knn1_top1", "attentive probe": "attentive_top1"}
        | {f"clip retrieval, R@{k}": f"clip_retrieval_r{k}" for k in (1, 5, 10, 20, 50)}
        | {f"few-shot, {k} a class": f"few_shot_{k}_top1" for k in (1, 5, 10)},
    ),
    "linear, L-BFGS": (
        "linear.py",
        (*LINEAR, "--config.eval.linear.solver=lbfgs"),
        {"linear, L-BFGS": "linear_top1", "linear, L-BFGS, top-5": "linear_top5"},
    ),
    "linear, CVRL's SGD": (
        "linear.py",
        LINEAR,
        {"linear, CVRL's SGD": "linear_top1", "linear, CVRL's SGD, top-5": "linear_top5"},
    ),
    "semi-supervised": (
        "semi_supervised.py:tiny",
        (*VIEWS, *FEW),
        {
            f"{percent} % of the labels, {how}": f"semi_supervised_{percent}pct{key}_top1"
            for percent in (1, 10)
            for how, key in (("linear", ""), ("fine-tuned", "_finetune"))
        },
    ),
    "fine-tuning": (
        "finetune.py:tiny",
        (*VIEWS, *SHORT),
        {"fine-tuning, 90 steps": "finetune_top1"},
    ),
}
CKA = {
    "stem": "cka_stem",
    "first block": "cka_stage0_block0",
    "second": "cka_stage1_block0",
    "third": "cka_stage2_block0",
    "fourth, the features": "cka",
}
WORDS = {"command": "command", "colour": "color"}  # what the table and the list call them
# One clip of 32 frames, every second one, is nearly the whole sentence.
FACES = (
    *("--config.eval.frames=32", "--config.data.stride=2.0", "--config.eval.linear.solver=lbfgs"),
    "--config.eval.protocols=('knn','linear','attentive','clip_retrieval','few_shot')",
)
ASKED = {
    "kNN, k = 20": "knn_top1",
    "linear, L-BFGS": "linear_top1",
    "attentive": "attentive_top1",
    "clip retrieval, R@1": "clip_retrieval_r1",
    "few-shot, 10 a class": "few_shot_10_top1",
}


def markdown(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """A table of text."""
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in (header, ("---",) * len(header), *rows)
    )


def on_actions(arguments: argparse.Namespace) -> str:
    """Every protocol on JHMDB; CKA between CVRL and the others."""
    for name, (config, flags) in NETWORKS.items():
        plain = runs.jhmdb_flags(arguments.jhmdb, arguments.fold, arguments.steps)
        plain += ["--config.eval.every=0", "--config.eval.at_start=False"]  # that comes below
        runs.train(arguments.out / name.replace(" ", "_"), config, [*plain, *flags])
    rows, chance = [], 0.0
    for title, (config, flags, metrics) in PROTOCOLS.items():
        found = [evaluate(arguments, name, title, config, flags) for name in NETWORKS]
        chance = found[0].get("chance", chance)
        for what, key in metrics.items():
            rows.append((what, *(f"{result[key]:.3f}" for result in found)))
    other = f"--config.eval.cka.other={arguments.out / 'CVRL'}"
    found = [evaluate(arguments, name, "CKA", "cka.py", (other,)) for name in NETWORKS]
    for layer, key in CKA.items():
        rows.append((f"linear CKA with CVRL, {layer}", *(f"{result[key]:.3f}" for result in found)))
    rows.append((f"majority {chance:.3f}", *("",) * len(NETWORKS)))
    return markdown(rows, ("protocol", *NETWORKS))


def evaluate(
    arguments: argparse.Namespace, network: str, title: str, config: str, flags: tuple[str, ...]
) -> dict:
    """One protocol on one network."""
    checkpoint = arguments.out / network.replace(" ", "_")
    place = f"{title}_of_{network}".replace(" ", "_").replace(",", "").replace("'", "")
    return runs.evaluate(checkpoint, f"eval/{config}", arguments.out / place, flags)


def on_faces(arguments: argparse.Namespace) -> str:
    """What networks that saw only films know of speech that is seen."""
    rows = []
    for word, column in WORDS.items():
        data = {"source": "csv", "manifest": arguments.faces, "label_column": column}
        flags = (
            *(f"--config.data.{field}={value}" for field, value in data.items()),
            *(*VIEWS, *FACES),
        )
        found = [evaluate(arguments, name, f"faces_{word}", "knn.py", flags) for name in NETWORKS]
        for what, key in ASKED.items():
            rows.append((f"{word}: {what}", *(f"{result[key]:.3f}" for result in found)))
        rows.append((f"{word}: majority {found[0]['chance']:.3f}", *("",) * len(NETWORKS)))
    return markdown(rows, ("word: protocol", *NETWORKS))


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jhmdb", required=True, help="its meta.csv")
    parser.add_argument("--faces", help="meta.csv of the talking faces")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--fold", type=int, default=0, help="of JHMDB, tested on")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/protocols"))
    arguments = parser.parse_args()
    print(on_actions(arguments))
    if arguments.faces:
        print(on_faces(arguments))


if __name__ == "__main__":
    main()
