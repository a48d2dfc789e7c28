"""Which region made a tensor: held over a simulated sensor whose lag only the simulation knows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, cos, pi, sin
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasses_sdk.sensors.imx500.aim import Chip
from glasses_sdk.sensors.imx500.attribution import Attribution, Cadence
from glasses_sdk.sensors.imx500.camera import Frame
from glasses_sdk.sensors.imx500.engine import Engine, Seen
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.types import Roi, Size

PERIOD_NS = 33_333_333
CELLS = Size(8, 8)
MASK = np.ones((1, 8, 8), np.float32)


@dataclass
class Simulated:
    """A sensor: regions take effect `lag` frames late, and up to `jitter` more."""

    lag: int
    jitter: int
    seed: int
    drop: float
    reorder: float
    noise_ns: int = 0
    late: float = 0.0  # share of the tensors that come with the next frame's metadata
    untimed: float = 0.0  # and without a time
    first_late: bool = False
    count_set_back: int | None = None  # at this frame
    chip: Chip = field(default_factory=lambda: Chip(Size(4056, 3040), CELLS))
    now_ns: int = 10**12

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.first_ns = self.now_ns
        self.first_count = self.random.randrange(256)
        self.moves: list[tuple[int, Roi]] = [(0, self.chip.whole)]
        self.moves_in: list[int] = []

    def clock(self) -> int:
        return self.now_ns

    def fileno(self) -> int:
        raise AssertionError("nobody waits here")

    def take(self) -> list[Frame]:
        raise AssertionError("frames are handed over")

    def move(self, region: Roi) -> None:
        begun = (self.now_ns - self.first_ns) // PERIOD_NS
        self.moves_in.append(begun)
        late = self.lag + self.random.randint(0, self.jitter)
        self.moves.append((max(begun + 1 + late, self.moves[-1][0]), region))

    def shown(self, frame: int) -> Roi:
        return [region for first, region in self.moves if first <= frame][-1]

    def frame(self, index: int) -> Frame | None:
        """None for a lost one."""
        if self.random.random() < self.drop:
            return None
        noise = self.random.randint(-self.noise_ns, self.noise_ns)
        count = (self.first_count + index) % 256
        if self.count_set_back is not None and index >= self.count_set_back:
            count = (count - 117) % 256
        with_next = self.random.random() < self.late or (self.first_late and index == 0)
        time_ns: int | None = self.first_ns + (index + with_next) * PERIOD_NS + noise
        if self.random.random() < self.untimed:
            time_ns = None
        return Frame([MASK], [[1, 8, 8]], count, time_ns, 10_000, None)

    def run(self, frames: int, engine: Engine, wanted: list[Roi]) -> Iterator[tuple[int, Seen]]:
        """The frames' true numbers, and what the engine says of them."""
        waiting: list[tuple[int, Frame]] = []
        for index in range(frames):
            arrival = self.random.uniform(1.0, 1.9)  # it comes while the next one is read out
            self.now_ns = self.first_ns + index * PERIOD_NS + int(arrival * PERIOD_NS)
            if frame := self.frame(index):
                waiting.append((index, frame))
            if self.random.random() < self.reorder:
                continue
            self.random.shuffle(waiting)
            for number, late in waiting:
                if seen := engine.see(late):
                    yield number, seen
            waiting.clear()
            engine.aim(wanted[index])


def the_object(frames: int, seed: int, speed: float) -> tuple[list[Roi], list[int]]:
    """The regions wanted around something that moves `speed` of a region's width a second, as a
    tracker wants them: shaking by a percent; and the frames in which somebody looks elsewhere.
    """
    rng = random.Random(seed)
    regions: list[Roi] = []
    landings: list[int] = []
    phase = 0.0
    while len(regions) < frames:
        landings.append(len(regions))
        width, height = rng.uniform(200, 800), rng.uniform(200, 800)
        x, y, heading = rng.uniform(1200, 2800), rng.uniform(1200, 1800), rng.uniform(0, 2 * pi)
        for _ in range(rng.randint(60, 150)):
            phase += 1 / 30
            x += cos(heading) * speed * width / 30
            y += sin(heading) * speed * height / 30
            shake = [rng.gauss(0, 0.01) for _ in range(4)]
            regions.append(
                Roi.around(
                    x + shake[0] * width,
                    y + shake[1] * height,
                    width * (1 + shake[2] + 0.05 * sin(phase)),
                    height * (1 + shake[3]),
                )
            )
    return regions[:frames], landings


sensors = st.builds(
    Simulated,
    lag=st.integers(0, 6),
    jitter=st.integers(0, 2),
    seed=st.integers(0, 10**6),
    drop=st.sampled_from([0.0, 0.05, 0.3]),
    reorder=st.sampled_from([0.0, 0.1]),
    noise_ns=st.sampled_from([0, 200_000, 3_000_000]),
    late=st.sampled_from([0.0, 0.05]),
    untimed=st.sampled_from([0.0, 0.05]),
)


def engine_of(sensor: Simulated, slack: int = 0) -> Engine:
    """One whose configured maximum is the sensor's, and which does not know the rest."""
    most = sensor.lag + sensor.jitter + slack
    return Engine(sensor, Imx500Spec("", most, 0), sensor.clock)


@given(sensors, st.integers(0, 3), st.floats(0, 2))
@settings(max_examples=150, deadline=None)
def test_a_stable_mask_is_never_on_a_wrong_region(sensor: Simulated, slack: int, speed: float):
    wanted, _ = the_object(400, sensor.seed, speed)
    engine = engine_of(sensor, slack)
    for number, seen in sensor.run(400, engine, wanted):
        if seen.state == "stable":
            assert seen.roi == sensor.shown(number)


@given(sensors, st.integers(0, 3), st.floats(0, 2))
@settings(max_examples=50, deadline=None)
def test_the_region_is_set_at_most_once_a_frame(sensor: Simulated, slack: int, speed: float):
    wanted, _ = the_object(300, sensor.seed, speed)
    list(sensor.run(300, engine_of(sensor, slack), wanted))
    assert len(set(sensor.moves_in)) == len(sensor.moves_in)


@given(sensors, st.floats(0, 0.25))
@settings(max_examples=40, deadline=None)
def test_the_aim_rests_while_the_object_is_slow(sensor: Simulated, speed: float):
    wanted, landings = the_object(600, sensor.seed, speed)
    late = 3 * (sensor.lag + sensor.jitter)
    landed = {i for at in landings for i in range(at, at + late + 1)}
    rests = [
        seen.state == "stable"
        for number, seen in sensor.run(600, engine_of(sensor), wanted)
        if number not in landed
    ]
    assert len(rests) > 20
    assert np.mean(rests) >= 0.7


@given(sensors)
@settings(max_examples=40, deadline=None)
def test_numbers_rise_and_are_the_frames_own(sensor: Simulated):
    wanted, _ = the_object(700, sensor.seed, 0.2)
    numbers = [(n, seen.number) for n, seen in sensor.run(700, engine_of(sensor), wanted)]
    offsets = {seen - true for true, seen in numbers}
    assert len(offsets) == 1  # the first frame that came is 0
    assert len({seen for _, seen in numbers}) == len(numbers)


@given(sensors)
@settings(max_examples=30, deadline=None)
def test_an_aim_that_rests_sets_no_region(sensor: Simulated):
    wanted, _ = the_object(1, sensor.seed, 0)
    list(sensor.run(100, engine_of(sensor), wanted * 100))
    assert len(sensor.moves) == 2  # the whole, and what was wanted


# By hand

OLD, NEW = Roi(0, 0, 100, 100), Roi(100, 0, 100, 100)
MOVED_ON, WIDER = Roi(20, 0, 100, 100), Roi(-30, -30, 160, 160)


def test_after_a_move_the_mask_is_most_probably_the_new_region_s_once_the_lag_is_over():
    regions = Attribution(OLD, lag_frames=2, most_frames=4)
    regions.moved(NEW, 10, before=9)
    told = [regions.shown(frame) for frame in range(10, 17)]
    assert [region for region, _ in told] == [OLD, OLD, OLD, NEW, NEW, NEW, NEW]
    assert [certain for _, certain in told] == [False] * 5 + [True] * 2


def test_a_frame_that_had_begun_before_a_move_shows_the_old_region():
    regions = Attribution(OLD, lag_frames=2, most_frames=2)
    regions.moved(MOVED_ON, 10, before=9)
    assert [regions.shown(frame)[1] for frame in (8, 9, 10)] == [True, True, False]


@pytest.mark.parametrize("newer", [NEW, WIDER])
def test_but_is_not_stable_where_the_aim_is_at_another_place_or_size_by_now(newer: Roi):
    regions = Attribution(OLD, lag_frames=2, most_frames=2)
    regions.moved(newer, 10, before=9)
    assert regions.shown(9) == (OLD, False)


def test_all_that_has_been_set_since_counts():
    regions = Attribution(OLD, lag_frames=2, most_frames=2)
    regions.moved(WIDER, 10, before=9)
    regions.moved(MOVED_ON, 11, before=9)
    assert not regions.shown(9)[1]


def test_the_first_certain_mask_of_a_region_that_was_tried_is_not_stable_yet():
    regions = Attribution(OLD, lag_frames=2, most_frames=2)
    regions.moved(NEW, 10, before=9, tried=True)
    assert [regions.shown(frame) for frame in (13, 14)] == [(NEW, False), (NEW, True)]


@pytest.mark.parametrize("lag", range(7))
def test_without_a_lag_measured_six_frames_and_the_jitter_are_waited_for(lag: int):
    spec = Imx500Spec("")
    assert spec.most_frames == 7
    regions = Attribution(OLD, spec.probable_frames, spec.most_frames)
    regions.moved(NEW, 0, before=0)
    assert not regions.shown(1 + lag)[1]
    assert regions.shown(8) == (NEW, True)


def test_a_tensor_that_comes_again_is_no_new_frame():
    cadence = Cadence(PERIOD_NS)
    assert cadence.number(0, 7) == 0
    assert cadence.number(PERIOD_NS, 7) is None
    assert cadence.number(2 * PERIOD_NS, 9) == 2


def test_a_tensor_that_comes_with_the_next_frame_s_metadata_keeps_its_own_number_and_time():
    cadence = Cadence(PERIOD_NS)
    cadence.number(0, 0)
    assert cadence.number(2 * PERIOD_NS, 1) == 1
    assert cadence.starts_ns(1) == PERIOD_NS


def test_a_count_that_the_clock_contradicts_places_nothing():
    cadence = Cadence(PERIOD_NS)
    cadence.number(0, 0)
    assert cadence.number(PERIOD_NS, 100) is None
    assert cadence.number(4 * PERIOD_NS, 1) is None


def test_where_the_first_tensor_came_with_the_next_frame_s_metadata_the_second_one_tells():
    cadence = Cadence(PERIOD_NS)
    cadence.number(PERIOD_NS, 0)
    assert cadence.begun(PERIOD_NS) == 0
    assert cadence.number(PERIOD_NS, 1) == 1
    assert cadence.corrected
    assert cadence.begun(PERIOD_NS) == 1


def test_a_tensor_without_a_time_is_placed_by_its_count():
    cadence = Cadence(PERIOD_NS)
    assert cadence.counted(7, PERIOD_NS) is None
    cadence.number(0, 7)
    assert cadence.counted(9, 3 * PERIOD_NS) == 2
    assert cadence.starts_ns(2) == 2 * PERIOD_NS
    assert cadence.counted(9, 3 * PERIOD_NS) is None
    assert cadence.counted(100, 4 * PERIOD_NS) is None


@pytest.mark.parametrize(
    ("count", "rate"), [(lambda i: i - 117, 1.0), (lambda i: i, 1.7), (lambda i: i, 0.4)]
)
def test_frames_that_agree_with_one_another_alone_are_numbered_anew(
    count: Callable[[int], int], rate: float
):
    cadence = Cadence(PERIOD_NS)
    before = [cadence.number(i * PERIOD_NS, i) for i in range(5)][-1]
    times = [5 * PERIOD_NS + round(i * rate * PERIOD_NS) for i in range(20)]
    numbers = [cadence.number(time, count(5 + i) % 256) for i, time in enumerate(times)]
    assert before == 4
    assert None not in numbers[6:]
    assert all(b - a == 1 for a, b in pairwise(filter(None, numbers[6:])))
    assert cadence.period_ns == pytest.approx(rate * PERIOD_NS, rel=0.02)


def test_a_count_that_has_lost_a_frame_is_found_out():
    cadence = Cadence(PERIOD_NS)
    for i in range(5):
        cadence.number(i * PERIOD_NS, i)
    numbers = [cadence.number(i * PERIOD_NS, i - 1) for i in range(6, 40)]
    assert numbers[0] == 5
    assert numbers[-1] == 39
    assert sum(b - a == 2 for a, b in pairwise(numbers) if a and b) == 1


@pytest.mark.parametrize("change", [{"first_late": True}, {"count_set_back": 200}])
def test_no_stable_mask_is_wrong_where_frames_are_numbered_anew(change: dict[str, Any]):
    for seed in range(14):
        sensor = Simulated(seed % 7, seed // 7, seed, 0.0, 0.0, **change)
        wanted, _ = the_object(400, seed, 1.0)
        seen = list(sensor.run(400, engine_of(sensor), wanted))
        assert len(seen) > 380
        stable = [(index, mask) for index, mask in seen if mask.state == "stable"]
        assert len(stable) > 30
        assert all(mask.roi == sensor.shown(index) for index, mask in stable)


def test_the_count_wraps_as_often_as_time_says():
    cadence = Cadence(PERIOD_NS)
    cadence.number(0, 250)
    assert cadence.number(10 * PERIOD_NS, 4) == 10
    assert cadence.number(600 * PERIOD_NS, (250 + 600) % 256) == 600


def test_the_period_is_learnt_from_the_frames():
    cadence = Cadence(PERIOD_NS)
    slower = ceil(PERIOD_NS * 1.02)
    for frame in range(300):
        cadence.number(frame * slower, frame % 256)
    assert cadence.period_ns == pytest.approx(slower, rel=1e-3)
