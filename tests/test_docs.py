"""Every command in the documents names what there is."""

from __future__ import annotations

import importlib
import pathlib
import re
import shlex

import pytest

from configs import base

REPO = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = (REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md")))


def commands() -> list[str]:
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                found += [part.strip() for part in line.split("&&")]
    return sorted({command for command in found if command})


def config_of(path: str):
    file, _, preset = path.partition(":")
    assert (REPO / file).is_file(), file
    if file == "configs/of_run.py":  # the config of a run
        return base.get_config()
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    return module.get_config(*([preset] if preset else []))


def check_main(words: list[str]) -> None:
    flags = [word.partition("=") for word in words]
    named = {name: value for name, _, value in flags}
    config = config_of(named.get("--config", "configs/base.py"))
    text = (REPO / "main.py").read_text()
    for name, _, value in flags:
        if name.startswith("--config."):
            section = config
            for part in name.split(".")[1:]:
                assert part in section, f"no field {name}"
                section = section[part]
        elif name != "--config":
            assert f'"{name.removeprefix("--")}"' in text, f"main.py has no {name}"
            assert value or name in ("--resume", "--overwrite")


def check_flags(words: list[str], text: str, others: tuple[str, ...] = ()) -> None:
    for word in words:
        if word.startswith("--"):
            name = word.partition("=")[0].removeprefix("--")
            assert f"--{name}" in text or f'"{name}"' in text or name in others, f"no flag {word}"


BEAM = ("runner", "project", "region", "temp_location")


@pytest.mark.parametrize("command", commands())
def test_command(command: str) -> None:
    words = shlex.split(command, comments=True)
    if not words:
        return
    if words[:2] == ["python", "main.py"]:
        check_main(words[2:])
    elif words[:2] == ["python", "-m"] and words[2].startswith("data_pipelines."):
        package = REPO / words[2].replace(".", "/")
        shared = (REPO / "data_pipelines/sources/section.py").read_text()
        check_flags(words[3:], (package / "__main__.py").read_text() + shared, BEAM)
    elif words[0] == "python" and words[1].startswith("benchmarks/"):
        check_flags(words[2:], (REPO / words[1]).read_text())
    elif any(word.startswith("launch/") for word in words):  # run by test_launch.py
        (file,) = (word for word in words if word.startswith("launch/"))
        assert (REPO / file).is_file(), file
        check_main([word for word in words if word.startswith("--")])
    elif words[:2] == ["pip", "install"]:
        extras = re.findall(r"\[([\w,]+)\]", command)
        for extra in ",".join(extras).split(","):
            assert not extra or f'"{extra}": ' in (REPO / "setup.py").read_text(), extra
    else:
        assert words[:3] in (["python", "-m", "pytest"], ["bash", ".ci/run"]) or words[0] in (
            "ruff", "pyright", "git",
        ), f"nothing checks {command!r}"  # fmt: skip
