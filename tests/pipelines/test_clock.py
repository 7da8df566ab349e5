"""Clocks: what a user would lose is the alignment of sound with picture."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pipelines.clock import BootClock, SampleClock, boot_time, utc_is_synchronised
from pipelines.packet import MILLISECOND, SECOND

UTC = 1_760_000_000 * SECOND


class Machine:
    """The clocks of a machine, set by hand."""

    def __init__(self, *, synchronised: bool) -> None:
        self.boot = 500 * SECOND
        self.utc = UTC
        self.synchronised = synchronised

    def clock(self) -> BootClock:
        return BootClock(boot=lambda: self.boot, utc=lambda: self.utc, synchronised=lambda: self.synchronised)


def test_an_ntp_step_does_not_move_event_time() -> None:
    machine = Machine(synchronised=True)
    clock = machine.clock()
    machine.boot += SECOND
    machine.utc += 3600 * SECOND
    assert clock.now() == UTC + SECOND
    assert clock.reanchor() is None
    assert clock.now() == UTC + SECOND


def test_a_boot_without_ntp_is_corrected_once() -> None:
    machine = Machine(synchronised=False)
    machine.utc = 0  # no battery: the epoch
    clock = machine.clock()
    assert clock.now() == 0
    machine.utc = UTC
    assert clock.reanchor() is None  # somebody set the clock by hand: not yet trusted
    machine.synchronised = True
    assert clock.reanchor() == UTC
    assert clock.now() == UTC
    machine.utc += 7 * SECOND
    assert clock.reanchor() is None
    assert clock.now() == UTC


def test_a_correction_too_small_to_see_is_none() -> None:
    machine = Machine(synchronised=False)
    clock = machine.clock()
    machine.utc += MILLISECOND
    machine.synchronised = True
    assert clock.reanchor() is None
    assert clock.now() == UTC


def test_the_anchor_is_the_least_interrupted_reading() -> None:
    """Something holds up three of five readings for 50 ms between the two clocks."""
    boots = iter([0, 50, 100, 150, 200, 201, 300, 350, 400, 401, 500])
    utcs = iter([1, 101, 200, 301, 400])
    clock = BootClock(
        boot=lambda: next(boots) * MILLISECOND, utc=lambda: next(utcs) * MILLISECOND, synchronised=lambda: True
    )
    assert abs(clock.now() - 500 * MILLISECOND) <= MILLISECOND


def test_this_machine_has_such_a_clock() -> None:
    assert isinstance(utc_is_synchronised(), bool)
    before = boot_time()
    clock = BootClock()
    assert clock.now() <= clock.now()
    assert boot_time() >= before


def arrivals(
    rate: int, seconds: int, *, chunk: int, drift: float, jitter: int, seed: int
) -> list[tuple[int, int, int]]:
    """(sample index, true time, arrival) of each chunk, the device being `drift` slower than its nominal rate."""
    dice = random.Random(seed)
    chunks = []
    for index in range(0, seconds * rate, chunk):
        true = UTC + round(index * SECOND / rate * (1 + drift))
        chunks.append((index, true, true + dice.randint(-jitter, jitter)))
    return chunks


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("drift", [200e-6, -200e-6])
def test_jitter_and_drift_leave_less_than_a_millisecond(rate: int, drift: float) -> None:
    clock = SampleClock(rate)
    worst = 0
    for index, true, arrival in arrivals(rate, 180, chunk=rate // 50, drift=drift, jitter=10 * MILLISECOND, seed=rate):
        time = clock.update(index, arrival)
        if index > 120 * rate:
            worst = max(worst, abs(time - true))
    assert worst < MILLISECOND


def test_event_time_never_falls_and_the_first_second_is_steady() -> None:
    clock = SampleClock(16000)
    last, steps = 0, []
    for index, _, arrival in arrivals(16000, 60, chunk=320, drift=0, jitter=15 * MILLISECOND, seed=3):
        time = clock.update(index, arrival)
        assert time >= last
        if 20 < index / 320 < 50:
            steps.append(time - last)
        last = time
    assert max(steps) - min(steps) < 10 * MILLISECOND  # of 20 ms; the arrivals spread over 60


def test_it_is_weighted_least_squares_with_a_half_life_in_seconds() -> None:
    """Against the closed solution over all arrivals, the weight halving every 5 s of samples, odd chunks and all."""
    rate, half_life = 48000, 5.0
    dice = random.Random(11)
    clock = SampleClock(rate, half_life=half_life)
    indices, times, index = [], [], 0
    for _ in range(1500):
        indices.append(index / rate)
        times.append(index / rate * 150e-6 + dice.gauss(0, 0.004))
        got = clock.update(index, UTC + index * SECOND // rate + round(times[-1] * SECOND))
        index += dice.choice([97, 960, 4800])
    x, y = np.array(indices) - indices[-1], np.array(times)
    weight = np.sqrt(0.5 ** (-x / half_life))
    line = np.linalg.lstsq(np.stack([weight, weight * x], axis=1), weight * y, rcond=None)[0]
    wanted = UTC + round(indices[-1] * SECOND) + line[0] * SECOND
    assert abs(got - wanted) < 50_000


def test_it_is_stable_for_months() -> None:
    """90 days at 48 kHz, told once a minute; the last quarter of an hour in chunks of 20 ms."""
    rate, drift = 48000, 200e-6
    dice = random.Random(5)
    clock = SampleClock(rate)
    index, worst = 0, 0
    end = 90 * 86400 * rate
    while index < end:
        true = UTC + round(index * SECOND / rate * (1 + drift))
        time = clock.update(index, true + dice.randint(-2, 2) * MILLISECOND)
        if index > end - 600 * rate:
            worst = max(worst, abs(time - true))
        index += 60 * rate if index < end - 900 * rate else 960
    assert worst < MILLISECOND


def test_known_losses_stay_on_the_line() -> None:
    """The device drops 24000 samples, half a second: what is delivered next was taken half a second later."""
    clock = SampleClock(48000)
    for chunk in range(500):
        clock.update(chunk * 960, UTC + chunk * 20 * MILLISECOND)
    clock.skip(24000)
    assert abs(clock.update(500 * 960, UTC + 10 * SECOND + SECOND // 2) - (UTC + 10 * SECOND + SECOND // 2)) < 1000


def test_a_reset_takes_the_next_arrival_as_it_is_even_an_earlier_one() -> None:
    clock = SampleClock(16000)
    clock.update(0, UTC)
    clock.skip(5)
    clock.update(16000, UTC + SECOND)
    clock.reset()
    assert clock.update(0, UTC - 5 * SECOND) == UTC - 5 * SECOND
    assert clock.update(16000, UTC - 4 * SECOND) == UTC - 4 * SECOND


def test_a_pause_of_a_day_does_no_harm() -> None:
    clock = SampleClock(16000)
    clock.update(0, UTC)
    day = 86400
    assert abs(clock.update(day * 16000, UTC + day * SECOND) - (UTC + day * SECOND)) < 1000


def test_samples_that_go_back_and_rates_that_are_none_are_refused() -> None:
    clock = SampleClock(16000)
    clock.update(320, UTC)
    with pytest.raises(ValueError, match="reset first"):
        clock.update(0, UTC)
    with pytest.raises(ValueError, match="rate=0"):
        SampleClock(0)
