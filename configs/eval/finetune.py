"""Full fine-tuning with labels, and a test on 10 clips x 3 crops.

Command:   python main.py --mode=eval --config=configs/eval/finetune.py --workdir=runs/cvrl
Hardware:  as the run's own training; times and metrics at full size: not run here
Presets:   :tiny   three epochs; about a minute on 2 CPU cores for a run of the preset :tiny

Layer-wise learning rates, label smoothing, mixup and CutMix, dropout; VideoMAE's recipe
(arXiv 2203.12602, tables 9 and 10). A run of its own in WORKDIR/finetune, with report and
checkpoints: the same command goes on where it was stopped.
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    config = base.get_config("finetune", "finetune", preset=preset)
    base.add_finetune(config, preset)
    return config
