"""CVRL on a transformer: ViT-B with tubelets of 2 x 16 x 16 in place of the R3D tower.

Command:   python main.py --config=configs/cvrl_vit_b16.py --workdir=runs/cvrl_vit \
             --config.data.source=folder --config.data.root=DIR
Hardware:  as cvrl_r3d50.py; expected time and metric: not run here at full size
Presets:   :tiny   built-in videos on 2 CPU cores
           :small  16 x 112 x 112 for one GPU; not run here

The recipe of the optimizer is the usual one of transformers, not CVRL's.
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "cvrl_vit_b16"
    config.model = model = ConfigDict()
    model.name = "vit_base"
    model.patch = (2, 16, 16)  # frames, height and width of a token
    model.grid = (8, 14, 14)  # rows of the position tables; others are interpolated
    model.pooling = "mean"  # mean of the tokens | agg (a learned token)
    model.drop_token = 0.0  # share of tokens left out in training
    model.dropout = 0.0
    model.remat = "none"  # kept for the backward pass, see base.py
    model.dtype = "bfloat16"  # of activations; parameters are float32
    config.optimizer.update(
        name="adamw", learning_rate=3e-4, betas=(0.9, 0.95), weight_decay=0.05, warmup_steps=5_000
    )
    apply_preset(config, preset)
    if preset == "tiny":
        model.update(
            layers=2, width=128, mlp=256, heads=4, head_size=32, patch=(2, 8, 8), grid=(4, 4, 4)
        )
        model.dtype = "float32"
        config.head.update(hidden=256, layers=2, out=64)
        config.optimizer.learning_rate = 1e-3
    elif preset == "small":
        model.grid = (8, 7, 7)
    return config
