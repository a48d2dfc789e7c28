"""The guard of a gaze stream: what each fault does to the samples, and what is said of it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasses_sdk.gaze.guard import MAX_AGE_MS, Guard, as_gaze
from glasses_sdk.types import Gaze

MS = 1_000_000
SECOND = 1000 * MS
START = 50 * SECOND
HZ = 200
STEP = SECOND // HZ


class Clock:
    """Stands where it is put."""

    now = START

    def __call__(self) -> int:
        return self.now


def wander(k: int) -> tuple[float, float]:
    """Where an eye looks at sample k: never twice at the same point, never at (0, 0)."""
    return 0.5 + 0.2 * math.sin(k / 7), 0.5 + 0.2 * math.cos(k / 11)


class Stream:
    """A tracker of 200 Hz whose samples arrive 10 ms after their time, through a guard."""

    def __init__(self, eyes: bool = True) -> None:
        self.clock = Clock()
        self.guard = Guard(self.clock, eyes=eyes)
        self.sent = 0

    def sample(self) -> Gaze:
        self.sent += 1
        self.clock.now += STEP
        return Gaze(self.clock.now - 10 * MS, *wander(self.sent))

    def play(self, count: int, **change: float) -> list[Gaze | None]:
        return [self.guard.admit(replace(self.sample(), **change)) for _ in range(count)]

    @property
    def code(self) -> str | None:
        reason = self.guard.reason
        return reason and reason.partition(": ")[0]


def test_a_good_stream_passes_unchanged_and_nothing_is_said():
    stream = Stream()
    for _ in range(3 * HZ):
        sample = stream.sample()
        assert stream.guard.admit(sample) == sample
        assert stream.guard.reason is None


# What a tracker says


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["x", "y", "confidence"])
def test_what_is_no_number_is_a_blink(field: str, bad: float):
    said = {"x": 0.5, "y": 0.5, "confidence": 0.9} | {field: bad}
    gaze = as_gaze(7, **said)
    trusted = field == "confidence" and bad == math.inf
    assert (gaze.time_ns, gaze.confidence) == (7, 1.0 if trusted else 0.0)


@given(*[st.floats(allow_nan=True, allow_infinity=True)] * 4)
def test_whatever_a_tracker_says_is_a_sample_that_the_guard_can_judge(
    time_ns: float, x: float, y: float, confidence: float
):
    clock = Clock()
    guard = Guard(clock)
    admitted = guard.admit(as_gaze(time_ns, x, y, confidence))
    assert admitted is None or abs(admitted.time_ns - clock.now) <= MAX_AGE_MS * MS


def test_blinks_are_handed_on_and_only_many_are_a_fault():
    stream = Stream()
    stream.play(10)
    blinks = stream.play(HZ // 2, confidence=0.0)
    assert all(gaze is not None and gaze.confidence == 0 for gaze in blinks)
    assert stream.code is None
    stream.play(HZ, confidence=0.0)
    assert stream.code == "no-gaze"


def test_zeros_become_blinks():
    stream = Stream()
    stream.play(10)
    (zero,) = stream.play(1, x=0.0, y=0.0)
    assert zero is not None
    assert zero.confidence == 0
    assert stream.code == "zeros"


def test_a_point_on_the_upper_or_left_edge_alone_is_a_look():
    stream = Stream()
    (left,) = stream.play(1, x=0.0)
    assert left is not None
    assert left.confidence == 1


# Frozen


def test_a_frozen_point_is_dropped_after_a_second_until_it_moves():
    stream = Stream()
    stream.play(10)
    admitted = stream.play(3 * HZ, x=0.25, y=0.75)
    passed = [gaze is not None for gaze in admitted]
    assert passed == sorted(passed, reverse=True)  # first some, then none
    assert HZ <= sum(passed) <= HZ + 2
    assert stream.code == "frozen"
    assert None not in stream.play(HZ + 1)
    assert stream.code is None


def test_a_fixation_that_trembles_is_not_frozen():
    stream = Stream()
    for k in range(3 * HZ):
        sample = replace(stream.sample(), x=0.4 + 1e-4 * (k % 2))
        assert stream.guard.admit(sample) == sample


def test_a_hand_may_rest_even_in_the_corner():
    stream = Stream(eyes=False)
    assert all(gaze and gaze.confidence == 1 for gaze in stream.play(3 * HZ, x=0.0, y=0.0))
    assert stream.code is None


# Order


def test_late_comers_and_doubles_are_dropped():
    stream = Stream()
    first, second, third = stream.sample(), stream.sample(), stream.sample()
    admitted = [stream.guard.admit(gaze) for gaze in (first, third, second)]
    assert admitted == [first, third, None]
    assert stream.code == "unsorted"
    assert stream.guard.admit(replace(third, x=0.1)) is None
    assert stream.code == "duplicate"
    assert stream.guard.admit(fourth := stream.sample()) == fourth


def test_what_comes_together_is_sorted_first():
    stream = Stream()
    samples = [stream.sample() for _ in range(5)]
    mixed = [samples[k] for k in (3, 0, 4, 1, 2)]
    assert stream.guard.admit_all(mixed) == samples
    assert stream.code is None


@given(st.lists(st.integers(-5000, 500), max_size=60))
def test_admitted_samples_are_always_in_order_and_near_to_now(offsets_ms: list[int]):
    clock = Clock()
    guard = Guard(clock)
    admitted: list[int] = []
    for k, offset in enumerate(offsets_ms):
        clock.now += 30 * MS
        gaze = guard.admit(Gaze(clock.now + offset * MS, *wander(k)))
        if gaze is not None:
            admitted.append(gaze.time_ns)
            assert -MAX_AGE_MS * MS <= gaze.time_ns - clock.now <= SECOND // 20
    assert admitted == sorted(set(admitted))


# Bursts


def burst(stream: Stream, times: int, seconds: float) -> int:
    """How many pass of a stream that is so many times as fast."""
    passed = 0
    for _ in range(int(times * HZ * seconds)):
        stream.sent += 1
        stream.clock.now += STEP // times
        gaze = Gaze(stream.clock.now - 10 * MS, *wander(stream.sent))
        passed += stream.guard.admit(gaze) is not None
    return passed


def test_a_burst_of_ten_times_the_rate_is_thinned():
    stream = Stream()
    stream.play(2 * HZ)
    passed = burst(stream, times=10, seconds=0.2)
    assert 0.2 * HZ * 4 <= passed <= 0.2 * HZ * 6  # instead of 10
    assert stream.code == "burst"


def test_a_burst_that_stays_is_the_new_rate():
    stream = Stream()
    stream.play(2 * HZ)
    burst(stream, times=10, seconds=5)
    assert burst(stream, times=10, seconds=1) == 10 * HZ
    assert stream.code is None


def test_a_few_samples_close_together_are_no_burst():
    stream = Stream()
    stream.play(HZ)
    passed = [stream.guard.admit(stream.sample()) for _ in range(2)]
    base = stream.clock.now
    for k in range(1, 20):
        stream.clock.now = base + k * MS // 10
        passed.append(stream.guard.admit(Gaze(stream.clock.now, *wander(k))))
    assert None not in passed
    assert stream.code is None


def test_a_pause_is_not_a_slower_rate():
    stream = Stream()
    stream.play(2 * HZ)
    stream.clock.now += 20 * SECOND
    assert None not in stream.play(2 * HZ)
    assert stream.code is None


# Clocks


@pytest.mark.parametrize("jump_s", [-3600, -5, -1, -0.3, -0.2, 0.07, 0.5, 5, 3600])
def test_after_a_clock_jump_arrival_counts_within_two_seconds(jump_s: float):
    stream = Stream()
    stream.play(HZ)
    admitted = []
    for _ in range(2 * HZ):
        sample = stream.sample()
        admitted.append(
            stream.guard.admit(replace(sample, time_ns=sample.time_ns + round(jump_s * SECOND)))
        )
    assert admitted[0] is None
    assert admitted[-1] is not None
    assert 0 <= stream.clock.now - admitted[-1].time_ns <= 20 * MS
    assert admitted[-1].time_ns - admitted[-2].time_ns == STEP
    assert stream.code == "clock-jump"


def test_samples_that_are_long_on_their_way_are_placed_by_the_quickest_of_them():
    stream = Stream()
    ways_ms = [400, 300, 350, 330]
    admitted = []
    for k in range(3 * HZ):
        sample = stream.sample()
        late = replace(sample, time_ns=stream.clock.now - ways_ms[k // 40 % 4] * MS)
        admitted.append(stream.guard.admit(late))
    assert stream.code == "clock-jump"
    got = [gaze for gaze in admitted[-HZ:] if gaze]
    assert len(got) > 0.6 * HZ  # each time that the way grows shorter, some come out of order
    assert all(gaze.time_ns <= stream.clock.now for gaze in got)


def test_a_stream_that_begins_with_a_pause_is_no_burst():
    stream = Stream()
    stream.play(1)
    stream.clock.now += 8 * SECOND
    assert None not in stream.play(2 * HZ)
    assert stream.code is None


def test_a_clock_that_comes_right_again_counts_again():
    stream = Stream()
    for _ in range(2 * HZ):
        sample = stream.sample()
        stream.guard.admit(replace(sample, time_ns=sample.time_ns - 3600 * SECOND))
    assert stream.code == "clock-jump"
    good = stream.play(2 * HZ)
    assert good[-1] is not None
    assert good[-1].time_ns == stream.clock.now - 10 * MS
    assert stream.code is None


def test_a_backlog_after_a_stall_is_dropped_where_it_is_old_and_no_clock_has_jumped():
    stream = Stream()
    stream.play(HZ)
    backlog = [stream.sample() for _ in range(5 * HZ)]  # all arrive at once, now
    admitted = stream.guard.admit_all(backlog)
    assert [gaze.time_ns for gaze in admitted] == [
        gaze.time_ns for gaze in backlog if gaze.time_ns > stream.clock.now - MAX_AGE_MS * MS
    ]
    assert stream.guard.admit(newest := stream.sample()) == newest


def test_a_single_wrong_time_costs_one_sample():
    stream = Stream()
    stream.play(HZ)
    (wrong,) = [stream.guard.admit(replace(stream.sample(), time_ns=2**62))]
    assert wrong is None
    assert stream.code == "late"
    assert None not in stream.play(HZ)


# What is said


def test_silence_is_said_after_a_second():
    stream = Stream()
    stream.play(10)
    stream.clock.now += SECOND
    assert stream.code is None
    stream.clock.now += 1
    assert stream.code == "silent"
    stream.play(1)
    assert stream.code is None


def test_a_fault_is_said_for_a_second_so_that_a_status_shows_it():
    stream = Stream()
    stream.play(10)
    stream.play(1, x=0.0, y=0.0)
    stream.play(HZ - 1)
    assert stream.code == "zeros"
    stream.play(1)
    assert stream.code is None


def test_every_code_is_on_the_page_of_gaze_sources():
    root = Path(__file__).parents[1]
    page = (root / "docs/reference/gaze-sources.md").read_text()
    sources = (root / "glasses_sdk/gaze").glob("*.py")
    codes = {
        code
        for source in sources
        for code in re.findall(r'"([a-z]+(?:-[a-z]+)*): ', source.read_text())
    }
    assert {"no-gaze", "silent", "no-server"} <= codes
    assert [code for code in codes if f"| `{code}` |" not in page] == []
