"""The viewer against a publisher made here from the protocol's page, and a real Chromium."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from glasses_sdk.errors import StreamError
from glasses_sdk.viewer.bridge import Bridge

pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode
SENSOR = [640, 480]
COMMON = {"v": 1, "device": "test", "session": "00112233aabbccdd"}


class Publisher:
    """XPUB, ROUTER and SUB as the protocol's page has them, in a thread; keeps what it is told."""

    def __init__(self) -> None:
        self.asked: queue.Queue[dict[str, Any]] = queue.Queue()
        self.inputs: queue.Queue[list[bytes]] = queue.Queue()
        self.sent: list[tuple[bytes, bytes]] = []
        self._outgoing: queue.Queue[tuple[bytes, bytes]] = queue.Queue()
        self._context = zmq.Context()
        self._sockets = [self._context.socket(kind) for kind in (zmq.XPUB, zmq.ROUTER, zmq.SUB)]
        for one in self._sockets:
            one.linger = 0
            one.bind("tcp://127.0.0.1:*")
        self._sockets[0].setsockopt(zmq.XPUB_VERBOSE, 1)
        self._sockets[2].subscribe("g1.in.")
        self.addresses = [one.getsockopt_string(zmq.LAST_ENDPOINT) for one in self._sockets]
        self.subscribed: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def publish(self, payload: dict[str, Any]) -> bytes:
        data = pack(payload)
        self._outgoing.put((payload["topic"].encode(), data))
        return data

    def _run(self) -> None:
        stream, control, inlet = self._sockets
        while not self._stop.is_set():
            while not self._outgoing.empty():
                stream.send_multipart(self._outgoing.get())
            if stream.poll(2):
                self.subscribed.add(stream.recv()[1:])
            if control.poll(0):
                who, request = control.recv_multipart()
                control.send_multipart([who, pack(self._reply(unpack(request)))])
            if inlet.poll(0):
                self.inputs.put(inlet.recv_multipart())

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.put(request)
        head = {"v": 1, "id": request["id"], "ok": True}
        now = time.monotonic_ns()
        match request["op"]:
            case "time":
                echo = request["t_client_ns"]
                return head | {"t_client_ns": echo, "t_recv_ns": now, "t_send_ns": now}
            case "hello":
                return head | {"protocol": [1, 1], "device": "test"}
            case "aim" | "release":
                return head
            case unknown:
                return head | {"ok": False, "error": f"no operation {unknown}"}


def mask_of(bits: np.ndarray, seq: int = 1, **changes: Any) -> dict[str, Any]:
    height, width = bits.shape
    now = time.monotonic_ns()
    return {
        **COMMON,
        "topic": "g1.mask.test",
        "seq": seq,
        "t_capture_ns": now - 20_000_000,
        "t_publish_ns": now,
        "width": width,
        "height": height,
        "encoding": "bits",
        "data": np.packbits(bits, axis=1).tobytes(),
        "roi": [160, 120, 200, 160],
        "sensor": SENSOR,
        "roi_state": "stable",
        "track": 3,
        "score": 0.87,
        "area": int(bits.sum()),
        "model": "picosam3@0123abcd",
        "privacy": "fine",
        **changes,
    }


def status_of(**changes: Any) -> dict[str, Any]:
    return {
        **COMMON,
        "topic": "g1.status.test",
        "t_publish_ns": time.monotonic_ns(),
        "state": "streaming",
        "reason": None,
        "progress": None,
        "fps": 30.0,
        "dropped": 2,
        "roi_latency_frames": 1,
        "sensor": {"kind": "synthetic", "size": SENSOR, "mask": [96, 96]},
        "model": "picosam3@0123abcd",
        "privacy": "fine",
        "isolation": "process",
        "input_tensor": "absent",
        "kpi": None,
        "gaze": {"provider": "pointer", "state": "tracking", "age_ms": 8.0},
        "sdk": "0.1.0",
        "clock": {"monotonic_ns": time.monotonic_ns(), "unix_ns": time.time_ns()},
        "debug_pixels": False,
        **changes,
    }


def eventually(found: Callable[[], Any], seconds: float = 15) -> Any:
    """What `found` gives once that is true; the last of it when it never is."""
    end = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < end:
        time.sleep(0.02)
    return result


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as one:
        yield one


@pytest.fixture
def bridge(publisher: Publisher) -> Iterator[Bridge]:
    with Bridge(*publisher.addresses, port=0) as one:
        assert eventually(lambda: len(publisher.subscribed) == 4)
        yield one


def browser_at(bridge: Bridge, origin: str | None = None) -> ClientConnection:
    return connect(bridge.url.replace("http", "ws"), origin=origin, proxy=None)


def ask(browser: ClientConnection, request: dict[str, Any] | bytes | str) -> dict[str, Any]:
    browser.send(pack(request) if isinstance(request, dict) else request)
    return unpack(browser.recv(timeout=10))


def blob(seed: int = 0, shape: tuple[int, int] = (96, 96)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < 0.4


# ---- the bridge


@pytest.mark.parametrize("kind", ["mask", "status", "calibration", "gaze"])
def test_a_payload_reaches_a_browser_byte_for_byte(
    bridge: Bridge, publisher: Publisher, kind: str
) -> None:
    with browser_at(bridge) as browser:
        assert ask(browser, {"v": 1, "id": 1, "op": "hello"})["ok"]  # it is attended by now
        sent = publisher.publish({"v": 1, "topic": f"g1.{kind}.test", "n": 2**63 - 1})
        assert browser.recv(timeout=10) == sent


def test_a_browser_that_comes_later_is_told_the_status_and_calibration_at_once(
    bridge: Bridge, publisher: Publisher
) -> None:
    with browser_at(bridge) as first:
        status = publisher.publish(status_of())
        calibration = publisher.publish({**COMMON, "topic": "g1.calibration.test"})
        assert {first.recv(timeout=10), first.recv(timeout=10)} == {status, calibration}
        with browser_at(bridge) as second:
            assert {second.recv(timeout=10), second.recv(timeout=10)} == {status, calibration}


def test_each_browser_gets_the_reply_to_its_own_request(bridge: Bridge) -> None:
    with browser_at(bridge) as one, browser_at(bridge) as other:
        one.send(pack({"v": 1, "id": 7, "op": "hello"}))
        other.send(pack({"v": 1, "id": 7, "op": "time", "t_client_ns": 5}))
        assert "protocol" in unpack(one.recv(timeout=10))
        assert unpack(other.recv(timeout=10))["t_client_ns"] == 5


def test_a_refusal_of_the_publisher_comes_back_as_it_is(bridge: Bridge) -> None:
    with browser_at(bridge) as browser:
        reply = ask(browser, {"v": 1, "id": 9, "op": "dance"})
    assert reply == {"v": 1, "id": 9, "ok": False, "error": "no operation dance"}


def test_the_pointers_look_becomes_an_input_without_a_reply(
    bridge: Bridge, publisher: Publisher
) -> None:
    def looked() -> bool:  # the bridge's PUB may still be on its way to our SUB
        browser.send(pack({"v": 1, "id": 1, "op": "gaze", "x": 0.25, "y": 1}))
        return not publisher.inputs.empty()

    with browser_at(bridge) as browser:
        assert eventually(looked)
        assert ask(browser, {"v": 1, "id": 2, "op": "hello"})["id"] == 2
    topic, payload = publisher.inputs.get()
    assert topic == b"g1.in.gaze.pointer"
    assert unpack(payload) == {
        "v": 1,
        "topic": "g1.in.gaze.pointer",
        "t_ns": 0,
        "x": 0.25,
        "y": 1.0,
        "confidence": 1.0,
    }


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\xc1",
        b"\x91" * 4000,
        b"\x81\xa1z" + b"\x91" * 4000,
        b"\x81\xa2op\xa2\xff\xfe",
        pack({"op": "aim"})[:-1],
        pack([1, 2, 3]),
        pack({"id": 1}),
        pack({"op": 5}),
        pack({"op": "gaze", "x": 2, "y": 0}),
        pack({"op": "gaze", "x": float("nan"), "y": 0}),
        pack({"op": "gaze", "x": "left", "y": 0}),
        pack({"op": "gaze", "x": 0.5}),
        "a text",
    ],
)
def test_nonsense_gets_a_sentence_and_the_bridge_goes_on(
    bridge: Bridge, publisher: Publisher, nonsense: bytes | str
) -> None:
    with browser_at(bridge) as browser:
        reply = ask(browser, nonsense)
        assert reply["ok"] is False
        assert reply["error"]
        assert ask(browser, {"v": 1, "id": 3, "op": "hello"})["ok"]
    assert publisher.inputs.empty()
    assert publisher.asked.get()["op"] == "hello"


def test_a_huge_message_ends_only_its_own_connection(bridge: Bridge) -> None:
    with browser_at(bridge) as rude, browser_at(bridge) as polite:
        rude.send(bytes(100_000))
        with pytest.raises(ConnectionClosed):
            rude.recv(timeout=10)
        assert ask(polite, {"v": 1, "id": 3, "op": "hello"})["ok"]


def test_a_request_while_no_publisher_is_there_is_refused() -> None:
    nobody = ["ipc:///tmp/glasses-test-nobody-there"] * 3
    with Bridge(*nobody, port=0) as bridge, browser_at(bridge) as browser:
        reply = ask(browser, {"v": 1, "id": 4, "op": "release"})
    assert (reply["id"], reply["ok"]) == (4, False)
    assert "publisher is not there" in reply["error"]


def test_a_browser_that_does_not_read_misses_masks_and_still_gets_the_newest(
    bridge: Bridge, publisher: Publisher
) -> None:
    many = 1500
    with browser_at(bridge) as quick, slow_browser(bridge) as slow:
        for seq in range(1, many + 1):
            publisher.publish(mask_of(blob(shape=(256, 256)), seq))
            if seq % 4 == 0:
                quick_seq = drain_to(quick, seq)
        assert quick_seq == many
        seqs = read_to(slow, many)
    assert seqs[-1] == many
    assert seqs == sorted(set(seqs))
    assert len(seqs) < many / 2  # the rest was not kept anywhere: 12 MB were published


def slow_browser(bridge: Bridge) -> ClientConnection:
    """A WebSocket with small buffers of which nothing is read yet."""
    host, port = bridge.url.removeprefix("http://").rstrip("/").split(":")
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    small.connect((host, int(port)))
    return connect(bridge.url.replace("http", "ws"), sock=small, proxy=None, max_queue=1)


def drain_to(browser: ClientConnection, seq: int) -> int:
    while (newest := unpack(browser.recv(timeout=20))["seq"]) < seq:
        pass
    return newest


def read_to(browser: ClientConnection, seq: int) -> list[int]:
    seqs = [unpack(browser.recv(timeout=20))["seq"]]
    while seqs[-1] < seq:
        seqs.append(unpack(browser.recv(timeout=20))["seq"])
    return seqs


@pytest.mark.parametrize(
    "origin", ["http://example.org", "null", "https://127.0.0.1", "http://127.0.0.1:1"]
)
def test_a_page_from_elsewhere_is_refused(bridge: Bridge, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        browser_at(bridge, origin)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_our_own_page_is_welcome_under_each_name_of_loopback(bridge: Bridge, host: str) -> None:
    port = bridge.url.rstrip("/").rpartition(":")[2]
    with browser_at(bridge, f"http://{host}:{port}") as browser:
        assert ask(browser, {"v": 1, "id": 1, "op": "hello"})["ok"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])
def test_the_viewer_is_not_served_beyond_loopback(host: str) -> None:
    with pytest.raises(StreamError, match="loopback only"):
        Bridge("ipc:///tmp/a", "ipc:///tmp/b", "ipc:///tmp/c", host=host, port=0)


def test_a_port_in_use_is_said_in_one_sentence(bridge: Bridge, publisher: Publisher) -> None:
    port = int(bridge.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(StreamError, match=f"port {port} .*choose another port"):
        Bridge(*publisher.addresses, port=port)


def test_an_impossible_address_is_said_in_one_sentence_and_leaves_nothing() -> None:
    before = belongings()
    with pytest.raises(StreamError, match="cannot connect to 'nonsense'"):
        Bridge("ipc:///tmp/a", "nonsense", "ipc:///tmp/c", port=0)
    assert belongings() == before


def test_closing_leaves_no_thread_and_no_socket(publisher: Publisher) -> None:
    before = belongings()
    bridge = Bridge(*publisher.addresses, port=0)
    with browser_at(bridge) as browser:
        assert ask(browser, {"v": 1, "id": 1, "op": "hello"})["ok"]
        bridge.close()
        bridge.close()
        with pytest.raises(ConnectionClosed):
            browser.recv(timeout=10)
    # The publisher's side of the connections goes a moment later.
    assert eventually(lambda: belongings() == before)


def belongings() -> tuple[list[str], int]:
    """Names of this process's threads and the number of its open descriptors."""
    names = sorted(thread.name for thread in threading.enumerate())
    return names, len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html"),
        ("viewer.js", "text/javascript"),
        ("drawing.js", "text/javascript"),
        ("style.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
        ("vendor/msgpack.min.js", "text/javascript"),
    ],
)
def test_the_page_is_served_with_its_type_and_a_strict_policy(
    bridge: Bridge, path: str, kind: str
) -> None:
    with urllib.request.urlopen(bridge.url + path) as response:
        assert response.headers.get_all("Content-Type")[0].split(";")[0] == kind
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert b"https://" not in response.read()


@pytest.mark.parametrize("path", ["../bridge.py", "%2e%2e/bridge.py", "vendor/", "nothing"])
def test_nothing_but_the_page_is_served(bridge: Bridge, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(bridge.url + path)
    assert refused.value.code == 404
    refused.value.close()


# ---- the page, in a real browser


FLAGS = [
    "headless",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "window-size=1280,900",
]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        reason = "no chromium and chromedriver (Debian: apt install chromium chromium-driver)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = start_chromium(program, driver, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


def start_chromium(program: str, driver: str, profile: Path) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    flags = [*FLAGS, f"user-data-dir={profile}"]
    if os.geteuid() == 0:
        flags.append("no-sandbox")  # Chromium's own demand of root
    for flag in flags:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


@pytest.fixture
def page(chromium: Any, bridge: Bridge, publisher: Publisher) -> Iterator[Any]:
    """The page, connected: its clock has been measured by the time it is handed out."""
    chromium.get(bridge.url)
    publisher.asked.get(timeout=20)
    yield chromium
    severe = [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    chromium.get("about:blank")
    chromium.get_log("browser")  # what the closing socket has to say is no fault
    assert severe == []


READ_MASK = """
const canvas = document.getElementById("mask");
if (canvas.dataset.seq !== arguments[0]) return null;
const picture = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
const box = canvas.getBoundingClientRect();
const plane = document.getElementById("plane").getBoundingClientRect();
return {
  size: [canvas.width, canvas.height],
  alpha: Array.from(picture.data.filter((_, index) => index % 4 === 3)),
  box: [(box.left - plane.left) / plane.width, (box.top - plane.top) / plane.height,
        box.width / plane.width, box.height / plane.height],
  visible: canvas.checkVisibility({ opacityProperty: true, visibilityProperty: true }),
};
"""


@pytest.mark.parametrize("shape", [(96, 96), (33, 70), (1, 1), (256, 9), (240, 256)])
def test_the_canvas_shows_the_published_mask_cell_for_cell(
    page: Any, publisher: Publisher, shape: tuple[int, int]
) -> None:
    bits = blob(sum(shape), shape)
    publisher.publish(status_of())
    publisher.publish(mask_of(bits, 2**40 + 1))
    shown = eventually(lambda: page.execute_script(READ_MASK, str(2**40 + 1)))
    assert shown["size"] == [shape[1], shape[0]]
    np.testing.assert_array_equal(np.reshape(shown["alpha"], shape), np.where(bits, 255, 0))
    assert shown["visible"]


def test_the_mask_lies_over_the_region_that_it_covers(page: Any, publisher: Publisher) -> None:
    publisher.publish(mask_of(blob(), 5, roi=[320, 120, 160, 240]))
    shown = eventually(lambda: page.execute_script(READ_MASK, "5"))
    assert shown["box"] == pytest.approx([0.5, 0.25, 0.25, 0.5], abs=0.003)


def test_an_empty_mask_clears_what_was_drawn(page: Any, publisher: Publisher) -> None:
    publisher.publish(mask_of(blob(), 6))
    assert eventually(lambda: page.execute_script(READ_MASK, "6"))
    publisher.publish(mask_of(np.zeros((96, 96), bool), 7))
    assert not any(eventually(lambda: page.execute_script(READ_MASK, "7"))["alpha"])


def at_stage(page: Any, x: float, y: float) -> Any:
    """A pointer's move to that part (0 to 1) of the sensor's plane."""
    from selenium.webdriver import ActionChains

    stage = page.find_element("id", "stage")
    box = page.execute_script(
        "const r = document.getElementById('plane').getBoundingClientRect();"
        "return [r.width, r.height]"
    )
    offsets = [round((part - 0.5) * side) for part, side in zip((x, y), box, strict=True)]
    return ActionChains(page).move_to_element_with_offset(stage, *offsets)


def asked(publisher: Publisher, operation: str) -> dict[str, Any]:
    while (request := publisher.asked.get(timeout=15))["op"] != operation:
        pass
    return request


def test_the_pointer_moves_the_gaze(page: Any, publisher: Publisher) -> None:
    publisher.publish(mask_of(blob(), 1))
    eventually(lambda: page.execute_script(READ_MASK, "1"))
    at_stage(page, 0.25, 0.75).perform()
    topic, payload = publisher.inputs.get(timeout=15)
    while not publisher.inputs.empty():
        topic, payload = publisher.inputs.get()
    gaze = unpack(payload)
    assert topic == b"g1.in.gaze.pointer"
    assert (gaze["x"], gaze["y"]) == pytest.approx((0.25, 0.75), abs=0.01)


def test_a_tap_aims_in_sensor_pixels(page: Any, publisher: Publisher) -> None:
    publisher.publish(mask_of(blob(), 1))
    eventually(lambda: page.execute_script(READ_MASK, "1"))
    at_stage(page, 0.25, 0.75).click().perform()
    aim = asked(publisher, "aim")
    assert (aim["x"], aim["y"]) == pytest.approx((160, 360), abs=3)
    assert isinstance(aim["x"], int)
    assert isinstance(aim["y"], int)


def test_the_keyboard_looks_aims_and_releases(page: Any, publisher: Publisher) -> None:
    from selenium.webdriver import Keys

    publisher.publish(mask_of(blob(), 1))
    eventually(lambda: page.execute_script(READ_MASK, "1"))
    page.find_element("id", "stage").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ENTER)
    aim = asked(publisher, "aim")
    assert (aim["x"], aim["y"]) == (332, 249)  # from the middle, 2 % of each side
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert asked(publisher, "release")


def test_the_page_says_the_state_in_words(page: Any, publisher: Publisher) -> None:
    publisher.publish(status_of(state="stalled", reason="camera-silent: no frame for 2 s"))
    publisher.publish(mask_of(blob(), 1, roi_state="held", track=12))

    def text(name: str) -> str:
        return page.execute_script(f"return document.getElementById('{name}').textContent")

    assert eventually(lambda: text("track") == "12")
    assert text("state-word") == "stalled"
    assert text("reason") == "camera-silent: no frame for 2 s"
    assert text("roi-state").startswith("held")
    assert text("promise").startswith("No picture is available here")
    assert eventually(lambda: "stalled" in text("live"))


def test_the_age_is_the_time_since_the_capture(page: Any, publisher: Publisher) -> None:
    def age() -> float:
        ago = time.monotonic_ns() - 4_000_000_000
        publisher.publish(mask_of(blob(), 1, t_capture_ns=ago))
        shown = page.execute_script("return document.getElementById('age').textContent")
        return float(shown) if shown != "–" else 0

    eventually(lambda: age() > 0)
    assert 3990 < age() < 8000  # never younger than it is; a busy machine adds to it


def test_nothing_is_fetched_from_elsewhere(page: Any, bridge: Bridge) -> None:
    names = page.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert len(names) >= 4
    assert all(name.startswith(bridge.url) for name in names)
