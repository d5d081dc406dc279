"""VideoMAE's ViT-B (arXiv 2203.12602) trained with labels, from published weights or from scratch.

Command:   python main.py --config=configs/videomae_b16.py --workdir=runs/videomae \
             --config.init_from=huggingface:FOLDER \
             --config.data.source=folder --config.data.root=DIR
Hardware:  one GPU and a smaller batch, or several; expected time and metric: not run here
Presets:   :tiny   built-in videos on 2 CPU cores, from scratch
           :small  112 pixels for one GPU, positions interpolated; not run here

FOLDER is a folder of transformers, such as MCG-NJU/videomae-base, with config.json. Weights that
were fine-tuned (videomae-base-finetuned-kinetics) have model.pooling 'mean_norm', pre-trained ones
'mean'; a folder that does not fit is refused with the fields to set.
"""

from ml_collections import ConfigDict

from configs import supervised_r3d50
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = supervised_r3d50.get_config()
    config.name = "videomae_b16"
    config.batch_size = 128
    config.steps = 20_000
    config.data.update(frames=16, stride=4.0)
    config.model = model = ConfigDict()
    model.name = "vit_base"
    model.patch = (2, 16, 16)
    model.grid = (8, 14, 14)
    model.position_form = "sinusoid"  # fixed | axes, joint (learned)
    model.pooling = "mean"
    model.epsilon = 1e-12  # of LayerNorm
    model.dropout = 0.0
    model.remat = "none"
    model.dtype = "bfloat16"
    config.optimizer.update(
        name="adamw", learning_rate=5e-4, weight_decay=0.05, warmup_steps=1_000, layer_decay=0.75
    )
    apply_preset(config, preset)
    if preset == "tiny":
        model.update(
            layers=2, width=128, mlp=256, heads=4, head_size=32, patch=(2, 8, 8), grid=(4, 4, 4)
        )
        model.dtype = "float32"
        config.optimizer.learning_rate = 1e-3
    return config
