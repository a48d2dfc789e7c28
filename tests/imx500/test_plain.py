"""An ordinary camera of the Raspberry Pi as a host sensor: the real picamera2, a fake camera."""

from __future__ import annotations

import fcntl
import os
import select
import time
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

from glasses_sdk.backends import SensorConfig, open_sensor
from glasses_sdk.errors import ConfigError, DeviceError, DeviceLost
from glasses_sdk.geometry import mask_box
from glasses_sdk.sensors import picamera
from glasses_sdk.sensors.imx500.camera import Picamera
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.sensors.isolated import IsolatedSensor
from glasses_sdk.sensors.picamera import PiCamera
from glasses_sdk.sensors.spec import HostSpec
from glasses_sdk.types import Mask, Roi
from tests.imx500.device import EXPOSURE_NS, Traits, picamera2, plugged
from tests.imx500.plain import PICTURE, SENSOR, SQUARE, PlainCamera, blind, scene

WHOLE = Roi(0, 0, PICTURE.width, PICTURE.height)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PlainCamera]:
    with plugged(PlainCamera(blind, tmp_path)) as plain:
        yield plain


# Its frames, in this process


def test_its_pictures_are_the_cameras_in_red_green_blue(device: PlainCamera):
    camera = PiCamera(0, None)
    try:
        assert type(camera._camera) is picamera2.Picamera2  # pyright: ignore[reportPrivateUsage]
        frame = camera.read()
    finally:
        camera.close()
    assert frame is not None
    assert frame.channels == "rgb"
    assert camera.size == PICTURE
    assert np.array_equal(frame.picture, scene(PICTURE))


def test_the_whole_field_of_view_is_asked_for_at_half_the_sensors_resolution(device: PlainCamera):
    camera = PiCamera(0, None)
    camera.close()
    mode = device.configured.sensor_config.output_size
    assert (mode.width, mode.height) == (SENSOR.width // 2, SENSOR.height // 2)


def test_frames_are_dated_by_the_middle_of_their_exposure(device: PlainCamera):
    camera = PiCamera(0, None)
    try:
        frames = [camera.read() for _ in range(5)]
    finally:
        camera.close()
    readouts = {frame.time_ns + EXPOSURE_NS // 2 for frame in frames if frame}
    period_ns = round(1e9 / 30)
    assert {(ns - device.first_ns) % period_ns for ns in readouts} == {0}


def test_a_slow_reader_gets_the_newest_picture_and_sees_the_gap(device: PlainCamera):
    camera = PiCamera(0, None)
    try:
        before = camera.read()
        time.sleep(0.6)
        after = camera.read()
        age_s = (time.monotonic_ns() - after.time_ns) / 1e9 if after else 0.0
    finally:
        camera.close()
    assert before is not None
    assert after is not None
    assert age_s < 0.25
    assert after.seq - before.seq == round((after.time_ns - before.time_ns) * 30 / 1e9)
    assert after.seq > before.seq + 8


def test_with_a_limit_it_ends_after_so_many_frames(device: PlainCamera):
    camera = PiCamera(0, 3)
    try:
        seqs = [frame.seq for frame in iter(camera.read, None)]
    finally:
        camera.close()
    assert seqs[0] == 0
    assert seqs[-1] <= 2


def test_a_camera_that_falls_silent_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picamera, "_STALLED_S", 0.3)
    traits = Traits(unplugged_after=3, faulty_lives=1)
    with plugged(PlainCamera(blind, tmp_path, traits)):
        camera = PiCamera(0, None)
        try:
            with pytest.raises(DeviceLost, match="picamera2:0 gives no picture"):
                for _ in range(10):
                    camera.read()
        finally:
            camera.close()


def test_one_that_never_gives_a_picture_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(picamera, "_FIRST_FRAME_S", 0.3)
    traits = Traits(unplugged_after=0, faulty_lives=1)
    with plugged(PlainCamera(blind, tmp_path, traits)), pytest.raises(DeviceError, match="cable"):
        PiCamera(0, None)


def test_a_number_without_a_camera_is_named(device: PlainCamera):
    with pytest.raises(DeviceError, match="no camera picamera2:4: libcamera finds 1"):
        PiCamera(4, None)


def test_closed_it_can_be_opened_again(device: PlainCamera):
    for _ in range(2):
        camera = PiCamera(0, None)
        assert camera.read() is not None
        camera.close()


def test_an_ordinary_camera_is_no_imx500(device: PlainCamera, rpk: Path):
    with pytest.raises(DeviceError, match="no IMX500 here"):
        Picamera(Imx500Spec(str(rpk)))


def test_a_camera_has_a_number(bright: Path):
    config = SensorConfig("picamera2:front", str(bright), isolate=False)
    with pytest.raises(ConfigError, match="a picamera2 has a number, as in picamera2:0"):
        open_sensor(config)


# The sensor, locked in


@pytest.fixture
def isolated(
    tmp_path: Path, bright: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], IsolatedSensor]]:
    opened: list[IsolatedSensor] = []

    def open_it(traits: str = "{}") -> IsolatedSensor:
        monkeypatch.setenv("FAKE_IMX500", traits)
        monkeypatch.setenv("FAKE_IMX500_FOLDER", str(tmp_path))
        # the fake brings the IMX500's class along, which would look for its library by a process
        monkeypatch.setenv("LIBARCHIVE", find_library("archive") or "")
        spec = HostSpec("picamera2:0", str(bright))
        opened.append(IsolatedSensor("tests.imx500.plain:open_plain", spec))
        return opened[-1]

    yield open_it
    for sensor in opened:
        sensor.__exit__()


def next_mask(sensor: IsolatedSensor, seconds: float = 20.0) -> Mask:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        select.select([sensor], [], [], 0.05)
        if mask := sensor.read():
            return mask
    raise AssertionError(f"no mask within {seconds} s: {sensor.health()}")


def test_its_process_is_locked_in_and_its_masks_lie_on_the_square(
    isolated: Callable[[], IsolatedSensor],
):
    sensor = isolated()
    assert (sensor.info.kind, sensor.info.size) == ("picamera2", PICTURE)
    assert (sensor.info.isolation, sensor.info.input_tensor) == ("process", "absent")
    sensor.aim(WHOLE)
    mask = next(mask for _ in range(30) if (mask := next_mask(sensor)).area)
    box = mask_box(mask.bits, mask.roi)
    assert box is not None
    edges = zip(
        (box.left, box.top, box.right, box.bottom),
        (SQUARE.left, SQUARE.top, SQUARE.right, SQUARE.bottom),
        strict=True,
    )
    assert all(abs(found - true) <= 80 for found, true in edges)  # a cell of 16 x 16


def test_the_process_that_has_it_holds_no_socket(isolated: Callable[[], IsolatedSensor]):
    sensor = isolated()
    sensor.aim(WHOLE)
    next_mask(sensor)
    process = sensor._child._process.pid  # pyright: ignore[reportPrivateUsage]
    if os.geteuid() != 0:
        pytest.skip("only root may look into the process: that is the point of it")
    held = [os.readlink(one) for one in Path(f"/proc/{process}/fd").iterdir()]  # noqa: PTH115
    assert any("picture" in one for one in held)  # its buffers are here
    assert not any(one.startswith("socket") for one in held)


def test_one_that_another_program_has_is_in_use(
    isolated: Callable[[], IsolatedSensor], tmp_path: Path
):
    owner = os.open(tmp_path / "owner", os.O_CREAT | os.O_RDWR)
    fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        with pytest.raises(DeviceError, match="picamera2:0 is in use"):
            isolated()
    finally:
        os.close(owner)


def test_unplugged_it_is_tried_again_and_leaves_a_gap(
    isolated: Callable[[str], IsolatedSensor],
):
    sensor = isolated('{"unplugged_after": 10, "faulty_lives": 1}')
    sensor.aim(WHOLE)
    newest = next_mask(sensor)
    end_s = time.monotonic() + 20
    while sensor.health().state == "streaming" and time.monotonic() < end_s:
        select.select([sensor], [], [], 0.05)
        newest = sensor.read() or newest
    health = sensor.health()
    again = next_mask(sensor)
    assert health.state == "restarting"
    assert "gives no picture" in str(health.reason)
    assert again.seq > newest.seq + 1
