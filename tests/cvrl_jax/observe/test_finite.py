import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.observe.finite import check_finite
from data_pipelines.errors import UserError


def test_finite_metrics_pass():
    check_finite(3, {"loss": 1.0, "grad": np.float32(2), "rate": jnp.zeros(())})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), jnp.array(-jnp.inf)])
def test_the_metric_and_the_step_are_named(value):
    with pytest.raises(UserError, match=r"step 17: train/loss=.* learning rate") as error:
        check_finite(17, {"train/good": 0.0, "train/loss": value})
    assert "good" not in str(error.value)
    assert "\n" not in str(error.value)
