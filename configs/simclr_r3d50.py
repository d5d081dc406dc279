"""SimCLR on frames (Chen et al. 2020, arXiv 2002.05709): the baseline that sees no time.

Command:   python main.py --config=configs/simclr_r3d50.py --workdir=runs/simclr \
             --config.data.source=folder --config.data.root=DIR
Hardware:  as cvrl_r3d50.py; expected time and metric: not run here at full size
Presets:   :tiny   built-in videos on 2 CPU cores; figures in docs/results.md
           :small  one GPU; not run here
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "simclr_r3d50"
    config.method = ConfigDict({"name": "simclr", "temperature": 0.1})
    config.augment.recipe = "simclr_symmetric"
    return apply_preset(config, preset)
