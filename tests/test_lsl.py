"""The LSL source, from a real outlet to a real inlet on this machine."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pylsl = pytest.importorskip("pylsl", reason="needs the package pylsl", exc_type=ImportError)

from glasses_sdk.gaze.lsl import Lsl  # noqa: E402
from glasses_sdk.types import Gaze  # noqa: E402

SECONDS = 20.0  # of patience; nothing here is measured
BOTH = (("ScreenX", "both", "x"), ("ScreenY", "both", "y"), ("Confidence", "both", "c"))
PUPIL = (  # as Pupil Labs' own relay describes them
    ("Confidence", "both", "confidence"),
    ("ScreenX", "both", "norm_pos_x"),
    ("ScreenY", "both", "norm_pos_y"),
)
TWO_EYES = (
    ("ScreenX", "left", "left_x"),
    ("ScreenY", "left", "left_y"),
    ("Diameter", "left", "left_pupil"),
    ("ScreenX", "right", "right_x"),
    ("ScreenY", "right", "right_y"),
)


@pytest.fixture
def name() -> str:
    """Of a stream that nobody else in this network has."""
    return f"test-{uuid.uuid4()}"


def outlet(
    name: str, channels: Sequence[tuple[str, str, str]], kind: str = "float32", stream: str = "Gaze"
) -> Any:
    info = pylsl.StreamInfo(name, stream, max(len(channels), 2), 0, kind, name)
    described = info.desc().append_child("channels")
    for type_, eye, label in channels:
        channel = described.append_child("channel")
        for key, value in (("label", label), ("eye", eye), ("type", type_)):
            channel.append_child_value(key, value)
    return pylsl.StreamOutlet(info)


class Tracker:
    """Sends its row at each `step`, stamped so many seconds ago."""

    def __init__(self, sender: Any, row: Sequence[float]) -> None:
        self.sender = sender
        self.row = list(row)

    def step(self, age_s: float = 0.0) -> None:
        self.sender.push_sample(self.row, pylsl.local_clock() - age_s)


def until(
    source: Lsl, tracker: Tracker, wanted: Callable[[list[Gaze]], bool], age_s: float = 0.0
) -> list[Gaze]:
    """Samples are sent and read until enough is there."""
    found: list[Gaze] = []
    end = time.monotonic() + SECONDS
    while not wanted(found):
        assert time.monotonic() < end, (found[-3:], source.reason)
        tracker.step(age_s)
        found.extend(source.read())
        time.sleep(0.005)
    return found


@pytest.fixture
def source(name: str) -> Iterator[Lsl]:
    with Lsl(name) as lsl:
        yield lsl


def test_samples_come_with_their_point_trust_and_a_time_on_our_clock(name: str, source: Lsl):
    tracker = Tracker(outlet(name, BOTH), (0.25, 0.75, 0.5))
    start = time.monotonic_ns()
    found = until(source, tracker, lambda found: len(found) >= 20, age_s=0.02)
    assert {(gaze.x, gaze.y, gaze.confidence) for gaze in found} == {(0.25, 0.75, 0.5)}
    times = [gaze.time_ns for gaze in found]
    assert times == sorted(times)
    assert start - 30_000_000 <= times[0]
    assert times[-1] <= time.monotonic_ns() - 15_000_000  # each was 20 ms old when it was sent
    assert source.reason is None


def test_pupils_points_which_count_from_below_are_flipped(name: str, source: Lsl):
    tracker = Tracker(outlet(name, PUPIL, "double64"), (0.9, 0.25, 0.125))
    gaze = until(source, tracker, bool)[0]
    assert (gaze.x, gaze.y, gaze.confidence) == (0.25, 0.875, 0.9)


def test_two_eyes_are_averaged_and_one_is_enough(name: str, source: Lsl):
    tracker = Tracker(outlet(name, TWO_EYES), (100, 200, 3, 120, 220))
    gaze = until(source, tracker, bool)[0]
    assert (gaze.x, gaze.y, gaze.confidence) == (110, 210, 1)
    tracker.row = [math.nan, math.nan, 0, 120, 220]
    assert until(source, tracker, lambda found: any(gaze.x == 120 for gaze in found))
    tracker.row = [math.nan] * 5
    assert until(source, tracker, lambda found: any(gaze.confidence == 0 for gaze in found))


def test_a_stream_that_dies_is_found_again(name: str, source: Lsl):
    tracker = Tracker(outlet(name, BOTH), (0.25, 0.75, 1))
    until(source, tracker, bool)
    del tracker
    end = time.monotonic() + SECONDS
    while not (source.reason or "").startswith(("no-stream", "silent")):
        assert time.monotonic() < end
        source.read()
        time.sleep(0.02)
    again = Tracker(outlet(name, BOTH), (0.5, 0.5, 1))
    assert until(source, again, lambda found: any(gaze.x == 0.5 for gaze in found))
    assert source.reason is None


def said(source: Lsl, code: str) -> str:
    end = time.monotonic() + SECONDS
    while not (source.reason or "").startswith(code):
        assert time.monotonic() < end, source.reason
        assert list(source.read()) == []
        time.sleep(0.02)
    return source.reason or ""


_SENDS = """
import sys, time
import pylsl
info = pylsl.StreamInfo(sys.argv[1], "Gaze", 3, 0, "float32", sys.argv[1])
channels = info.desc().append_child("channels")
for kind in ("ScreenX", "ScreenY", "Confidence"):
    channel = channels.append_child("channel")
    for key, value in (("label", kind), ("eye", "both"), ("type", kind)):
        channel.append_child_value(key, value)
sender = pylsl.StreamOutlet(info)
while True:
    sender.push_sample([0.25, 0.5 + time.monotonic() % 1 / 10, 1.0])
    time.sleep(0.01)
"""


_BREAKS = """
import os, socket, signal
def broken(*_):
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(descriptor))) as one:
                if one.type == socket.SOCK_STREAM and one.getpeername():
                    one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
signal.signal(signal.SIGUSR1, broken)
"""


def hears(source: Lsl, since_ns: int = 0) -> None:
    """Waits for a sample that is newer."""
    end = time.monotonic() + SECONDS
    while not any(gaze.time_ns > since_ns for gaze in source.read()):
        assert time.monotonic() < end, source.reason
        time.sleep(0.01)


def test_a_connection_that_breaks_is_made_anew_to_the_same_outlet(name: str, source: Lsl):
    with subprocess.Popen([sys.executable, "-c", _BREAKS + _SENDS, name]) as sender:
        try:
            hears(source)
            sender.send_signal(signal.SIGUSR1)
            hears(source, time.monotonic_ns() + 3_000_000_000)
            assert source.reason is None
        finally:
            sender.kill()


def test_a_sender_that_goes_without_a_word_is_left_for_one_of_its_name(name: str, source: Lsl):
    command = [sys.executable, "-c", _SENDS, name]
    with subprocess.Popen(command) as gone:
        try:
            hears(source)
            gone.send_signal(signal.SIGSTOP)
            assert said(source, "silent")
            with subprocess.Popen(command) as back:
                try:
                    hears(source, time.monotonic_ns())
                    assert source.reason is None
                finally:
                    back.kill()
        finally:
            gone.kill()


def test_a_source_that_is_closed_keeps_no_thread_and_no_socket(name: str):
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    with Lsl(name) as source:
        source.read()
        running = threads()
    end = time.monotonic() + SECONDS
    while threads() >= running:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_sender_that_is_announced_and_hangs_holds_no_read_up(name: str):
    with subprocess.Popen([sys.executable, "-c", _SENDS, name]) as sender, Lsl(name) as source:
        goes_on = threading.Timer(SECONDS, sender.send_signal, [signal.SIGCONT])
        try:
            found = pylsl.resolve_byprop("name", name, timeout=SECONDS)
            assert found
            sender.send_signal(signal.SIGSTOP)
            goes_on.start()
            for _ in range(50):
                assert not source.read()
                time.sleep(0.02)
            assert goes_on.is_alive(), "a read came back only when the sender went on"
            sender.send_signal(signal.SIGCONT)
            end = time.monotonic() + SECONDS
            while not source.read():
                assert time.monotonic() < end, source.reason
                time.sleep(0.01)
        finally:
            goes_on.cancel()
            sender.kill()


def test_a_stream_that_is_not_there_is_said_by_its_name(name: str, source: Lsl):
    other = outlet(name, BOTH, stream="EEG")
    assert repr(name) in said(source, "no-stream: ")
    del other


@pytest.mark.parametrize(
    ("channels", "kind"),
    [
        ((), "float32"),
        ((("Diameter", "both", "x"), ("ScreenY", "both", "y")), "float32"),
        (BOTH, "string"),
    ],
    ids=["no description", "no ScreenX", "words"],
)
def test_a_stream_that_does_not_say_where_its_points_are_is_not_guessed(
    name: str, source: Lsl, channels: Sequence[tuple[str, str, str]], kind: str
):
    sender = outlet(name, channels, kind)
    row = ["0.5"] * 3 if kind == "string" else [0.5] * 2
    sender.push_sample(row)
    assert repr(name) in said(source, "no-channels: ")
    sender.push_sample(row)
    assert list(source.read()) == []


def test_samples_out_of_order_and_twice_come_once_and_in_order(name: str, source: Lsl):
    tracker = Tracker(outlet(name, BOTH), (0.25, 0.75, 1))
    found = until(source, tracker, bool)
    now_s = pylsl.local_clock()
    for ms in (0, 10, 5, 10, 20, 20, 15, 30):
        tracker.sender.push_sample([0.5 + ms / 1024, 0.5, 1.0], now_s + ms / 1000)
    time.sleep(0.05)
    found += until(source, tracker, lambda found: any(gaze.x > 0.52 for gaze in found))
    assert all(one.time_ns < two.time_ns for one, two in pairwise(found))


def test_a_burst_of_ten_times_the_rate_is_thinned_and_said(name: str, source: Lsl):
    tracker = Tracker(outlet(name, BOTH), (0.25, 0.75, 1))
    until(source, tracker, lambda found: len(found) > 50)
    start_s = pylsl.local_clock()
    for n in range(150):
        tracker.sender.push_sample([0.3 + n / 1000, 0.6, 1.0], start_s + n * 0.0002)
    found: list[Gaze] = []
    end = time.monotonic() + SECONDS
    while not (source.reason or "").startswith("burst: "):
        assert time.monotonic() < end, source.reason
        found.extend(source.read())
        time.sleep(0.005)
    assert len(found) < 140


def test_a_point_that_never_moves_is_held_back_and_said(name: str, source: Lsl):
    tracker = Tracker(outlet(name, BOTH), (0.25, 0.75, 1))
    until(source, tracker, lambda found: (source.reason or "").startswith("frozen: "))
    tracker.row = [0.5, 0.5, 1.0]
    assert until(source, tracker, lambda found: any(gaze.x == 0.5 for gaze in found))


def test_faults_are_said_and_do_no_harm(name: str, source: Lsl):
    tracker = Tracker(outlet(name, BOTH), (0.25, 0.75, 1))
    until(source, tracker, bool)
    tracker.row = [0.0, 0.0, 1.0]
    until(source, tracker, lambda found: any(gaze.confidence == 0 for gaze in found))
    assert (source.reason or "").startswith("zeros: ")
    tracker.row = [0.25, 0.75, math.inf]
    until(source, tracker, lambda found: any(gaze.confidence == 1 for gaze in found))
    for age_s in (5.0, -5.0, 0.5, 0.1, math.nan):
        tracker.step(age_s)
    until(source, tracker, lambda found: any(gaze.confidence == 1 for gaze in found))
