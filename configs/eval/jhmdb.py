"""JHMDB: any evaluation on each of the three official splits, averaged.

Command:   python main.py --mode=eval --config=configs/eval/jhmdb.py:linear --checkpoint=runs/cvrl \
             --workdir=runs/cvrl_jhmdb --config.data.root=JHMDB_video --config.data.lists=splits
Recipes:   as in ucf101.py
"""

from ml_collections import ConfigDict

from configs.eval.on_data import recipe_on


def get_config(recipe: str = "linear") -> ConfigDict:
    """Returns the evaluation `recipe`, the name of a file beside this one."""
    return recipe_on("jhmdb", recipe, field="data.list_split", over=(1, 2, 3))
