import io

import pytest

from cvrl_jax.observe.progress import Progress, StepTimer


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_rates_and_the_share_of_waiting():
    clock = Clock()
    timer = StepTimer(clips_per_step=32, clock=clock)
    for _ in range(4):
        with timer.waiting():
            clock.now += 0.5
        clock.now += 1.5
        timer.step()
    expected = {
        "time/steps_per_s": 0.5,
        "time/clips_per_s": 16.0,
        "time/data_wait_percent": 25.0,
    }
    assert timer.read() == pytest.approx(expected)


def test_a_reading_starts_again_and_so_does_reset():
    clock = Clock()
    timer = StepTimer(clips_per_step=1, clock=clock)
    with timer.waiting():
        clock.now += 9
    timer.step()
    timer.read()
    clock.now += 30  # an evaluation
    timer.reset()
    clock.now += 2
    timer.step()
    expected = {"time/steps_per_s": 0.5, "time/clips_per_s": 0.5, "time/data_wait_percent": 0.0}
    assert timer.read() == pytest.approx(expected)


def test_waiting_counts_when_the_data_fails():
    clock = Clock()
    timer = StepTimer(clips_per_step=1, clock=clock)

    def next_batch():
        clock.now += 1
        raise StopIteration

    with pytest.raises(StopIteration), timer.waiting():
        next_batch()
    clock.now += 3
    assert timer.read()["time/data_wait_percent"] == pytest.approx(25)


def test_a_reading_at_once_divides_by_nothing():
    assert StepTimer(8, clock=Clock()).read()["time/steps_per_s"] == 0.0


def test_the_bar_shows_steps_and_rates():
    out = io.StringIO()
    bar = Progress(total_steps=10, first_step=4, file=out)
    bar.show({"time/clips_per_s": 123.45, "time/data_wait_percent": 7.4})
    bar.step()
    bar.close()
    assert "5/10" in out.getvalue()
    assert "123.5 clips/s, 7% data wait" in out.getvalue()


def test_no_bar_where_stderr_is_no_terminal(capsys):
    bar = Progress(total_steps=2)
    bar.step()
    bar.show({"time/clips_per_s": 1.0, "time/data_wait_percent": 0.0})
    bar.close()
    assert capsys.readouterr().err == ""
