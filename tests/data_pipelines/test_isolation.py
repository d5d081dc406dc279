import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from data_pipelines.errors import UserError
from data_pipelines.isolation import IsolatedPool, Lost, isolated_map


def square(number: int) -> int:
    if number == -1:
        time.sleep(60)
    if number == -2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == -3:
        raise ValueError("minus three")
    return number * number


def test_results_come_in_order_and_what_hangs_or_dies_is_lost():
    arguments = [3, -1, 5, -2, *range(40)]
    found = list(isolated_map(square, arguments, workers=2, timeout=1.0))
    assert [argument for argument, _ in found] == arguments
    assert [result for _, result in found if not isinstance(result, Lost)] == [
        *(9, 25),
        *(number**2 for number in range(40)),
    ]
    assert found[1][1] == Lost("reading it took more than 1 s and was given up")
    assert found[3][1] == Lost("its decoder crashed 2 times (SIGSEGV)")


def test_errors_of_the_function_are_raised():
    with (
        IsolatedPool(square, workers=1, timeout=5) as pool,
        pytest.raises(ValueError, match="minus three"),
    ):
        pool.result(-3, pool.submit(-3))


def kill_one_idle_process() -> None:
    """And waits until the pool has seen it."""
    victim = multiprocessing.active_children()[0]
    victim.kill()
    victim.join()
    time.sleep(0.5)


def test_a_process_that_dies_idle_is_replaced():
    with IsolatedPool(square, workers=2, timeout=5) as pool:
        waiting = [(n, pool.submit(n)) for n in (2, 3)]
        assert [pool.result(*each) for each in waiting] == [4, 9]
        for number in (4, 5):
            kill_one_idle_process()
            waiting = [(n, pool.submit(n)) for n in range(number)]
            assert [pool.result(*each) for each in waiting] == [n * n for n in range(number)]


def test_processes_that_die_idle_for_ever_are_given_up():
    with IsolatedPool(square, workers=1, timeout=5) as pool:
        kill_one_idle_process()
        pool.submit(1)
        kill_one_idle_process()
        pool.submit(1)
        kill_one_idle_process()
        with pytest.raises(UserError, match="died 3 times while they were idle"):
            pool.submit(1)


PARENT = """
import os, time
from data_pipelines.isolation import IsolatedPool

if __name__ == "__main__":
    pool = IsolatedPool(time.sleep, 2, 100)
    futures = [pool.submit(100) for _ in range(2)]
    time.sleep(1)
    print(*(p.pid for p in __import__("multiprocessing").active_children()), flush=True)
    time.sleep(100)
"""


def test_workers_keep_working_on_a_signal_and_end_with_their_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        for pid in children:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        time.sleep(0.5)
        assert all(os.path.exists(f"/proc/{pid}") for pid in children)
        parent.kill()
        deadline = time.monotonic() + 20
        while any(_runs(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = [pid for pid in children if _runs(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
