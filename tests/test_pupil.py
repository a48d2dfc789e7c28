"""The Pupil Core source against a stand-in for Pupil Capture: its network API on real sockets.

The stand-in has what Pupil Capture has: Pupil Remote (REP, plain text) and the backbone (PUB,
topic and msgpack, each datum with the pupil data that it rests on), and a recording to publish.
"""

from __future__ import annotations

import csv
import gzip
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from glasses_sdk.backends import GazeConfig, SensorConfig
from glasses_sdk.config import Config
from glasses_sdk.errors import DataError, DeviceError
from glasses_sdk.gaze.pupil import Pupil
from glasses_sdk.gaze.replay import read_recording
from glasses_sdk.pipeline import Pipeline
from glasses_sdk.transport import MaskSubscriber, StreamConfig
from glasses_sdk.types import Gaze
from glasses_sdk.wire import Status

SECONDS = 20.0  # of patience; nothing here is measured
Row = tuple[float, float, float, float]
"""Seconds from the first, norm_pos x and y, confidence."""


class Capture:
    """A Pupil Capture: answers on one port, publishes what it is given on another."""

    def __init__(self, port: int | None = None, starts_at_s: float = 1216.0) -> None:
        self._context = zmq.Context()
        self._remote = self._context.socket(zmq.REP)
        self._backbone = self._context.socket(zmq.PUB)
        self.port = self._bind(self._remote, port)
        self.sub_port = self._bind(self._backbone, None)
        self.subscribed = threading.Event()
        self.shift_s = starts_at_s - time.monotonic()
        self.answers: dict[str, str] = {}
        self.mute = False
        self._outbox: list[list[bytes]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @staticmethod
    def _bind(bound: Any, port: int | None) -> int:
        bound.setsockopt(zmq.LINGER, 0)
        if port is None:
            return int(bound.bind_to_random_port("tcp://127.0.0.1"))
        end = time.monotonic() + SECONDS
        while True:
            try:
                bound.bind(f"tcp://127.0.0.1:{port}")
                return port
            except zmq.ZMQError:  # the one before it has just let go
                assert time.monotonic() < end
                time.sleep(0.02)

    def pupil_time(self) -> float:
        return time.monotonic() + self.shift_s

    def publish(self, x: float, y: float, confidence: float, at_s: float | None = None) -> float:
        """A binocular gaze datum, as Pupil's 3D mapper sends it; gives its Pupil time."""
        timestamp = self.pupil_time() if at_s is None else at_s
        self.send("gaze.3d.01.", datum((x, y), confidence, timestamp))
        return timestamp

    def send(self, topic: str, payload: Any) -> None:
        packed = payload if isinstance(payload, bytes) else msgpack.packb(payload)
        self._outbox.append([topic.encode(), packed])

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def _run(self) -> None:
        while not self._end.is_set():
            if self._remote.poll(2):
                question = self._remote.recv_string()
                while self.mute and not self._end.is_set():
                    time.sleep(0.005)
                frames = self._answer(question).split("|")
                self._remote.send_multipart([frame.encode() for frame in frames])
            while self._outbox:
                self._backbone.send_multipart(self._outbox.pop(0))

    def _answer(self, question: str) -> str:
        known = {"t": f"{self.pupil_time():.6f}", "SUB_PORT": str(self.sub_port)} | self.answers
        return known.get(question, "Unknown command.")


def datum(norm_pos: Sequence[float], confidence: float, timestamp: float) -> dict[str, Any]:
    """With its nested pupil data, one of them packed as an extension, as Pupil does."""
    pupil = {
        "id": 0,
        "topic": "pupil.0.3d",
        "method": "pye3d 0.3.0 real-time",
        "norm_pos": [0.4, 0.6],
        "diameter": 31.5,
        "timestamp": timestamp,
        "confidence": confidence,
        "ellipse": {"center": [96.0, 77.0], "axes": [20.1, 31.5], "angle": 14.0},
    }
    return {
        "topic": "gaze.3d.01.",
        "norm_pos": list(norm_pos),
        "confidence": confidence,
        "timestamp": timestamp,
        "eye_centers_3d": {"0": [20.0, 15.0, -20.0], "1": [-40.0, 15.0, -20.0]},
        "gaze_normals_3d": {"0": [-0.1, 0.1, 0.98], "1": [0.1, 0.1, 0.98]},
        "gaze_point_3d": [-18.8, 40.3, 223.3],
        "base_data": [pupil, msgpack.ExtType(13, msgpack.packb(pupil))],
    }


@pytest.fixture
def capture() -> Iterator[Capture]:
    running = Capture()
    yield running
    running.close()


@pytest.fixture
def pupil(capture: Capture) -> Iterator[Pupil]:
    with Pupil("127.0.0.1", capture.port) as source:
        yield source


def code(source: Pupil) -> str:
    return (source.reason or "").partition(": ")[0]


def until(
    source: Pupil,
    wanted: Callable[[list[Gaze]], bool],
    step: Callable[[], object] = lambda: None,
) -> list[Gaze]:
    """What is read until it is enough, with a step between two reads."""
    found: list[Gaze] = []
    end = time.monotonic() + SECONDS
    while not wanted(found):
        assert time.monotonic() < end, (found[-3:], source.reason)
        step()
        time.sleep(0.002)
        found.extend(source.read())
    return found


def eye(capture: Capture) -> Callable[[], object]:
    """Publishes where an eye looks, another point each time."""
    numbers = count()
    return lambda: capture.publish(0.3 + 0.1 * math.sin(next(numbers)), 0.25, 0.9)


def connected(capture: Capture, source: Pupil) -> None:
    """Both sockets and the clock: gaze comes."""
    until(source, bool, eye(capture))
    assert source.reason is None


# What a sample means


def test_norm_pos_is_flipped_to_an_origin_at_the_top(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    capture.publish(0.125, 0.25, 0.875)
    found = until(pupil, lambda found: any(gaze.x == 0.125 for gaze in found))
    (gaze,) = [gaze for gaze in found if gaze.x == 0.125]
    assert (gaze.y, gaze.confidence) == (0.75, 0.875)


@pytest.mark.parametrize("starts_at_s", [0.5, 1216.0, 1.7e9])
def test_pupil_time_becomes_ours(starts_at_s: float):
    capture = Capture(starts_at_s=starts_at_s)
    try:
        with Pupil("127.0.0.1", capture.port) as source:
            connected(capture, source)
            for _ in range(30):  # the clock's readings
                source.read()
                time.sleep(0.002)
            before = time.monotonic()
            capture.publish(0.125, 0.5, 1)
            after = time.monotonic()
            found = until(source, lambda found: any(gaze.x == 0.125 for gaze in found))
            (moment,) = [gaze.time_ns / 1e9 for gaze in found if gaze.x == 0.125]
            assert before - 0.02 <= moment <= after + 0.02
    finally:
        capture.close()


def test_a_recording_comes_as_it_was_published(capture: Capture, pupil: Pupil):
    rows = real_rows()[:600]
    connected(capture, pupil)
    start = capture.pupil_time()
    waiting = [(start + at, x, y, trust) for at, x, y, trust in rows]
    sent: list[Row] = []

    def play() -> None:
        while waiting and waiting[0][0] <= capture.pupil_time():
            at, x, y, trust = waiting.pop(0)
            capture.publish(x, y, trust, at)
            sent.append((at, x, y, trust))

    points = {(x, 1 - y) for _, x, y, trust in rows if trust}
    found = until(pupil, lambda found: not waiting and found_all(found, points), play)
    trusted = [gaze for gaze in found if (gaze.x, gaze.y) in points]
    expected = [(x, 1 - y, trust) for _, x, y, trust in rows if trust]
    assert [(gaze.x, gaze.y, gaze.confidence) for gaze in trusted] == expected
    assert [gaze.time_ns for gaze in trusted] == sorted({gaze.time_ns for gaze in trusted})
    assert pupil.reason is None


def found_all(found: list[Gaze], points: set[tuple[float, float]]) -> bool:
    return points <= {(gaze.x, gaze.y) for gaze in found}


def real_file() -> Path:
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA is not set")
    return Path(folder) / "gaze" / "pupil_core" / "gaze_positions.csv.gz"


def real_rows() -> list[Row]:
    with gzip.open(real_file(), "rt", newline="") as file:
        table = list(csv.DictReader(file))
    zero = float(table[0]["gaze_timestamp"])
    names = ("norm_pos_x", "norm_pos_y", "confidence")
    return [
        (float(row["gaze_timestamp"]) - zero, *(float(row[name]) for name in names))
        for row in table
    ]


# When Pupil is not there


def test_nobody_there_is_said_and_a_read_does_not_wait(unused_port: int):
    with Pupil("127.0.0.1", unused_port) as source:
        assert source.reason is None  # it may be starting
        until(source, lambda found: code(source) == "no-server")
        assert str(unused_port) in (source.reason or "")


def test_a_pupil_that_comes_later_is_found(unused_port: int):
    with Pupil("127.0.0.1", unused_port) as source:
        until(source, lambda found: code(source) == "no-server")
        capture = Capture(unused_port)
        try:
            connected(capture, source)
        finally:
            capture.close()


def test_a_pupil_that_dies_is_said_and_found_again_with_another_port_and_clock(
    capture: Capture, pupil: Pupil
):
    connected(capture, pupil)
    capture.close()
    until(pupil, lambda found: code(pupil) == "no-server")
    again = Capture(capture.port, starts_at_s=77.0)
    try:
        assert again.sub_port != capture.sub_port
        before = time.monotonic()
        found = until(pupil, bool, eye(again))
        assert before - 0.1 <= found[-1].time_ns / 1e9 <= time.monotonic() + 0.1
        until(pupil, lambda found: pupil.reason is None, eye(again))
    finally:
        again.close()


def test_a_pupil_that_hangs_is_said_and_asked_again(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    capture.mute = True
    until(pupil, lambda found: code(pupil) == "no-server")
    capture.mute = False
    until(pupil, lambda found: pupil.reason is None, eye(capture))


def test_a_port_that_accepts_and_says_nothing_is_no_server():
    with (
        socket.create_server(("127.0.0.1", 0)) as dumb,
        Pupil("127.0.0.1", dumb.getsockname()[1]) as source,
    ):
        until(source, lambda found: code(source) == "no-server")


@pytest.mark.parametrize(
    "answers",
    [
        {"t": "hello", "SUB_PORT": "?"},
        {"t": "nan", "SUB_PORT": "70000"},
        {"t": "1e308"},
        {"t": "1|2", "SUB_PORT": "a|b|c"},
    ],
)
def test_a_server_that_is_no_pupil_is_said(answers: dict[str, str]):
    capture = Capture()
    capture.answers = answers
    try:
        with Pupil("127.0.0.1", capture.port) as source:
            until(source, lambda found: code(source) == "wrong-server")
            capture.answers = {}
            connected(capture, source)
    finally:
        capture.close()


def test_a_name_that_nobody_knows_is_one_sentence():
    with pytest.raises(DeviceError, match=r"^no machine called 'no-such\.invalid' is known here"):
        Pupil("no-such.invalid")


def test_a_name_is_looked_up_and_ipv4_comes_first(capture: Capture):
    with Pupil("localhost", capture.port) as source:
        connected(capture, source)


# What comes wrong


def test_what_is_no_gaze_datum_is_said_and_skipped(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    good = datum((0.5, 0.5), 1.0, capture.pupil_time())
    wrong = [b"", b"\xc1", b"\xff" * 50, msgpack.packb([1, 2]), msgpack.packb({"timestamp": 1.0})]
    wrong += [msgpack.packb(good | {"norm_pos": value}) for value in (None, [0.5], "ab", [1, 2, 3])]
    wrong += [msgpack.packb(good | {"timestamp": "now"}), msgpack.packb(good)[:-3]]
    wrong += [b"\x81\xa1x" + b"\x91" * 100_000]
    for payload in wrong:
        capture.send("gaze.3d.01.", payload)
    until(pupil, lambda found: code(pupil) == "malformed")
    assert until(pupil, bool, eye(capture))
    until(pupil, lambda found: pupil.reason is None, eye(capture))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308])
@pytest.mark.parametrize("field", ["timestamp", "confidence", "norm_pos"])
def test_numbers_that_are_none_do_no_harm(capture: Capture, pupil: Pupil, field: str, bad: float):
    connected(capture, pupil)
    good = datum((0.5, 0.5), 0.5, capture.pupil_time())
    capture.send("gaze.3d.01.", good | {field: [bad, bad] if field == "norm_pos" else bad})
    assert until(pupil, lambda found: len(found) > 5, eye(capture))


def test_zeros_are_a_blink_and_said(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    capture.publish(0.0, 1.0, 1.0)  # Pupil's y counts from below
    found = until(pupil, lambda found: any(gaze.confidence == 0 for gaze in found))
    assert math.isnan(found[-1].x)
    assert code(pupil) == "zeros"


def test_samples_out_of_order_and_twice_come_once_and_in_order(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    start_s = capture.pupil_time()
    for ms in (0, 10, 5, 10, 20, 20, 15, 30):
        capture.publish(0.5 + ms / 1000, 0.5, 1.0, start_s + ms / 1000)
    found = until(pupil, lambda found: any(gaze.x == 0.53 for gaze in found))
    assert all(one.time_ns < two.time_ns for one, two in pairwise(found))
    assert {0.5, 0.51, 0.52, 0.53} <= {gaze.x for gaze in found}


def test_a_burst_of_ten_times_the_rate_is_thinned_and_said(capture: Capture, pupil: Pupil):
    until(pupil, lambda found: len(found) > 50, eye(capture))
    start_s = capture.pupil_time()
    for n in range(150):
        capture.publish(0.3 + n / 1000, 0.6, 1.0, start_s + n * 0.0002)
    said: set[str] = set()
    found = until(pupil, lambda found: said.add(code(pupil)) or "burst" in said)
    assert len(found) < 140


def test_a_point_that_never_moves_is_held_back_and_said(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    until(pupil, lambda found: code(pupil) == "frozen", lambda: capture.publish(0.5, 0.5, 1.0))
    assert until(pupil, bool, eye(capture))


def test_other_topics_are_not_heard(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    for topic in ("pupil.0.3d", "gaze", "notify.recording.started", "surfaces.desk"):
        capture.send(topic, datum((0.125, 0.5), 1.0, capture.pupil_time()))
    found = until(pupil, lambda found: len(found) > 20, eye(capture))
    assert 0.125 not in {gaze.x for gaze in found}


def test_a_clock_that_is_set_in_pupil_is_followed(capture: Capture, pupil: Pupil):
    connected(capture, pupil)
    for shift_s in (500.0, -900.0, 0.25):
        capture.shift_s += shift_s
        sent: list[float] = []

        def look(sent: list[float] = sent) -> None:
            sent.append(time.monotonic())
            capture.publish(0.2 + len(sent) / 1e5, 0.5, 0.9)

        def right(found: list[Gaze], sent: list[float] = sent) -> bool:
            last = found[-1] if found else None
            k = round((last.x - 0.2) * 1e5) - 1 if last and 0.2 < last.x < 0.3 else -1
            return 0 <= k < len(sent) and abs(last.time_ns / 1e9 - sent[k]) < 0.02

        until(pupil, lambda found: right(found) and pupil.reason is None, look)


# Files


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_real_export_is_a_recording(tmp_path: Path):
    path = tmp_path / "gaze_positions.csv"
    path.write_bytes(gzip.decompress(real_file().read_bytes()))
    samples = read_recording(path)
    rows = real_rows()
    assert [gaze.time_ns for gaze in samples] == pytest.approx(
        [row[0] * 1e9 for row in rows], abs=1
    )
    seen = [(gaze, row) for gaze, row in zip(samples, rows, strict=True) if row[3] > 0]
    assert [(gaze.x, gaze.y, gaze.confidence) for gaze, _ in seen] == [
        (x, 1 - y, trust) for _, (_, x, y, trust) in seen
    ]
    assert {gaze.confidence for gaze, row in zip(samples, rows, strict=True) if not row[3]} == {0}


HEADER = "gaze_timestamp,world_index,confidence,norm_pos_x,norm_pos_y,base_data\n"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("9.5,1,1,0.5,0.5,a", "time goes back from 10000000000 to 9500000000 ns"),
        ("nan,1,1,0.5,0.5,a", "gaze_timestamp is a number of seconds, not nan"),
        ("soon,1,1,0.5,0.5,a", "gaze_timestamp is a number of seconds, not soon"),
        ("11,1,1,,0.5,a", "norm_pos_x is a number, not empty"),
        ("11,1,1,inf,0.5,a", "finite numbers"),
        ("11,1,2,0.5,0.5,a", "confidence lies in 0 to 1, not 2"),
        ("11,1,1,0.5,0.5,a,b", "more than 6 fields"),
    ],
)
def test_what_is_wrong_in_an_export_is_named_by_its_line(tmp_path: Path, row: str, fault: str):
    path = tmp_path / "gaze_positions.csv"
    path.write_text(f"{HEADER}10,1,1,0.5,0.5,a\n{row}\n")
    with pytest.raises(DataError, match=rf"gaze_positions\.csv, line 3: .*{fault}"):
        read_recording(path)


def test_an_export_of_nothing_is_an_empty_recording(tmp_path: Path):
    path = tmp_path / "gaze_positions.csv"
    path.write_text(HEADER)
    assert read_recording(path) == []


# In the whole program


def test_the_status_says_what_is_wrong_with_the_gaze_until_it_is_right(
    film: Callable[..., Path], bright: Path, unused_port: int
):
    config = Config(
        sensor=SensorConfig(f"video:{film()}", str(bright), frames=100_000, isolate=False),
        gaze=GazeConfig(f"pupil:127.0.0.1:{unused_port}"),
        stream=StreamConfig(bind="tcp://127.0.0.1:*"),
    )
    with Pipeline(config, publish=True) as glasses:
        assert glasses.addresses is not None
        with MaskSubscriber(glasses.addresses.stream) as app:
            run(glasses, app, lambda status: (status.reason or "").startswith("no-server: "))
            assert app.status is not None
            assert (app.status.state, app.status.gaze.state) == ("streaming", "none")
            capture = Capture(unused_port)
            try:
                run(glasses, app, lambda status: status.gaze.state == "tracking", eye(capture))
                run(glasses, app, lambda status: status.reason is None, eye(capture))
            finally:
                capture.close()


def run(
    glasses: Pipeline,
    app: MaskSubscriber,
    wanted: Callable[[Status], bool],
    step: Callable[[], object] = lambda: None,
) -> None:
    """The loop, until the status that an app hears is the one that is wanted."""
    end = time.monotonic() + SECONDS
    for _ in glasses:
        step()
        app.latest()
        if app.status is not None and wanted(app.status):
            return
        assert time.monotonic() < end, app.status
