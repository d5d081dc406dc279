"""What all evaluations of a finished run share.

Command:  not an evaluation of its own; see knn.py

The network is the run's. So is the data, where a field of `data` here is None; give
--config.data.source and what it needs to evaluate on other videos. `eval` is as in configs/base.py,
and has further sections for what starts from a checkpoint.
"""

from ml_collections import ConfigDict, config_dict

from configs import base
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

PRESETS = ("", "tiny")


def get_config(name: str, *protocols: str, preset: str = "") -> ConfigDict:
    """Returns the fields of an evaluation.

    Args:
      name: of its file.
      *protocols: what to run, see docs/evaluation.md.
      preset: "", or "tiny": few views and short training, for runs of the preset :tiny.

    Raises:
      UserError: unknown preset.
    """
    usual = base.get_config()
    config = ConfigDict()
    config.name = f"{name}:{preset}" if preset else name
    config.seed = config_dict.placeholder(int)  # None = the run's
    config.data = _as_in_the_run(usual.data)
    config.eval = evaluation = usual.eval
    evaluation.update(protocols=protocols, clips=10, crops=3, train_clips=10)
    evaluation.repeat = repeat = ConfigDict()
    repeat.field = ""  # a field, such as data.list_split, that takes each of these in turn;
    repeat.over = ()  # the metrics are then means, each with its standard deviation
    if preset == "tiny":
        evaluation.update(clips=2, crops=1, train_clips=2)
        evaluation.linear.update(batch_size=128)
    elif preset:
        raise UserError(
            f"unknown preset ':{preset}' of config eval/{name}; {nearest(preset, PRESETS[1:])}"
        )
    return config


def add_finetune(config: ConfigDict, preset: str) -> None:
    """Adds the section of fine-tuning: VideoMAE's recipe (arXiv 2203.12602, tables 9 and 10).

    CVRL's own settings of fine-tuning are in no released file.
    """
    config.eval.finetune = finetune = ConfigDict()
    finetune.epochs = 100  # passes over the training videos
    finetune.least_steps = 0  # no fewer updates than this, however few videos have labels
    finetune.batch_size = 128  # videos; as many as there are where there are fewer
    finetune.optimizer = "adamw"  # as config.optimizer.name
    finetune.base_learning_rate = 1e-3  # times batch size / 256
    finetune.weight_decay = 0.05
    finetune.warmup_epochs = 5.0
    finetune.layer_decay = 0.75  # learning rate of a layer = this times that of the one above it
    finetune.label_smoothing = 0.1
    finetune.dropout = 0.5  # of the feature, before the classifier
    finetune.mixup = 0.8  # alpha of Beta(alpha, alpha); 0 = none
    finetune.cutmix = 1.0  # likewise; with both, each example draws one of them
    finetune.augment = "linear"  # recipe, beside the random crop: linear (a flip) | vatt | ...
    if preset == "tiny":
        finetune.update(epochs=3, batch_size=32, warmup_epochs=0.5, layer_decay=0.9, mixup=0.0)
        finetune.update(cutmix=0.0, dropout=0.0)


def _as_in_the_run(section: ConfigDict) -> ConfigDict:
    """The fields of a section, of the same types and without values."""
    empty = ConfigDict()
    for name, value in section.items():
        if isinstance(value, ConfigDict):
            empty[name] = _as_in_the_run(value)
        else:
            empty[name] = config_dict.placeholder(section.get_type(name))
    return empty
