"""The sensor as the loop has it: a process of its own, picamera2 in it, a fake device below.

The square that the network finds never moves. So a mask drawn where its region says must lie on it,
whichever region that is: that is how a wrong region is seen.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glasses_sdk.errors import DeviceError, DeviceLost, ModelError
from glasses_sdk.geometry import mask_box
from glasses_sdk.protocols import Health
from glasses_sdk.sensors.imx500.records import Line, Loading, Record, Saw
from glasses_sdk.sensors.imx500.sensor import Imx500Sensor, Patience
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.types import Mask, Roi, Size
from tests.imx500.conftest import CELLS, RATE_HZ
from tests.imx500.driver import SQUARE
from tests.imx500.rpk import write_params, write_rpk

Open = Callable[..., Imx500Sensor]
SENSOR = Size(4056, 3040)
HERE, THERE = Roi(900, 700, 640, 640), Roi(1104, 904, 800, 640)  # both show some of the square
FAR = Roi(3000, 2000, 400, 400)


def next_mask(sensor: Imx500Sensor, seconds: float = 20.0) -> Mask:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        select.select([sensor], [], [], 0.02)
        if mask := sensor.read():
            return mask
    raise AssertionError(f"no mask within {seconds} s: {sensor.health()}")


def mask_of(sensor: Imx500Sensor, roi: Roi, tries: int = 100) -> Mask:
    """The first certain mask of this region."""
    for _ in range(tries):
        mask = next_mask(sensor)
        if mask.roi == roi and mask.roi_state == "stable":
            return mask
    raise AssertionError(f"no stable mask of {roi}")


def states(sensor: Imx500Sensor, until: str, seconds: float = 20.0) -> list[Health]:
    """The different states from now until this one, as a loop that looks often sees them."""
    seen = [sensor.health()]
    end = time.monotonic() + seconds
    while seen[-1].state != until and time.monotonic() < end:
        select.select([sensor], [], [], 0.01)
        sensor.read()
        if sensor.health().state != seen[-1].state:
            seen.append(sensor.health())
    assert seen[-1].state == until, seen
    return seen


def lies_on_the_square(mask: Mask) -> bool:
    """Within a cell, as far as the region shows the square."""
    box = mask_box(mask.bits, mask.roi)
    left, right = max(SQUARE.left, mask.roi.left), min(SQUARE.right, mask.roi.right)
    top, bottom = max(SQUARE.top, mask.roi.top), min(SQUARE.bottom, mask.roi.bottom)
    x, y = mask.roi.width / mask.size.width, mask.roi.height / mask.size.height
    if box is None:
        return right - left <= x or bottom - top <= y
    edges = ((box.left, left), (box.right, right), (box.top, top), (box.bottom, bottom))
    return all(abs(a - b) <= cell for (a, b), cell in zip(edges, (x, x, y, y), strict=True))


def child_of(sensor: Imx500Sensor) -> int:
    return sensor._child._process.pid  # pyright: ignore[reportPrivateUsage]


def descriptors_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# The contract


def test_the_sensor_says_what_it_is(fake: Open, rpk: Path):
    with fake() as sensor:
        info = sensor.info
    assert (info.kind, info.size, info.mask) == ("imx500", SENSOR, CELLS)
    assert re.fullmatch(r"net@[0-9a-f]{8}", info.model)
    assert (info.isolation, info.input_tensor) == ("silicon", "unknown")


@pytest.mark.parametrize(("persistency", "says"), [("0", "absent"), ("1", "off")])
def test_it_says_whether_the_network_could_give_its_input_away(
    fake: Open, rpk: Path, persistency: str, says: str
):
    write_params(rpk.parent, persistency)
    with fake() as sensor:
        assert sensor.info.input_tensor == says


def test_an_aimed_region_is_the_mask_s_and_the_mask_lies_on_the_square(fake: Open):
    with fake() as sensor:
        for roi in (HERE, FAR, HERE):
            sensor.aim(roi)
            assert lies_on_the_square(mask_of(sensor, roi))


@pytest.mark.parametrize(
    ("asked", "covered"),
    [
        (Roi(901.2, 700.6, 639, 640), Roi(900, 700, 642, 642)),
        (Roi(-50, 2900, 200, 300), Roi(0, 2900, 150, 140)),
        (Roi(-500, -500, 9000, 9000), Roi(12, 0, 4032, 3040)),
        (Roi(2000, 1000, 4, 4), Roi(1994, 994, 16, 16)),
    ],
)
def test_a_region_is_what_the_chip_can_show_of_it(fake: Open, asked: Roi, covered: Roi):
    with fake() as sensor:
        sensor.aim(FAR)
        mask_of(sensor, FAR)
        sensor.aim(asked)
        assert mask_of(sensor, covered).roi == covered


@pytest.mark.parametrize("nowhere", [None, Roi(5000, 0, 10, 10)])
def test_aiming_nowhere_gives_empty_masks(fake: Open, nowhere: Roi | None):
    with fake() as sensor:
        sensor.aim(HERE)
        assert mask_of(sensor, HERE).area > 0
        sensor.aim(nowhere)
        empty = next(mask for _ in range(20) if not (mask := next_mask(sensor)).area)
    assert (empty.score, empty.roi, empty.roi_state) == (0.0, HERE, "stable")


def test_a_mask_that_was_made_before_the_new_region_is_settling_and_covers_the_old_one(fake: Open):
    with fake() as sensor:
        sensor.aim(HERE)
        mask_of(sensor, HERE)
        select.select([sensor], [], [], 5)
        sensor.aim(FAR)
        before = sensor.read()
        mask_of(sensor, FAR)
    assert before is not None
    assert (before.roi, before.roi_state) == (HERE, "settling")
    assert lies_on_the_square(before)


def test_asking_for_the_same_region_again_settles_nothing(fake: Open):
    with fake() as sensor:
        sensor.aim(HERE)
        mask_of(sensor, HERE)
        for _ in range(5):
            sensor.aim(HERE)
            assert next_mask(sensor).roi_state == "stable"


def test_a_reader_who_slept_gets_one_new_mask_and_not_those_before_it(fake: Open):
    with fake() as sensor:
        before = next_mask(sensor)
        time.sleep(1.0)
        after = next_mask(sensor)
        age_s = (time.monotonic_ns() - after.time_ns) / 1e9
        then = sensor.read()
    assert after.seq > before.seq + 1
    assert age_s < 0.5
    assert then is None or then.seq > after.seq


def test_frames_are_numbered_and_the_lost_ones_counted(fake: Open):
    with fake(drop=0.3) as sensor:
        seqs = [next_mask(sensor).seq for _ in range(40)]
        lost = sensor.health().dropped
    assert seqs == sorted(set(seqs))
    assert seqs[-1] - 40 < lost <= seqs[-1]
    assert lost > 0


def test_the_next_exposure_is_that_of_a_picture_which_an_aim_can_still_reach(fake: Open):
    period_ns = 1e9 / RATE_HZ
    with fake() as sensor:
        next_mask(sensor)
        now_ns = time.monotonic_ns()
        ahead = (sensor.next_exposure_ns() - now_ns) / period_ns
        sensor.aim(HERE)
        shown = mask_of(sensor, HERE)
    assert 1.0 <= ahead <= 4.0  # what is left of this frame, two of lag, half an exposure less
    assert shown.time_ns > now_ns


def test_the_times_are_the_middle_of_the_exposure_on_the_monotonic_clock(fake: Open):
    with fake() as sensor:
        mask = next_mask(sensor)
        now_ns = time.monotonic_ns()
    assert 0 < now_ns - mask.time_ns < 1e9


def test_the_chip_s_own_figures_and_the_lag_are_in_its_health(fake: Open):
    with fake() as sensor:
        next_mask(sensor)
        health = sensor.health()
    assert (health.state, health.kpi, health.latency_frames) == ("streaming", (11.82, 0.94), 2)


def test_masks_of_another_place_are_held_back_where_that_is_asked_for(fake: Open):
    with fake(hold=True) as sensor:
        sensor.aim(HERE)
        mask_of(sensor, HERE)
        sensor.aim(FAR)
        assert next_mask(sensor).roi == FAR


def test_closing_leaves_no_process_and_no_descriptor(fake: Open):
    descriptors = descriptors_open()
    with fake() as sensor:
        next_mask(sensor)
        child = child_of(sensor)
    assert descriptors_open() == descriptors
    assert not Path(f"/proc/{child}").exists()


def test_closing_lets_the_camera_be_closed_in_order(fake: Open):
    with fake() as sensor:
        next_mask(sensor)
        process = sensor._child._process  # pyright: ignore[reportPrivateUsage]
    assert process.returncode == 0


def test_what_nobody_has_read_of_the_upload_does_not_hold_back_newer_masks():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near, far = Line(here), Line(there, spare=here.dup())
    for share in (0.2, 0.9):
        far.send(Loading(share))
    for number in range(1000):
        far.send(Saw(number, 0, 0, (0, 0, 16, 16), False, False, 1.0, bytes(2000), None, (0, 0, 0)))
    got: list[Record] = []
    while record := near.receive():
        got.append(record)
    near.close()
    far.close()
    assert len(got) < 4
    assert isinstance(got[-1], Saw)
    assert got[-1].number == 999


# What goes wrong


def test_no_mask_is_on_a_wrong_region_while_the_aim_jumps_about(fake: Open):
    with fake(lag=2, jitter=1, drop=0.1) as sensor:
        count = 0
        for k in range(150):
            if k % 12 == 0:
                sensor.aim((HERE, THERE, FAR)[k // 12 % 3])
            mask = next_mask(sensor)
            if mask.roi_state == "stable":
                assert lies_on_the_square(mask), mask.roi
                count += 1
    assert count > 30


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"tensors_stop_after": 20}, "tensors-stopped"),
        ({"unplugged_after": 20}, "no-frames"),
        ({"junk_after": 20}, "tensors-stopped"),
        ({"hangs_after": 20}, "no-frames"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_camera_that_falls_silent_is_stalled_within_ten_frames_and_then_restarted(
    fake: Open, fault: dict[str, int], code: str
):
    with fake(faulty_lives=1, **fault) as sensor:
        newest = next_mask(sensor)
        while mask := _mask_or_stall(sensor):
            newest = mask
        silent_s = (time.monotonic_ns() - newest.time_ns) / 1e9
        stalled = sensor.health()
        seen = [health.state for health in states(sensor, "streaming")]
        again = next_mask(sensor)
    assert stalled.reason is not None
    assert stalled.reason.startswith(f"{code}: ")
    assert silent_s < 10 / RATE_HZ + 0.2  # and what the mask took, and this busy computer
    assert seen == ["stalled", "restarting", "streaming"]
    assert again.seq > newest.seq + 1
    assert again.time_ns > newest.time_ns


def _mask_or_stall(sensor: Imx500Sensor) -> Mask | None:
    while sensor.health().state == "streaming":
        select.select([sensor], [], [], 0.01)
        if mask := sensor.read():
            return mask
    return None


def test_after_a_restart_the_region_is_aimed_anew(fake: Open):
    with fake(faulty_lives=1, tensors_stop_after=40) as sensor:
        sensor.aim(HERE)
        mask_of(sensor, HERE)
        states(sensor, "restarting")
        states(sensor, "streaming")
        assert lies_on_the_square(mask_of(sensor, HERE))


def test_an_ioctl_that_fails_is_an_error_and_not_a_wrong_region(fake: Open):
    with fake(faulty_lives=1, refuses_regions_after=10) as sensor:
        for _ in range(15):
            next_mask(sensor)
        sensor.aim(FAR)
        seen = states(sensor, "restarting")
        assert "the driver refuses the region (3000, 2000, 400, 400)" in str(seen[1].reason)
        assert lies_on_the_square(mask_of(sensor, FAR))


def test_an_upload_that_fails_is_tried_again(fake: Open):
    with fake(faulty_lives=2, upload_fails=True) as sensor:
        seen = states(sensor, "streaming")
        first = next_mask(sensor)
    reasons = [str(health.reason) for health in seen]
    assert {"stalled", "restarting"} & {health.state for health in seen}
    assert any("Input/output error" in reason for reason in reasons)
    assert 0 <= first.seq < 100
    assert sensor.health().dropped < 100


def test_an_upload_is_told_while_the_library_holds_the_interpreter(fake: Open):
    shares: list[float] = []
    with fake(upload_s=2.0) as sensor:
        while (health := sensor.health()).state != "streaming":
            select.select([sensor], [], [], 0.05)
            sensor.read()
            if health.state == "loading" and health.progress is not None:
                shares.append(health.progress)
    assert len(set(shares)) >= 3
    assert shares == sorted(shares)


def test_an_upload_that_hangs_is_given_up_and_tried_again(fake: Open):
    with fake(Patience(load_s=3.0), faulty_lives=1, upload_hangs=True) as sensor:
        seen = states(sensor, "streaming")
    assert any(str(health.reason).startswith("not-loaded: ") for health in seen)


def test_a_process_that_is_killed_is_started_anew(fake: Open):
    with fake() as sensor:
        newest = next_mask(sensor)
        os.kill(child_of(sensor), signal.SIGKILL)
        seen = states(sensor, "restarting")
        again = next_mask(sensor)
    reasons = " ".join(str(health.reason) for health in seen)
    assert "signal 9" in reasons or "has died" in reasons
    assert again.seq > newest.seq + 1


def test_a_camera_that_stays_away_is_lost_in_the_end(fake: Open):
    patience = Patience(away_s=1.5)
    with fake(patience, faulty_lives=99, upload_fails=True) as sensor, pytest.raises(DeviceLost):
        states(sensor, "streaming")


def test_a_camera_that_soon_falls_silent_again_is_started_after_growing_pauses_and_then_lost(
    fake: Open,
):
    with fake(Patience(away_s=3.0), faulty_lives=99, tensors_stop_after=3) as sensor:
        pauses: list[float] = []
        with pytest.raises(DeviceLost, match="without a usable tensor"):
            while len(pauses) < 30:
                states(sensor, "stalled")
                pauses.append(sensor._restart_s - time.monotonic())  # pyright: ignore[reportPrivateUsage]
                states(sensor, "streaming")
    assert len(pauses) >= 2
    assert pauses == sorted(pauses)


def test_a_process_that_the_driver_keeps_is_waited_for_and_then_the_camera_is_lost(
    fake: Open, monkeypatch: pytest.MonkeyPatch
):
    with fake(Patience(load_s=1.0), faulty_lives=1, tensors_stop_after=3) as sensor:
        states(sensor, "stalled")
        monkeypatch.setattr(sensor._child, "has_ended", lambda: False)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(DeviceLost, match="does not let go of the camera: reboot"):
            states(sensor, "restarting", seconds=3.0)


# What cannot be opened


def test_two_processes_do_not_share_a_camera(fake: Open, tmp_path: Path):
    owner = os.open(tmp_path / "owner", os.O_CREAT | os.O_RDWR)
    fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        with pytest.raises(DeviceError, match="in use"):
            fake()
    finally:
        os.close(owner)


def test_a_computer_without_the_camera_says_so(fake: Open):
    descriptors = descriptors_open()
    with pytest.raises(DeviceError, match="no IMX500 here"):
        fake(present=False)
    assert descriptors_open() == descriptors


def test_a_network_that_is_missing_is_named(fake: Open, tmp_path: Path):
    with pytest.raises(ModelError, match=r"cannot read network .*none\.rpk"):
        fake(network=tmp_path / "none.rpk")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no network", "is no network"), (b"", "is no network"), (b"9464" + bytes(500), "damaged")],
)
def test_a_network_that_is_damaged_is_named(
    fake: Open, tmp_path: Path, content: bytes, sentence: str
):
    path = tmp_path / "bad.rpk"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        fake(network=path)


def test_another_network_is_found_out_by_its_first_tensor(fake: Open, tmp_path: Path):
    wrong = write_rpk(tmp_path / "wrong.rpk", Size(32, 32))  # and the device's has 16
    with fake(network=wrong) as sensor, pytest.raises(ModelError, match="another one"):
        next_mask(sensor)


def test_without_picamera2_the_sentence_says_how_to_get_it(rpk: Path):
    spec = Imx500Spec(str(rpk))  # no stand-in for libcamera is in the way of this process' child
    with pytest.raises(DeviceError, match="sudo apt install"):
        Imx500Sensor(spec, "tests.imx500.bare:open_camera")
