"""What lies beside a network, and the clocks: pure functions of files and numbers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from glasses_sdk import models
from glasses_sdk.errors import ModelError
from glasses_sdk.sensors.imx500.rpk import input_tensor, model_name
from glasses_sdk.sensors.pi import exposure_ns, monotonic

SECOND = 10**9


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ('<d><inputTensor persistency="0"/></d>', "absent"),
        ('<d><inputTensor persistency="1"/></d>', "off"),
        ('<d><inputTensor persistency="0"/><inputTensor persistency="1"/></d>', "off"),
        ("<d><inputTensor/></d>", "unknown"),
        ('<d><inputTensor persistency="perhaps"/></d>', "unknown"),
        ("<d/>", "unknown"),
        ("no xml", "unknown"),
    ],
)
def test_the_converter_s_file_says_whether_the_input_is_kept(tmp_path: Path, xml: str, says: str):
    (tmp_path / "dnnParams.xml").write_text(xml)
    assert input_tensor(tmp_path / "network.rpk") == says


def test_the_converter_s_own_package_of_the_released_network_says_absent():
    package = models.folder() / "picosam3" / "imx500" / "packerOut.zip"
    if not package.exists():
        pytest.skip("the released network's package is not here")
    assert input_tensor(package.with_name("network.rpk")) == "absent"


def test_a_damaged_package_says_nothing(tmp_path: Path):
    (tmp_path / "packerOut.zip").write_bytes(b"no package")
    assert input_tensor(tmp_path / "network.rpk") == "unknown"


def test_a_package_with_a_wrong_byte_anywhere_says_nothing(tmp_path: Path):
    package = tmp_path / "packerOut.zip"
    with ZipFile(package, "w", ZIP_DEFLATED) as whole:
        whole.writestr("dnnParams.xml", '<d><inputTensor persistency="1" name="one"/></d>')
    right = package.read_bytes()
    said: set[str] = set()
    for at in range(len(right)):
        package.write_bytes(right[:at] + bytes([right[at] ^ 0x5A]) + right[at + 1 :])
        said.add(input_tensor(tmp_path / "network.rpk"))
    assert said == {"unknown", "off"}


def test_without_that_file_nobody_knows(tmp_path: Path):
    assert input_tensor(tmp_path / "network.rpk") == "unknown"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("picosam3/imx500/network.rpk", "picosam3-imx500"),
        ("mine/network.rpk", "mine"),
        ("mine/shoes.rpk", "shoes"),
    ],
)
def test_a_network_is_named_by_its_file_or_its_folder(tmp_path: Path, file: str, name: str):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"network")
    assert model_name(path) == f"{name}@{hashlib.sha256(b'network').hexdigest()[:8]}"


def test_a_network_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ModelError, match=r"none\.rpk: No such file"):
        model_name(tmp_path / "none.rpk")


@pytest.mark.parametrize(
    ("sensor_ns", "is_ns"),
    [
        (99 * SECOND, 99 * SECOND),  # on the monotonic clock
        (149 * SECOND, 99 * SECOND),  # on the one that counted 50 s of sleep
        (7 * SECOND, None),  # on no clock that we know
        (None, None),
        ("soon", None),
    ],
)
def test_a_sensor_s_time_is_brought_to_the_monotonic_clock(sensor_ns: object, is_ns: int | None):
    assert monotonic(sensor_ns, 100 * SECOND, 50 * SECOND) == is_ns  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exposure_us", "is_ns"),
    [(10_000, 10_000_000), (33.3, 33_300), (None, 0), (-1, 0), (10**9, 0), ("long", 0)],
)
def test_an_exposure_that_makes_no_sense_is_none(exposure_us: object, is_ns: int):
    assert exposure_ns(exposure_us) == is_ns
