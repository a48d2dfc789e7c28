"""The process with the camera: what it cannot do, and that it may die at any moment."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from glasses_sdk.errors import ConfigError, DeviceLost, ModelError, RecordingEnded
from glasses_sdk.sensors.host import HostSensor, HostSpec
from glasses_sdk.sensors.isolated import IsolatedSensor, Patience
from glasses_sdk.types import Mask, Roi

sys.path.append(str(Path(__file__).parent))  # the process with the camera is to find it as well
import planted
from planted import ATTEMPTS, LATER, Planted, children, pattern

HOST = "glasses_sdk.sensors.host:open_engine"
PLANTED = "planted:open_planted"
LONG_SUFFERING = Patience(deaths=10_000)
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may look into the process: that is the point of it"
)


def next_mask(sensor: IsolatedSensor | HostSensor, seconds: float = 20.0) -> Mask:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        select.select([sensor], [], [], 0.1)
        if mask := sensor.read():
            return mask
    raise AssertionError(f"no mask within {seconds} s: {sensor.health()}")


def child() -> int:
    """The process with the camera: the one that is not dying."""
    alive = [c for c in children(os.getpid()) if "sensors.child" in command(c)]
    return max(alive)


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def descriptors_held() -> list[int]:
    return sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir())


def gone(process: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while command(process) and time.monotonic() < until:
        time.sleep(0.01)
    return not command(process)


def square(k: int) -> np.ndarray:
    """A picture with a bright square that stands elsewhere in each frame."""
    picture = np.zeros((48, 64, 3), np.uint8)
    left, top = 8 * (k % 7), 8 * (k // 7 % 5)
    picture[top : top + 12, left : left + 12] = 255
    return picture


@pytest.fixture
def video(film: Callable[..., Path]) -> Path:
    return film(frames=35, picture=square)


@pytest.fixture
def no_libseccomp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose libseccomp cannot be loaded."""
    (tmp_path / "libseccomp.so.2").write_text("not a library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))


@pytest.fixture
def program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs planted.py as a program of its own, which has an isolated sensor."""
    running: list[subprocess.Popen[str]] = []

    def start(deed: str, by: Sequence[str] = (), **options: object) -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(  # type: ignore[call-overload]
                [*by, sys.executable, planted.__file__, deed],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                **options,
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


# What it cannot do


@needs_root
def test_the_process_has_two_pipes_no_socket_and_a_filter_on_every_thread(
    video: Path, bright: Path
) -> None:
    with socket.socket() as ours, watching(video, bright) as sensor:
        ours.set_inheritable(True)
        sensor.aim(Roi(0, 0, 64, 48))
        next_mask(sensor)
        process = Path(f"/proc/{child()}")
        held = {int(fd.name): str(fd.readlink()) for fd in (process / "fd").iterdir()}
        piped = [fd for fd, leads in held.items() if fd > 2 and leads.startswith("pipe:")]
        files = [leads for fd, leads in held.items() if fd > 2 and fd not in piped]
        assert len({held[fd] for fd in piped}) == 2
        assert files == [str(video)]
        assert held[0] == held[1] == "/dev/null"
        for thread in (process / "task").iterdir():
            status = (thread / "status").read_text()
            assert "Seccomp:\t2" in status
            assert "NoNewPrivs:\t1" in status


def watching(video: Path, bright: Path) -> IsolatedSensor:
    return IsolatedSensor(HOST, HostSpec(f"video:{video}", str(bright), frames=10**6))


def verdict(row: np.ndarray, names: dict[str, Callable[[], object]]) -> dict[str, bool]:
    return dict(zip(names, map(bool, row), strict=False))


def assert_denied(sensor: IsolatedSensor) -> None:
    bits = next_mask(sensor).bits
    assert sensor.info.isolation == "process"
    assert sensor.info.input_tensor == "absent"
    assert verdict(bits[0], ATTEMPTS) == dict.fromkeys(ATTEMPTS, False), "while it was opening"
    assert verdict(bits[1], ATTEMPTS) == dict.fromkeys(ATTEMPTS, False)
    assert verdict(bits[2], LATER) == dict.fromkeys(LATER, False)


def test_what_is_planted_in_the_process_can_open_no_socket_and_reach_no_process() -> None:
    with IsolatedSensor(PLANTED, Planted("attempts")) as sensor:
        assert_denied(sensor)


@pytest.mark.usefixtures("no_libseccomp")
def test_without_the_filter_the_same_attempts_succeed_and_the_sensor_claims_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with IsolatedSensor(PLANTED, Planted("attempts")) as sensor:
        bits = next_mask(sensor).bits
        assert verdict(bits[0], ATTEMPTS) == dict(zip(ATTEMPTS, planted.attempts(), strict=True)), (
            "what this process may, it may too"
        )
        assert {"inet", "unix", "netlink", "pair"} <= {
            name for name, through in verdict(bits[1], ATTEMPTS).items() if through
        }
        assert sensor.info.isolation == "none"
        assert sensor.info.input_tensor == "unknown"
        with pytest.raises(AssertionError):
            assert_denied(sensor)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "not isolated" in lines[0]
    assert "apt install libseccomp2" in lines[0]


_EARLIER_THREAD = """
import sys, threading, socket
from glasses_sdk.sensors import confine
locked, said = threading.Event(), []
def attempt():
    locked.wait()
    try:
        socket.socket().close()
        said.append("open")
    except PermissionError:
        said.append("denied")
thread = threading.Thread(target=attempt)
thread.start()
if sys.argv[1] == "locked":
    assert confine.lock_in() is None
locked.set()
thread.join()
print(said[0])
"""


@pytest.mark.parametrize(("how", "what"), [("locked", "denied"), ("not", "open")])
def test_a_thread_that_was_there_before_the_filter_is_denied_too(how: str, what: str) -> None:
    run = [sys.executable, "-c", _EARLIER_THREAD, how]
    assert subprocess.run(run, capture_output=True, text=True).stdout.strip() == what


def test_a_stderr_that_is_a_socket_is_not_handed_on(
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    here, there = socket.socketpair()
    with here, there:
        process = program("attempts", stderr=there.fileno())
        assert process.stdout
        process.stdout.readline()
        assert process.stdout.readline().strip() == "0"


_READER = """
import ctypes, os, sys
target = f"/proc/{sys.argv[1]}"
def memory():
    start = int(open(f"{target}/maps").read().partition("-")[0], 16)
    with open(f"{target}/mem", "rb", buffering=0) as file:
        file.seek(start)
        return file.read(16)
looks = {
    "descriptors": lambda: os.readlink(f"{target}/fd/0"),
    "environment": lambda: open(f"{target}/environ", "rb").read(),
    "memory": memory,
}
for name, look in looks.items():
    try:
        if look():
            print(name)
    except (OSError, ValueError):
        pass
if ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), None, None) == 0:  # attach
    print("debugger")
"""


def test_another_process_of_the_same_user_reads_neither_its_descriptors_nor_its_memory(
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if os.geteuid() != 0:
        plain = []  # an ordinary user has no such right to begin with
    elif not shutil.which("setpriv"):
        pytest.skip("root can only give up its rights by setpriv")

    def readable(process: int) -> set[str]:
        run = [*plain, sys.executable, "-c", _READER, str(process)]
        return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())

    process = program("patterns", by=plain)
    assert process.stdout
    isolated = int(process.stdout.readline())
    if not {"descriptors", "memory"} <= readable(process.pid):
        pytest.skip("here even an ordinary process is closed to others of the same user")
    assert readable(isolated) == set()


# That it may die


def masks_under_fire(sensor: IsolatedSensor, moments: int) -> list[Mask]:
    """Kills the process at random moments, also while it starts; all masks that came.

    Each time a mask must be back within two seconds.
    """
    dice = random.Random(moments)
    masks: list[Mask] = []
    sensor.aim(Roi(0, 0, 64, 48))
    for _ in range(moments):
        follow(sensor, masks, time.monotonic() + dice.uniform(0, 0.3))
        os.kill(child(), signal.SIGKILL)
        killed = time.monotonic()
        while sensor.health().state != "restarting":
            follow(sensor, masks, time.monotonic() + 0.005)
            assert time.monotonic() - killed < 2, "its death is not noticed"
        if dice.random() < 0.2:
            follow(sensor, masks, killed + dice.uniform(0.01, 0.3))
            os.kill(child(), signal.SIGKILL)
            killed = time.monotonic()
        before = len(masks)
        while len(masks) == before:
            follow(sensor, masks, time.monotonic() + 0.005)
            assert time.monotonic() - killed < 2, f"not back: {sensor.health()}"
    return masks


def follow(sensor: IsolatedSensor, masks: list[Mask], until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        select.select([sensor], [], [], min(left, 0.005))
        if mask := sensor.read():
            masks.append(mask)
            sensor.aim(Roi(0, 0, 64, 48))


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> int:
    return 100 if request.config.getoption("--long") else 10


@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_gives_no_wrong_mask_and_is_back_with_a_gap(moments: int) -> None:
    spec = Planted("patterns", cells=256)  # records too long to be written in one piece
    with IsolatedSensor(PLANTED, spec, LONG_SUFFERING) as sensor:
        masks = masks_under_fire(sensor, moments)
        assert all(np.array_equal(mask.bits, pattern(mask.seq, 256)) for mask in masks)
        numbers = [mask.seq for mask in masks]
        assert all(a < b for a, b in pairwise(numbers))
        assert sensor.health().dropped >= moments
        assert sensor.health().state == "streaming"


@pytest.mark.timeout(600)
def test_a_recording_of_which_every_frame_is_wanted_goes_on_where_it_was(
    video: Path, bright: Path, moments: int
) -> None:
    spec = HostSpec(f"video:{video}", str(bright), pace="every", frames=10**6)
    truth = undisturbed(spec, 35)
    with IsolatedSensor(HOST, spec, LONG_SUFFERING) as sensor:
        first_ns = sensor.info.first_frame_ns
        masks = masks_under_fire(sensor, moments)
        assert all(np.array_equal(mask.bits, truth[mask.seq % 35]) for mask in masks)
        numbers = [mask.seq for mask in masks]
        lost = sum(b - a - 1 for a, b in pairwise(numbers))
        assert lost >= moments
        assert sensor.health().dropped <= lost + numbers[0]
        assert all(mask.time_ns == first_ns + mask.seq * 20_000_000 for mask in masks)
        assert sensor.next_exposure_ns() == masks[-1].time_ns + 20_000_000


def undisturbed(spec: HostSpec, frames: int) -> list[np.ndarray]:
    with HostSensor(spec) as sensor:
        seen: list[np.ndarray] = []
        for _ in range(frames):
            sensor.aim(Roi(0, 0, 64, 48))
            seen.append(next_mask(sensor).bits)
    assert len({bits.tobytes() for bits in seen}) == frames, "each frame has a mask of its own"
    return seen


def test_with_no_patience_a_single_death_is_the_end() -> None:
    with IsolatedSensor(PLANTED, Planted("patterns"), Patience(deaths=1)) as sensor:
        with pytest.raises(DeviceLost, match="1 times"):
            masks_under_fire(sensor, 1)
        with pytest.raises(DeviceLost):
            sensor.read()


def test_health_says_why_and_the_descriptor_stays_the_same() -> None:
    with IsolatedSensor(PLANTED, Planted("patterns"), LONG_SUFFERING) as sensor:
        before = sensor.fileno(), sensor.info
        next_mask(sensor)
        os.kill(child(), signal.SIGKILL)
        reasons: list[str | None] = []
        while "restarting" not in [sensor.health().state]:
            sensor.read()
        while sensor.health().state == "restarting":
            reasons.append(sensor.health().reason)
            sensor.read()
        assert reasons[-1] == (
            "sensor-died: the sensor's process has died (signal 9); it is being started anew"
        )
        next_mask(sensor)
        assert (sensor.fileno(), sensor.info) == before


def test_an_engine_that_always_dies_is_given_up() -> None:
    with (
        IsolatedSensor(PLANTED, Planted("die")) as sensor,
        pytest.raises(DeviceLost, match="5 times within 10 s"),
    ):
        next_mask(sensor)


def test_a_camera_that_was_unplugged_is_tried_again() -> None:
    with IsolatedSensor(PLANTED, Planted("unplug", live=True)) as sensor:
        while sensor.health().state == "streaming":
            select.select([sensor], [], [], 1)
            sensor.read()
        assert "sensor-lost: the camera is unplugged" in (sensor.health().reason or "")
        assert next_mask(sensor).seq > 0


def test_a_recording_that_breaks_is_not_tried_again() -> None:
    with (
        IsolatedSensor(PLANTED, Planted("unplug")) as sensor,
        pytest.raises(DeviceLost, match="unplugged"),
    ):
        next_mask(sensor)


def test_the_end_of_a_recording_is_no_crash(video: Path, bright: Path) -> None:
    spec = HostSpec(f"video:{video}", str(bright), pace="every", frames=3)
    with IsolatedSensor(HOST, spec) as sensor:
        for k in range(3):
            sensor.aim(Roi(0, 0, 64, 48))
            assert next_mask(sensor).seq == k
        sensor.aim(None)
        with pytest.raises(RecordingEnded):
            next_mask(sensor)
        time.sleep(0.2)
        with pytest.raises(RecordingEnded):
            sensor.read()


@pytest.mark.parametrize(
    ("engine", "source", "model", "error"),
    [
        (HOST, "video:/nonexistent.mp4", None, ConfigError),
        (HOST, "images:/tmp", "/nonexistent.onnx", ModelError),
        ("planted:no_such_engine", "", None, ConfigError),
    ],
)
def test_what_it_cannot_open_is_said_here(
    engine: str, source: str, model: str | None, error: type[Exception], bright: Path
) -> None:
    with pytest.raises(error, match=r"no_such|nonexistent"):
        IsolatedSensor(engine, HostSpec(source, model or str(bright)))
    assert not [c for c in children(os.getpid()) if "sensors.child" in command(c)]


# That nothing stays behind


def test_closing_leaves_no_process_and_no_descriptor() -> None:
    descriptors = descriptors_held()
    processes = children(os.getpid())
    with IsolatedSensor(PLANTED, Planted("patterns"), LONG_SUFFERING) as sensor:
        masks_under_fire(sensor, 2)
        assert len(descriptors_held()) == len(descriptors) + 3
    assert descriptors_held() == descriptors
    assert children(os.getpid()) == processes


def test_a_process_that_does_not_listen_is_ended_all_the_same() -> None:
    with IsolatedSensor(PLANTED, Planted("sleep")):
        process = child()
    assert process not in children(os.getpid())


def test_when_the_program_is_killed_the_process_with_the_camera_dies(
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    parent = program("sleep")
    assert parent.stdout
    isolated = int(parent.stdout.readline())
    assert command(isolated)
    parent.kill()
    assert gone(isolated)


def test_ctrl_c_ends_the_program_cleanly_and_the_process_with_it(
    program: Callable[..., subprocess.Popen[str]],
) -> None:
    parent = program("patterns", start_new_session=True, stderr=subprocess.PIPE)
    assert parent.stdout
    isolated = int(parent.stdout.readline())
    os.kill(isolated, signal.SIGINT)
    time.sleep(0.2)
    assert command(isolated), "a Ctrl-C is not for the process with the camera"
    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=10)
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")
    assert gone(isolated)
