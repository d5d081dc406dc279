"""The files under launch/: what they run, and what they do with how it ended."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[1]
CONFIG = "--config=configs/cvrl_r3d50.py"


def run(
    script: str, folder: pathlib.Path, status: int = 0, **variables: str
) -> tuple[int, list[str]]:
    """Runs a launch file where the cluster's commands only note their arguments."""
    for name in ("gcloud", "srun", "scontrol"):
        command = folder / name
        ends = status if name == "srun" else 0
        command.write_text(f'#!/bin/bash\nprintf "%q " {name} "$@" >> {folder}/log\n'
                           f'echo >> {folder}/log\nexit {ends}\n')  # fmt: skip
        command.chmod(0o755)
    ended = subprocess.run(
        ["bash", f"launch/{script}", CONFIG, "--config.name=two words"],
        cwd=REPO,
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            **{"NAME": "slice", "ZONE": "zone", "WORKDIR": "/runs/a b", "SLURM_JOB_ID": "7"},
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, (folder / "log").read_text().splitlines()


def arguments_of_main(words: list[str]) -> list[str]:
    return words[words.index("main.py") + 1 :]


def test_a_tpu_slice_runs_the_command_on_all_workers(tmp_path):
    status, (line,) = run("tpu_slice.sh", tmp_path)
    assert status == 0
    words = shlex.split(line)
    assert {"--worker=all", "--zone=zone", "slice"} <= set(words)
    (remote,) = (word.removeprefix("--command=") for word in words if "--command=" in word)
    wanted = ["--workdir=/runs/a b", CONFIG, "--config.name=two words"]
    assert arguments_of_main(shlex.split(remote)) == wanted


STATUSES = {0: False, 1: False, 75: True, 134: True, 137: False, 143: True}  # again or not


@pytest.mark.parametrize(("status", "again"), STATUSES.items())
def test_slurm_queues_a_stopped_run_again_and_no_other(tmp_path, status, again):
    ended, (first, *others) = run("slurm.sbatch", tmp_path, status)
    assert ended == status
    wanted = ["--workdir=/runs/a b", CONFIG, "--config.name=two words"]
    assert arguments_of_main(shlex.split(first)) == wanted
    assert [shlex.split(line) for line in others] == [["scontrol", "requeue", "7"]] * again


@pytest.mark.parametrize(("restarts", "again"), [("2", True), ("3", False)])
def test_slurm_gives_a_run_up_after_so_many_restarts(tmp_path, restarts, again):
    ended, lines = run("slurm.sbatch", tmp_path, 75, SLURM_RESTART_COUNT=restarts, RESTARTS="3")
    assert ended == 75
    assert len(lines) == 1 + again


def test_a_jobset_says_who_its_pods_are():
    jobset = yaml.safe_load((REPO / "launch/jobset.yaml").read_text())
    (group,) = jobset["spec"]["replicatedJobs"]
    job = group["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    main = (REPO / "main.py").read_text()
    assert all(f'"{name}"' in main for name in flags)
    assert (REPO / flags["config"]).is_file()
    assert job["completionMode"] == "Indexed"
    assert int(flags["processes"]) == job["parallelism"] == job["completions"]
    # JobSet calls a pod SET-GROUP-JOB-POD, in the domain SET.
    name = jobset["metadata"]["name"]
    host, _, port = flags["coordinator"].partition(":")
    assert host == f"{name}-{group['name']}-0-0.{name}"
    assert int(port) == container["ports"][0]["containerPort"]
    assert flags["process"] == f"$({container['env'][0]['name']})"
    assert "job-completion-index" in str(container["env"][0]["valueFrom"])
    (claim,) = (v["name"] for v in pod["volumes"] if "persistentVolumeClaim" in v)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert flags["workdir"].startswith(mounts[claim])
