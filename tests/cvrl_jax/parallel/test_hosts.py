"""How a process decides whether it is one of several; see test_processes for several."""

from __future__ import annotations

import jax
import pytest

from cvrl_jax.parallel import hosts
from cvrl_jax.parallel.mesh import make_mesh, share
from data_pipelines.errors import UserError

CLUSTERS = ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX", "TPU_WORKER_HOSTNAMES")


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[tuple]:
    """What JAX was asked for; it is asked nothing here, as it would wait for others."""
    calls: list[tuple] = []

    def initialize(*who, **options):
        calls.append(who)
        assert options["heartbeat_timeout_seconds"] < 60
        if None in who:
            raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    for name in CLUSTERS:
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("a:1", None, None), "--processes=N and --process=I are missing"),
        (("a:1", 2, None), "--process=I is missing"),
        ((None, 2, 1), "--coordinator=HOST:PORT is missing"),
        ((None, 2, None), "--coordinator=HOST:PORT and --process=I are missing"),
        (("a", 2, 1), "--coordinator=a: must be HOST:PORT"),
        (("a:b", 2, 1), "--coordinator=a:b: must be HOST:PORT"),
        (("a:1", 2, 2), "--process=2: with --processes=2 it must lie between 0 and 1"),
        (("a:1", 2, -1), "--process=-1: with"),
    ],
)
def test_flags_that_do_not_belong_together_are_one_line(flags, says, asked):
    with pytest.raises(UserError, match=says) as error, hosts.joined(*flags):
        pass
    assert "\n" not in str(error.value)
    assert not asked


def test_flags_are_what_jax_is_told(asked):
    with hosts.joined("10.0.0.1:8476", 4, 3):
        pass
    assert asked == [("10.0.0.1:8476", 4, 3)]


def test_without_a_cluster_and_with_one_process_it_is_alone(asked):
    with hosts.joined(None, None, None):
        assert hosts.is_first()
    assert asked == [(None, None, None)]
    with hosts.joined(None, 1, None):
        assert hosts.is_first()
    assert len(asked) == 1


def test_a_lone_pod_is_alone_and_one_of_an_indexed_job_must_find_the_others(monkeypatch, asked):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with hosts.joined(None, None, None):
        pass
    assert not asked
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    with (
        pytest.raises(UserError, match=r"cannot be found.*--coordinator.*or --processes=1"),
        hosts.joined(None, None, None),
    ):
        pass


def test_others_that_do_not_answer_are_one_line(monkeypatch):
    def initialize(*who, **options):
        raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out.\nmore")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with (
        pytest.raises(UserError, match=r"cannot be reached \(DEADLINE.*at a:1$") as error,
        hosts.joined("a:1", 2, 1),
    ):
        pass
    assert "\n" not in str(error.value)


def test_alone_everything_is_its_own():
    assert share(make_mesh()) == (0, 1)
    assert hosts.gather({"a": 1}) == [{"a": 1}]
    arrays = {"a": jax.numpy.arange(3)}
    assert hosts.gather_rows(arrays) is arrays
    with pytest.raises(UserError, match="no"):
        hosts.on_first(lambda: (_ for _ in ()).throw(UserError("no")))


def test_alone_no_error_is_the_loss_of_another():
    with pytest.raises(ValueError, match="Gloo"), hosts.ends_with_others():
        raise ValueError("Gloo all-reduce failed: Connection reset by peer")
