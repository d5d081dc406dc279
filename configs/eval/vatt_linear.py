"""VATT's linear evaluation (arXiv 2104.11178, A.3.2): a classifier of rank 128, trained by Adam.

Command:   python main.py --mode=eval --config=configs/eval/vatt_linear.py --workdir=runs/vatt
Expected:  published, MBS: UCF101 89.6, HMDB51 65.2 (video), ESC50 84.7 (audio_linear); not run here
Presets:   :tiny   the run's own clips, two views; seconds on 2 CPU cores for a run of :tiny

Four evenly spaced clips of 32 frames, 0.08 s apart (2.56 s), centre crops. Of the 128 components
each step sees a tenth. What the released code does otherwise: --config.eval.linear.steps=0
--config.eval.linear.epochs=1000 --config.eval.linear.factor_l2=0.1.
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    config = base.get_config("vatt_linear", "linear", preset=preset)
    linear = config.eval.linear
    linear.update(solver="low_rank", learning_rate=5e-4, steps=50_000, batch_size=64)
    if preset:
        linear.steps = 2_000
    else:
        config.eval.update(clips=4, crops=1, train_clips=4, frames=32)
        config.data.update(stride=0.08, stride_unit="seconds")
    return config
