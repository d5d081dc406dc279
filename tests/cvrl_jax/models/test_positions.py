"""Factorised positions, and how they fit grids of other sizes."""

import jax
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from cvrl_jax.models.positions import Positions, resize_matrix


def test_a_position_is_the_sum_of_one_row_per_axis():
    module = Positions((2, 3, 4), width=5)
    p = tables(module)
    got = np.asarray(module.apply({"params": p}, (2, 3, 4))).reshape(2, 3, 4, 5)
    for i, j, k in np.ndindex(2, 3, 4):
        np.testing.assert_allclose(
            got[i, j, k], p["axis0"][i] + p["axis1"][j] + p["axis2"][k], rtol=1e-6
        )
    assert {name: table.shape for name, table in p.items()} == {
        "axis0": (2, 5),
        "axis1": (3, 5),
        "axis2": (4, 5),
    }


def tables(module, seed=0):
    rng = np.random.default_rng(seed)
    return {
        f"axis{axis}": rng.normal(size=(rows, module.width)).astype(np.float32)
        for axis, rows in enumerate(module.grid)
    }


def test_the_released_form_normalises_the_sum():
    module = Positions((3,), width=6, norm=True)
    table = tables(module)
    norm = {"scale": np.full(6, 2.0, np.float32), "bias": np.ones(6, np.float32)}
    got = np.asarray(module.apply({"params": table | {"norm": norm}}, (3,)))
    t = table["axis0"].astype(np.float64)
    expected = (t - t.mean(-1, keepdims=True)) / np.sqrt(t.var(-1, keepdims=True) + 1e-6) * 2 + 1
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("how", ["cubic", "spline"])
@pytest.mark.parametrize(("rows", "wanted"), [(14, 20), (14, 7), (8, 1), (1, 3), (2, 5), (3, 3)])
def test_tables_of_one_value_stay_and_sizes_fit(how, rows, wanted):
    matrix = resize_matrix(rows, wanted, how)
    assert matrix.shape == (wanted, rows)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-4)


def test_the_papers_way_keeps_the_middle_and_the_order():
    ramp = np.arange(14.0)
    bigger = resize_matrix(14, 20, "cubic") @ ramp
    centres = (np.arange(20) + 0.5) * 14 / 20 - 0.5
    np.testing.assert_allclose(bigger[3:-3], centres[3:-3], atol=1e-4)
    np.testing.assert_allclose(bigger + bigger[::-1], 13.0, atol=1e-4)


@pytest.mark.parametrize(("rows", "wanted"), [(14, 14), (14, 20), (8, 5), (4, 9)])
def test_the_released_way_is_the_natural_spline_from_the_left(rows, wanted):
    table = np.random.default_rng(0).normal(size=(rows, 3))
    spline = CubicSpline(np.arange(rows) / rows, table, bc_type="natural")
    queries = np.arange(wanted) / wanted
    inside = queries <= (rows - 1) / rows
    got = resize_matrix(rows, wanted, "spline") @ table
    np.testing.assert_allclose(got[inside], spline(queries[inside]), atol=1e-4)


def test_an_image_takes_the_first_row_of_time_in_the_released_way():
    np.testing.assert_allclose(resize_matrix(8, 1, "spline"), np.eye(8)[:1], atol=1e-5)


def test_one_table_of_all_places_is_fitted_axis_by_axis():
    module = Positions((2, 3, 4), width=5, form="joint")
    table = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    params = {"params": {"joint": table}}
    np.testing.assert_array_equal(module.apply(params, (2, 3, 4)), table)
    weights = [resize_matrix(rows, wanted, "cubic") for rows, wanted in ((2, 4), (3, 3), (4, 2))]
    expected = np.einsum("at,bh,cw,thwd->abcd", *weights, table.reshape(2, 3, 4, 5))
    got = module.apply(params, (4, 3, 2))
    np.testing.assert_allclose(got, expected.reshape(-1, 5), atol=1e-6)


def test_sinusoids_are_the_sines_and_cosines_of_places():
    module = Positions((2, 3), width=4, form="sinusoid")
    assert module.init(jax.random.key(0), (2, 3)) == {}
    got = np.asarray(module.apply({}, (2, 3)))
    for p in range(6):
        places = [np.sin(p), np.cos(p), np.sin(p / 100), np.cos(p / 100)]
        np.testing.assert_allclose(got[p], places, atol=1e-6)
