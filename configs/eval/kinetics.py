"""Kinetics: any evaluation, trained on `train` and tested on `val`.

Command:   python main.py --mode=eval --config=configs/eval/kinetics.py:linear \
             --checkpoint=runs/cvrl --workdir=runs/cvrl_k400 --config.data.root=K400 \
             --config.data.lists=K400/annotations --config.data.max_missing_fraction=0.2
Expected:  published: K400 linear 63.8 (R3D-50 of 200 epochs on K400); not run here
Recipes:   as in ucf101.py
"""

from ml_collections import ConfigDict

from configs.eval.on_data import recipe_on


def get_config(recipe: str = "linear") -> ConfigDict:
    """Returns the evaluation `recipe`, the name of a file beside this one."""
    return recipe_on("kinetics", recipe)
