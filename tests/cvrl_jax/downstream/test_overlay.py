from __future__ import annotations

import pathlib

from configs.eval import knn, linear
from cvrl_jax.downstream.overlay import complete, on_run

WHERE = pathlib.Path("runs/cvrl/checkpoints/4")


def test_what_is_not_asked_for_is_the_runs(tiny_config):
    run = tiny_config(data__test_videos=9, data__stride=3.0, seed=5)
    config = on_run(run, knn.get_config(), WHERE)
    assert config.name == "knn"
    assert config.seed == 5
    assert config.model.to_dict() == run.model.to_dict()
    assert (config.data.test_videos, config.data.stride) == (9, 3.0)
    assert (config.eval.protocols, config.eval.clips, config.eval.crops) == (("knn",), 10, 3)


def test_cvrls_linear_recipe(tiny_config):
    evaluation = on_run(tiny_config(), linear.get_config(), WHERE).eval
    assert (evaluation.frames, evaluation.size, evaluation.clips, evaluation.crops) == (
        32,
        256,
        10,
        3,
    )
    assert (evaluation.view_mean, evaluation.train_views) == ("probabilities", "random")
    recipe = evaluation.linear
    assert (recipe.solver, recipe.learning_rate, recipe.epochs) == ("sgd", 32.0, 100)


def test_another_source_forgets_where_the_runs_videos_were_but_not_how_clips_are_cut(tiny_config):
    run = tiny_config(data__source="csv", data__split_column="fold", data__test_split="2")
    asked = knn.get_config()
    asked.data.update(source="folder", root="elsewhere")
    data = on_run(run, asked, WHERE).data
    assert (data.source, data.root, data.test_split) == ("folder", "elsewhere", "")
    assert (data.train_videos, data.split_column) == (0, "split")
    assert (data.frames, data.stride, data.size) == (4, 2.0, 16)
    moved = knn.get_config()
    moved.data.root = "moved"  # the same data in another place
    data = on_run(run, moved, WHERE).data
    assert (data.source, data.root, data.test_split) == ("csv", "moved", "2")


def test_fields_that_came_after_a_run_take_their_defaults(tiny_config):
    run = tiny_config()
    with run.unlocked():
        del run.eval["view_mean"], run.eval["few_shot"], run.data["train_share"]
    config = complete(run)
    assert config.eval.view_mean == "probabilities"
    assert config.eval.few_shot.shots == (1, 5, 10)
    assert config.data.train_share == 1.0
    assert config.data.frames == 4
