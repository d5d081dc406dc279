"""k nearest neighbours on frozen features (Wu et al. 2018, arXiv 1805.01978): nothing is trained.

Command:   python main.py --mode=eval --config=configs/eval/knn.py --workdir=runs/cvrl
Presets:   :tiny   two views; seconds on 2 CPU cores for a run of the preset :tiny
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    return base.get_config("knn", "knn", preset=preset)
