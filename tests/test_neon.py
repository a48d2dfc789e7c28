"""Neon's source with the real client library against a stand-in for the Companion app, and Neon's
native recordings against the library that its makers read them with.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pupil_labs.realtime_api", reason="extra: neon")
sys.path.append(str(Path(__file__).parent))
from companion import IMU, Companion
from pupil_labs.neon_recording.timeseries.imu import imu_pb2
from scipy.spatial.transform import Rotation

from glasses_sdk.backends import GazeConfig, SensorConfig, open_gaze
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.gaze.address import parse_address
from glasses_sdk.gaze.neon import Neon
from glasses_sdk.gaze.neon_recording import NeonRecording, read_neon_recording
from glasses_sdk.gaze.replay import read_recording
from glasses_sdk.protocols import HeadSource
from glasses_sdk.types import Gaze, HeadPose

SECONDS = 20.0  # of patience; nothing here is measured
HERE = "127.0.0.1"
MS = 1_000_000
OPEN, SHUT = 9.5, 0.4  # lids apart, in mm


@pytest.fixture
def phone() -> Iterator[Companion]:
    with Companion() as running:
        yield running


@pytest.fixture
def neon(phone: Companion) -> Iterator[Neon]:
    with Neon(HERE, phone.port) as source:
        until(phone.playing)
        yield source


def until(true: Callable[[], object], act: Callable[[], object] = lambda: None) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        act()
        time.sleep(0.005)


def code(source: Neon) -> str:
    return (source.reason or "").partition(": ")[0]


def read(source: Neon, count: int) -> list[Gaze]:
    """As many samples, as they come."""
    got: list[Gaze] = []
    until(lambda: got.extend(source.read()) or len(got) >= count)
    return got


def ours(phone: Companion, at_ns: int) -> int:
    """That moment of the phone's clock on this machine's monotonic clock."""
    return at_ns - (phone.now_ns() - time.monotonic_ns())


def wander(phone: Companion, steps: int = 1) -> None:
    """An eye that is never at rest, 200 samples a second."""
    for _ in range(steps):
        angle = time.monotonic()
        phone.gaze(800 + 300 * math.sin(angle), 600 + 200 * math.cos(angle))
        time.sleep(0.005)


def eye_state(left: float = OPEN, right: float = OPEN, *, lids: bool = True) -> bytes:
    """Made up: pupil, eyeball and axis of both eyes, and how far the lids are apart."""
    eye = (4.5, 31.0, 12.0, -20.0, 0.0, 0.1, 0.99)
    floats = (*eye, *eye, *(0.6, -0.5, left, 0.6, -0.5, right)[: 6 * lids])
    return struct.pack(f"!{len(floats)}f", *floats)


# What comes through


def data(name: str) -> Path:
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA is not set")
    return Path(folder) / "gaze" / name


@pytest.fixture
def patient(phone: Companion) -> Iterator[Neon]:
    """Takes what is a minute old: a recording is sent faster than it was made."""
    with Neon(HERE, phone.port, max_age_ms=60_000) as source:
        until(phone.playing)
        yield source


def test_recorded_gaze_comes_through_point_by_point_with_its_times_and_worn(
    phone: Companion, patient: Neon
):
    folder, neon = data("neon"), patient
    points = np.fromfile(folder / "gaze ps2.raw", "<f4").reshape(-1, 2)[:200]
    times = np.fromfile(folder / "gaze ps2.time", "<i8")[:200]
    worn = np.fromfile(folder / "worn ps2.raw", "u1")[:200]
    worn[40:60] = 0
    start_ns = phone.now_ns() - int(times[-1] - times[0])
    sent = [start_ns + int(t - times[0]) for t in times]
    got: list[Gaze] = []
    for at_ns, point, on in zip(sent, points, worn, strict=True):
        phone.gaze(*map(float, point), worn=bool(on), at_ns=at_ns)
        got += neon.read()
        time.sleep(0.0005)
    until(lambda: got.extend(neon.read()) or len(got) >= len(sent))
    assert [gaze.confidence for gaze in got] == [float(on > 0) for on in worn]
    seen = np.array([(gaze.x, gaze.y) for gaze in got if gaze.confidence])
    assert np.allclose(seen * (1600, 1200), points[worn > 0], atol=1e-3)
    off_ms = [(gaze.time_ns - ours(phone, at)) / MS for gaze, at in zip(got, sent, strict=True)]
    assert max(map(abs, off_ms)) < 2.0, "Time Echo counts in milliseconds"
    assert np.ptp(off_ms) < 0.1, "all by the same offset"


def test_both_lids_shut_are_a_blink_and_a_wink_is_none(phone: Companion, neon: Neon):
    lids = [(OPEN, OPEN), (SHUT, SHUT), (SHUT, OPEN), (1.9, 1.9), (2.1, 2.1)]
    for n, (left, right) in enumerate(lids):
        phone.gaze(800 + n, 600, eyes=eye_state(left, right))
        time.sleep(0.005)
    assert [gaze.confidence for gaze in read(neon, len(lids))] == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    "eyes",
    [b"", eye_state(lids=False), eye_state(), eye_state() + struct.pack("!4f", 1, 2, 3, 4)],
    ids=["gaze", "eye state", "lids", "each eye too"],
)
def test_each_kind_of_sample_that_the_app_can_be_set_to_send_has_its_point(
    phone: Companion, neon: Neon, eyes: bytes
):
    phone.gaze(400, 900, eyes=eyes)
    (gaze,) = read(neon, 1)
    assert (gaze.x, gaze.y, gaze.confidence) == (0.25, 0.75, 1.0)


def test_where_each_eye_has_its_point_the_middle_counts(phone: Companion, neon: Neon):
    phone.gaze(300, 800, eyes=struct.pack("!2f", 500, 1000))
    (gaze,) = read(neon, 1)
    assert (gaze.x, gaze.y) == (0.25, 0.75)


def test_invisible_has_a_smaller_picture():
    with Companion(hardware="1.0") as phone, Neon(HERE, phone.port) as source:
        until(phone.playing)
        phone.gaze(544, 270)
        (gaze,) = read(source, 1)
        assert (gaze.x, gaze.y) == (0.5, 0.25)


# The head


def imu(
    at_ns: int, quaternion: Sequence[float], gyro_deg: Sequence[float] = (0.0, 0.0, 0.0)
) -> bytes:
    packet = imu_pb2.ImuPacket(tsNs=at_ns)
    packet.gyroData.x, packet.gyroData.y, packet.gyroData.z = gyro_deg
    rotation = packet.rotVecData
    rotation.x, rotation.y, rotation.z, rotation.w = quaternion
    return packet.SerializeToString()


def poses(phone: Companion, source: Neon, payload: Callable[[int], bytes]) -> list[HeadPose]:
    until(lambda: phone.playing(IMU))
    at_ns = phone.now_ns()
    phone.send(IMU, payload(at_ns), at_ns)
    got: list[HeadPose] = []
    until(lambda: got.extend(source.poses()) or got)
    assert abs(got[0].time_ns - ours(phone, at_ns)) < 2 * MS
    return got


def test_level_and_facing_north_the_camera_looks_forward_and_twelve_degrees_down(
    phone: Companion, neon: Neon
):
    assert isinstance(neon, HeadSource)
    (pose,) = poses(phone, neon, lambda at_ns: imu(at_ns, (0, 0, 0, 1)))
    forward = Rotation.from_quat(pose.orientation).apply([0, 0, 1])
    twelve = math.radians(12)
    assert forward == pytest.approx([0, math.sin(twelve), math.cos(twelve)], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_rate_of_the_head_is_the_change_of_its_orientation(
    phone: Companion, neon: Neon, seed: int
):
    rng = np.random.default_rng(seed)
    before = Rotation.random(random_state=seed)
    gyro = rng.uniform(-90, 90, 3)  # about the IMU's own axes, degrees a second
    after = before * Rotation.from_rotvec(gyro * 1e-3, degrees=True)
    (one,) = poses(phone, neon, lambda at_ns: imu(at_ns, before.as_quat(), gyro))
    (two,) = poses(phone, neon, lambda at_ns: imu(at_ns, after.as_quat(), gyro))
    p, q = (Rotation.from_quat(pose.orientation) for pose in (one, two))
    assert one.angular_rate == pytest.approx((p.inv() * q).as_rotvec() * 1e3, abs=2e-3)


def test_a_pose_that_is_none_is_dropped(phone: Companion, neon: Neon):
    until(lambda: phone.playing(IMU))
    for wrong in ((0, 0, 0, 0), (math.nan, 0, 0, 1), (3, 0, 0, 1)):
        phone.send(IMU, imu(phone.now_ns(), wrong), phone.now_ns())
    assert len(poses(phone, neon, lambda at_ns: imu(at_ns, (0, 0, 0, 1)))) == 1


# Phones that are not there, or go


def test_a_phone_that_is_not_there_yet_is_waited_for():
    with Companion() as phone:
        ports = phone.ports
    with Neon(HERE, ports[0]) as source:
        until(lambda: code(source) == "no-server")
        assert f"{HERE}:{ports[0]}" in (source.reason or "")
        assert source.read() == []
        with Companion(ports=ports) as phone:
            until(phone.playing)
            until(lambda: source.read(), lambda: wander(phone))
            assert source.reason is None


def test_a_phone_that_goes_and_comes_back_is_found_again():
    with Companion() as phone, Neon(HERE, phone.port) as source:
        until(phone.playing)
        until(lambda: source.read(), lambda: wander(phone))
        phone.die()
        until(lambda: code(source) in ("lost", "no-server"))
        with Companion(ports=phone.ports, ahead_s=-500.0) as other:
            until(other.playing)
            at_ns = other.gaze(800, 600)
            got: list[Gaze] = []
            until(lambda: got.extend(source.read()) or got)
            assert abs(got[-1].time_ns - ours(other, at_ns)) < 2 * MS, "its clock is asked for anew"
            assert source.reason is None


def test_a_phone_without_glasses_says_so():
    with Companion(plugged=False) as phone, Neon(HERE, phone.port) as source:
        until(lambda: code(source) == "no-glasses")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: text/html\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: application/json\r\n\r\n"
        b'{"result":[]}',
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["not found", "empty", "no phone", "ssh"],
)
def test_what_answers_and_is_no_companion_app_is_told_apart(answer: bytes):
    with socket.create_server((HERE, 0)) as server:
        end = threading.Event()
        server.settimeout(0.05)

        def serve() -> None:
            while not end.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                with client:
                    client.sendall(answer)
                    client.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with Neon(HERE, server.getsockname()[1]) as source:
                until(lambda: code(source) == "wrong-server")
                assert len(source.reason or "") <= 200
        finally:
            end.set()
            thread.join()


def test_a_phone_that_takes_the_call_and_never_speaks_holds_up_neither_reading_nor_leaving():
    with socket.create_server((HERE, 0)) as server:
        with Neon(HERE, server.getsockname()[1]) as source:
            assert [source.read() for _ in range(100)] == [[]] * 100
            until(lambda: source.reason)
        assert "neon" not in {thread.name for thread in threading.enumerate()}


def test_a_name_that_nobody_knows_is_held_like_a_phone_that_is_not_there():
    with Neon("no-such-phone.invalid", 8080) as source:
        until(lambda: code(source) == "no-server")


def test_without_time_echo_the_times_are_taken_for_right_and_the_status_says_so():
    with Companion(echoes=False, ahead_s=0.0) as phone, Neon(HERE, phone.port) as source:
        until(phone.playing)
        at_ns = phone.gaze(800, 600)
        (gaze,) = read(source, 1)
        assert abs(gaze.time_ns - ours(phone, at_ns)) < MS
        assert code(source) == "no-time-echo"


def test_what_is_no_sample_at_all_costs_a_moment_and_no_more(phone: Companion, neon: Neon):
    phone.send("gaze", b"\x00" * 11, phone.now_ns())
    until(lambda: not phone.playing())
    until(phone.playing)
    until(lambda: neon.read(), lambda: wander(phone))
    assert neon.reason is None


# Samples that are wrong


def test_a_point_that_is_no_number_is_a_blink(phone: Companion, neon: Neon):
    phone.gaze(math.nan, 600)
    phone.gaze(800, math.inf)
    assert [gaze.confidence for gaze in read(neon, 2)] == [0, 0]


def test_zeros_are_a_blink_and_said(phone: Companion, neon: Neon):
    phone.gaze(0, 0)
    (gaze,) = read(neon, 1)
    assert gaze.confidence == 0
    assert code(neon) == "zeros"


def test_samples_out_of_order_and_twice_come_once_and_in_order(phone: Companion, neon: Neon):
    now_ns = phone.now_ns()
    for ms in (0, 10, 5, 10, 20, 20, 15, 30):
        phone.gaze(800 + ms, 600, at_ns=now_ns - 50 * MS + ms * MS)
        time.sleep(0.002)
    got = read(neon, 4)
    phone.gaze(900, 600)
    got += read(neon, 1)
    assert all(one.time_ns < two.time_ns for one, two in pairwise(got))
    assert {0, 10, 20, 30} <= {round(gaze.x * 1600) - 800 for gaze in got}


def test_a_burst_of_ten_times_the_rate_is_thinned_and_said(phone: Companion, neon: Neon):
    got: list[Gaze] = []
    for _ in range(5):
        wander(phone, 40)
        got += neon.read()
    before = len(got)
    said = set()
    for _ in range(4):  # what came in 50 ms, together
        end_ns = phone.now_ns()
        for n in range(100):
            phone.gaze(800 + n, 600, at_ns=end_ns - (100 - n) * MS // 2)
        time.sleep(0.05)
        got += neon.read()
        said.add(code(neon))
    until(lambda: said.add(code(neon)) or "burst" in said, lambda: got.extend(neon.read()))
    assert len(got) - before < 400


def test_a_point_that_never_moves_is_held_back_and_said(phone: Companion, neon: Neon):
    until(
        lambda: code(neon) == "frozen",
        lambda: (phone.gaze(800, 600), neon.read()),
    )
    until(lambda: neon.read() and code(neon) != "frozen", lambda: wander(phone))


def test_a_phone_whose_clock_jumps_is_followed(phone: Companion, neon: Neon):
    until(lambda: neon.read(), lambda: wander(phone))
    phone.ahead_s += 3600
    until(lambda: code(neon) == "late", lambda: (wander(phone), neon.read()))
    until(lambda: neon.read(), lambda: wander(phone))


# The end


def test_nothing_is_left_at_the_end():
    with Companion() as phone:
        with Neon(HERE, phone.port):
            until(phone.playing)
        assert "neon" not in {thread.name for thread in threading.enumerate()}
        until(lambda: not phone.playing())


PROGRAM = """
import sys, time
from glasses_sdk.gaze.neon import Neon
try:
    with Neon("127.0.0.1", int(sys.argv[1])) as neon:
        while True:
            if neon.read():
                print("looks", flush=True)
            time.sleep(0.005)
except KeyboardInterrupt:
    print("left", flush=True)
"""


def test_ctrl_c_ends_it_at_once_and_in_silence(phone: Companion):
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(phone.port)]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True)
    try:
        until(phone.playing)
        wander(phone, 20)
        assert process.stdout
        assert process.stdout.readline() == "looks\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert out.endswith("left\n")
    assert process.returncode == 0
    # aiortsp itself prints this where an answer comes to what has just been given up.
    assert not err or ("InvalidStateError" in err and "glasses_sdk" not in err)
    until(lambda: not phone.playing())


# Where it is


def test_the_configuration_opens_it(phone: Companion):
    sensor = SimpleNamespace()  # nothing of it is needed
    config = GazeConfig(f"neon:{HERE}:{phone.port}")
    with open_gaze(config, sensor, SensorConfig("webcam:0")) as source:
        assert isinstance(source, Neon)
        until(phone.playing)


def test_without_its_library_the_command_that_brings_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pupil_labs.realtime_api", None)
    monkeypatch.delitem(sys.modules, "glasses_sdk.gaze.neon")
    with pytest.raises(ConfigError, match=r"pip install 'glasses-sdk\[neon\]'"):
        open_gaze(GazeConfig("neon"), SimpleNamespace(), SensorConfig("webcam:0"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("neon.local", 8080)),
        ("pi.local", ("pi.local", 8080)),
        ("192.168.1.7:8081", ("192.168.1.7", 8081)),
        (":8081", ("neon.local", 8081)),
        ("fe80::1%eth0", ("fe80::1%eth0", 8080)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 8080)),
        ("[::1]:8081", ("::1", 8081)),
    ],
)
def test_an_address_is_a_host_a_port_both_or_nothing(text: str, address: tuple[str, int]):
    assert parse_address(text, "neon.local", 8080) == address


@pytest.mark.parametrize("text", ["phone:http", "phone:0", "phone:65536", "[::1]:x"])
def test_a_wrong_port_is_named(text: str):
    with pytest.raises(ConfigError, match="1 to 65535"):
        parse_address(text, "neon.local", 8080)


# Recordings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The recording's files, to be damaged."""
    copy = tmp_path / "neon"
    shutil.copytree(data("neon"), copy)
    copy.chmod(0o755)
    for path in copy.iterdir():
        path.chmod(0o644)
    return copy


def as_made(folder: Path) -> NeonRecording:
    """The same by the library of Neon's makers."""
    from pupil_labs.neon_recording import NeonRecording as Theirs

    with warnings.catch_warnings(), Theirs(folder) as theirs:
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves closing to the collector
        points = np.asarray(theirs.gaze.point)
        fixations = [theirs.fixations.start_time, theirs.fixations.stop_time]
        return NeonRecording(
            theirs.start_time,
            np.array(theirs.gaze.time),
            points[:, 0].copy(),
            points[:, 1].copy(),
            np.asarray(theirs.worn.worn) > 0,
            np.stack([np.array(one) for one in fixations], axis=1),
        )


@pytest.mark.parametrize("cloud", [True, False], ids=["200 Hz of the cloud", "of the phone"])
def test_a_recording_is_what_its_makers_library_reads(folder: Path, cloud: bool):
    if not cloud:
        for path in folder.glob("*_200hz.*"):
            path.unlink()
    ours, theirs = read_neon_recording(folder), as_made(folder)
    assert len(ours.time_ns) == 4200
    for name in ("time_ns", "x", "y", "worn"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.start_ns == theirs.start_ns
    assert np.array_equal(ours.fixations, theirs.fixations)
    assert len(ours.fixations) == 61


def test_the_samples_of_a_recording_count_from_its_start_in_shares_of_the_picture(folder: Path):
    recording = read_neon_recording(folder)
    samples = recording.samples()
    start_ns = json.loads((folder / "info.json").read_text())["start_time"]
    times = np.fromfile(folder / "gaze_200hz.time", "<i8")
    points = np.fromfile(folder / "gaze_200hz.raw", "<f4").reshape(-1, 2)
    assert [gaze.time_ns for gaze in samples] == [int(t) - start_ns for t in times]
    assert sum(gaze.confidence == 0 for gaze in samples) == int((~recording.worn).sum()) > 0
    last = samples[-1]
    assert (last.x * 1600, last.y * 1200) == pytest.approx(tuple(map(float, points[-1])))


def test_a_recording_counts_from_the_first_frame_where_the_video_is_there(folder: Path):
    before = read_neon_recording(folder).samples()[0].time_ns
    start_ns = json.loads((folder / "info.json").read_text())["start_time"]
    path = folder / "Neon Scene Camera v1 ps1.time"
    path.write_bytes(struct.pack("<2q", start_ns + 70 * MS, start_ns + 103 * MS))
    assert read_neon_recording(folder).samples()[0].time_ns == before - 70 * MS


def test_parts_are_read_by_number_and_each_as_far_as_it_is_whole(folder: Path):
    for path in folder.glob("*_200hz.*"):
        path.unlink()
    for name in ("gaze", "worn", "fixations"):
        for path in folder.glob(f"{name} ps3.*"):
            path.rename(folder / path.name.replace("ps3", "ps10"))
    whole = read_neon_recording(folder)
    assert (np.diff(whole.time_ns) > 0).all(), "ps10 follows ps2"
    path = folder / "gaze ps1.raw"
    path.write_bytes(path.read_bytes()[:-13])  # the app died while it wrote: 12 of 795 points
    cut = read_neon_recording(folder)
    assert len(cut.time_ns) == len(whole.time_ns) - 2
    assert np.array_equal(cut.x[793:], whole.x[795:])
    assert np.array_equal(cut.time_ns[793:], whole.time_ns[795:])


def test_a_replay_plays_the_folder_of_a_recording(folder: Path):
    assert read_recording(folder) == read_neon_recording(folder).samples()


def test_a_recording_without_worn_was_worn(folder: Path):
    for path in folder.glob("worn*.raw"):
        path.unlink()
    assert read_neon_recording(folder).worn.all()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "info.json").unlink(), "info.json"),
        (lambda folder: (folder / "info.json").write_text("{"), "is not the info"),
        (
            lambda folder: (folder / "info.json").write_text(
                '{"data_format_version": "1.2", "start_time": 0}'
            ),
            "Invisible",
        ),
        (lambda folder: [path.unlink() for path in folder.glob("gaze*.raw")], "has no gaze"),
    ],
    ids=["no info", "damaged info", "Invisible", "no gaze"],
)
def test_what_is_no_recording_of_neon_is_named(
    folder: Path, damage: Callable[[Path], object], sentence: str
):
    damage(folder)
    with pytest.raises(DataError, match=sentence):
        read_neon_recording(folder)
