"""CVRL, R3D-50, the reference recipe (Qian et al., CVPR 2021, arXiv 2008.03800).

Command:   python main.py --config=configs/cvrl_r3d50.py --workdir=runs/cvrl \
             --config.data.source=folder --config.data.root=DIR
Hardware:  a TPU or GPU pod slice for the full recipe (4e19 FLOP for 200 epochs of K600)
Expected:  published: K400 linear 63.8 (200 epochs on K400); not run here
Presets:   :tiny   built-in videos on 2 CPU cores, minutes; figures in docs/results.md
           :small  16 x 112 x 112 for one GPU; not run here
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "cvrl_r3d50"
    return apply_preset(config, preset)
