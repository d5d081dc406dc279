"""CVRL's linear evaluation (arXiv 2008.03800): 32 x 2 frames, 10 clips x 3 crops of 256 pixels.

Command:   python main.py --mode=eval --config=configs/eval/linear.py --workdir=runs/cvrl
Expected:  published: K400 63.8 (R3D-50, 200 epochs); not run here at full size
Presets:   :tiny   the run's own clips, two views; seconds on 2 CPU cores for a run of :tiny

L2-normalised features, SGD of peak rate 32, momentum 0.9, a half cosine over 100 epochs, no weight
decay; random clips, resized crops and flips in training; probabilities averaged over the 30 views.
Features are cached: of each training video those of `train_clips` random views, one of which is
drawn in each epoch (the released code makes a new view in each of the 100 epochs).
--config.eval.linear.solver=lbfgs brings the same classifier to its optimum instead.
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    config = base.get_config("linear", "linear", preset=preset)
    config.eval.train_views = "random"
    if not preset:
        config.eval.update(frames=32, size=256)
        config.data.update(crop_area=(0.3, 1.0), crop_aspect=(0.5, 2.0))
    return config
