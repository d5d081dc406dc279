"""The notebooks run from top to bottom, on a CPU, at sizes of seconds."""

from __future__ import annotations

import ast
import json
import os
import pathlib
import re

import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]
FOLDER = REPO / "notebooks"
BADGE = re.compile(
    r"\[!\[Open in Colab\]\(https://colab\.research\.google\.com/assets/colab-badge\.svg\)\]"
    r"\(https://colab\.research\.google\.com/github/([\w.-]+/cvrl_jax)/blob/main/notebooks/(\w+)\.ipynb\)"
)
# Their cell tagged "parameters" is followed by these.
SMALL = {
    "1_quickstart": {"MADE": 64, "STEPS": 2},
    # Its second training is of as many steps of as many videos as the first of 1: compiled once.
    "2_pretrain_on_tpu": {"PRESET": "tiny", "BATCH": 32, "STEPS": 1, "MORE_STEPS": 2},
    "3_probe_and_fine_tune": {"STEPS": 2, "EPOCHS": 10},
    "4_sampling_and_augmentation": {"DRAWS": 500, "SHOWN": 2},
}
# What the last output of each says.
SAYS = {
    "1_quickstart": "<iframe srcdoc=",
    "2_pretrain_on_tpu": "r3d10 (width=0.25) of cvrl",
    "3_probe_and_fine_tune": ("step 2 loss", "Skipped, not installed:"),
    "4_sampling_and_augmentation": "data:image/webp;base64,",
}


def cells(name: str) -> list[dict]:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def test_each_notebook_is_tried_here():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == SMALL.keys()


def test_badges_lead_to_the_notebooks_of_one_repository():
    found = {name: BADGE.search("".join(cells(name)[0]["source"])) for name in SMALL}
    assert all(found.values())
    assert [match.group(2) for match in found.values()] == list(SMALL)
    assert len({match.group(1) for match in found.values()}) == 1


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_is_stored_without_outputs_and_says_first_where_it_runs(name):
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    first = "".join(code[0]["source"])
    assert "importlib.metadata.version(package)" in first
    assert "jax.devices()" in first
    (parameters,) = [c for c in code if "parameters" in c["metadata"].get("tags", ())]
    names = {t.id for line in ast.parse("".join(parameters["source"])).body for t in line.targets}
    assert SMALL[name].keys() <= names


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    # Compiled as users have it, and in CI for the README's run as well.
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    at = next(i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", ()))
    lines = "\n".join(f"{field} = {value!r}" for field, value in SMALL[name].items())
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(lines))
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    told = json.dumps([o for o in outputs if o.output_type in ("execute_result", "stream")][-1])
    said = SAYS[name] if isinstance(SAYS[name], tuple) else (SAYS[name],)
    assert any(text in told for text in said)
