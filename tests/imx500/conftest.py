"""The IMX500: over a fake device, or with `--imx500` on the real one and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from glasses_sdk.sensors.imx500.sensor import Imx500Sensor, Patience
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.types import Size

sys.path.append(str(Path(__file__).parents[2]))  # the camera's process is to find `tests` as well

CELLS = Size(16, 16)
RATE_HZ = 50.0


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without picamera2, what does not need it."""
    is_test = collection_path.name.startswith("test_")
    missing = find_spec("picamera2") is None and collection_path.name not in PURE
    return True if is_test and missing else None


_PURE = ("aim", "attribution", "hardware", "package", "rest", "rpk", "tensors")
PURE = {f"test_{name}.py" for name in _PURE}


@pytest.fixture
def rpk(tmp_path: Path) -> Path:
    from tests.imx500.rpk import write_rpk

    (tmp_path / "net").mkdir()
    return write_rpk(tmp_path / "net" / "network.rpk", CELLS)


@pytest.fixture
def fake(
    tmp_path: Path, rpk: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Imx500Sensor]]:
    """Opens the sensor over a fake device with these traits, in a process of its own."""
    opened: list[Imx500Sensor] = []

    def open_sensor(
        patience: Patience | None = None, network: Path = rpk, hold: bool = False, **traits: Any
    ) -> Imx500Sensor:
        told = {"rate_hz": RATE_HZ, "lag": 2, **traits}
        monkeypatch.setenv("FAKE_IMX500", json.dumps(told))
        monkeypatch.setenv("FAKE_IMX500_FOLDER", str(tmp_path))
        spec = Imx500Spec(
            str(network),
            latency_frames=2,
            jitter_frames=2,  # a busy computer may be a frame late with its ioctl
            hold_settling=hold,
            rate_hz=RATE_HZ,
        )
        opened.append(Imx500Sensor(spec, "tests.imx500.driver:open_fake", patience))
        return opened[-1]

    yield open_sensor
    for sensor in opened:
        if sensor.health().state != "stopping":
            sensor.__exit__()
