"""VATT's video tower fine-tuned to classify videos at 320 pixels (arXiv 2104.11178, A.2.5).

Command:   python main.py --config=configs/vatt_video.py --workdir=runs/vatt_video \
             --config.init_from=runs/vatt --config.data.source=kinetics --config.data.root=DIR
Hardware:  as vatt_mbs.py
Expected:  published, from HowTo100M and AudioSet: K400 81.1 (4 clips x 3 crops); not run here
Presets:   :tiny   the tower of vatt_mbs.py:tiny, on built-in videos of 48 pixels
           :small  224 pixels for one GPU; not run here

The position tables of height and width are fitted to the larger picture when they are loaded, and
trained on: with another data.size goes another model.grid, its tokens. For VATT's shared
transformer set --config.model.pre_projection and post_projection as that run had them.
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset
from configs.vatt_mbs import get_config as pre_training


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "vatt_video"
    config.update(batch_size=64, steps=100_000)
    config.data.update(frames=32, stride=0.08, stride_unit="seconds", size=320)
    config.optimizer.update(learning_rate=0.005, warmup_steps=2_500)
    return fine_tuning(config, preset, clips=4, crops=3)


def fine_tuning(config: ConfigDict, preset: str, clips: int, crops: int) -> ConfigDict:
    """Fills in what the classifiers on VATT's video tower share.

    Args:
      config: of base.py, with the size of the input.
      preset: "", "tiny" or "small".
      clips: per test video.
      crops: per test clip.
    """
    config.data.crop_area = (0.08, 1.0)
    config.method = ConfigDict(
        {
            "name": "supervised",
            "label_smoothing": 0.1,
            "dropout": 0.0,  # of the feature; the released code: 0.5
            "mixup": 0.0,  # alpha of Beta(alpha, alpha); 0 = none
            "cutmix": 0.0,  # likewise
        }
    )
    config.augment.recipe = "vatt"
    config.optimizer.update(name="sgd", momentum=0.9, weight_decay=0.0)
    config.optimizer.update(clip_norm=0.0, clip_part="towers")  # the released code cuts at 0.75
    config = apply_preset(config, preset)
    config.eval.update(protocols=(), clips=clips, crops=crops, view_mean="logits")
    if preset == "tiny":
        config.data.update(size=48, stride=3.0, stride_unit="frames")
    elif preset == "small":
        config.data.update(size=224)
    config.model = pre_training(preset).model.video
    config.model.drop_token = 0.0
    patch = config.model.get("patch", (4, 16, 16))
    sizes = config.data.frames, config.data.size, config.data.size
    with config.unlocked():
        config.model.pre_projection = False  # of VATT's shared transformer: True
        config.model.post_projection = 0  # likewise: 1024
        config.model.position_resize = "cubic"  # the released code: spline
        # Rows of the position tables.
        config.model.grid = tuple(n // p for n, p in zip(sizes, patch))
    return config
