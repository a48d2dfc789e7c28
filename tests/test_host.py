"""The host sensor: real files, real decoder, onnxruntime; only the network is a simple one."""

from __future__ import annotations

import hashlib
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glasses_sdk import models
from glasses_sdk.errors import ConfigError, DeviceError, DeviceLost, ModelError, RecordingEnded
from glasses_sdk.sensors.host import HostSensor, HostSpec
from glasses_sdk.types import Mask, Roi, Size

FRAME = Size(320, 240)
WHOLE = Roi(0, 0, 320, 240)
SIDE = 32


def square_at(k: int) -> Roi:
    """Where the white square is in frame k; whole blocks of the codec, so that edges are sharp."""
    return Roi(16 * k, 48, SIDE, SIDE)


def picture(k: int) -> np.ndarray:
    frame = np.zeros((FRAME.height, FRAME.width, 3), np.uint8)
    roi = square_at(k)
    frame[int(roi.top) : int(roi.bottom), int(roi.left) : int(roi.right)] = 255
    return frame


@pytest.fixture
def square(film: Callable[..., Path]) -> Path:
    """A white square that goes 16 pixels to the right in each of 15 frames, 50 a second."""
    return film(frames=15, fps=50, picture=picture)


@pytest.fixture
def still(film: Callable[..., Path]) -> Path:
    """One picture that does not move, 20 frames a second: time to act between two of them."""
    return film("still.avi", frames=15, fps=20, picture=lambda _: picture(3))


def descriptors_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def wait(sensor: HostSensor) -> None:
    assert select.select([sensor], [], [], 10)[0], "no mask in 10 s"


def next_mask(sensor: HostSensor) -> Mask:
    while True:
        wait(sensor)
        if mask := sensor.read():
            return mask


def mask_of(sensor: HostSensor, roi: Roi) -> Mask:
    """The first mask that covers this region."""
    while True:
        mask = next_mask(sensor)
        if mask.roi == roi:
            return mask


def lockstep(video: Path, model: Path, frames: int | None = None) -> HostSensor:
    return HostSensor(HostSpec(f"video:{video}", str(model), "every", frames))


def realtime(video: Path, model: Path, frames: int | None = 10_000) -> HostSensor:
    return HostSensor(HostSpec(f"video:{video}", str(model), "realtime", frames))


def test_the_sensor_says_what_it_is(square: Path, bright: Path):
    with lockstep(square, bright) as sensor:
        info = sensor.info
    assert (info.kind, info.size, info.mask) == ("video", FRAME, Size(16, 16))
    assert info.model == f"bright@{hashlib.sha256(bright.read_bytes()).hexdigest()[:8]}"
    assert info.isolation == "none"


def test_in_lockstep_each_aim_reaches_the_very_next_frame(square: Path, bright: Path):
    with lockstep(square, bright) as sensor:
        for k in range(15):
            sensor.aim(square_at(k))
            mask = next_mask(sensor)
            assert (mask.seq, mask.roi) == (k, square_at(k))
            assert mask.bits.all()
            assert mask.roi_state == "stable"


def test_in_lockstep_an_aim_where_the_square_was_sees_the_half_that_is_still_there(
    square: Path, bright: Path
):
    with lockstep(square, bright) as sensor:
        sensor.aim(square_at(0))
        next_mask(sensor)
        sensor.aim(square_at(0))
        mask = next_mask(sensor)
    assert mask.seq == 1
    assert not mask.bits[:, :7].any()
    assert mask.bits[:, 9:].all()


def test_in_lockstep_no_frame_comes_before_it_is_aimed_for(square: Path, bright: Path):
    with lockstep(square, bright) as sensor:
        sensor.aim(WHOLE)
        next_mask(sensor)
        assert not select.select([sensor], [], [], 0.2)[0]
        assert sensor.read() is None


def test_frames_are_exposed_at_the_times_of_the_recording(square: Path, bright: Path):
    with lockstep(square, bright) as sensor:
        begin = sensor.info.first_frame_ns
        for k in range(4):
            assert sensor.next_exposure_ns() == begin + k * 20_000_000
            sensor.aim(WHOLE)
            assert next_mask(sensor).time_ns == begin + k * 20_000_000


@pytest.mark.parametrize(
    ("asked", "covered"),
    [
        (Roi(10.2, 20.6, 30, 40), Roi(10, 21, 30, 40)),
        (Roi(-10.4, 200.6, 50, 100), Roi(0, 201, 40, 39)),
        (Roi(-50, -50, 1000, 1000), WHOLE),
        (Roi(319.9, 239.9, 5, 5), Roi(319, 239, 1, 1)),
    ],
)
def test_a_mask_covers_what_the_region_shares_with_the_sensor_in_whole_pixels(
    square: Path, bright: Path, asked: Roi, covered: Roi
):
    with lockstep(square, bright) as sensor:
        sensor.aim(asked)
        assert next_mask(sensor).roi == covered


@pytest.mark.parametrize("nowhere", [None, Roi(1000, 0, 10, 10)])
def test_aiming_nowhere_gives_empty_masks_of_the_whole_sensor(
    square: Path, bright: Path, nowhere: Roi | None
):
    with lockstep(square, bright) as sensor:
        sensor.aim(WHOLE)
        assert next_mask(sensor).area > 0
        sensor.aim(nowhere)
        mask = next_mask(sensor)
    assert (mask.area, mask.score, mask.roi, mask.roi_state) == (0, 0.0, WHOLE, "stable")


def test_a_mask_that_was_made_before_the_new_region_is_settling_and_covers_the_old_one(
    still: Path, bright: Path
):
    old, new = square_at(3), Roi(100, 100, 50, 50)
    with realtime(still, bright) as sensor:
        sensor.aim(old)
        assert mask_of(sensor, old).roi_state == "stable"
        wait(sensor)
        sensor.aim(new)
        before = sensor.read()
        after = mask_of(sensor, new)
    assert before is not None
    assert (before.roi, before.roi_state) == (old, "settling")
    assert before.bits.all()
    assert after.roi_state == "stable"
    assert after.area == 0


def test_asking_for_the_same_region_again_settles_nothing(still: Path, bright: Path):
    roi = square_at(3)
    with realtime(still, bright) as sensor:
        sensor.aim(roi)
        mask_of(sensor, roi)
        wait(sensor)
        sensor.aim(roi)
        mask = sensor.read()
    assert mask is not None
    assert mask.roi_state == "stable"


def test_a_reader_who_slept_gets_one_new_mask_and_not_those_before_it(still: Path, bright: Path):
    with realtime(still, bright) as sensor:
        sensor.aim(WHOLE)
        before = next_mask(sensor)
        time.sleep(0.5)
        after = sensor.read()
        then = sensor.read()
    assert after is not None
    assert after.seq > before.seq + 1
    assert then is None or then.seq > after.seq


def test_a_reader_who_slept_long_does_not_get_a_mask_of_long_ago(square: Path, bright: Path):
    with realtime(square, bright) as sensor:
        sensor.aim(WHOLE)
        next_mask(sensor)
        time.sleep(2.0)
        mask = next_mask(sensor)
        age_s = (time.monotonic_ns() - mask.time_ns) / 1e9
    assert age_s < 1.0


def test_a_sensor_that_nobody_aims_gives_empty_masks(still: Path, bright: Path):
    with realtime(still, bright) as sensor:
        mask = next_mask(sensor)
    assert (mask.area, mask.roi) == (0, WHOLE)


def test_a_recording_ends_after_its_last_frame_and_stays_ended(square: Path, bright: Path):
    with lockstep(square, bright) as sensor:
        for _ in range(15):
            sensor.aim(WHOLE)
            last = next_mask(sensor)
        sensor.aim(WHOLE)
        for _ in range(2):
            wait(sensor)
            with pytest.raises(RecordingEnded):
                sensor.read()
    assert last.seq == 14


def test_a_recording_that_breaks_off_is_lost_with_the_reason(square: Path, bright: Path):
    square.write_bytes(square.read_bytes()[: square.stat().st_size // 2])
    with lockstep(square, bright) as sensor, pytest.raises(DeviceLost, match="breaks off") as lost:
        while True:
            sensor.aim(WHOLE)
            next_mask(sensor)
    assert not isinstance(lost.value, RecordingEnded)


@pytest.mark.parametrize("pace", ["every", "realtime"])
def test_closing_leaves_no_thread_and_no_descriptor(still: Path, bright: Path, pace: str):
    with HostSensor(HostSpec(f"video:{still}", str(bright))):
        pass  # whatever the libraries keep for good is there from here on
    threads, descriptors = threading.active_count(), descriptors_open()
    with HostSensor(HostSpec(f"video:{still}", str(bright), pace)) as sensor:  # type: ignore[arg-type]
        sensor.aim(WHOLE)
        next_mask(sensor)
    assert threading.active_count() == threads
    assert descriptors_open() == descriptors


def test_a_sensor_that_cannot_be_opened_leaves_no_thread_and_no_descriptor(
    tmp_path: Path, still: Path, bright: Path
):
    with HostSensor(HostSpec(f"video:{still}", str(bright))):
        pass
    threads, descriptors = threading.active_count(), descriptors_open()
    for spec in (
        HostSpec(f"video:{still}", str(tmp_path / "none.onnx")),
        HostSpec(f"video:{tmp_path / 'none.avi'}", str(bright)),
    ):
        with pytest.raises((ModelError, ConfigError)):
            HostSensor(spec)
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)  # the thread has told its error and is on its way out
    assert threading.active_count() == threads
    assert descriptors_open() == descriptors


# What cannot be opened


def without_logits(path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="models are built with the package onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    node = helper.make_node("Cast", ["rgb"], ["other"], to=kind.FLOAT)
    rgb = helper.make_tensor_value_info("rgb", kind.UINT8, ["N", 16, 16, 3])
    other = helper.make_tensor_value_info("other", kind.FLOAT, ["N", 16, 16, 3])
    graph = helper.make_graph([node], "wrong", [rgb], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def truncated(path: Path) -> None:
    path.write_bytes(models.find(models.DEFAULT).read_bytes()[:50_000])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: None, "cannot read model"),
        (truncated, "no model that onnxruntime can load"),
        (lambda path: path.write_text("no model"), "no model that onnxruntime can load"),
        (without_logits, "does not keep the model contract"),
    ],
    ids=["missing", "truncated", "text", "wrong outputs"],
)
def test_a_wrong_model_is_found_before_the_camera_is_looked_for(
    tmp_path: Path, spoil: Callable[[Path], object], sentence: str
):
    path = tmp_path / "wrong.onnx"
    spoil(path)
    with pytest.raises(ModelError, match=sentence):
        HostSensor(HostSpec("webcam:77", str(path)))


@pytest.mark.parametrize(
    ("source", "error", "sentence"),
    [
        ("webcam:77", DeviceError, "no webcam 77"),
        ("webcam:front", ConfigError, "a webcam has a number"),
        ("video:/none.mp4", ConfigError, "the file does not exist"),
        ("images:/none", ConfigError, "no folder of pictures"),
        ("telescope", ConfigError, "no sensor 'telescope'; known: webcam:0, video:FILE"),
    ],
)
def test_a_wrong_source_is_told_in_the_words_of_the_one_who_found_it(
    bright: Path, source: str, error: type[Exception], sentence: str
):
    with pytest.raises(error, match=sentence):
        HostSensor(HostSpec(source, str(bright)))


def test_the_released_model_runs_in_the_sensor(square: Path):
    model = models.find(models.DEFAULT)
    with lockstep(square, model) as sensor:
        sensor.aim(Roi(0, 32, 64, 64))
        mask = next_mask(sensor)
    assert sensor.info.mask == mask.size
    assert mask.roi == Roi(0, 32, 64, 64)
    assert 0 <= mask.score <= 1
