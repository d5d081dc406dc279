"""What `--mode=embed` loses: clips per second of it, of its decoding alone, of its network alone.

Command:
  python benchmarks/embed.py --workdir=RUN --json OUT.json

RUN is a finished run on a list of videos (`data.source=csv`); they are embedded `--repeat` times
over, as one collection, with the run's views. By turns: the decoding of the same views with nothing
behind it, the network on a batch that lies in memory, and the whole. Start and compiling, up to the
first batch, do not count.

Results: `idle`, the share of the time between the first and the last batch that the device has
nothing to do, and `of_it_between_parts`, what writing the table takes of that; `embed_vs_slower`,
the whole over the slower of the two alone, 1 where they run side by side; on a CPU, where both want
the same cores, `embed_vs_shared`, over 1 / (1 / decoding + 1 / network), is what can reach 1.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import pathlib
import tempfile
import time
from unittest import mock

import numpy as np
from side_by_side import about, pin
from tables import print_table

FORWARDS = 8  # batches of the network alone


def repeated(manifest: pathlib.Path, times: int, target: pathlib.Path) -> None:
    """Lists the same videos several times over, without classes and splits."""
    with manifest.open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    # A file may be listed again only as another segment: a millisecond shorter each time.
    rows = [(path, f"{turn / 1000}") for turn in range(times) for path in paths]
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "start"), *rows])


def decoding(opened, source, size: int) -> tuple[float, dict[str, np.ndarray]]:
    """(videos per second, a batch) of what embedding reads."""
    from cvrl_jax.evaluation.specs import evaluation_spec
    from data_pipelines.loading import worker_count
    from data_pipelines.pipeline import evaluation_batches

    config = opened.config
    spec = evaluation_spec(config, config.eval.clips, config.eval.crops, opened.network.inputs)
    batches = evaluation_batches(source, spec, batch_size=size, workers=worker_count(config.data))
    first = next(iter(batches))
    began = time.perf_counter()
    count = sum(int(np.sum(batch["index"] >= 0)) for batch in batches)
    return count / (time.perf_counter() - began), first


def network_alone(opened, batch: dict[str, np.ndarray]) -> float:
    """Videos per second of a batch that lies in memory."""
    opened.network.embed(batch)
    began = time.perf_counter()
    for _ in range(FORWARDS):
        opened.network.embed(batch)
    return FORWARDS * len(batch["index"]) / (time.perf_counter() - began)


def whole(opened, asked, size: int) -> dict[str, float]:
    """Embeds the collection; when the network works and when it does not."""
    from cvrl_jax.downstream import embed

    spans: list[tuple[float, float]] = []

    def watched(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        began = time.perf_counter()
        outputs = opened.network.embed(batch)
        spans.append((began, time.perf_counter()))
        return outputs

    seen = dataclasses.replace(opened, network=dataclasses.replace(opened.network, embed=watched))
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(embed, "open_checkpoint", return_value=seen),
    ):
        embed.embed_checkpoint(asked, opened.path, pathlib.Path(folder))
    starts, ends = np.array(spans).T
    gaps, total = starts[1:] - ends[:-1], ends[-1] - ends[0]
    last_of_part = np.arange(1, len(starts)) % embed._BATCHES == 0
    return {
        "videos_per_s": size * len(gaps) / total,
        "idle": gaps.sum() / total,
        "of_it_between_parts": gaps[last_of_part].sum() / total,
    }


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """All three by turns, medians over the rounds."""
    from cvrl_jax.downstream.frozen import config_of, open_checkpoint
    from cvrl_jax.evaluation.suite import sources_of

    asked = config_of(arguments.workdir)
    with tempfile.TemporaryDirectory() as folder:
        listed = pathlib.Path(folder) / "videos.csv"
        manifest = pathlib.Path(asked.data.manifest)
        repeated(manifest, arguments.repeat, listed)
        asked.data.root = asked.data.root or str(manifest.resolve().parent)
        asked.data.update(manifest=str(listed), label_column="label", split_column="split")
        asked.data.test_split = ""
        asked.eval.update(frames=arguments.frames, size=arguments.size)
        opened = open_checkpoint(asked, arguments.workdir)
        evaluation, source = opened.config.eval, sources_of(opened.config).train
        views = evaluation.clips * evaluation.crops
        size = max(1, evaluation.batch_size // views)
        rounds = []
        for _ in range(arguments.rounds):
            decoded, batch = decoding(opened, source, size)
            bare = network_alone(opened, batch)
            found = whole(opened, asked, size)
            every = found.pop("videos_per_s")
            rounds.append(
                {
                    "decoding": views * decoded,
                    "network": views * bare,
                    "embed": views * every,
                    **found,
                    "embed_vs_slower": every / min(decoded, bare),
                    "embed_vs_shared": every * (1 / decoded + 1 / bare),
                }
            )
    video = batch["video"].shape
    medians = {key: float(np.median([row[key] for row in rounds])) for key in rounds[0]}
    return {
        **about("av"),
        "videos": len(source),
        "clip": "x".join(map(str, video[2:5])),
        "views": views,
        "videos_a_batch": size,
        **medians,
        "rounds": rounds,
    }


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="a finished run")
    parser.add_argument("--repeat", type=int, default=4, help="times that each video is embedded")
    parser.add_argument("--frames", type=int, default=0, help="of a clip; 0 = the run's")
    parser.add_argument("--size", type=int, default=0, help="of a frame; 0 = the run's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    arguments = parser.parse_args()
    pin()
    figures = measure(arguments)
    print_table([(k, v) for k, v in figures.items() if k != "rounds"], ["", "median"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
