"""The real picamera2 over a fake device, in this process: what is done to it, and what never is."""

from __future__ import annotations

import errno
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from glasses_sdk.errors import DeviceError, ModelError
from glasses_sdk.sensors.imx500 import latency
from glasses_sdk.sensors.imx500.camera import Picamera
from glasses_sdk.sensors.imx500.engine import Engine
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.types import Roi, Size
from tests.imx500.conftest import CELLS
from tests.imx500.device import (
    Device,
    Traits,
    libcamera,
    picamera2,
    plugged,
    real,
    tensor_metadata,
)
from tests.imx500.driver import Finder
from tests.imx500.rpk import network_info, write_rpk

LOOKING = ("make_array", "make_buffer", "make_image", "save", "save_dng")
TAKING = ("capture_array", "capture_arrays", "capture_buffer", "capture_buffers", "capture_image")


class Bench:
    """A started camera over a device that makes a frame when it is told to."""

    def __init__(self, stack: ExitStack, folder: Path, rpk: Path, **traits: Any) -> None:
        device = Device(Finder(CELLS), folder, Traits(**traits), paced=False)
        self.device = stack.enter_context(plugged(device))
        self.spec = Imx500Spec(str(rpk), latency_frames=device.traits.lag, jitter_frames=0)
        self.camera = Picamera(self.spec)
        stack.callback(self.camera.close)
        self.camera.start()
        self.engine = Engine(self.camera, self.spec, device.now_ns)

    def frames(self, count: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(count):
            if self.device.tick():
                latency.wait_for(self.camera)
                found += [self.engine.see(frame) for frame in self.camera.take()]
        return found


@pytest.fixture
def bench(tmp_path: Path, rpk: Path) -> Iterator[Callable[..., Bench]]:
    libcamera.SET.clear()
    with ExitStack() as stack:
        yield lambda **traits: Bench(stack, tmp_path, rpk, **traits)


def maps_of_pictures() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:picture")


def test_it_is_the_real_library_that_runs_underneath(bench: Callable[..., Bench]):
    running = bench()
    assert type(running.camera._imx500) is real.IMX500  # pyright: ignore[reportPrivateUsage]
    assert type(running.camera._picam2) is picamera2.Picamera2  # pyright: ignore[reportPrivateUsage]
    assert "site-packages" in str(picamera2.__file__) or "dist-packages" in str(picamera2.__file__)


def test_no_picture_is_ever_looked_at(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch):
    looked: list[str] = []

    def spy(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def noted(*what: Any, **how: Any) -> Any:
            looked.append(name)
            return real(*what, **how)

        monkeypatch.setattr(owner, name, noted)

    for name in LOOKING:
        spy(picamera2.CompletedRequest, name)
    for name in TAKING:
        spy(picamera2.Picamera2, name)
    spy(picamera2.request._MappedBuffer, "__init__")
    running = bench()
    running.engine.aim(Roi(800, 600, 700, 700))
    assert len(running.frames(20)) == 20
    assert looked == []


def test_no_frame_buffer_is_mapped_into_the_process(bench: Callable[..., Bench]):
    before = maps_of_pictures()
    running = bench()
    running.frames(5)
    assert len(running.device.heap) > 0
    assert maps_of_pictures() == before


def test_the_library_s_own_allocator_would_map_them(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
):
    from glasses_sdk.sensors.imx500 import buffers

    before = maps_of_pictures()
    monkeypatch.setattr(buffers, "Unmapped", picamera2.allocators.DmaAllocator)
    running = bench()
    assert maps_of_pictures() == before + len(running.device.heap)


def test_the_control_for_the_input_picture_is_never_set(bench: Callable[..., Bench]):
    running = bench()
    running.frames(10)
    assert "CnnEnableInputTensor" in running.camera._picam2.camera_controls  # pyright: ignore[reportPrivateUsage]
    assert "FrameDurationLimits" in [name for name, _ in libcamera.SET]
    assert "CnnEnableInputTensor" not in [name for name, _ in libcamera.SET]


def test_there_is_one_small_stream_and_the_sensor_is_binned_but_whole(bench: Callable[..., Bench]):
    configured = bench().device.configured
    (stream,) = configured
    assert (str(stream.size), str(stream.pixel_format)) == ("64x48", "YUV420")
    assert str(configured.sensor_config.output_size) == "2028x1520"


def test_the_sensor_s_size_is_the_device_s(bench: Callable[..., Bench]):
    running = bench()
    assert running.camera.chip.size == Size(4056, 3040)
    assert running.camera.chip.least == CELLS


def test_closing_gives_everything_back(bench: Callable[..., Bench]):
    running = bench()
    running.frames(3)
    running.camera.close()
    assert all(not Path(f"/proc/self/fd/{fd}").exists() for fd in running.device.heap)
    again = Bench(ExitStack(), running.device.folder, Path(running.spec.rpk))
    assert len(again.frames(3)) == 3
    again.camera.close()


def test_the_first_frames_show_the_whole_sensor(bench: Callable[..., Bench]):
    running = bench(lag=3)
    for seen in running.frames(6):
        assert seen.roi == running.device.shown[seen.time_ns + 5_000_000] == Roi(12, 0, 4032, 3040)


def test_one_region_is_set_for_many_like_aims(bench: Callable[..., Bench]):
    running = bench()
    running.frames(3)
    before = len(running.device.regions)
    for k in range(20):
        running.engine.aim(Roi(800 + k, 600, 700, 700))
        running.frames(1)
    assert running.device.regions[before:] == [(800, 600, 700, 700)]


def test_many_aims_in_one_frame_set_one_region(bench: Callable[..., Bench]):
    running = bench()
    running.frames(3)
    before = len(running.device.regions)
    for k in range(4):
        running.engine.aim(Roi(400 + 700 * k, 600, 300, 300))
    assert running.device.regions[before:] == [(400, 600, 300, 300)]
    running.frames(1)
    assert running.device.regions[before:] == [(400, 600, 300, 300), (2500, 600, 300, 300)]


def test_a_region_that_the_driver_refuses_is_an_error(bench: Callable[..., Bench]):
    running = bench(refuses_regions_after=5, faulty_lives=1)
    running.frames(6)
    with pytest.raises(DeviceError, match=r"refuses the region \(800, 600, 700, 700\)"):
        running.engine.aim(Roi(800, 600, 700, 700))


def test_a_second_program_is_refused_before_it_changes_what_the_first_one_sees(
    bench: Callable[..., Bench], rpk: Path
):
    running = bench()
    running.frames(3)
    before = list(running.device.regions)
    with pytest.raises(DeviceError, match="the IMX500 is in use"):
        Picamera(Imx500Spec(str(rpk)))
    assert running.device.regions == before


@pytest.mark.parametrize("junk", [[1.0] * 50, [], ["x"] * 256, None])
@pytest.mark.parametrize("info", [None, [0] * 708, [0] * 712, "junk"])
def test_junk_in_the_metadata_is_a_frame_without_a_result(
    bench: Callable[..., Bench], junk: Any, info: Any
):
    running = bench()
    frame = running.camera._frame(  # pyright: ignore[reportPrivateUsage]
        {"CnnOutputTensor": junk, "CnnOutputTensorInfo": info, "SensorTimestamp": 1}
    )
    assert not frame.tensors


def test_a_network_s_file_without_its_sizes_is_named(bench: Callable[..., Bench], tmp_path: Path):
    path = write_rpk(tmp_path / "odd.rpk", CELLS, network_info(CELLS).replace("Width", "Wide"))
    with plugged(Device(Finder(CELLS), tmp_path)), pytest.raises(ModelError, match=r"odd\.rpk"):
        Picamera(Imx500Spec(str(path)))


@pytest.mark.parametrize("kpi", [None, [], [1], 5, "junk"])
def test_figures_of_junk_take_no_tensor_away(bench: Callable[..., Bench], kpi: Any):
    running = bench()
    tensors = running.device.brain(0, Roi(0, 0, 4032, 3040))
    metadata = tensor_metadata(tensors, 7) | {"CnnKpiInfo": kpi, "SensorTimestamp": 1}
    frame = running.camera._frame(metadata)  # pyright: ignore[reportPrivateUsage]
    assert frame.tensors
    assert (frame.count, frame.kpi) == (7, None)


# What is wrong with the computer


@pytest.fixture
def opening(tmp_path: Path, rpk: Path) -> Iterator[Callable[[], Picamera]]:
    """Opens the camera of a computer whose picamera2 can be broken before."""
    with plugged(Device(Finder(CELLS), tmp_path)), ExitStack() as stack:

        def opened() -> Picamera:
            camera = Picamera(Imx500Spec(str(rpk)))
            stack.callback(camera.close)
            return camera

        yield opened


class _Unfit(ModuleType):
    """A module that says of whatever is wanted of it what numpy says to one of another ABI."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError("numpy.dtype size changed, may indicate binary incompatibility")


def test_a_picamera2_for_another_numpy_is_one_sentence(
    opening: Callable[[], Picamera], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "picamera2", _Unfit("picamera2"))
    with pytest.raises(DeviceError, match=r"ValueError: numpy\.dtype .* glasses doctor says"):
        opening()


def test_a_picamera2_without_a_count_of_frames_is_too_old(
    opening: Callable[[], Picamera], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(real.CnnOutputTensorInfoExported, "frameCount")
    with pytest.raises(DeviceError, match=r"too old.* full-upgrade, for 0\.3\.35"):
        opening()


def test_without_sudo_it_is_not_the_network_that_is_called_damaged(
    opening: Callable[[], Picamera], monkeypatch: pytest.MonkeyPatch
):
    def no_sudo(*_: Any, **__: Any) -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "sudo")

    monkeypatch.setattr(real.subprocess, "check_output", no_sudo)
    with pytest.raises(DeviceError, match=r"cannot be opened: .* 'sudo'"):
        opening()


def test_buffers_that_are_not_permitted_are_one_sentence(
    opening: Callable[[], Picamera], monkeypatch: pytest.MonkeyPatch
):
    def denied(name: str, *_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr(picamera2.dma_heap.os, "open", denied)
    with pytest.raises(DeviceError, match="usermod -aG video"):
        opening()
    gc.collect()  # what fails when it goes is an error here


@pytest.mark.parametrize("port", ["i2c@80000", "i2c@98000"])
def test_of_two_cameras_the_imx500_is_opened(
    opening: Callable[[], Picamera], tmp_path: Path, port: str
):
    other = Device(Finder(CELLS), tmp_path)
    other.properties |= {"Model": "imx708", "PixelArraySize": libcamera.Size(4608, 2592)}
    second = libcamera.Camera(f"/base/axi/pcie@120000/rp1/{port}/imx708@1a", other)
    libcamera.CameraManager.singleton().cameras.insert(0, second)
    assert opening().chip.size == Size(4056, 3040)


# How late a region is


@pytest.mark.parametrize("lag", [0, 1, 3, 6])
def test_the_lag_is_measured(bench: Callable[..., Bench], lag: int):
    found = measured(bench(lag=lag, drop=0.05))
    assert (found.frames, found.jitter) == (lag, 0)


def test_a_lag_that_varies_is_measured_with_its_jitter(bench: Callable[..., Bench]):
    found = measured(bench(lag=2, jitter=2))
    assert (found.frames, found.frames + found.jitter) == (3, 4)
    assert set(found.lags) == {2, 3, 4}


def test_where_both_places_look_alike_nothing_is_measured(bench: Callable[..., Bench]):
    running = bench()
    running.device.brain = lambda frame, region: [np.ones((1, 16, 16), np.float32)]
    with pytest.raises(DeviceError, match="like masks"):
        measured(running)


@pytest.mark.parametrize(("lag", "jitter"), [(8, 1), (10, 0)])
def test_a_lag_too_long_to_be_told_is_not_understated(
    bench: Callable[..., Bench], lag: int, jitter: int
):
    with pytest.raises(DeviceError, match="took more than 8 frames"):
        measured(bench(lag=lag, jitter=jitter))


def measured(bench: Bench) -> latency.Latency:
    def wait(camera: Any) -> None:
        while not bench.device.tick():
            pass
        latency.wait_for(camera)

    return latency.measure(bench.camera, bench.spec, bench.device.now_ns, jumps=24, wait=wait)
