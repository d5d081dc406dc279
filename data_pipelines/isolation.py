"""Runs functions in child processes, so that a decoder that hangs or crashes harms nothing else.

The processes are spawned and import neither jax nor grain. Pebble's pool kills and replaces them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, TimeoutError
from multiprocessing import resource_tracker
from typing import Any, Generic, TypeVar

import cv2
import pebble

from data_pipelines.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 2
"""How often a task is tried whose process dies: once may be the machine's fault, twice is not."""


_START_S = 120.0  # for processes to start
_REPLACE_S = 10.0  # for those in place of others, when the pool is closed; tasks may be before them


@dataclasses.dataclass(frozen=True)
class Lost:
    """What comes in place of a result.

    Attributes:
      reason: one line saying that the process hung or died.
    """

    reason: str


class IsolatedPool(Generic[T, R]):
    """Processes that apply one function to what they are given.

    Args:
      function: T -> R, at the top level of a module, or another picklable callable. Each process
        receives its copy once. What it raises is raised again by `result`.
      workers: processes, at least 1.
      timeout: seconds after which a running task is killed and lost.
    """

    def __init__(self, function: Callable[[T], R], workers: int, timeout: float) -> None:
        self._function, self._workers, self._timeout = function, workers, timeout
        self._replacing = False  # whether a process was killed or died, and another is starting
        self._broken = 0  # pools since the last result
        self._pool = self._start()

    def submit(self, argument: T) -> Future:
        """Schedules the function; hand the future to `result`.

        Raises:
          UserError: processes die again and again while they have nothing to do.
        """
        if not self._pool.active:  # a process died while all were idle, and Pebble gave up
            self._start_again()
        return self._pool.schedule(_call, args=(argument,), timeout=self._timeout)

    def result(self, argument: T, future: Future) -> R | Lost:
        """Waits for what `submit` of the same argument returned; tries again where a process died.

        Raises:
          UserError: see `submit`.
          Exception: whatever the function raised.
        """
        attempt = 0
        while True:
            try:
                result = future.result()
                self._broken = 0
                return result
            except BrokenExecutor:  # it never began
                future = self.submit(argument)
            except TimeoutError:
                self._replacing = True
                return Lost(f"reading it took more than {self._timeout:g} s and was given up")
            except pebble.ProcessExpired as error:
                self._replacing = True
                attempt += 1
                if attempt == ATTEMPTS:
                    return Lost(f"its decoder crashed {ATTEMPTS} times ({_death(error.exitcode)})")
                future = self.submit(argument)

    def map(self, arguments: Iterable[T], ahead: int = 8) -> Iterator[tuple[T, R | Lost]]:
        """Yields (argument, result or `Lost`) in the order of `arguments`, drawn as results are.

        Args:
          arguments: what the function is applied to.
          ahead: results per worker that may wait for a slower one before them.
        """
        running: deque[tuple[T, Future]] = deque()
        for argument in arguments:
            running.append((argument, self.submit(argument)))
            if len(running) >= ahead * self._workers:
                first, future = running.popleft()
                yield first, self.result(first, future)
        for argument, future in running:
            yield argument, self.result(argument, future)

    def close(self) -> None:
        """Stops the processes; running tasks are lost."""
        if self._replacing:
            with contextlib.suppress(TimeoutError, pebble.ProcessExpired, RuntimeError):
                self._wait_until_started(self._pool, _REPLACE_S)
        self._pool.stop()
        self._pool.join()

    def _start(self) -> pebble.ProcessPool:
        pool = pebble.ProcessPool(
            max_workers=self._workers,
            initializer=_install,
            initargs=(self._function,),
            context=multiprocessing.get_context("spawn"),
        )
        with _signals_kept_from_children():
            self._wait_until_started(pool, _START_S)
        return pool

    def _start_again(self) -> None:
        self._broken += 1
        if self._broken > ATTEMPTS:
            raise UserError(
                f"processes that read videos died {self._broken} times while they were idle: "
                "something kills them; is there enough memory? data.workers=1 needs the least"
            )
        self._pool.stop()
        self._pool.join()
        self._pool = self._start()

    def _wait_until_started(self, pool: pebble.ProcessPool, seconds: float) -> None:
        # Those that are still starting when the pool is closed would complain.
        ready: set[int] = set()
        while len(ready) < self._workers:
            polls = [pool.schedule(_say_ready) for _ in range(self._workers)]
            ready |= {poll.result(timeout=seconds) for poll in polls}

    def __enter__(self) -> IsolatedPool[T, R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def isolated_map(
    function: Callable[[T], R], arguments: Iterable[T], *, workers: int, timeout: float
) -> Iterator[tuple[T, R | Lost]]:
    """Yields (argument, result or `Lost`) in the order of `arguments`, a bounded number ahead.

    Args:
      function: as for `IsolatedPool`.
      arguments: what it is applied to; drawn as results are taken.
      workers: processes; 0 = in this one, which nothing protects.
      timeout: seconds for each argument.
    """
    if not workers:
        yield from ((argument, function(argument)) for argument in arguments)
        return
    with IsolatedPool(function, workers, timeout) as pool:
        yield from pool.map(arguments)


_function: Callable[[Any], Any]


def _say_ready() -> int:
    time.sleep(0.02)  # leaves the next poll to another process
    return os.getpid()


def _install(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    cv2.setNumThreads(1)  # there is a process per core: threads within them only compete
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(argument: Any) -> Any:
    return _function(argument)


def _death(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exit code {exitcode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-exitcode).name
    return f"signal {-exitcode}"


@contextlib.contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Wrap around what starts processes: they inherit a mask that keeps these signals from them.

    Ctrl-C and a scheduler's SIGTERM reach every process of a run, but only the main one should
    answer: it still wants results up to the point where it stops.
    """
    resource_tracker.ensure_running()  # its start would undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
