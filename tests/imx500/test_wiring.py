"""How a user gets to the camera: by name, by `auto`, by settings, by the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from glasses_sdk import backends, models
from glasses_sdk.backends import SensorConfig, has_imx500, imx500_spec, resolve
from glasses_sdk.cli import main
from glasses_sdk.errors import ConfigError
from glasses_sdk.sensors.imx500.camera import Picamera, open_camera
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from tests.imx500.conftest import CELLS
from tests.imx500.device import Device, Traits, plugged
from tests.imx500.driver import Finder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def driven_by(driver: str, folder: Path) -> Path:
    """A folder of video devices as the kernel shows it."""
    (folder / "module" / driver).mkdir(parents=True)
    module = folder / "class" / "v4l-subdev2" / "device" / "driver" / "module"
    module.parent.mkdir(parents=True)
    module.symlink_to(folder / "module" / driver)
    return folder / "class"


def test_auto_takes_the_camera_where_the_driver_has_found_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert has_imx500(driven_by("imx500", tmp_path))
    monkeypatch.setattr(backends, "has_imx500", lambda: True)
    assert resolve("auto") == "imx500"


def test_other_drivers_are_no_such_camera(tmp_path: Path):
    assert not has_imx500(driven_by("imx708", tmp_path))
    assert not has_imx500(tmp_path / "none")


def test_the_network_is_the_model_s_or_the_one_named():
    config = SensorConfig(model="picosam3", roi_latency_frames=4, roi_jitter_frames=2)
    spec = imx500_spec(config)
    assert spec.rpk == str(models.folder() / "picosam3" / "imx500" / "network.rpk")
    assert imx500_spec(config, "mine.rpk").rpk == "mine.rpk"
    assert (spec.latency_frames, spec.most_frames, spec.hold_settling) == (4, 6, True)


@pytest.mark.parametrize("config", [SensorConfig(frames=3), SensorConfig(pace="every")])
def test_it_is_no_recording(config: SensorConfig):
    with pytest.raises(ConfigError, match="its own pace"):
        imx500_spec(config)


def test_the_command_measures_the_lag_and_prints_settings(
    tmp_path: Path, rpk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    traits = Traits(lag=1, rate_hz=30)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", _command(rpk))
    with plugged(Device(Finder(CELLS), tmp_path, traits)), pytest.raises(SystemExit) as end:
        main()
    found = json.loads(capsys.readouterr().out)
    assert end.value.code == 0
    assert found["frames"] in (1, 2)  # a busy computer may be late with an ioctl
    assert len(found["lags"]) >= 4


def _command(rpk: Path) -> list[str]:
    sensor = ["--sensor", f"imx500:{rpk}"]
    return ["glasses", "calibrate", "latency", "roi", "--jumps", "8", "--json", *sensor]


def test_the_camera_is_what_the_sensor_opens(tmp_path: Path, rpk: Path):
    with plugged(Device(Finder(CELLS), tmp_path)):
        camera = open_camera(Imx500Spec(str(rpk)))
        camera.close()
    assert isinstance(camera, Picamera)


def test_each_hardware_check_on_the_page_is_a_test_and_each_test_is_there():
    page = (ROOT / "docs/reference/hardware-checks.md").read_text()
    chosen = re.findall(r"`pytest --imx500 (?:--long )?-k (\w+)`", page)
    tests = re.findall(r"^def (test_\w+)", (HERE / "test_hardware.py").read_text(), re.M)
    assert len(chosen) == len(set(chosen)) == len(tests)
    for name in chosen:
        assert sum(name in test for test in tests) == 1, name
