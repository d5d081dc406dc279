"""Semi-supervised learning: 1 % and 10 % of the labels, as a linear probe and by fine-tuning.

Command:   python main.py --mode=eval --config=configs/eval/semi_supervised.py --workdir=runs/cvrl
Presets:   :tiny   short fine-tuning; about a minute on 2 CPU cores for a run of the preset :tiny

Which videos have labels is fixed by the seed: a share of each class, at least one video; the 1 %
are among the 10 %. They are listed in labelled_1pct.txt and so on, beside the result.
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    protocols = ("semi_supervised", "semi_supervised_finetune")
    config = base.get_config("semi_supervised", *protocols, preset=preset)
    base.add_finetune(config, preset)
    config.eval.linear.solver = "lbfgs"
    if not preset:
        config.eval.finetune.least_steps = 1_000
    return config
