"""HMDB51: any evaluation on each of the three official splits, averaged.

Command:   python main.py --mode=eval --config=configs/eval/hmdb51.py:linear \
             --checkpoint=runs/cvrl --workdir=runs/cvrl_hmdb51 \
             --config.data.root=hmdb51_org --config.data.lists=testTrainMulti_7030_splits
Recipes:   :knn :linear :retrieval :few_shot :semi_supervised :attentive :finetune, each also with
           its preset, e.g. :linear:tiny; the data must be on the disk, see docs/data.md
"""

from ml_collections import ConfigDict

from configs.eval.on_data import recipe_on


def get_config(recipe: str = "linear") -> ConfigDict:
    """Returns the evaluation `recipe`, the name of a file beside this one."""
    return recipe_on("hmdb51", recipe, field="data.list_split", over=(1, 2, 3))
