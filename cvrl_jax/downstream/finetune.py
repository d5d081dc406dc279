"""Fine-tuning of a finished run: a training run of the method `supervised` that starts from it."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict

from cvrl_jax.downstream.frozen import Opened
from cvrl_jax.downstream.results_table import file_name
from cvrl_jax.evaluation.few_labels import semi_supervised_name
from cvrl_jax.train import train
from cvrl_jax.workdir import Workdir
from data_pipelines.bad_examples import read_bad_examples
from data_pipelines.errors import UserError
from data_pipelines.sources import Sources
from data_pipelines.sources.subset import keep_share

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a protocol that starts from a checkpoint found.

    Attributes:
      metrics: scalars by name.
      left_out: videos that could not be read: path and reason.
      files: what it left behind, by name, for the result.
    """

    metrics: dict[str, float]
    left_out: list[dict[str, str]] = dataclasses.field(default_factory=list)
    files: dict[str, Any] = dataclasses.field(default_factory=dict)


def finetune(
    name: str, opened: Opened, sources: Sources, workdir: pathlib.Path, overwrite: bool
) -> Judged:
    """Fine-tunes on all training videos and tests the classifier on all views of test videos.

    The run is in `workdir`/finetune; the same request goes on with it, or finds it finished.

    Args:
      name: of the protocol.
      opened: what it starts from, and the recipe.
      sources: the videos.
      workdir: see above.
      overwrite: delete a run of another recipe there.

    Returns:
      <name>_top1, _top5, _ece; of several labels per video <name>_map, _auc and _dprime.

    Raises:
      UserError: the data has folds in place of training videos.
    """
    share, folder = opened.config.data.train_share, workdir / "finetune"
    return _fine_tuned(name, opened, sources, len(sources.train), share, folder, overwrite)


def semi_supervised_finetune(
    name: str, opened: Opened, sources: Sources, workdir: pathlib.Path, overwrite: bool
) -> Judged:
    """Fine-tunes on each of `eval.semi_supervised.shares` of the labels.

    The videos are those of the protocol `semi_supervised`; their ids are in
    `workdir`/labelled_<percent>pct.txt. Otherwise as `finetune`.

    Returns:
      semi_supervised_<percent>pct_finetune_top1 and so on.
    """
    if opened.config.data.train_share != 1:
        raise UserError(
            "config.data.train_share: leave it at 1; config.eval.semi_supervised has it"
        )
    metrics, files = {}, {}
    left_out: list[dict[str, str]] = []
    prefix = name.removesuffix("_finetune")
    for share in opened.config.eval.semi_supervised.shares:
        title = semi_supervised_name(prefix, share)
        percent = title.removeprefix(f"{prefix}_")
        labelled = keep_share(sources.train, share, opened.config.seed)
        listing = workdir / f"labelled_{percent}.txt"
        listing.parent.mkdir(parents=True, exist_ok=True)
        ids = [labelled.info(index).id for index in range(len(labelled))]
        listing.write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
        folder = workdir / f"finetune_{percent}"
        what = f"{title}_finetune", opened, sources, len(labelled), share, folder, overwrite
        found = _fine_tuned(*what)
        metrics |= found.metrics
        left_out += found.left_out
        files |= {f"{key}_{percent}": value for key, value in found.files.items()}
        files[f"labelled_{percent}"] = str(listing)
    return Judged(metrics, left_out, files)


def _fine_tuned(
    name: str,
    opened: Opened,
    sources: Sources,
    videos: int,
    share: float,
    workdir: pathlib.Path,
    overwrite: bool,
) -> Judged:
    if sources.folds is not None:
        raise UserError(
            f"{sources.train.name} has folds and no training videos of its own; fine-tuning on it "
            "would train on what it tests: give a list with a split, see docs/data.md"
        )
    config = finetune_config(opened.config, opened.path, videos)
    config.data.train_share = share
    config.name = file_name(name)
    summary = train(config, workdir, overwrite=overwrite)
    last = Workdir(workdir).read_metrics()[-1]
    found = {
        f"{name}_{metric.removeprefix('classifier_')}": value
        for metric, value in last.items()
        if metric.startswith("classifier_") and value is not None
    }
    if not found:
        raise UserError(
            f"{workdir}: the last evaluation of the fine-tuned run measured nothing; see its log"
        )
    bad = read_bad_examples(Workdir(workdir).bad_examples)
    left_out = [{"path": row["path"], "reason": row["reason"]} for row in bad]
    return Judged(found, left_out, {"finetune_report": summary["report"]})


def finetune_config(config: ConfigDict, checkpoint: pathlib.Path, videos: int) -> ConfigDict:
    """The experiment that fine-tunes a checkpoint, from the config of its evaluation.

    Args:
      config: of the evaluation; its section `eval.finetune` says how.
      checkpoint: whose tower it starts from.
      videos: to be trained on.

    Raises:
      UserError: there are fewer videos than devices, or no section `eval.finetune`.
    """
    if "finetune" not in config.eval:
        raise UserError(
            "fine-tuning needs the section eval.finetune: use --config=configs/eval/finetune.py"
        )
    settings, devices = config.eval.finetune, jax.device_count()
    batch_size = min(settings.batch_size, videos) // devices * devices
    if not batch_size:
        raise UserError(f"{videos} videos cannot be fine-tuned on by {devices} devices: too few")
    per_epoch = max(1, videos // batch_size)
    steps = max(settings.epochs * per_epoch, settings.least_steps)
    tuned = config.copy_and_resolve_references()
    with tuned.unlocked():
        tuned.update(batch_size=batch_size, steps=steps, init_from=str(checkpoint))
        tuned.data.frames = config.eval.frames or config.data.frames
        if "name" not in config.model:  # of several modalities
            tuned.model = config.model.video
        if "drop_token" in tuned.model:
            tuned.model.drop_token = 0.0
        tuned.method = ConfigDict(
            {"name": "supervised"}
            | {
                field: float(settings[field])
                for field in ("label_smoothing", "dropout", "mixup", "cutmix")
            }
        )
        tuned.augment.update(recipe=settings.augment, per_frame=False)
        tuned.optimizer.update(
            name=settings.optimizer,
            learning_rate=settings.base_learning_rate * batch_size / 256,
            weight_decay=settings.weight_decay,
            warmup_steps=min(int(settings.warmup_epochs * per_epoch), steps - 1),
            layer_decay=settings.layer_decay,
            clip_norm=0.0,
            schedule="cosine",
        )
        tuned.eval.update(protocols=(), every=0, at_start=False)
        tuned.checkpoint.update(every=max(1, min(1_000, steps // 4)), keep=1, keep_best=False)
        tuned.log.every = max(1, min(tuned.log.every, steps // 20))
        del tuned.eval["finetune"]
    return tuned
