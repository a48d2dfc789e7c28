"""The loop as an app has it: embedded without a socket, and published so that others can aim."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq

from glasses_sdk.backends import GazeConfig, SensorConfig
from glasses_sdk.config import Config
from glasses_sdk.errors import ConfigError, DeviceLost, ModelError, StreamError
from glasses_sdk.pipeline import Pipeline
from glasses_sdk.transport import Control, MaskSubscriber, StreamConfig
from glasses_sdk.types import Gaze, HeadPose, Mask, Roi
from glasses_sdk.wire import GazeMessage, decode, encode_gaze_input, encode_head_input

CENTRE = 160, 120


def picture(_: int) -> np.ndarray:
    """Two white squares on black: one in the middle, one at the right edge of the upper half."""
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[96:144, 128:192] = 255
    frame[16:64, 256:304] = 255
    return frame


@pytest.fixture
def scene(film: Callable[..., Path]) -> Path:
    return film("scene.avi", frames=25, fps=25, picture=picture)


def every(scene: Path, model: Path, frames: int | None = None, isolate: bool = False) -> Config:
    source = f"video:{scene}"
    return Config(sensor=SensorConfig(source, str(model), "every", frames, isolate=isolate))


def published(scene: Path, model: Path, gaze: str = "centre") -> Config:
    return Config(
        sensor=SensorConfig(f"video:{scene}", str(model), frames=100_000, isolate=False),
        gaze=GazeConfig(gaze),
        stream=StreamConfig(bind="tcp://127.0.0.1:*", device="test"),
    )


class Running:
    """A published pipeline whose loop runs in a thread; keeps the masks that it gave."""

    def __init__(self, config: Config) -> None:
        self.masks: list[Mask] = []
        self._pipeline = Pipeline(config, publish=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._open = threading.Event()
        self._thread.start()
        assert self._open.wait(30)
        addresses = self._pipeline.addresses
        assert addresses is not None
        self.addresses = addresses

    def _run(self) -> None:
        with self._pipeline as glasses:
            self._open.set()
            for mask in glasses:
                self.masks.append(mask)
                if self._stop.is_set():
                    return

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def running(config: Config) -> Iterator[Running]:
    pipeline = Running(config)
    try:
        yield pipeline
    finally:
        pipeline.stop()


def mask_where(
    subscriber: MaskSubscriber, what: str, condition: Callable[[Mask], bool], seconds: float = 10
) -> Mask:
    """The first mask that comes of which this is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        mask = subscriber.recv(timeout=seconds)
        if condition(mask):
            return mask
    raise AssertionError(f"no mask in {seconds} s {what}")


def descriptors_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += descriptor.readlink().name.startswith("socket:")
        except FileNotFoundError:
            continue
    return found


# Embedded


@pytest.mark.parametrize("isolate", [True, False])
def test_an_app_gets_masks_in_ten_lines_and_without_a_socket(
    scene: Path, bright: Path, isolate: bool
):
    before = sockets()
    with Pipeline(every(scene, bright, isolate=isolate)) as glasses:
        masks = []
        for mask in glasses:
            masks.append(mask)
            assert sockets() == before
        assert glasses.addresses is None
    assert [mask.seq for mask in masks] == list(range(25))
    assert {mask.track for mask in masks} == {1}


def test_the_region_settles_on_the_object_that_is_looked_at(scene: Path, bright: Path):
    with Pipeline(every(scene, bright)) as glasses:
        masks = list(glasses)
    for mask in masks[3:]:
        full = mask.full()
        rows, columns = np.flatnonzero(full.any(1)), np.flatnonzero(full.any(0))
        found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        assert found == pytest.approx((128, 96, 192, 144), abs=6)


def test_the_end_of_a_recording_just_ends_the_loop_and_its_breaking_off_does_not(
    scene: Path, bright: Path
):
    with Pipeline(every(scene, bright, frames=3)) as glasses:
        assert len(list(glasses)) == 3
    scene.write_bytes(scene.read_bytes()[: scene.stat().st_size // 2])
    with Pipeline(every(scene, bright)) as glasses, pytest.raises(DeviceLost, match="breaks off"):
        list(glasses)


def test_whoever_leaves_the_loop_early_leaves_nothing_behind(scene: Path, bright: Path):
    with Pipeline(every(scene, bright)):
        pass
    threads, descriptors = threading.active_count(), descriptors_open()
    with Pipeline(every(scene, bright)) as glasses:
        for _ in glasses:
            break
    assert threading.active_count() == threads
    assert descriptors_open() == descriptors


def test_a_replayed_look_starts_the_track_at_its_own_frame(
    scene: Path, bright: Path, tmp_path: Path
):
    gaze = tmp_path / "gaze.csv"
    look = "{},0.875,0.16,1\n"
    times = [10 * 40_000_000 + step for step in (-10_000_000, -5_000_000, 0)]
    gaze.write_text("time_ns,x,y,confidence\n" + "".join(map(look.format, times)))
    config = every(scene, bright)
    config = Config(sensor=config.sensor, gaze=GazeConfig(f"replay:{gaze}"))
    with Pipeline(config) as glasses:
        masks = list(glasses)
    assert [mask.track for mask in masks[:10]] == [0] * 10
    assert masks[10].track == 1
    assert {mask.area for mask in masks[:10]} == {0}
    x, y = masks[-1].roi.centre
    assert (x, y) == pytest.approx((280, 40), abs=12)


def test_what_cannot_be_opened_is_told_and_nothing_stays_open(
    scene: Path, bright: Path, tmp_path: Path
):
    with Pipeline(every(scene, bright)):
        pass
    before = threading.active_count(), descriptors_open()
    sensor = SensorConfig(f"video:{scene}", str(bright), isolate=False)
    wrong = [
        (Config(sensor=SensorConfig(f"video:{scene}", "none.onnx")), ModelError, "no model"),
        (Config(sensor=SensorConfig("video:/none.avi", str(bright))), ConfigError, "no video"),
        (Config(sensor=sensor, gaze=GazeConfig("stars")), ConfigError, "no gaze source 'stars'"),
        (Config(sensor=sensor, gaze=GazeConfig(map="/none")), ConfigError, "gaze map /none"),
    ]
    for config, error, sentence in wrong:
        with pytest.raises(error, match=sentence), Pipeline(config, publish=True):
            pass
    deadline = time.monotonic() + 5
    while threading.active_count() > before[0] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (threading.active_count(), descriptors_open()) == before


# Published


def test_a_subscriber_receives_the_masks_that_the_app_sees(scene: Path, bright: Path):
    with running(published(scene, bright)) as pipeline:
        with MaskSubscriber(pipeline.addresses.stream, every=True) as subscriber:
            received = [subscriber.recv(timeout=10) for _ in range(10)]
        time.sleep(0.1)  # the app's side gets a mask right after it was sent
        seen = {mask.seq: mask for mask in pipeline.masks}
    for mask in received:
        own = seen[mask.seq]
        assert np.array_equal(mask.bits, own.bits)
        assert (mask.roi, mask.track, mask.roi_state) == (own.roi, own.track, own.roi_state)
        assert (mask.time_ns, mask.sensor) == (own.time_ns, own.sensor)
    assert received[-1].area > 0


def test_the_status_says_what_the_pipeline_is_made_of(scene: Path, bright: Path):
    with (
        running(published(scene, bright)) as pipeline,
        MaskSubscriber(pipeline.addresses.stream) as subscriber,
    ):
        mask_where(subscriber, "with a status", lambda _: subscriber.status is not None)
        status = subscriber.status
    assert status is not None
    assert (status.state, status.sensor.kind, status.gaze.provider) == (
        "streaming",
        "video",
        "centre",
    )
    assert status.model.startswith("bright@")


def test_control_answers_while_the_loop_waits_and_knows_the_clock(scene: Path, bright: Path):
    with (
        running(published(scene, bright)) as pipeline,
        Control(pipeline.addresses.control, timeout=10) as control,
    ):
        assert control.hello().sensor == (320, 240)
        clock = control.clock()
    # One clock on one host, so the truth is 0. A loop that answered once a frame of 40 ms would
    # be off by many times this, even in the best of the 16 samples that `clock` takes.
    assert abs(clock.offset_ns) < 2_000_000
    assert clock.round_trip_ns < 10_000_000


def test_control_answers_even_where_frames_are_seconds_apart(tmp_path: Path, bright: Path):
    import cv2

    cv2.imwrite(str(tmp_path / "one.png"), picture(0))
    sensor = SensorConfig(
        f"images:{tmp_path}", str(bright), images_hz=0.5, frames=100, isolate=False
    )
    config = Config(sensor=sensor, stream=StreamConfig(bind="tcp://127.0.0.1:*"))
    with (
        running(config) as pipeline,
        Control(pipeline.addresses.control, timeout=10) as control,
    ):
        clock = control.clock()
    assert abs(clock.offset_ns) < 2_000_000
    assert clock.round_trip_ns < 10_000_000


def test_a_tap_in_the_app_changes_the_track_and_its_release_goes_back_to_gaze(
    scene: Path, bright: Path
):
    with (
        running(published(scene, bright)) as pipeline,
        MaskSubscriber(pipeline.addresses.stream) as subscriber,
        Control(pipeline.addresses.control, timeout=10) as control,
    ):
        first = mask_where(subscriber, "of the centre", lambda mask: mask.track > 0)
        control.aim(280, 40, 48)
        tapped = mask_where(
            subscriber,
            "of what was tapped",
            lambda mask: mask.track > first.track and mask.area > 0,
        )
        assert tapped.roi.left < 280 < tapped.roi.right
        assert tapped.roi.top < 40 < tapped.roi.bottom
        control.release()
        back = mask_where(
            subscriber,
            "of the centre again",
            lambda mask: mask.track > tapped.track and mask.area > 0,
        )
    assert back.roi.left < CENTRE[0] < back.roi.right


def test_aiming_at_a_region_shows_what_fills_it(scene: Path, bright: Path):
    with (
        running(published(scene, bright, gaze="inlet")) as pipeline,
        MaskSubscriber(pipeline.addresses.stream) as subscriber,
        Control(pipeline.addresses.control, timeout=10) as control,
    ):
        assert mask_where(subscriber, "at all", lambda _: True).track == 0
        control.aim_at(Roi(256, 16, 48, 48))
        mask = mask_where(subscriber, "of the region", lambda mask: mask.area > 0)
        assert mask.track == 1
        assert mask.roi.left < 280 < mask.roi.right
        control.release()
        empty = mask_where(subscriber, "of nothing", lambda mask: mask.track == 0)
        assert empty.area == 0


def test_gaze_that_another_program_pushes_in_is_followed(scene: Path, bright: Path):
    with (
        running(published(scene, bright, gaze="inlet:game")) as pipeline,
        MaskSubscriber(pipeline.addresses.stream) as subscriber,
        zmq.Context() as context,
        context.socket(zmq.PUB) as game,
    ):
        game.linger = 0
        game.connect(pipeline.addresses.input)
        look = encode_gaze_input("game", Gaze(0, 0.875, 0.16))

        def followed(mask: Mask) -> bool:
            game.send_multipart(look)
            return mask.area > 0

        mask = mask_where(subscriber, "that follows the game's gaze", followed)
    assert mask.roi.left < 280 < mask.roi.right


def test_gaze_that_is_pushed_and_not_asked_for_is_said(scene: Path, bright: Path):
    with (
        running(published(scene, bright)) as pipeline,
        MaskSubscriber(pipeline.addresses.stream) as subscriber,
        zmq.Context() as context,
        context.socket(zmq.PUB) as game,
    ):
        game.linger = 0
        game.connect(pipeline.addresses.input)
        while not (subscriber.status and subscriber.status.reason):
            for name in ("pointer", "game"):  # the viewer's page is always there
                game.send_multipart(encode_gaze_input(name, Gaze(0, 0.875, 0.16)))
            subscriber.recv(timeout=10)
    assert subscriber.status.reason == (
        "not-asked: 'game' pushes gaze, and centre is followed; --gaze inlet takes it"
    )


def recorded_eyes(path: Path) -> Path:
    """200 Hz: 1 s on the left square, a saccade of 40 ms, on the right one, a blink, pursuit."""
    left, right = np.array([0.5, 0.5]), np.array([0.875, 0.17])
    rows = ["time_ns,x,y,confidence"]
    for ms in range(0, 4000, 5):
        share = np.clip((ms - 1000) / 40, 0, 1)
        x, y = left + share**2 * (3 - 2 * share) * (right - left)
        x -= 0.25 * max(ms - 2500, 0) / 1000  # 16 degrees a second
        rows.append(f"{ms * 1_000_000},{x},{y},{0 if 2000 <= ms < 2150 else 1}")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_stream_says_what_the_eyes_do_and_a_landing_is_a_new_track(
    scene: Path, bright: Path, tmp_path: Path
):
    eyes = recorded_eyes(tmp_path / "eyes.csv")
    config = Config(
        sensor=SensorConfig(f"video:{scene}", str(bright), "every", frames=100, isolate=False),
        gaze=GazeConfig(f"replay:{eyes}"),
        stream=StreamConfig(bind="tcp://127.0.0.1:*"),
    )
    states: dict[int, str] = {}
    tracks: list[int] = []
    with (
        Pipeline(config, publish=True) as glasses,
        zmq.Context() as context,
        context.socket(zmq.SUB) as socket,
    ):
        assert glasses.addresses is not None
        socket.subscribe("g1.gaze.")
        socket.connect(glasses.addresses.stream)
        for mask in glasses:
            tracks.append(mask.track)
            while socket.poll(5):
                message = decode(socket.recv_multipart())
                assert isinstance(message, GazeMessage)
                states[message.t_ns] = message.state
    first_ns = min(states)
    said = {(t - first_ns) // 1_000_000: state for t, state in states.items()}
    assert len(said) > 700

    def of(first: int, stop: int) -> set[str]:
        return {state for ms, state in said.items() if first <= ms < stop}

    assert of(0, 1000) == {"fixation"}
    assert "saccade" in of(1010, 1040)
    assert of(1080, 2000) == {"fixation"}
    assert of(2000, 2150) == {"blink"}
    assert of(2800, 3900) == {"pursuit"}
    assert tracks[24] == 1
    assert tracks[28:50] == [2] * 22


def test_without_a_gaze_the_loop_finds_something_itself(scene: Path, bright: Path):
    config = Config(
        sensor=SensorConfig(f"video:{scene}", str(bright), "every", isolate=False),
        gaze=GazeConfig("none"),
    )
    with Pipeline(config) as glasses:
        masks = list(glasses)
    assert masks[0].roi == Roi(0, 0, 320, 240)
    assert masks[-1].track == 1
    x, y = masks[-1].roi.centre
    near = min(abs(x - a) + abs(y - b) for a, b in ((160, 120), (280, 40)))
    assert near < 12


def test_poses_that_are_pushed_in_turn_the_region(scene: Path, bright: Path):
    """The camera is told that it turns to the right: what is in the middle must go left."""

    def middles(deg_s: float) -> list[float]:
        found: list[float] = []
        with Pipeline(every(scene, bright)) as glasses:
            for mask in glasses:
                found.append(mask.roi.centre[0])
                half = np.radians(deg_s * max(mask.seq - 15, 0) / 25) / 2
                turned = (0.0, float(np.sin(half)), 0.0, float(np.cos(half)))
                glasses.head("band", HeadPose(mask.time_ns, turned))
        return found

    settled = 4  # frames; the first sizes cut the object
    assert middles(0)[settled:] == pytest.approx([160] * (25 - settled), abs=3)
    turning = middles(60)
    assert turning[settled:16] == pytest.approx([160] * (16 - settled), abs=3)
    assert min(turning[16:19]) < 153


def test_poses_of_another_clock_turn_nothing_and_status_says_so(scene: Path, bright: Path):
    with (
        zmq.Context() as context,
        context.socket(zmq.PUB) as band,
        running(published(scene, bright)) as pipeline,
        MaskSubscriber(pipeline.addresses.stream) as subscriber,
    ):
        band.linger = 0
        band.connect(pipeline.addresses.input)
        while not (subscriber.status and subscriber.status.reason):
            pose = HeadPose(time.time_ns(), (0.0, 0.0, 0.0, 1.0))
            band.send_multipart(encode_head_input("band", pose))
            subscriber.recv(timeout=10)
    assert subscriber.status.reason.startswith("head-late: ")
    assert len(subscriber.status.reason) <= 200


def test_a_stream_whose_address_is_taken_is_refused_and_closes_the_camera(
    scene: Path, bright: Path
):
    with running(published(scene, bright)) as pipeline:
        config = published(scene, bright)
        stream = StreamConfig(bind=pipeline.addresses.stream)
        taken = Config(sensor=config.sensor, gaze=config.gaze, stream=stream)
        with pytest.raises(StreamError, match="in use"), Pipeline(taken, publish=True):
            pass
        threads = [thread.name for thread in threading.enumerate()]
    assert sum(name.startswith("sensor ") for name in threads) == 1


def test_a_sensor_that_freezes_is_said_to_be_stalled_and_control_answers_all_the_same(
    scene: Path, bright: Path
) -> None:
    config = Config(
        sensor=SensorConfig(f"video:{scene}", str(bright), frames=100_000),
        stream=StreamConfig(bind="tcp://127.0.0.1:*", device="test"),
    )
    with running(config) as pipeline, MaskSubscriber(pipeline.addresses.stream) as subscriber:
        subscriber.recv(timeout=10)
        (camera,) = [
            int(stat.parent.name)
            for stat in Path("/proc").glob("[0-9]*/stat")
            if stat.read_text().rsplit(")", 1)[1].split()[1] == str(os.getpid())
            and "sensors.child" in (stat.parent / "cmdline").read_text()
        ]
        os.kill(camera, signal.SIGSTOP)
        try:
            state_comes(subscriber, "stalled")
            with Control(pipeline.addresses.control) as control:
                assert control.clock().round_trip_ns < 50_000_000
        finally:
            os.kill(camera, signal.SIGCONT)
        state_comes(subscriber, "streaming")


def state_comes(subscriber: MaskSubscriber, state: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        subscriber.latest()
        if subscriber.status and subscriber.status.state == state:
            return
        time.sleep(0.02)
    raise AssertionError(f"the status has not said {state} within {seconds} s")
