"""BYOL on clips (Grill et al. 2020, arXiv 2006.07733): a moving teacher instead of negatives.

Command:   python main.py --config=configs/byol_r3d50.py --workdir=runs/byol \
             --config.data.source=folder --config.data.root=DIR
Hardware:  as cvrl_r3d50.py; expected time and metric: not run here at full size
Presets:   :tiny   built-in videos on 2 CPU cores
           :small  one GPU; not run here
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "byol_r3d50"
    config.method = ConfigDict(
        {
            "name": "byol",
            "momentum": 0.996,  # of the teacher at the start; rises to 1 by half a cosine
            "predictor_hidden": 4096,  # width of the predictor's hidden layer
        }
    )
    config.head.update(hidden=4096, layers=1, out=256)
    config = apply_preset(config, preset)
    if preset == "tiny":
        config.head.update(layers=1)
        config.method.update(momentum=0.97, predictor_hidden=256)
    return config
