"""Few-shot classification: 1, 5 and 10 labelled videos of each class, mean and spread of 5 draws.

Command:   python main.py --mode=eval --config=configs/eval/few_shot.py --workdir=runs/cvrl
Presets:   :tiny   two views; seconds on 2 CPU cores for a run of the preset :tiny

Logistic regression on frozen, L2-normalised features, brought to its optimum by L-BFGS.
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    return base.get_config("few_shot", "few_shot", preset=preset)
