"""Linear CKA (Kornblith et al. 2019, arXiv 1905.00414) between two checkpoints, layer by layer.

Command:   python main.py --mode=eval --config=configs/eval/cka.py --workdir=runs/cvrl \
             --config.eval.cka.other=runs/supervised
Presets:   :tiny   one clip of 256 videos; seconds on 2 CPU cores for a run of the preset :tiny

`cka` compares the features; cka_<layer>, layers of the same name. The whole matrix is in the JSON
file. Without `other` a run's layers are compared with one another.
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    config = base.get_config("cka", "cka", preset=preset)
    config.eval.update(clips=1, crops=1)
    config.eval.cka = cka = ConfigDict()
    cka.other = ""  # a run or one of its checkpoints; "" = this one
    cka.videos = 256 if preset else 2048  # test videos looked at, evenly spread
    return config
