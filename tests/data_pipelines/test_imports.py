import subprocess
import sys

_IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {blocked}:
    sys.modules[name] = None  # importing it raises ImportError
import data_pipelines
assert 'jax' not in sys.modules or 'jax' in {blocked}
for module in pkgutil.walk_packages(data_pipelines.__path__, 'data_pipelines.'):
    importlib.import_module(module.name)
loaded = {{name.split('.')[0] for name in sys.modules if sys.modules[name] is not None}}
assert not loaded & {{'tensorflow', 'cvrl_jax', 'flax', 'torch'}}, loaded
"""


def _run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_alone_is_light() -> None:
    _run("import data_pipelines, sys; assert 'jax' not in sys.modules")


def test_all_works_without_jax() -> None:
    """Grain itself takes jax where it finds it, so here nobody finds it."""
    _run(
        _IMPORT_ALL.format(blocked=["jax", "jaxlib", "tensorflow", "cvrl_jax"])
        + """
from absl import flags
flags.FLAGS.mark_as_parsed()
from data_pipelines.pipeline import TrainBatches
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.spec import InputSpec
spec = InputSpec(clips=2, frames=2, stride=1, size=8)
batches = TrainBatches(MovingShapes(4, 0, size=16), spec, batch_size=4, seed=0)
assert next(batches)['video'].shape == (4, 2, 2, 8, 8, 3)
batches.close()
"""
    )
