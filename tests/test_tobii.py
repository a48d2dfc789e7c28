"""The source for Tobii Pro Glasses 2 against a stand-in for their recording unit, on a real socket,
which sends the lines of a real recording.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glasses_sdk.backends import GazeConfig, SensorConfig, open_gaze
from glasses_sdk.errors import DeviceError
from glasses_sdk.gaze.tobii import Tobii
from glasses_sdk.protocols import HeadSource
from glasses_sdk.types import Gaze, HeadPose

SECONDS = 20.0  # of patience; nothing here is measured
HERE = "127.0.0.1"
MS = 1_000_000
Line = dict[str, Any]


class Unit:
    """A recording unit: sends its livedata to whoever asked last, within the last 3 seconds.

    ahead_ms  how far its clock is ahead of ours
    """

    def __init__(self, port: int = 0, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HERE, port))
        self.socket.setblocking(False)
        self.port = int(self.socket.getsockname()[1])
        self.ahead_ms = 484_000
        self.questions: list[Line] = []
        self._clock = clock
        self._asked_ns = -(10**12)
        self._asker: Any = None

    @property
    def asked(self) -> bool:
        """Somebody wants livedata."""
        try:
            while True:
                question, self._asker = self.socket.recvfrom(4096)
                self.questions.append(json.loads(question))
                self._asked_ns = self._clock()
        except BlockingIOError:
            return self._clock() - self._asked_ns < 3_000 * MS

    def us(self, time_ns: int | None = None) -> int:
        """Its clock, now or at that moment of ours."""
        return ((self._clock() if time_ns is None else time_ns) + self.ahead_ms * MS) // 1000

    def send(self, line: Line | bytes) -> None:
        if self.asked:
            data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\r\n"
            self.socket.sendto(data, self._asker)

    def gaze(self, x: float, y: float, at_ns: int | None = None, s: int = 0) -> int:
        """Gives our time of it, in whole µs."""
        at_ns = (self._clock() if at_ns is None else at_ns) // 1000 * 1000
        latency = max(self.us() - self.us(at_ns), 0)
        self.send({"ts": self.us(at_ns), "s": s, "gidx": 1, "l": latency, "gp": [x, y]})
        return at_ns

    def turns(self) -> None:
        """The head, slowly."""
        self.send({"ts": self.us(), "s": 0, "gy": [1.0, 0.0, 0.0]})


@pytest.fixture
def unit() -> Iterator[Unit]:
    running = Unit()
    yield running
    running.socket.close()


@pytest.fixture
def tobii(unit: Unit) -> Iterator[Tobii]:
    with Tobii(HERE, unit.port) as source:
        source.read()
        until(lambda: unit.asked)
        yield source


def until(true: Callable[[], object], act: Callable[[], object] = lambda: None) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        act()
        time.sleep(0.002)


def code(source: Tobii) -> str:
    return (source.reason or "").partition(": ")[0]


def read(source: Tobii, count: int = 1) -> list[Gaze]:
    got: list[Gaze] = []
    until(lambda: got.extend(source.read()) or len(got) >= count)
    return got


def wander(unit: Unit) -> None:
    """An eye that is never at rest."""
    angle = time.monotonic()
    unit.gaze(0.5 + 0.3 * math.sin(angle), 0.5 + 0.3 * math.cos(angle))


# A whole recording, in its own time


class Clock:
    """Stands where it is put."""

    now = 10**12

    def __call__(self) -> int:
        return self.now


class Played:
    """What the source made of the recording; the clock stands still while each packet travels."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.gaze: list[Gaze] = []
        self.poses: list[HeadPose] = []
        clock = Clock()
        unit = Unit(clock=clock)
        start_us = next(line["ts"] + line["l"] for line in lines if "gp" in line)
        self.shift_ns = clock.now - start_us * 1000
        # The recording begins with gaze that was 400 ms on its way.
        with unit.socket, Tobii(HERE, unit.port, clock, max_age_ms=1000) as source:
            for line in lines:
                sent_ns = (line["ts"] + line.get("l", 0)) * 1000 + self.shift_ns
                clock.now = max(sent_ns, clock.now)
                self.gaze += source.read()  # asks for more when it is time
                unit.send(line)
                self.gaze += source.read()  # on loopback a packet has come once it was sent
                self.poses += source.poses()

    def ours(self, line: Line) -> int:
        return line["ts"] * 1000 + self.shift_ns

    def of(self, key: str) -> list[Line]:
        return [line for line in self.lines if key in line]


@pytest.fixture(scope="module")
def played() -> Played:
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA is not set")
    with gzip.open(Path(folder) / "gaze/tobii_g2/livedata.json.gz", "rt") as file:
        return Played([json.loads(line) for line in file])


def test_each_gaze_of_a_recording_comes_with_its_point_and_its_time(played: Played):
    lines = played.of("gp")
    assert len(played.gaze) == len(lines) == 1424
    assert [gaze.confidence for gaze in played.gaze] == [float(line["s"] == 0) for line in lines]
    for gaze, line in zip(played.gaze, lines, strict=True):
        assert abs(gaze.time_ns - played.ours(line)) < 0.1 * MS
        assert line["s"] or (gaze.x, gaze.y) == tuple(line["gp"])


def test_the_rates_of_the_head_are_those_of_the_gyroscope_in_our_frame(played: Played):
    lines = {played.ours(line): line["gy"] for line in played.of("gy")}
    times = np.array(list(lines))
    rates = np.radians(list(lines.values())) * (-1, -1, 1)  # x left and y up become right and down
    assert len(played.poses) > 0.98 * len(lines)
    for pose in played.poses[100:]:  # the first came before any gaze, whose latency is known
        nearest = np.argmin(np.abs(times - pose.time_ns))
        assert abs(times[nearest] - pose.time_ns) < 0.1 * MS
        assert pose.angular_rate == pytest.approx(tuple(rates[nearest]), abs=1e-9)


def test_eyes_that_hold_something_turn_against_the_head(played: Played):
    """The reflex of every eye says which way each axis points."""
    time_s = np.array([gaze.time_ns for gaze in played.gaze]) / 1e9
    points = np.array([(gaze.x, gaze.y) for gaze in played.gaze])
    speed = np.diff(points, axis=0) / np.diff(time_s)[:, None]
    pose_s = np.array([pose.time_ns for pose in played.poses]) / 1e9
    rates = np.array([pose.angular_rate for pose in played.poses])
    pitch, yaw = (
        np.interp((time_s[1:] + time_s[:-1]) / 2, pose_s, rates[:, axis]) for axis in (0, 1)
    )
    held = np.isfinite(speed).all(1) & (np.abs(speed) < 0.3).all(1) & (np.diff(time_s) < 0.03)
    held &= np.hypot(pitch, yaw) > math.radians(5)
    assert held.sum() > 300
    assert np.corrcoef(yaw[held], speed[held, 0])[0, 1] < -0.3, "to the right: things go left"
    assert np.corrcoef(pitch[held], speed[held, 1])[0, 1] > 0.3, "up: things go down"


def test_gravity_stays_down_in_the_world(played: Played):
    gravity = {played.ours(line): line["ac"] for line in played.of("ac")}
    times, pulls = np.array(list(gravity)), np.array(list(gravity.values())) * (-1, -1, 1)
    tilts: list[float] = []
    for pose in played.poses[300:]:
        pull = pulls[np.argmin(np.abs(times - pose.time_ns))]
        down = Rotation.from_quat(pose.orientation).apply(pull / np.linalg.norm(pull))
        tilts.append(math.degrees(math.acos(min(down[1], 1.0))))
    assert np.median(tilts) < 4
    assert np.percentile(tilts, 95) < 12


def test_in_the_short_run_the_orientation_is_the_sum_of_the_rates(played: Played):
    off: list[float] = []
    for start in range(300, len(played.poses) - 50, 50):
        stretch = played.poses[start : start + 50]  # half a second
        turn = Rotation.identity()
        for before, after in pairwise(stretch):
            step_s = (after.time_ns - before.time_ns) / 1e9
            turn = turn * Rotation.from_rotvec(np.multiply(after.angular_rate, step_s))
        first, last = (Rotation.from_quat(stretch[n].orientation) for n in (0, -1))
        off.append(math.degrees((turn.inv() * first.inv() * last).magnitude()))
    assert np.median(off) < 2


# Asking


def test_livedata_is_asked_for_again_and_again_with_the_same_key():
    clock = Clock()
    unit = Unit(clock=clock)
    with unit.socket, Tobii(HERE, unit.port, clock) as source:
        assert isinstance(source, HeadSource)
        for _ in range(50):
            source.read()
            clock.now += 100 * MS
        assert unit.asked
        assert len(unit.questions) == 5, "once a second"
        assert unit.questions == [unit.questions[0]] * 5
        assert unit.questions[0] | {"key": ""} == {
            "type": "live.data.unicast",
            "key": "",
            "op": "start",
        }


def test_glasses_that_are_not_there_yet_are_waited_for():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HERE, 0))
        port = int(taken.getsockname()[1])
    with Tobii(HERE, port) as source:
        until(lambda: code(source) == "no-server", source.read)
        assert str(port) in (source.reason or "")
        unit = Unit(port)
        with unit.socket:
            until(lambda: source.read(), lambda: wander(unit))
            assert source.reason is None


def test_glasses_that_go_and_come_back_with_another_clock_are_found_again(unit: Unit, tobii: Tobii):
    until(lambda: tobii.read(), lambda: wander(unit))
    unit.socket.close()
    until(lambda: code(tobii) == "no-server", tobii.read)
    other = Unit(unit.port)
    other.ahead_ms = 3_000
    with other.socket:
        until(lambda: other.asked, tobii.read)
        at_ns = other.gaze(0.5, 0.25)
        (gaze,) = read(tobii)
        assert abs(gaze.time_ns - at_ns) < 100 * MS
        assert tobii.reason is None


def test_a_network_that_cannot_be_reached_is_said():
    with Tobii("255.255.255.255") as source:  # no socket may, unless it says that it means it
        assert source.read() == []
        assert code(source) == "unreachable"


def test_a_name_that_nobody_knows_is_an_error_at_once():
    with pytest.raises(DeviceError, match="no-such-glasses"):
        Tobii("no-such-glasses.invalid")


def test_only_the_glasses_are_listened_to(unit: Unit, tobii: Tobii):
    unit.gaze(0.25, 0.25)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        line = {"ts": unit.us(), "s": 0, "gp": [0.9, 0.9]}
        other.sendto(json.dumps(line).encode(), unit._asker)
    time.sleep(0.02)
    unit.gaze(0.75, 0.75)
    assert [gaze.x for gaze in read(tobii, 2)] == [0.25, 0.75]


@pytest.mark.parametrize("address", ["", ":127.0.0.1", ":127.0.0.1:49153", ":::1", ":[::1]:49153"])
def test_the_configuration_opens_it(address: str):
    config = GazeConfig(f"tobii{address}")
    with open_gaze(config, SimpleNamespace(), SensorConfig("webcam:0")) as source:
        assert isinstance(source, Tobii)
        assert source.read() == []


# Samples that are wrong


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b'{"ts":"soon","s":0,"gp":[0.5,0.5]}',
        b'{"s":0,"gp":[0.5,0.5]}',
        b'{"ts":-1,"s":0,"gp":[0.5,0.5]}',
        b'{"ts":%d,"s":0,"gp":[0.5,0.5]}' % 10**400,
        b'{"ts":1,"s":0,"gp":[0.5]}',
        b'{"ts":1,"s":0,"gp":[NaN,0.5]}',
        b'{"ts":1,"s":0,"gy":[1,2,"3"]}',
        b'{"ts":1,"s":0,"gy":[1,2,1.7e308]}',
        b"x" * 60_000,
        b'{"ts":1,"x":' + b"[" * 50_000,
    ],
    ids=range(13),
)
def test_what_is_no_livedata_is_passed_over(unit: Unit, tobii: Tobii, line: bytes):
    unit.gaze(0.25, 0.25)
    unit.send(line)
    time.sleep(0.02)
    unit.gaze(0.75, 0.75)
    assert [gaze.x for gaze in read(tobii, 2)] == [0.25, 0.75]
    assert code(tobii) in ("malformed", "")


def test_an_eye_that_is_not_seen_is_a_blink(unit: Unit, tobii: Tobii):
    unit.gaze(0.0, 0.0, s=1)
    (gaze,) = read(tobii)
    assert gaze.confidence == 0


def test_zeros_are_a_blink_and_said(unit: Unit, tobii: Tobii):
    unit.gaze(0.0, 0.0)
    (gaze,) = read(tobii)
    assert gaze.confidence == 0
    assert code(tobii) == "zeros"


def test_samples_out_of_order_and_twice_come_once_and_in_order(unit: Unit, tobii: Tobii):
    unit.gaze(0.99, 0.5, time.monotonic_ns() - 90 * MS)
    start_ns = time.monotonic_ns() - 50 * MS
    for ms in (0, 10, 5, 10, 20, 20, 15, 30):
        unit.gaze(ms / 100, 0.5, start_ns + ms * MS)
    got = read(tobii, 5)
    assert all(one.time_ns < two.time_ns for one, two in pairwise(got))
    assert {0, 0.1, 0.2, 0.3} <= {gaze.x for gaze in got}


def test_a_point_that_never_moves_is_held_back_and_said(unit: Unit, tobii: Tobii):
    until(lambda: code(tobii) == "frozen", lambda: (unit.gaze(0.5, 0.5), tobii.read()))
    until(lambda: tobii.read() and code(tobii) != "frozen", lambda: wander(unit))


def test_a_burst_of_ten_times_the_rate_is_thinned_and_said(unit: Unit, tobii: Tobii):
    for n in range(50):
        unit.gaze(0.2 + n / 100, 0.5)
        tobii.read()
        time.sleep(0.02)
    got: list[Gaze] = []
    for n in range(300):
        unit.gaze(0.2 + n / 1000, 0.6)
        time.sleep(0.001)
        got += tobii.read()
    assert code(tobii) == "burst"
    assert 0 < len(got) < 290


@pytest.mark.parametrize("jump_ms", [3_600_000, 10_000, 300, -300, -1_000, -400_000])
def test_glasses_whose_clock_jumps_are_followed_with_eyes_and_head(
    unit: Unit, tobii: Tobii, jump_ms: int
):
    until(lambda: tobii.read(), lambda: wander(unit))
    unit.ahead_ms += jump_ms
    got: list[Gaze] = []
    until(lambda: got.extend(tobii.read()) or got, lambda: wander(unit))
    assert abs(got[-1].time_ns - time.monotonic_ns()) < 150 * MS
    tobii.poses()
    until(lambda: tobii.poses(), lambda: (unit.turns(), tobii.read()))
    until(lambda: tobii.reason is None, lambda: (wander(unit), tobii.read()))
