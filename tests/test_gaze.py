"""Gaze sources that need no device: a recording, the middle of the picture, other programs."""

from __future__ import annotations

import gzip
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import zmq

from glasses_sdk.backends import GazeConfig, SensorConfig, open_gaze, open_sensor
from glasses_sdk.config import Config
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.gaze.centre import Centre
from glasses_sdk.gaze.events import EventConfig
from glasses_sdk.gaze.head import Head
from glasses_sdk.gaze.inlet import Inlet
from glasses_sdk.gaze.replay import Replay, read_recording
from glasses_sdk.pipeline import Pipeline
from glasses_sdk.transport import StreamConfig
from glasses_sdk.types import Gaze, HeadPose
from glasses_sdk.wire import encode_head_input

HEADER = "time_ns,x,y,confidence\n"
Write = Callable[[str], Path]


class Clock:
    """Stands where it is put."""

    now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def recording(tmp_path: Path) -> Write:
    def write(rows: str) -> Path:
        path = tmp_path / "gaze.csv"
        path.write_text(HEADER + rows)
        return path

    return write


# Replay


def test_a_replay_gives_each_sample_once_when_its_time_has_come(recording: Write):
    clock = Clock()
    path = recording("0,0.1,0.2,1\n10,0.3,0.4,0.5\n20,0.5,0.6,1\n")
    with Replay(path, origin_ns=1000, clock=clock) as replay:
        given: dict[int, list[Gaze]] = {}
        for now in (999, 1000, 1009, 1010, 1010, 5000, 6000):
            clock.now = now
            given[now] = [*given.get(now, []), *replay.read()]
    assert given[999] == given[1009] == given[6000] == []
    assert given[1000] == [Gaze(1000, 0.1, 0.2, 1)]
    assert given[1010] == [Gaze(1010, 0.3, 0.4, 0.5)]
    assert given[5000] == [Gaze(1020, 0.5, 0.6, 1)]


def test_whoever_reads_a_replay_late_gets_all_that_was_missed_oldest_first(recording: Write):
    clock = Clock()
    replay = Replay(recording("0,0,0,1\n10,1,1,1\n20,0,1,1\n"), 0, clock)
    clock.now = 15
    assert [gaze.time_ns for gaze in replay.read()] == [0, 10]


def test_nobody_looks_in_a_pause_of_the_recording(recording: Write):
    clock = Clock()
    replay = Replay(recording("0,0,0,1\n5000000000,1,1,1\n"), 0, clock)
    replay.read()
    clock.now = 4_999_999_999
    assert replay.read() == []
    clock.now += 1
    assert len(replay.read()) == 1


def test_a_clock_that_steps_back_brings_no_sample_twice(recording: Write):
    clock = Clock()
    replay = Replay(recording("0,0,0,1\n10,1,1,1\n20,1,1,1\n"), 0, clock)
    clock.now = 10
    assert len(replay.read()) == 2
    clock.now = 5
    assert replay.read() == []
    clock.now = 20
    assert [gaze.time_ns for gaze in replay.read()] == [20]


def test_two_samples_may_have_the_same_time(recording: Write):
    path = recording("7,0.1,0.1,1\n7,0.2,0.2,1\n")
    assert [gaze.x for gaze in read_recording(path)] == [0.1, 0.2]


@pytest.mark.parametrize("row", ["5,,,0", "5,nan,nan,0", "5,0.5,,0.0"])
def test_a_blink_needs_no_point(recording: Write, row: str):
    (blink,) = read_recording(recording(row + "\n"))
    assert (blink.time_ns, blink.confidence) == (5, 0)
    assert math.isnan(blink.y)


def test_a_point_outside_of_the_picture_is_a_sample_too(recording: Write):
    (gaze,) = read_recording(recording("5,-0.2,1.3,0.9\n"))
    assert (gaze.x, gaze.y) == (-0.2, 1.3)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_recording_from_a_spreadsheet_is_read(tmp_path: Path, newline: str, mark: str):
    path = tmp_path / "gaze.csv"
    text = mark + newline.join(["time_ns,x,y,confidence", "5,0.1,0.2,1", ""])
    path.write_bytes(text.encode())
    assert read_recording(path) == [Gaze(5, 0.1, 0.2, 1)]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("20,nan,0.5,1", r"finite numbers, not \(nan, 0\.5\)"),
        ("20,inf,0.5,1", r"finite numbers, not \(inf, 0\.5\)"),
        ("20,,0.5,1", "x is a number, or confidence is 0, not empty"),
        ("20,1.7e308,0.5,1", r"no point of a picture is \(1\.7e\+308, 0\.5\)"),
        ("1" + "0" * 30 + ",0.5,0.5,1", r"no clock shows 1e\+30 ns"),
        ("20,0.5", "confidence is a number in 0 to 1, not empty"),
        ("20,0.5,0.5,", "confidence is a number in 0 to 1, not empty"),
        ("20,0.5,0.5,high", "confidence is a number in 0 to 1, not high"),
        ("20,0.5,0.5,1.5", "a confidence lies in 0 to 1, not 1.5"),
        ("20,0.5,0.5,nan", "a confidence lies in 0 to 1, not nan"),
        ("20.5,0.5,0.5,1", r"time_ns is a whole number of ns, not 20\.5"),
        (",0.5,0.5,1", "time_ns is a whole number of ns, not empty"),
        ("20,0.5,0.5,1,7", "more than 4 fields"),
        ("5,0.5,0.5,1", "time goes back from 10 to 5 ns; sort the file"),
    ],
)
def test_what_is_wrong_in_a_recording_is_named_by_its_line(recording: Write, row: str, fault: str):
    path = recording(f"10,0.5,0.5,1\n\n{row}\n30,0.5,0.5,1\n")
    with pytest.raises(DataError, match=rf"gaze\.csv, line 4: .*{fault}"):
        read_recording(path)


@pytest.mark.parametrize(
    "content",
    ["", "x,y,confidence\n0.5,0.5,1\n", "5,0.5,0.5,1\n", "time_ns,y,x,confidence\n"],
    ids=["empty", "no time", "no header", "other order"],
)
def test_columns_that_are_missing_or_in_another_order_are_refused(tmp_path: Path, content: str):
    path = tmp_path / "gaze.csv"
    path.write_text(content)
    with pytest.raises(DataError, match="begins with time_ns,x,y,confidence"):
        read_recording(path)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\x81" * 50, b"\x00" * 100, b"time_ns,x,y,confidence\n5,\xff,0,1\n"]
)
def test_a_binary_file_is_no_recording(tmp_path: Path, content: bytes):
    path = tmp_path / "gaze.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"gaze\.csv"):
        read_recording(path)


def test_a_recording_that_cannot_be_read_says_why(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        read_recording(tmp_path / "none.csv")
    with pytest.raises(DataError, match="has no info"):
        read_recording(tmp_path)


# The middle, and other programs


def test_without_an_eye_tracker_the_wearer_looks_at_the_middle_now():
    clock = Clock()
    clock.now = 42
    with Centre(clock) as centre:
        assert list(centre.read()) == [Gaze(42, 0.5, 0.5, 1.0)]


def test_an_inlet_hands_each_sample_on_once_in_the_order_of_time():
    clock = Clock()
    samples = [Gaze(t, 0.1, 0.2) for t in (30, 10, 20)]
    with Inlet(clock=clock) as inlet:
        for n, sample in enumerate(samples):
            inlet.push(f"app{n}", sample)
        assert [gaze.time_ns for gaze in inlet.read()] == [10, 20, 30]
        assert inlet.read() == []
        assert inlet.reason is None


def test_an_inlet_with_a_name_takes_nobody_elses_samples():
    inlet = Inlet("pointer", Clock())
    inlet.push("game", Gaze(1, 0.1, 0.1))
    inlet.push("pointer", Gaze(2, 0.2, 0.2))
    assert inlet.read() == [Gaze(2, 0.2, 0.2)]


def test_an_inlet_that_hears_others_alone_says_so():
    now = [0]
    inlet = Inlet("left", lambda: now[0])
    inlet.push("right", Gaze(0, 0.5, 0.5))
    assert inlet.reason == "other-name: 'right' is pushed, and 'left' is wanted"
    inlet.push("left", Gaze(0, 0.5, 0.5))
    assert inlet.reason is None
    now[0] = 2_000_000_000
    assert inlet.reason is None


@pytest.mark.parametrize(
    ("gaze", "pace", "sentence"),
    [
        ("inlet", "every", "gaze inlet comes now"),
        ("pupil:localhost", "every", "gaze pupil comes now"),
        ("replay", "realtime", "needs a recording, as in replay:gaze.csv"),
        ("centre:left", "realtime", "gaze centre is all there is to say"),
        ("none:0", "realtime", "gaze none is all there is to say"),
    ],
)
def test_what_does_not_go_together_is_refused(
    film: Callable[..., Path], bright: Path, gaze: str, pace: Literal["every"], sentence: str
):
    config = SensorConfig(f"video:{film()}", str(bright), pace=pace, isolate=False)
    with open_sensor(config) as sensor, pytest.raises(ConfigError, match=sentence):
        open_gaze(GazeConfig(gaze), sensor, config)


def test_an_inlet_of_a_program_with_another_clock_goes_by_arrival_and_says_so():
    clock = Clock()
    inlet = Inlet(clock=clock)
    found: list[Gaze] = []
    for _ in range(30):
        clock.now += 100_000_000
        inlet.push("game", Gaze(clock.now + 10**18, 0.1, 0.2))
        found.extend(inlet.read())
    assert found[-1].time_ns == clock.now
    assert (inlet.reason or "").startswith("clock-jump: ")


# The head


def turned(degrees: float) -> tuple[float, float, float, float]:
    """To the right."""
    half = math.radians(degrees) / 2
    return 0.0, math.sin(half), 0.0, math.cos(half)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(("rate_deg_s", "confidence"), [(5, 0.6), (90, 0.2)])
def test_a_head_that_rests_looks_ahead_and_one_that_turns_hardly(
    measured: bool, rate_deg_s: float, confidence: float
):
    clock = Clock()
    with Head(clock=clock) as head:
        for n in range(5):
            clock.now += 20_000_000
            rate = (0.0, math.radians(rate_deg_s), 0.0) if measured else None
            head.push("band", HeadPose(clock.now, turned(rate_deg_s * n * 0.02), rate))
        found = head.read()
    assert [(gaze.x, gaze.y) for gaze in found] == [(0.5, 0.5)] * 5
    assert [gaze.confidence for gaze in found[1:]] == [confidence] * 4
    assert head.reason is None


@pytest.mark.parametrize("packed", [False, True])
def test_a_recording_without_a_sample_is_refused(tmp_path: Path, packed: bool):
    path = tmp_path / ("none.csv.gz" if packed else "none.csv")
    text = b"time_ns,x,y,confidence\n"
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(DataError, match="holds no gaze sample"):
        Replay(path, 0, time.monotonic_ns)


def test_a_head_whose_poses_come_in_bursts_still_rests():
    clock = Clock()
    head = Head(clock=clock)
    for n in range(30):
        clock.now += 50_000 if n % 3 else 30_000_000
        head.push("band", HeadPose(clock.now, turned(0.05 * (n % 2))))
    assert {gaze.confidence for gaze in head.read()} == {0.6}


def test_a_head_that_rests_counts_by_default():
    clock = Clock()
    head = Head("band", clock)
    head.push("other", HeadPose(0, turned(3)))
    head.push("band", HeadPose(0, turned(3)))
    (gaze,) = head.read()
    assert gaze.confidence >= EventConfig().min_confidence


def test_a_pushed_pose_makes_the_loop_look_ahead(film: Callable[..., Path], bright: Path):
    config = Config(
        sensor=SensorConfig(f"video:{film()}", str(bright), frames=100_000, isolate=False),
        gaze=GazeConfig("head:band"),
        stream=StreamConfig(bind="tcp://127.0.0.1:*"),
    )
    end = time.monotonic() + 20
    with (
        Pipeline(config, publish=True) as glasses,
        zmq.Context() as context,
        context.socket(zmq.PUB) as band,
    ):
        assert glasses.addresses is not None
        band.setsockopt(zmq.LINGER, 0)
        band.connect(glasses.addresses.input)
        for mask in glasses:
            band.send_multipart(encode_head_input("band", HeadPose(0, turned(3))))
            if mask.track:
                break
            assert time.monotonic() < end
    assert mask.roi.left < 32 < mask.roi.right
    assert mask.roi.top < 24 < mask.roi.bottom
