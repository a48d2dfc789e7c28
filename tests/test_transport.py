from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasses_sdk.errors import ConfigError, GlassesError, StaleStream, StreamError
from glasses_sdk.geometry import mask_box
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.transport import (
    AsyncMaskSubscriber,
    Control,
    Desk,
    GazeState,
    MaskPublisher,
    MaskSubscriber,
    StreamConfig,
    addresses_of,
)
from glasses_sdk.transport.coarse import Coarse, snapped
from glasses_sdk.transport.desk import letter
from glasses_sdk.transport.feed import Feed
from glasses_sdk.types import Gaze, HeadPose, Mask, Roi, Size
from glasses_sdk.wire import Origin, decode, encode_gaze_input, encode_head_input, encode_mask

ANY = "tcp://127.0.0.1:*"
SENSOR = Size(640, 480)
INFO = SensorInfo("synthetic", SENSOR, Size(96, 96), "picosam3@89abcdef", "process", "absent", 0)
NOBODY = GazeState("none", "none", None)
S = 1_000_000_000


class Heard:
    """Commands that are written down."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self.refused: set[str] = set()

    def look(self, x: float, y: float, side: float | None, time_ns: int) -> None:
        if side == 13:
            raise ValueError("thirteen is no side")
        self.commands.append(("look", x, y, side))

    def look_at(self, roi: Roi, time_ns: int) -> None:
        self.commands.append(("look_at", roi))

    def release(self, time_ns: int) -> None:
        self.commands.append(("release",))

    def gaze(self, name: str, gaze: Gaze) -> None:
        self.commands.append(("gaze", name, gaze))

    def head(self, name: str, pose: HeadPose) -> None:
        self.commands.append(("head", name, pose))

    def refuse(self, what: str) -> None:
        self.refused.add(what)


class Serving:
    """A publisher served in a thread, as the pipeline's loop serves it."""

    def __init__(self, bind: str = ANY, send_hz: float = 0, **settings: Any) -> None:
        self.heard = Heard()
        self.todo: list[Callable[[MaskPublisher], None]] = []
        self.seq = 0
        self._send_hz = send_hz
        self._publisher = MaskPublisher(StreamConfig(bind, **settings), INFO, self.heard)
        self.addresses = self._publisher.addresses
        self.session = self._publisher.origin.session
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._publisher as publisher:
            publisher.report(Health("streaming"), NOBODY)
            while not self._end.is_set():
                while self.todo:
                    self.todo.pop(0)(publisher)
                if self._send_hz:
                    publisher.send(a_mask(self.seq))
                    self.seq += 1
                publisher.serve(None, 1000 / self._send_hz if self._send_hz else 5)

    def do(self, work: Callable[[MaskPublisher], None]) -> None:
        """In the publisher's own thread, soon."""
        self.todo.append(work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()


def a_mask(seq: int = 0, **changes: Any) -> Mask:
    fields: dict[str, Any] = {
        "bits": np.eye(96, dtype=np.bool_),
        "roi": Roi(10, 20, 110, 50),
        "sensor": SENSOR,
        "time_ns": time.monotonic_ns(),
        "seq": seq,
        "score": 0.5,
        "track": 1,
    }
    return Mask(**(fields | changes))


def wait_for(condition: Callable[[], object], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def plain_socket() -> Iterator[Callable[[int], Any]]:
    """Opens plain ZeroMQ sockets, and closes them at the end."""
    opened: list[Any] = []
    context: zmq.Context[Any] = zmq.Context()

    def plain(kind: int) -> Any:
        opened.append(context.socket(kind))
        return opened[-1]

    yield plain
    context.destroy(linger=0)


# Settings and addresses


def test_control_and_input_take_the_next_two_ports_or_suffixes():
    tcp = addresses_of("tcp://127.0.0.1:5570")
    assert (tcp.control, tcp.input) == ("tcp://127.0.0.1:5571", "tcp://127.0.0.1:5572")
    ipc = addresses_of("ipc:///run/glasses")
    assert (ipc.control, ipc.input) == ("ipc:///run/glasses-control", "ipc:///run/glasses-input")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:5570", "udp://127.0.0.1:1", "tcp://127.0.0.1", "ipc://*", "tcp://:5"]
)
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(ConfigError, match="address"):
        addresses_of(address)


@pytest.mark.parametrize(
    "bind",
    ["tcp://0.0.0.0:5570", "tcp://*:5570", "tcp://192.168.1.4:*", "tcp://[::]:1", "tcp://eth0:1"],
)
def test_nothing_but_loopback_and_ipc_is_bound_without_curve(bind: str):
    with pytest.raises(ConfigError, match="no CURVE keys"):
        StreamConfig(bind)


@pytest.mark.parametrize(
    "wrong",
    [{"device": "My Glasses"}, {"device": ""}, {"privacy": "none"}, {"curve": "keys"}],
    ids=str,
)
def test_settings_that_are_wrong_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        StreamConfig(**wrong)


# Masks from one end to the other


@pytest.mark.parametrize("kind", ["tcp", "localhost", "ipc", "abstract"])
def test_a_mask_arrives_as_it_was_sent(kind: str, tmp_path: Path):
    bind = {
        "tcp": ANY,
        "localhost": "tcp://localhost:*",
        "ipc": f"ipc://{tmp_path}/s",
        "abstract": f"ipc://@glasses-test-{os.getpid()}",
    }[kind]
    with Serving(bind, send_hz=100) as serving, MaskSubscriber(serving.addresses.stream) as masks:
        mask = masks.recv(5)
    assert np.array_equal(mask.bits, np.eye(96, dtype=np.bool_))
    assert (mask.roi, mask.sensor, mask.track) == (Roi(10, 20, 110, 50), SENSOR, 1)
    assert (mask.device, mask.session, mask.privacy) == ("glasses", serving.session, "fine")
    assert mask.time_ns <= mask.published_ns <= time.monotonic_ns()


def test_a_subscriber_is_iterated():
    with Serving(send_hz=200) as serving, MaskSubscriber(serving.addresses.stream) as masks:
        seqs = [mask.seq for mask, _ in zip(masks, range(5), strict=False)]
    assert seqs == sorted(set(seqs))


async def test_the_asynchronous_twin_gives_the_same():
    with Serving(send_hz=200) as serving:
        async with AsyncMaskSubscriber(serving.addresses.stream) as masks:
            first = await masks.recv(5)
            second = await anext(aiter(masks))
            assert second.seq > first.seq
            measured = await masks.synchronise()
            assert abs(measured.offset_ns) < 2_000_000
            assert 0 <= masks.age_ms(second) < 5000


async def test_the_asynchronous_twin_tells_staleness_too():
    async with AsyncMaskSubscriber(free_address()) as masks:
        with pytest.raises(TimeoutError):
            await masks.recv(0.05)
        with pytest.raises(StaleStream) as stale:
            await masks.recv()
    assert stale.value.reason == "never-connected"


def test_a_late_subscriber_gets_status_and_calibration_at_once():
    with Serving() as serving:
        serving.do(lambda publisher: publisher.calibrate(mount_rotation_deg=90))
        time.sleep(0.1)
        start = time.monotonic()
        with MaskSubscriber(serving.addresses.stream) as masks:
            wait_for(lambda: masks.latest() is None and masks.status and masks.calibration)
            waited = time.monotonic() - start
            status, calibration = masks.status, masks.calibration
    assert waited < 0.9, "it came with the timer, not with the subscription"
    assert status
    assert status.state == "streaming"
    assert calibration
    assert calibration.mount_rotation_deg == 90


def test_status_comes_every_second_and_on_change():
    with Serving(send_hz=50) as serving, MaskSubscriber(serving.addresses.stream) as masks:
        wait_for(lambda: masks.latest() and masks.status)
        first = masks.status
        assert first
        wait_for(lambda: (masks.latest(), masks.status is not first)[1], 3)
        assert masks.status
        assert masks.status.t_publish_ns - first.t_publish_ns <= 1.5 * S
        stalled = Health("stalled", "no-frames: look at the cable", dropped=4, kpi=(11.5, 1.0))
        serving.do(lambda publisher: publisher.report(stalled, GazeState("neon", "lost", 9.0)))
        wait_for(lambda: (masks.latest(), masks.status and masks.status.state == "stalled")[1])
    status = masks.status
    assert status
    assert (status.reason, status.dropped) == ("no-frames: look at the cable", 4)
    assert status.gaze == GazeState("neon", "lost", 9.0)
    assert (status.sensor.kind, status.sensor.size) == ("synthetic", (640, 480))


def test_fps_counts_the_masks_of_the_last_second():
    with (
        MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher,
        MaskSubscriber(publisher.addresses.stream) as masks,
    ):
        wait_for(lambda: (publisher.serve(None, 5), masks.latest(), masks.status)[2])
        for seq in range(7):
            publisher.send(a_mask(seq))
            publisher.serve(None, 1)
        publisher.report(Health("streaming"), NOBODY)
        wait_for(lambda: (masks.latest(), masks.status and masks.status.state == "streaming")[1])
        assert masks.status
        assert masks.status.fps == 7


def test_a_slow_subscriber_gets_the_newest_mask():
    with Serving(send_hz=500) as serving, MaskSubscriber(serving.addresses.stream) as masks:
        masks.recv(5)
        time.sleep(1)
        before = serving.seq
        mask = masks.recv(5)
    assert mask.seq > before - 100, "the queue was a second old, not a fifth of one"


def test_a_subscriber_of_every_mask_gets_each_one():
    with (
        MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher,
        MaskSubscriber(publisher.addresses.stream, every=True) as every,
        MaskSubscriber(publisher.addresses.stream) as newest,
    ):
        wait_for(lambda: (publisher.serve(None, 5), every.latest(), every.status)[2])
        wait_for(lambda: (publisher.serve(None, 5), newest.latest(), newest.status)[2])
        for seq in range(6):
            publisher.send(a_mask(seq))
            publisher.serve(None, 5)
        assert [every.recv(1).seq for _ in range(6)] == list(range(6))
        assert newest.recv(1).seq == 5
        assert newest.latest() is None


def test_gaps_are_counted_as_dropped_frames():
    with (
        MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher,
        MaskSubscriber(publisher.addresses.stream, every=True) as masks,
    ):
        wait_for(lambda: (publisher.serve(None, 5), masks.latest(), masks.status)[2])
        for seq in (3, 4, 7, 9):
            publisher.send(a_mask(seq))
        assert [masks.recv(1).seq for _ in range(4)] == [3, 4, 7, 9]
        assert masks.dropped == 3


def test_a_subscriber_takes_the_device_that_it_asked_for():
    with Serving(send_hz=50, device="left-2") as serving:
        stream = serving.addresses.stream
        with MaskSubscriber(stream, "left") as other, MaskSubscriber(stream, "left-2") as mine:
            assert mine.recv(5).device == "left-2"
            with pytest.raises(TimeoutError):
                other.recv(0.2)


def test_gaze_is_published_with_fine_privacy_only(plain_socket: Callable[[int], Any]):
    for privacy, expected in (("fine", 1), ("coarse", 0)):
        with MaskPublisher(StreamConfig(ANY, privacy=privacy), INFO, Heard()) as publisher:  # type: ignore[arg-type]
            plain = plain_socket(zmq.SUB)
            plain.subscribe("g1.")
            plain.connect(publisher.addresses.stream)
            wait_for(lambda: (publisher.serve(None, 5), plain.poll(0))[1])  # noqa: B023
            publisher.send_gaze(Gaze(5, 1.0, 2.0, 0.5), "fixation")
            publisher.send(a_mask())
            topics: list[bytes] = []
            while b"g1.mask.glasses" not in topics:
                topics.append(plain.recv_multipart()[0])
            assert topics.count(b"g1.gaze.glasses") == expected


# Binding


def free_address() -> str:
    with MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher:
        return publisher.addresses.stream


@pytest.mark.parametrize("which", ["stream", "control", "input"])
def test_a_port_in_use_is_named_and_nothing_stays_half_open(which: str):
    with MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher:
        addresses = publisher.addresses
    taken = getattr(addresses, which)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(taken.rpartition(":")[2])))
        other.listen()
        with pytest.raises(StreamError, match=f"{taken} is in use"):
            MaskPublisher(StreamConfig(addresses.stream), INFO, Heard())
    with MaskPublisher(StreamConfig(addresses.stream), INFO, Heard()) as publisher:
        assert publisher.addresses == addresses


def test_a_live_ipc_address_is_not_stolen_and_a_dead_one_is_taken_over(tmp_path: Path):
    bind = f"ipc://{tmp_path}/stream"
    with Serving(bind), pytest.raises(StreamError, match="in use"):
        MaskPublisher(StreamConfig(bind), INFO, Heard())
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "stream"))
    with Serving(bind, send_hz=50), MaskSubscriber(bind) as masks:
        assert masks.recv(5).device == "glasses"


def test_a_file_at_an_ipc_path_is_not_deleted(tmp_path: Path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(StreamError, match="not a socket"):
        MaskPublisher(StreamConfig(f"ipc://{tmp_path}/notes"), INFO, Heard())
    assert (tmp_path / "notes").read_text() == "mine"


def test_an_ipc_path_that_cannot_be_is_refused(tmp_path: Path):
    for path in (tmp_path / "nowhere" / "s", tmp_path / ("long" * 60)):
        with pytest.raises(StreamError):
            MaskPublisher(StreamConfig(f"ipc://{path}"), INFO, Heard())


def test_a_model_name_that_is_too_long_is_refused_before_anything_is_bound():
    info = SensorInfo("x", SENSOR, Size(9, 9), "m" * 49, "none", "on", 0)
    with pytest.raises(ConfigError, match="48"):
        MaskPublisher(StreamConfig(ANY), info, Heard())


# Serving


def test_serving_returns_as_soon_as_the_descriptor_is_readable():
    reader, writer = socket.socketpair()
    with reader, writer, MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher:
        timer = threading.Timer(0.1, writer.send, [b"x"])
        timer.start()
        start = time.monotonic()
        publisher.serve(reader, 20_000)
        assert 0.05 < time.monotonic() - start < 10
        timer.join()
        start = time.monotonic()
        publisher.serve(reader, 20_000)
        assert time.monotonic() - start < 10


def test_serving_waits_for_the_descriptor_of_this_call_only():
    (full, writer), (empty, other) = socket.socketpair(), socket.socketpair()
    with full, writer, empty, other, MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher:
        writer.send(b"x")
        publisher.serve(full, 20_000)
        for until in (empty, None):
            start = time.monotonic()
            publisher.serve(until, 100)
            assert time.monotonic() - start >= 0.09


def test_control_is_answered_beside_a_descriptor_that_is_always_readable():
    reader, writer = socket.socketpair()
    with reader, writer, MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher:
        writer.send(b"x")
        with Control(publisher.addresses.control) as control, ThreadPoolExecutor(1) as pool:
            answer = pool.submit(control.hello)
            while not answer.done():
                publisher.serve(reader, 100)
            assert answer.result().session == publisher.origin.session


def test_the_clock_is_estimated_within_two_milliseconds_while_the_publisher_waits():
    reader, writer = socket.socketpair()
    with reader, writer, MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher:
        thread = threading.Thread(target=publisher.serve, args=(reader, 20_000))
        thread.start()
        try:
            with Control(publisher.addresses.control, timeout=5) as control:
                measured = control.clock()
        finally:
            writer.send(b"x")
            thread.join()
    assert abs(measured.offset_ns) < 2_000_000
    assert measured.round_trip_ns >= 0


def test_the_age_of_a_mask_is_known_with_and_without_a_measured_clock():
    with Serving(send_hz=50) as serving, MaskSubscriber(serving.addresses.stream) as masks:
        wait_for(lambda: masks.latest() and masks.status)
        for _ in range(2):
            mask = masks.recv(5)
            truth = (time.monotonic_ns() - mask.time_ns) / 1e6
            assert masks.age_ms(mask) == pytest.approx(truth, abs=20)
            masks.synchronise()


# Control


def test_the_control_client_says_who_is_there_and_aims():
    with Serving() as serving, Control(serving.addresses.control) as control:
        hello = control.hello()
        control.aim(320.5, 240)
        control.aim(1, 2, side=60)
        control.aim_at(Roi(10, 20, 30, 40))
        control.release()
        for wrong in (
            lambda: control.aim(640, 0),
            lambda: control.aim(1, 1, side=641),
            lambda: control.aim(1, 1, side=0),
            lambda: control.aim_at(Roi(600, 0, 41, 10)),
            lambda: control.aim(1, 1, side=13),
        ):
            with pytest.raises(StreamError, match="refused: "):
                wrong()
    assert (hello.protocol, hello.device, hello.session) == ((1, 1), "glasses", serving.session)
    assert (hello.sensor, hello.model, hello.privacy) == ((640, 480), INFO.model, "fine")
    assert serving.heard.commands == [
        ("look", 320.5, 240.0, None),
        ("look", 1.0, 2.0, 60.0),
        ("look_at", Roi(10, 20, 30, 40)),
        ("release",),
    ]


def test_a_control_client_without_a_publisher_says_so_and_is_not_locked_afterwards():
    bind = free_address()
    with Control(addresses_of(bind).control, timeout=0.1) as control:
        for _ in range(2):
            with pytest.raises(StreamError, match="no answer"):
                control.aim(1, 1)
        with Serving(bind) as serving:
            wait_for(lambda: answers(control))
    assert serving.heard.commands == []  # what was asked of nobody is not done later


def answers(control: Control) -> bool:
    try:
        return control.hello().ok
    except StreamError:
        return False


def test_a_control_client_passes_over_the_late_reply_to_another_request(
    plain_socket: Callable[[int], Any],
):
    router = plain_socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")

    def answer_twice() -> None:
        sender, request = router.recv_multipart()
        name = msgpack.unpackb(request)["id"]
        for told in ({"v": 1, "id": name - 1, "ok": True}, {"v": 1, "id": name, "ok": True}):
            router.send_multipart([sender, b"junk"])
            router.send_multipart([sender, msgpack.packb(told)])

    thread = threading.Thread(target=answer_twice)
    thread.start()
    with Control(f"tcp://127.0.0.1:{port}", timeout=5) as control:
        control.release()
        thread.join()


def test_inputs_reach_the_commands_and_malformed_ones_do_not(plain_socket: Callable[[int], Any]):
    with Serving() as serving:
        out = plain_socket(zmq.PUB)
        out.connect(serving.addresses.input)
        gaze, head = Gaze(0, 0.25, 0.75), HeadPose(7, (0.0, 0.0, 0.0, 1.0), None)

        def send() -> bool:
            out.send_multipart([b"g1.in.gaze.mouse", b"junk"])
            out.send_multipart(encode_gaze_input("mouse", gaze))
            out.send_multipart(encode_head_input("imu", head))
            time.sleep(0.02)
            return len(serving.heard.commands) >= 2

        before_ns = time.monotonic_ns()
        wait_for(send)
    first, second = serving.heard.commands[:2]
    assert first[:2] == ("gaze", "mouse")
    assert (first[2].x, first[2].y) == (0.25, 0.75)
    assert first[2].time_ns >= before_ns  # a time of 0 means arrival
    assert second == ("head", "imu", head)
    (refused,) = serving.heard.refused
    assert refused.startswith("an input is skipped: not a gaze input message: ")


def test_a_flood_of_inputs_is_taken_within_one_call(plain_socket: Callable[[int], Any]):
    reader, writer = socket.socketpair()
    heard = Heard()
    with reader, writer, MaskPublisher(StreamConfig(ANY), INFO, heard) as publisher:
        out = plain_socket(zmq.PUB)
        out.connect(publisher.addresses.input)
        while not heard.commands:
            out.send_multipart(encode_gaze_input("mouse", Gaze(0, 0.5, 0.5)))
            publisher.serve(None, 20)
        thread = threading.Thread(target=publisher.serve, args=(reader, 20_000))
        thread.start()
        try:
            for x in range(600):  # what is left for the next status would take ten of them
                out.send_multipart(encode_gaze_input("eyes", Gaze(0, x / 600, 0.5)))
            wait_for(lambda: sum(name == "eyes" for _, name, _ in heard.commands) == 600)
        finally:
            writer.send(b"x")
            thread.join()
    assert [gaze.x for _, name, gaze in heard.commands if name == "eyes"] == [
        x / 600 for x in range(600)
    ]


def test_a_reply_finds_its_way_through_any_envelope():
    assert letter([b"me", b"request"]) == ([b"me"], b"request")
    assert letter([b"me", b"", b"request"]) == ([b"me", b""], b"request")
    assert letter([b"me", b"hop", b"", b"request"]) == ([b"me", b"hop", b""], b"request")
    assert letter([b"me"]) == ([b"me"], b"")
    assert letter([b"me", b"a", b"b"]) == ([b"me"], b"")


REQUESTS = [
    {"v": 1, "id": 1, "op": "hello"},
    {"v": 1, "id": "two", "op": "time", "t_client_ns": 2**62},
    {"v": 1, "id": None, "op": "aim", "x": 1.5, "y": 2, "side": 40},
    {"v": 1, "id": 4, "op": "aim", "roi": [1, 2, 3, 4]},
    {"v": 1, "id": 5, "op": "release"},
]


@pytest.mark.parametrize(
    "request_",
    [
        {"v": 1, "id": 9, "op": "reboot"},
        {"v": 1, "id": 9, "op": 5},
        {"v": 1, "id": 9},
        {"v": 2, "id": 9, "op": "hello"},
        {"id": 9, "op": "hello"},
        {"v": 1, "id": 9, "op": "time"},
        {"v": 1, "id": 9, "op": "time", "t_client_ns": "now"},
        {"v": 1, "id": 9, "op": "aim"},
        {"v": 1, "id": 9, "op": "aim", "x": 1},
        {"v": 1, "id": 9, "op": "aim", "x": 1, "y": float("nan")},
        {"v": 1, "id": 9, "op": "aim", "x": -1, "y": 1},
        {"v": 1, "id": 9, "op": "aim", "x": 1, "y": 480},
        {"v": 1, "id": 9, "op": "aim", "x": 1, "y": 1, "side": -4},
        {"v": 1, "id": 9, "op": "aim", "x": 1, "y": 1, "roi": [1, 2, 3, 4]},
        {"v": 1, "id": 9, "op": "aim", "roi": [1, 2, 3]},
        {"v": 1, "id": 9, "op": "aim", "roi": [1, 2, 0, 4]},
        {"v": 1, "id": 9, "op": "aim", "roi": [-1, 2, 3, 4]},
        {"v": 1, "id": 9, "op": "gaze", "x": 0.5, "y": 0.5},
    ],
    ids=str,
)
def test_a_wrong_request_is_refused_by_its_id_and_changes_nothing(request_: dict[str, Any]):
    heard = Heard()
    desk = Desk(Origin("glasses", "0" * 16, "m"), SENSOR, heard)
    reply = msgpack.unpackb(desk.answer(msgpack.packb(request_), 0))
    assert (reply["v"], reply["id"], reply["ok"]) == (1, 9, False)
    assert len(reply["error"].split()) > 3
    assert heard.commands == []


def test_a_right_request_is_answered_with_the_keys_of_the_page():
    desk = Desk(Origin("glasses", "0" * 16, "m"), SENSOR, Heard(), clock=lambda: 43)
    hello, clock, *done = (
        msgpack.unpackb(desk.answer(msgpack.packb(request), 42)) for request in REQUESTS
    )
    assert hello == {
        **{"v": 1, "id": 1, "ok": True, "protocol": [1, 1], "device": "glasses"},
        **{"session": "0" * 16, "sensor": [640, 480], "model": "m", "privacy": "fine"},
    }
    assert clock == {
        **{"v": 1, "id": "two", "ok": True},
        **{"t_client_ns": 2**62, "t_recv_ns": 42, "t_send_ns": 43},
    }
    assert done == [{"v": 1, "id": name, "ok": True} for name in (None, 4, 5)]


@st.composite
def nearly_requests(draw: Any) -> bytes:
    data = bytearray(msgpack.packb(draw(st.sampled_from(REQUESTS))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(nearly_requests() | st.binary(max_size=60))
@settings(max_examples=2800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_asked_the_desk_answers_and_a_refusal_changes_nothing(payload: bytes):
    heard = Heard()
    desk = Desk(Origin("glasses", "0" * 16, "m"), SENSOR, heard)
    reply = msgpack.unpackb(desk.answer(payload, 0), strict_map_key=False)
    assert reply["v"] == 1
    assert "id" in reply
    if not reply["ok"]:
        assert reply["error"]
        assert heard.commands == []


def test_two_hundred_malformed_letters_leave_the_control_socket_in_order(
    plain_socket: Callable[[int], Any],
):
    random = np.random.default_rng(3)
    with Serving(send_hz=50) as serving:
        dealer = plain_socket(zmq.DEALER)
        dealer.connect(serving.addresses.control)
        for count in range(200):
            frames = [random.bytes(count) for _ in range(random.integers(1, 5))]
            dealer.send_multipart(frames)
            reply = msgpack.unpackb(dealer.recv_multipart()[-1])
            assert reply["ok"] is False
        with Control(serving.addresses.control) as control:
            assert control.hello().session == serving.session
    assert serving.heard.commands == []


def test_malformed_messages_on_the_stream_are_counted_and_passed_over(
    plain_socket: Callable[[int], Any],
):
    random = np.random.default_rng(5)
    publisher = plain_socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    good = encode_mask(a_mask(), Origin("glasses", "0" * 16, "m"), 1)
    with MaskSubscriber(f"tcp://127.0.0.1:{port}") as masks:
        for _ in range(3):
            publisher.recv()
        for count in range(300):
            payload = bytearray(good[1])
            payload[random.integers(0, 100)] ^= 0xFF
            publisher.send_multipart([good[0], bytes(payload[: random.integers(1, 1300)])])
            if count % 5 == 0:
                assert masks.latest() is None
        publisher.send_multipart(good)
        assert masks.recv(5).seq == 0
        assert masks.malformed > 0


# Staleness


def test_a_subscriber_to_nobody_says_never_connected_and_finds_the_publisher_later():
    bind = free_address()
    with MaskSubscriber(bind) as masks:
        with pytest.raises(StaleStream, match="never connected") as stale:
            masks.recv()
        assert stale.value.reason == "never-connected"
        with Serving(bind, send_hz=50):
            assert masks.recv(5).device == "glasses"


def test_a_publisher_that_goes_is_told_and_its_return_found():
    with Serving(send_hz=50) as serving:
        bind = serving.addresses.stream
        masks = MaskSubscriber(bind)
        masks.recv(5)
    with masks:
        masks.latest()
        with pytest.raises(StaleStream) as stale:
            masks.recv()
        assert stale.value.reason == "publisher-silent"
        with Serving(bind, send_hz=50) as serving:
            assert masks.recv(5).session == serving.session
            assert masks.stale is None


def test_a_sensor_that_stalls_is_told_with_its_reason():
    with Serving() as serving, MaskSubscriber(serving.addresses.stream) as masks:
        stalled = Health("stalled", "no-frames: look at the cable")
        serving.do(lambda publisher: publisher.report(stalled, NOBODY))
        with pytest.raises(StaleStream, match="look at the cable") as stale:
            masks.recv()
        assert stale.value.reason == "stalled-sensor"


def feed_of(now_ns: int = 0) -> Feed:
    return Feed("tcp://here", None, False, now_ns)


def test_each_reason_for_staleness_has_its_events():
    feed = feed_of()
    assert feed.stale(3 * S - 1) is None
    for link, reason in (
        (None, "never-connected"),
        ("down", "never-connected"),
        ("refused", "refused-key"),
        ("down", "refused-key"),
        ("up", "publisher-silent"),
        ("down", "publisher-silent"),
    ):
        if link:
            feed.link(link)
        stale = feed.stale(3 * S)
        assert stale is not None
        assert stale.reason == reason
        assert len(str(stale).split()) > 3
    feed.wait_again(3 * S)
    assert feed.stale(6 * S - 1) is None


def status_frames(state: str) -> tuple[bytes, bytes]:
    path = Path(__file__).parent / "vectors" / "status-streaming.msgpack"
    message = msgpack.unpackb(path.read_bytes()) | {"state": state}
    return message["topic"].encode(), msgpack.packb(message)


def test_a_sensor_that_loads_is_not_stale_while_it_says_so():
    feed = feed_of()
    feed.link("up")
    for second in range(10):
        feed.frames(status_frames("loading"), second * S)
    assert feed.stale(9 * S + S) is None
    feed.frames(status_frames("streaming"), 10 * S)
    stale = feed.stale(10 * S)
    assert stale is not None
    assert stale.reason == "stalled-sensor"


def test_a_new_session_starts_a_new_count_and_a_frame_never_comes_twice():
    feed = feed_of()
    for session, seq, dropped in (("a", 5, 0), ("a", 8, 2), ("b", 0, 0), ("b", 2, 1)):
        feed.frames(encode_mask(a_mask(seq), Origin("glasses", session * 16, "m"), 1), 0)
        assert feed.take() is not None
        assert feed.dropped == dropped
    feed.frames(encode_mask(a_mask(2), Origin("glasses", "b" * 16, "m"), 1), 0)
    assert feed.take() is None


# Privacy


def blob(roi: Roi, box: tuple[int, int, int, int], seq: int = 0, track: int = 1) -> Mask:
    bits = np.zeros((96, 96), np.bool_)
    left, top, right, bottom = box
    bits[top:bottom, left:right] = True
    return a_mask(seq, bits=bits, roi=roi, track=track)


@given(
    st.integers(0, 600),
    st.integers(0, 440),
    st.integers(1, 640),
    st.integers(1, 480),
    st.sampled_from([Size(640, 480), Size(1920, 1080), Size(4056, 3040)]),
)
@settings(deadline=None)
def test_a_snapped_region_covers_the_region_and_lies_on_the_grid(
    left: int, top: int, width: int, height: int, sensor: Size
):
    roi = Roi(left, top, min(width, sensor.width - left), min(height, sensor.height - top))
    grown = snapped(roi, sensor)
    step = min(sensor.width, sensor.height) / 16
    assert grown.left <= roi.left
    assert grown.right >= roi.right
    assert grown.top <= roi.top
    assert grown.bottom >= roi.bottom
    assert grown.left >= 0
    assert grown.right <= sensor.width
    for edge, end in (
        (grown.left, 0),
        (grown.right, sensor.width),
        (grown.top, 0),
        (grown.bottom, sensor.height),
    ):
        assert edge == end or abs(edge - round(edge / step) * step) < 1
    assert roi.left - grown.left < step + 1
    assert roi.top - grown.top < step + 1


def test_a_coarse_mask_covers_the_same_pixels_but_for_a_cell():
    mask = blob(Roi(101, 57, 211, 143), (20, 30, 70, 60))
    told = Coarse()(mask)
    assert told.roi == Roi(90, 30, 240, 180)
    assert told.bits.shape == (96, 96)
    before, after = mask.full(), told.full()
    assert np.count_nonzero(before & after) / np.count_nonzero(before | after) > 0.9
    found, truth = mask_box(told.bits, told.roi), mask_box(mask.bits, mask.roi)
    assert found
    assert truth
    assert abs(found.left - truth.left) < 3
    assert abs(found.bottom - truth.bottom) < 3


def test_a_coarse_region_stays_while_its_object_does():
    coarse = Coarse()
    first = coarse(blob(Roi(100, 60, 200, 150), (20, 20, 70, 70))).roi
    follows = [Roi(105, 64, 200, 150), Roi(110, 66, 190, 140), Roi(95, 60, 210, 150)]
    assert [coarse(blob(roi, (30, 30, 60, 60))).roi for roi in follows] == [first] * 3
    away = coarse(blob(Roi(300, 200, 200, 150), (30, 30, 60, 60))).roi
    assert away != first
    other = coarse(blob(Roi(330, 230, 100, 100), (30, 30, 60, 60), track=2)).roi
    assert other == snapped(Roi(330, 230, 100, 100), SENSOR)
    assert other != away


def test_a_coarse_publisher_sends_coarse_masks_and_says_so():
    with (
        MaskPublisher(StreamConfig(ANY, privacy="coarse"), INFO, Heard()) as publisher,
        MaskSubscriber(publisher.addresses.stream) as masks,
    ):
        wait_for(lambda: (publisher.serve(None, 5), masks.latest(), masks.status)[2])
        publisher.send(blob(Roi(101, 57, 211, 143), (20, 30, 70, 60)))
        mask = masks.recv(5)
        assert masks.status
        assert masks.status.privacy == mask.privacy == "coarse"
    assert [edge % 30 for edge in (mask.roi.left, mask.roi.top, mask.roi.right)] == [0, 0, 0]


def test_every_error_of_the_transport_is_one_of_ours():
    with pytest.raises(GlassesError):
        MaskSubscriber("nonsense")
    with pytest.raises(GlassesError):
        Control("nonsense")
    with MaskPublisher(StreamConfig(ANY), INFO, Heard()) as publisher, pytest.raises(GlassesError):
        publisher.send(a_mask(-1))
    assert decode(status_frames("streaming"))
