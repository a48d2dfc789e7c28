"""Each example as a user runs it: a program of its own, against a real `glasses run`."""

from __future__ import annotations

import hashlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from glasses_sdk.transport import Control, addresses_of

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
GLASSES = [sys.executable, "-P", "-m", "glasses_sdk"]
SECONDS = 30.0  # of patience; nothing here is measured


class Program:
    """A process whose lines on standard output can be waited for."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._listen)]
        for reader in self._readers:
            reader.start()

    def line(self, pattern: str) -> re.Match[str]:
        """The next line that holds this; fails where the program ends or is silent before."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                line = self._lines.get(timeout=max(end - time.monotonic(), 0.01))
            except queue.Empty:
                break
            assert line is not None, f"ended without {pattern!r}: {self.errors}"
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no {pattern!r} within {SECONDS} s: {self.errors}")

    def said(self, text: str) -> None:
        """Waits until standard error has this."""
        end = time.monotonic() + SECONDS
        while text not in self.errors:
            assert time.monotonic() < end, f"no {text!r} within {SECONDS} s: {self.errors}"
            assert self._process.poll() is None, f"ended without {text!r}: {self.errors}"
            time.sleep(0.02)

    @property
    def errors(self) -> str:
        return "".join(self._errors)

    def ended(self) -> int:
        """The exit code, once it ends by itself."""
        return self._process.wait(SECONDS)

    def interrupt(self) -> int:
        """Ctrl-C, and the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(SECONDS)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join()
        self._process.stdout.close()
        self._process.stderr.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _listen(self) -> None:
        self._errors.extend(self._process.stderr)


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[Program]:
    program = Program(command, **environment)
    try:
        yield program
    finally:
        program.close()


@contextmanager
def published(*flags: str) -> Iterator[str]:
    """A `glasses run` with these flags; gives its address once it is bound."""
    folder = tempfile.mkdtemp(prefix="glasses-")  # short: an ipc path has 107 bytes at most
    address = f"ipc://{folder}/s"
    try:
        with running([*GLASSES, "run", "--bind", address, *flags]) as run:
            run.said(f"masks on {address}")
            yield address
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright ball that stands on a dark ground, 320 x 240."""
    path = tmp_path_factory.mktemp("film") / "ball.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (320, 240))
    ground = np.full((240, 320, 3), (40, 60, 40), np.uint8)
    ball = cv2.circle(ground, (160, 120), 50, (30, 90, 240), cv2.FILLED, cv2.LINE_AA)
    for _ in range(40):
        writer.write(ball)
    writer.release()
    return path


@pytest.fixture(scope="module")
def world() -> Iterator[str]:
    """The address of a stream from the made world."""
    with published("--sensor", "synthetic:1") as address:
        yield address


@pytest.fixture(scope="module")
def film_stream(film: Path) -> Iterator[str]:
    """The address of a stream from the film, at which nobody looks yet."""
    flags = ["--sensor", f"video:{film}", "--frames", "100000", "--gaze", "inlet:circle"]
    with published(*flags) as address:
        yield address


def python(example: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / example), *arguments]


def test_the_embedded_pipeline_tells_each_mask_of_a_video(film: Path):
    with running(python("embed.py", f"video:{film}"), GLASSES_SENSOR_FRAMES="30") as embed:
        found = embed.line(r"track (\d+)  area +(\d+)  region (\d+),(\d+) (\d+)x(\d+) of 320x240$")
        left, top, width, height = map(int, found.groups()[2:])
        assert left + width <= 320
        assert top + height <= 240
        assert embed.ended() == 0
        assert "Traceback" not in embed.errors


def test_the_embedded_pipeline_follows_the_eyes_of_the_made_world():
    with running(python("embed.py", "synthetic:1")) as embed:
        found = embed.line(r"track ([1-9]\d*)  area +([1-9]\d*) ")
        assert int(found[2]) <= 96 * 96
        assert embed.interrupt() == 0
        assert "Traceback" not in embed.errors


def test_the_embedded_pipeline_takes_a_camera_or_says_in_one_sentence_what_to_try():
    if Path("/dev/video0").exists():
        pytest.skip("there is a camera here")
    with running(python("embed.py")) as embed:
        assert embed.ended() == 1
        assert re.fullmatch(
            r"embed: no camera here: [^\n]*--sensor synthetic[^\n]*\n", embed.errors
        )


@pytest.mark.parametrize(
    ("example", "pattern"),
    [
        ("subscribe.py", r"frame \d+  age \d+\.\d ms  track [1-9]\d*  \w+  area [1-9]\d*  around"),
        ("subscribe_async.py", r"track [1-9]\d*  area [1-9]\d*  age \d+\.\d ms"),
        ("subscribe_raw.py", r"g1\.mask\.glasses  frame \d+  track [1-9]\d*  area [1-9]\d* "),
    ],
)
def test_a_subscriber_tells_the_masks(world: str, example: str, pattern: str):
    with running(python(example, world)) as subscriber:
        subscriber.line(pattern)


def test_the_raw_subscriber_finds_the_ball_in_the_middle(film_stream: str):
    with (
        Control(addresses_of(film_stream).control) as control,
        running(python("subscribe_raw.py", film_stream)) as raw,
    ):
        control.aim(160, 120, 100)
        raw.line(r"area [1-9]\d{2,}  .* middle object$")
        control.release()
        raw.line(r"track 0  area 0 ")


def test_the_asynchronous_subscriber_leaves_room_for_other_work(world: str):
    with running(python("subscribe_async.py", world)) as subscriber:
        subscriber.line("the rest of the program goes on")
        subscriber.line("area")
        assert subscriber.interrupt() == 0


@pytest.mark.parametrize("example", ["subscribe.py", "subscribe_async.py"])
def test_a_subscriber_says_why_nothing_comes(tmp_path: Path, example: str):
    with running(python(example, f"ipc://{tmp_path}/nobody")) as subscriber:
        subscriber.line("^never-connected: ")
        assert subscriber.interrupt() == 0
        assert "Traceback" not in subscriber.errors


def test_a_tap_is_tracked_and_released(film_stream: str):
    with (
        running(python("subscribe.py", film_stream)) as subscriber,
        running(python("aim_by_tap.py", "0.5", "0.5", film_stream)) as tap,
    ):
        tap.line("tracking what is at 160,120 of 320x240")
        subscriber.line(r"track [1-9]")
        tap.line("back to gaze")
        subscriber.line(r"track 0 ")
        assert tap.ended() == 0


def test_gaze_of_ones_own_moves_the_region(film_stream: str):
    with running(python("subscribe.py", film_stream)) as subscriber:
        subscriber.line(r"track 0 ")  # nobody looks yet
        with running(python("custom_gaze_source.py", film_stream)) as eyes:
            subscriber.line(r"track [1-9]")
            assert eyes.interrupt() == 0
            assert eyes.errors == ""


def test_a_tap_without_a_publisher_is_one_sentence(tmp_path: Path):
    with running(python("aim_by_tap.py", "0.5", "0.5", f"ipc://{tmp_path}/nobody")) as tap:
        assert tap.ended() == 1
        assert re.fullmatch(r"aim_by_tap: no answer from [^\n]*\n", tap.errors)


@pytest.fixture(scope="module")
def node_packages() -> Path:
    """A folder with the packages of the Node client's tests, installed once."""
    if not (shutil.which("node") and shutil.which("npm")):
        _unavailable("needs node and npm")
    wanted = (HERE / "clients" / "node" / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"glasses-node-{hashlib.sha256(wanted).hexdigest()[:12]}"
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_bytes(wanted)
    if not (folder / "installed").exists():
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
        if done.returncode:
            _unavailable(f"npm could not install the packages: {done.stderr[-300:]}")
        (folder / "installed").touch()
    return folder


def _unavailable(reason: str) -> None:
    """Skips on a desk, fails in continuous integration."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def test_a_node_subscriber_tells_the_masks(world: str, node_packages: Path):
    shutil.copy(EXAMPLES / "subscribe.mjs", node_packages / "subscribe.mjs")
    with running(["node", str(node_packages / "subscribe.mjs"), world]) as subscriber:
        subscriber.line(
            r"^g1\.mask\.glasses  frame \d+  track [1-9]\d*  area [1-9]\d*  region \d+,"
        )


def test_gaze_from_node_moves_the_region(film_stream: str, node_packages: Path):
    shutil.copy(EXAMPLES / "push_gaze.mjs", node_packages / "push_gaze.mjs")
    with (
        Control(addresses_of(film_stream).control) as control,
        running(python("subscribe.py", film_stream)) as subscriber,
    ):
        control.release()
        subscriber.line(r"track 0 ")  # nobody looks
        with running(["node", str(node_packages / "push_gaze.mjs"), film_stream]):
            subscriber.line(r"track [1-9]")


def test_every_example_is_short():
    lengths: dict[str, int] = {
        path.name: len(path.read_text().splitlines())
        for path in EXAMPLES.iterdir()
        if path.is_file()
    }
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines >= 40} == {}


def test_every_example_is_run_here():
    text = Path(__file__).read_text()
    names = [path.name for path in EXAMPLES.iterdir() if path.is_file()]
    assert [name for name in names if f'"{name}"' not in text] == []
