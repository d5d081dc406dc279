"""VATT's video tower fine-tuned to classify images, each repeated to four frames (A.3.1 there).

Command:   python main.py --config=configs/vatt_images.py --workdir=runs/vatt_images \
             --config.init_from=runs/vatt --config.data.root=FOLDER_OF_CLASS_FOLDERS_OF_IMAGES
Hardware:  as vatt_mbs.py
Expected:  published, ImageNet from VATT-Base: 78.7; not run here
Presets:   :tiny   two frames of the built-in videos, 48 pixels
           :small  224 pixels for one GPU; not run here

A folder without videos is read as one of images, videos of one frame, which a clip repeats. Of the
position table of time, 'spline' takes the first row as the released code does.
"""

from ml_collections import ConfigDict

from configs import base
from configs.vatt_video import fine_tuning


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "vatt_images"
    config.update(batch_size=512, steps=125_114)  # 50 epochs of ImageNet's 1,281,167 images
    config.data.update(source="folder", frames=4, stride=1.0, size=384)
    config.optimizer.update(learning_rate=0.08, warmup_steps=0)
    config = fine_tuning(config, preset, clips=1, crops=1)
    if preset == "tiny":
        config.data.update(source="moving_shapes", frames=2)
    elif preset == "small":
        config.data.update(frames=4)
    config.model.grid = (1, *config.model.grid[1:])
    config.model.position_resize = "spline"
    return config
