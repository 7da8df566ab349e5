"""Time: what the program calls now, and when the samples of a sound card were taken."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Protocol

from pipelines.packet import MILLISECOND, SECOND


class Clock(Protocol):
    """Where `now` comes from."""

    def now(self) -> int:
        """Nanoseconds since the Unix epoch."""
        ...


def boot_time() -> int:
    """Nanoseconds since boot, suspension included; no NTP step moves it."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def utc_is_synchronised() -> bool:
    """Whether the kernel holds its UTC for synchronised (adjtimex(2)); True where it cannot be asked."""
    time_error = 5
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return True
    reading = ctypes.create_string_buffer(512)  # struct timex with modes = 0: read only, needs no privilege
    return int(adjtimex(reading)) != time_error


class BootClock:
    """CLOCK_BOOTTIME, anchored to UTC once: a later step of UTC does not move it.

    One correction is allowed, for a machine that booted without NTP: `reanchor`.
    """

    TOLERANCE = 10 * MILLISECOND

    def __init__(
        self,
        *,
        boot: Callable[[], int] = boot_time,
        utc: Callable[[], int] = time.time_ns,
        synchronised: Callable[[], bool] = utc_is_synchronised,
    ) -> None:
        self._boot = boot
        self._utc = utc
        self._synchronised = synchronised
        self._settled = synchronised()
        self._offset = self._measure()

    def now(self) -> int:
        """Nanoseconds since the Unix epoch; steady but for the one step that `reanchor` tells."""
        return self._boot() + self._offset

    def reanchor(self) -> int | None:
        """To be called now and then: the step taken, ns, to be logged and recorded; None where there was none.

        A step is taken at most once: when UTC was not synchronised at the start, is now, and is off by more than
        TOLERANCE.
        """
        if self._settled or not self._synchronised():
            return None
        self._settled = True
        step = self._measure() - self._offset
        if abs(step) <= self.TOLERANCE:
            return None
        self._offset += step
        return step

    def _measure(self) -> int:
        readings = []
        for _ in range(5):
            before = self._boot()
            utc = self._utc()
            after = self._boot()
            readings.append((after - before, utc - (before + after) // 2))
        return min(readings)[1]  # the least interrupted one


class SampleClock:
    """Event times of audio samples from the jittering times at which they arrived.

    Recursive least squares of arrival on sample index with exponential forgetting, as Lab Streaming Layer dejitters;
    an arrival weighs half as much after `half_life` SECONDS of samples, whatever the size of chunks. The line is kept at
    the latest sample and as its deviation from the nominal rate, so that every number stays small and months at 48 kHz
    lose nothing: origin and nominal time are exact integers.

    Returned times never fall between two resets. The one prior: a rate is within some 1000 ppm of the nominal one, where
    single arrivals are good to some 5 ms; it keeps the first seconds steady and is forgotten like an arrival.
    """

    _SLOPE_PRIOR = (1e-3 / 5e-3) ** 2  # variance of the slope (s/s) in units of an arrival's variance (s)

    def __init__(self, rate: int, *, half_life: float = 90.0) -> None:
        if rate <= 0 or half_life <= 0:
            raise ValueError(f"rate={rate}, half_life={half_life}: both must be positive")
        self._rate = rate
        self._half_life = half_life
        self._skipped = 0
        self._origin: int | None = None  # arrival of the first sample; the line is told as the deviation from it
        self._first = self._index = 0  # sample numbers of the origin, of the line's reference
        self._last = 0
        self._offset = self._slope = 0.0  # of arrival from nominal time at the reference: ns, ns per second
        self._offset_variance = self._both = self._slope_variance = 0.0  # their covariance
        self.reset()

    def update(self, sample_index: int, arrival: int) -> int:
        """Event time, ns, of the sample that arrived at `arrival`; indices grow, counting what was delivered."""
        index = sample_index + self._skipped
        if self._origin is None:
            self._origin, self._first, self._index, self._last = arrival, index, index, arrival
            return arrival
        elapsed = (index - self._index) / self._rate
        if elapsed < 0:
            raise ValueError(f"sample {sample_index} came after sample {self._index - self._skipped}; reset first")
        self._index = index
        nominal = self._origin + (index - self._first) * SECOND // self._rate
        # Move the line's reference to this sample: (offset, slope) and their covariance, older arrivals fading.
        keep = max(2.0 ** (-elapsed / self._half_life), 1e-9)
        both = self._both + elapsed * self._slope_variance
        offset_variance = (self._offset_variance + elapsed * (self._both + both)) / keep
        both /= keep
        slope_variance = self._slope_variance / keep
        offset = self._offset + elapsed * self._slope
        # One arrival, of variance 1, of the offset here.
        residual = (arrival - nominal) - offset
        gain = offset_variance / (1.0 + offset_variance)
        slope_gain = both / (1.0 + offset_variance)
        self._offset = offset + gain * residual
        self._slope += slope_gain * residual
        self._offset_variance = gain
        self._both = slope_gain
        self._slope_variance = max(slope_variance - slope_gain * both, 0.0)
        self._last = max(self._last, nominal + round(self._offset))
        return self._last

    def skip(self, samples: int) -> None:
        """`samples` were lost before the next one delivered; the line goes on behind them."""
        self._skipped += samples

    def reset(self) -> None:
        """Forget everything, after a reconnect or a step of the clock: the next arrival is taken as it is."""
        self._origin = None
        self._skipped = 0
        self._offset = self._slope = 0.0
        self._offset_variance, self._both, self._slope_variance = 1.0, 0.0, self._SLOPE_PRIOR
