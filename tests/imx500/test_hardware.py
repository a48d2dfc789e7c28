"""What only the camera can show: `pytest --imx500`, with GLASSES_IMX500_RPK naming a network.

docs/reference/hardware-checks.md lists these.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasses_sdk import models
from glasses_sdk.errors import DeviceError
from glasses_sdk.protocols import Sensor
from glasses_sdk.sensors.imx500 import latency
from glasses_sdk.sensors.imx500.package import package
from glasses_sdk.sensors.imx500.rpk import input_tensor, model_name
from glasses_sdk.sensors.imx500.sensor import Imx500Sensor
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.sensors.isolated import IsolatedSensor
from glasses_sdk.sensors.spec import HostSpec
from glasses_sdk.types import Mask, Roi

UPLOAD_SECONDS = 400.0


@pytest.fixture
def spec(request: pytest.FixtureRequest) -> Imx500Spec:
    if not request.config.getoption("--imx500"):
        pytest.skip("needs the camera: pytest --imx500")
    rpk = os.environ.get("GLASSES_IMX500_RPK")
    if rpk is None:
        pytest.skip("GLASSES_IMX500_RPK names no network")
    return Imx500Spec(rpk)


@pytest.fixture
def sensor(spec: Imx500Spec) -> Iterator[Imx500Sensor]:
    with Imx500Sensor(spec) as opened:
        yield opened


def next_mask(sensor: Sensor, seconds: float = UPLOAD_SECONDS) -> Mask:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        select.select([sensor], [], [], 0.05)
        if mask := sensor.read():
            return mask
    raise AssertionError(f"no mask within {seconds} s: {sensor.health()}")


@pytest.mark.timeout(600)
def test_masks_come_with_one_small_stream(sensor: Imx500Sensor):
    first = next_mask(sensor)
    sensor.aim(Roi(1000, 1000, 800, 800))
    masks = [next_mask(sensor, 5) for _ in range(90)]
    print(sensor.info, sensor.health())
    assert masks[-1].roi_state == "stable"
    assert masks[-1].seq - first.seq < 120  # few are lost


@pytest.mark.timeout(600)
def test_the_upload_is_told(sensor: Imx500Sensor):
    began_s, shares = time.monotonic(), set[float]()
    while (health := sensor.health()).state in ("starting", "loading"):
        select.select([sensor], [], [], 0.05)
        sensor.read()
        shares |= {health.progress} - {None}  # type: ignore[arg-type]
    print(f"uploaded in {time.monotonic() - began_s:.1f} s, {len(shares)} different shares told")
    assert shares, "the kernel does not tell: see docs/how-to/imx500.md"


@pytest.mark.timeout(600)
def test_the_lag_is_short_and_steady(spec: Imx500Spec):
    from glasses_sdk.sensors.imx500.camera import open_camera

    camera = open_camera(spec)
    try:
        camera.start()
        found = latency.measure(camera, spec, time.monotonic_ns, 40)
    finally:
        camera.close()
    print(found)
    assert found.frames + found.jitter <= spec.most_frames


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "roi", [Roi(0, 0, 96, 96), Roi(12, 0, 4032, 3040), Roi(3960, 2944, 96, 96)]
)
def test_a_region_read_back_is_the_one_that_was_set(spec: Imx500Spec, roi: Roi):
    import fcntl

    import videodev2
    from picamera2.devices.imx500.imx500 import ROI_CTRL_ID

    from glasses_sdk.sensors.imx500.camera import open_camera

    camera = open_camera(spec)
    try:
        camera.move(roi)
        values = (videodev2.ctypes.c_uint32 * 4)()
        control = (videodev2.v4l2_ext_control * 1)()
        control[0].id, control[0].size, control[0].p_u32 = ROI_CTRL_ID, 16, values
        controls = videodev2.v4l2_ext_controls()
        controls.count, controls.controls = 1, control
        fcntl.ioctl(camera._imx500.device_fd, videodev2.VIDIOC_G_EXT_CTRLS, controls)
    finally:
        camera.close()
    assert tuple(values) == (roi.left, roi.top, roi.width, roi.height)


@pytest.mark.timeout(1200)
def test_it_runs_for_ten_minutes(sensor: Imx500Sensor, request: pytest.FixtureRequest):
    if not request.config.getoption("--long"):
        pytest.skip("takes ten minutes: pytest --imx500 --long")
    first, restarts, was = next_mask(sensor), 0, "streaming"
    end_s, newest, count = time.monotonic() + 600, first, 0
    while time.monotonic() < end_s:
        select.select([sensor], [], [], 0.05)
        newest = sensor.read() or newest
        count += 1
        state = sensor.health().state
        restarts += state == "restarting" != was
        was = state
    rate = (newest.seq - first.seq) * 1e9 / (newest.time_ns - first.time_ns)
    print(f"{rate:.2f} frames a second, {restarts} restarts, {sensor.health()}")
    assert was == "streaming"


@pytest.mark.timeout(600)
def test_the_mask_is_upright(sensor: Imx500Sensor):
    """Put a bright object on a dark ground into the upper left quarter of the picture."""
    next_mask(sensor)
    size = sensor.info.size
    sensor.aim(Roi(0, 0, size.width, size.height))
    mask = [next_mask(sensor, 5) for _ in range(30)][-1]
    rows, columns = mask.bits.nonzero()
    assert rows.size, "no object is seen"
    assert rows.mean() < mask.size.height / 2
    assert columns.mean() < mask.size.width / 2


@pytest.mark.timeout(600)
def test_a_small_region_is_what_was_asked_for(spec: Imx500Spec):
    """Whether the chip enlarges: if this passes, `Chip.least` may become smaller."""
    from glasses_sdk.sensors.imx500.camera import open_camera

    camera = open_camera(spec)
    try:
        camera.start()
        camera.move(Roi(2000, 1500, 48, 48))
        for _ in range(60):
            latency.wait_for(camera)
            frames = camera.take()
        assert any(frame.tensors for frame in frames)
    finally:
        camera.close()


@pytest.mark.timeout(600)
def test_the_clock_is_the_monotonic_one(sensor: Imx500Sensor):
    next_mask(sensor)
    ages_ms = [(time.monotonic_ns() - next_mask(sensor, 5).time_ns) / 1e6 for _ in range(60)]
    print(f"age of a mask {min(ages_ms):.1f} to {max(ages_ms):.1f} ms")
    assert 0 < min(ages_ms) < 200


@pytest.mark.timeout(600)
def test_a_second_program_is_told_that_it_is_in_use(sensor: Imx500Sensor, spec: Imx500Spec):
    next_mask(sensor)
    with pytest.raises(DeviceError, match="in use"):
        Imx500Sensor(spec)


@pytest.mark.timeout(900)
def test_a_killed_process_leaves_the_camera_free(sensor: Imx500Sensor):
    before = next_mask(sensor)
    process = sensor._child._process.pid  # pyright: ignore[reportPrivateUsage]
    os.kill(process, signal.SIGKILL)
    after = next_mask(sensor)
    assert after.seq > before.seq + 1
    assert not Path(f"/proc/{process}").exists()


@pytest.mark.timeout(600)
def test_the_release_s_package_packs(spec: Imx500Spec, tmp_path: Path):
    home = models.find(models.DEFAULT).parent / "imx500"
    for file in ("packerOut.zip", "SHA256SUMS"):
        shutil.copy(home / file, tmp_path)
    network = package(tmp_path)
    print(f"{network.stat().st_size} bytes, {model_name(network)}")
    assert input_tensor(network) == "absent"


@pytest.mark.timeout(120)
def test_as_an_ordinary_camera_it_is_locked_in(spec: Imx500Spec):
    """libcamera finds cameras without a socket, and runs on when no file can be opened to write."""
    model = str(models.find(f"{models.DEFAULT}/int8"))
    with IsolatedSensor(
        "glasses_sdk.sensors.host:open_engine", HostSpec("picamera2:0", model)
    ) as it:
        it.aim(Roi(0, 0, it.info.size.width, it.info.size.height))
        first = next_mask(it, 20)
        masks = [next_mask(it, 5) for _ in range(60)]
        print(it.info, it.health())
        assert it.info.isolation == "process"
    rate = (masks[-1].seq - first.seq) * 1e9 / (masks[-1].time_ns - first.time_ns)
    assert rate == pytest.approx(30, rel=0.1)
