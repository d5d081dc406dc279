"""Training with labels, from scratch or (config.init_from) fine-tuning a checkpoint.

Command:   python main.py --config=configs/supervised_r3d50.py --workdir=runs/supervised \
             --config.data.source=folder --config.data.root=DIR [--config.init_from=runs/cvrl]
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
    config.name = "supervised_r3d50"
    config.method = ConfigDict(
        {
            "name": "supervised",
            "label_smoothing": 0.0,
            "dropout": 0.0,  # of the feature
            "mixup": 0.0,  # alpha of Beta(alpha, alpha); 0 = none
            "cutmix": 0.0,  # likewise
        }
    )
    config.augment.recipe = "linear"
    config.optimizer.update(base_learning_rate=0.2, weight_decay=1e-4)
    config.data.update(frames=32)
    return apply_preset(config, preset)
