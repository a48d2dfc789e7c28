"""A client written from the protocol's page with pyzmq and msgpack alone: no SDK in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
import zmq

MASK_KEYS = {
    *("v", "topic", "device", "session", "seq", "t_capture_ns", "t_publish_ns", "width"),
    *("height", "encoding", "data", "roi", "sensor", "roi_state", "track", "score", "area"),
    *("model", "privacy"),
}
STATUS_KEYS = {
    *("v", "topic", "device", "session", "t_publish_ns", "state", "reason", "progress", "fps"),
    *("dropped", "roi_latency_frames", "sensor", "model", "privacy", "isolation"),
    *("input_tensor", "kpi", "gaze", "sdk", "clock", "debug_pixels"),
}
CALIBRATION_KEYS = {
    *("v", "topic", "device", "session", "sensor", "gaze_map", "camera", "mount_rotation_deg"),
}


@pytest.fixture
def connect() -> Iterator[Callable[[int, str], Any]]:
    context: zmq.Context[Any] = zmq.Context()
    opened: list[Any] = []

    def connected(kind: int, address: str) -> Any:
        opened.append(context.socket(kind))
        opened[-1].setsockopt(zmq.RCVTIMEO, 5000)
        opened[-1].connect(address)
        return opened[-1]

    yield connected
    context.destroy(linger=0)


def first_of(stream: Any) -> dict[str, Any]:
    topic, payload = stream.recv_multipart()
    message = msgpack.unpackb(payload)
    assert message["topic"].encode() == topic
    return message


def test_a_mask_is_read_from_the_page_alone(published: Any, connect: Callable[[int, str], Any]):
    stream = connect(zmq.SUB, published.addresses.stream)
    stream.subscribe("g1.mask.")
    mask = first_of(stream)
    assert set(mask) == MASK_KEYS
    stride = (mask["width"] + 7) // 8
    cells = [
        [mask["data"][v * stride + u // 8] >> (7 - u % 8) & 1 for u in range(mask["width"])]
        for v in range(mask["height"])
    ]
    assert cells == published.bits.astype(int).tolist()
    assert sum(map(sum, cells)) == mask["area"]
    assert (mask["roi"], mask["sensor"]) == ([100, 60, 200, 150], [640, 480])
    assert (mask["v"], mask["encoding"], mask["session"]) == (1, "bits", published.session)
    assert first_of(stream)["seq"] > mask["seq"] >= 2**60


@pytest.mark.parametrize(
    ("kind", "keys"), [("status", STATUS_KEYS), ("calibration", CALIBRATION_KEYS)]
)
def test_status_and_calibration_have_all_keys_of_the_page(
    published: Any, connect: Callable[[int, str], Any], kind: str, keys: set[str]
):
    stream = connect(zmq.SUB, published.addresses.stream)
    stream.subscribe(f"g1.{kind}.")
    message = first_of(stream)
    assert set(message) == keys
    assert message["device"] == "glasses"


def test_status_has_the_maps_of_the_page(published: Any, connect: Callable[[int, str], Any]):
    stream = connect(zmq.SUB, published.addresses.stream)
    stream.subscribe("g1.status.glasses")
    status = first_of(stream)
    assert status["sensor"] == {"kind": "synthetic", "size": [640, 480], "mask": [20, 12]}
    assert status["gaze"] == {"provider": "replay", "state": "tracking", "age_ms": 4.5}
    assert abs(status["clock"]["unix_ns"] - time.time_ns()) < 60e9
    assert status["debug_pixels"] is False


def asked(control: Any, request: dict[str, Any]) -> dict[str, Any]:
    """A DEALER may leave the empty delimiter out; a REQ puts it there by itself."""
    control.send(msgpack.packb(request))
    frames = control.recv_multipart()
    assert len(frames) == 1
    return msgpack.unpackb(frames[0])


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ], ids=["DEALER", "REQ"])
def test_control_is_spoken_by_both_kinds_of_socket(
    published: Any, connect: Callable[[int, str], Any], kind: int
):
    control = connect(kind, published.addresses.control)
    hello = asked(control, {"v": 1, "id": 1, "op": "hello"})
    assert hello == {
        **{"v": 1, "id": 1, "ok": True, "protocol": [1, 1], "device": "glasses"},
        **{"session": published.session, "sensor": [640, 480]},
        **{"model": "picosam3@89abcdef", "privacy": "fine"},
    }
    sent_ns = time.monotonic_ns()
    clock = asked(control, {"v": 1, "id": "t", "op": "time", "t_client_ns": sent_ns})
    assert sent_ns <= clock["t_recv_ns"] <= clock["t_send_ns"] <= time.monotonic_ns()
    assert clock["t_client_ns"] == sent_ns
    for request in (
        {"v": 1, "id": 2, "op": "aim", "x": 5, "y": 6.5},
        {"v": 1, "id": 3, "op": "aim", "roi": [1, 2, 3, 4]},
        {"v": 1, "id": 4, "op": "release"},
    ):
        assert asked(control, request) == {"v": 1, "id": request["id"], "ok": True}
    refused = asked(control, {"v": 1, "id": 5, "op": "explode"})
    assert (refused["id"], refused["ok"]) == (5, False)
    assert refused["error"]
    assert [command[0] for command in published.commands] == ["look", "look_at", "release"]


def test_a_dealer_that_sends_a_delimiter_gets_it_back(
    published: Any, connect: Callable[[int, str], Any]
):
    control = connect(zmq.DEALER, published.addresses.control)
    control.send_multipart([b"", msgpack.packb({"v": 1, "id": 1, "op": "release"})])
    assert control.recv_multipart() == [b"", msgpack.packb({"v": 1, "id": 1, "ok": True})]


def test_a_request_of_junk_is_answered_with_a_sentence(
    published: Any, connect: Callable[[int, str], Any]
):
    control = connect(zmq.REQ, published.addresses.control)
    for junk in (b"", b"\xc1", b"\x93\x01\x02\x03", b"x" * 5000):
        control.send(junk)
        reply = msgpack.unpackb(control.recv())
        assert (reply["id"], reply["ok"]) == (None, False)
        assert reply["error"]


def test_gaze_is_put_in(published: Any, connect: Callable[[int, str], Any]):
    source = connect(zmq.PUB, published.addresses.input)
    topic = "g1.in.gaze.mouse"
    sample = {"v": 1, "topic": topic, "t_ns": 0, "x": 0.25, "y": 0.5, "confidence": 1.0}
    end = time.monotonic() + 5
    while not published.commands and time.monotonic() < end:
        source.send_multipart([topic.encode(), msgpack.packb(sample)])
        time.sleep(0.02)
    assert published.commands[0] == ("gaze", "mouse", 0.25, 0.5)
