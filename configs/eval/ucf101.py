"""UCF101: any evaluation on each of the three official splits, averaged.

Command:   python main.py --mode=eval --config=configs/eval/ucf101.py:linear \
             --checkpoint=runs/cvrl --workdir=runs/cvrl_ucf101 --config.data.root=UCF-101
Recipes:   :knn :linear :retrieval :few_shot :semi_supervised :attentive :finetune, each also with
           its preset, e.g. :linear:tiny; the data must be on the disk, see docs/data.md
"""

from ml_collections import ConfigDict

from configs.eval.on_data import recipe_on


def get_config(recipe: str = "linear") -> ConfigDict:
    """Returns the evaluation `recipe`, the name of a file beside this one."""
    return recipe_on("ucf101", recipe, field="data.list_split", over=(1, 2, 3))
