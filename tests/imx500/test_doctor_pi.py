"""`glasses doctor` on a Raspberry Pi, whose files lie in a folder here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from glasses_sdk import models
from glasses_sdk.doctor import Finding, raspberry
from tests.imx500.test_wiring import driven_by

OURS = {(3, 11): "bookworm", (3, 13): "trixie"}.get(sys.version_info[:2])
needs_apts_python = pytest.mark.skipif(OURS is None, reason="no Raspberry Pi OS has this Python")
PACKAGES = """Package: python3-libcamera
Status: install ok installed
Version: 0.5.2+rpt20250903-1
Description: the binding

Package: libcamera0.5
Status: install ok installed
Version: 0.5.2+rpt20250903-1

Package: libcamera0.3
Status: deinstall ok config-files
Version: 0.3.0

Package: libcamera-tools
Status: install ok installed
Version: 0.1
"""
STUBS = str(Path(__file__).parent / "stubs")


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All is well with it."""
    monkeypatch.syspath_prepend(STUBS)
    root = tmp_path / "root"
    write(root, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    write(root, "etc/os-release", f'PRETTY_NAME="Debian GNU/Linux"\nVERSION_CODENAME={OURS}\n')
    write(root, "var/lib/dpkg/status", PACKAGES)
    for name in ("imx500_loader.fpk", "imx500_firmware.fpk"):
        write(root, f"lib/firmware/{name}", "")
    for node in ("video0", "media0", "v4l-subdev2", "dma_heap/linux,cma"):
        write(root, f"dev/{node}", "")
    devices = driven_by("imx500", tmp_path / "driver")
    (root / "sys/class").mkdir(parents=True)
    (root / "sys/class/video4linux").symlink_to(devices)
    released = tmp_path / "models" / models.DEFAULT / "imx500"
    write(released, "network.rpk", "")
    memory = {"Memory Report": {"Fit In Chip": True, "Memory Utilization": "46%"}}
    write(released, "net_MemoryReport.json", json.dumps(memory))
    monkeypatch.setattr(models, "folder", lambda: tmp_path / "models")
    return root


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def findings(root: Path) -> dict[str, Finding]:
    return {finding.about: finding for finding in raspberry(root)}


@needs_apts_python
def test_a_pi_on_which_all_is_well(pi: Path):
    found = findings(pi)
    assert {about: one.says for about, one in found.items() if one.state != "fine"} == {}
    assert found.keys() == {
        *("board", "system", "libcamera", "picamera2", "permissions"),
        *("imx500 firmware", "imx500", "imx500 network"),
    }
    assert found["board"].says == "Raspberry Pi 5 Model B Rev 1.0"
    assert found["libcamera"].says == "0.5.2+rpt20250903-1"
    assert found["imx500 network"].says.startswith("46%")


@pytest.mark.parametrize("model", ["", "Some Other Board\0"])
def test_another_computer_is_not_looked_at(tmp_path: Path, model: str):
    write(tmp_path, "proc/device-tree/model", model)
    assert findings(tmp_path) == {}
    assert findings(tmp_path / "nothing") == {}


def test_a_python_that_apts_picamera2_is_not_for_is_broken(pi: Path):
    other = next(name for name in ("bookworm", "trixie") if name != OURS)
    write(pi, "etc/os-release", f"VERSION_CODENAME={other}\n")
    found = findings(pi)["system"]
    assert found.state == "broken"
    assert "apt's picamera2 is for 3." in found.says
    assert "venv --system-site-packages" in str(found.fix)


def test_a_system_that_nobody_knows_is_a_note(pi: Path):
    write(pi, "etc/os-release", "VERSION_CODENAME=forky\n")
    assert findings(pi)["system"].state == "note"


def test_a_binding_of_another_libcamera_is_broken(pi: Path):
    older = PACKAGES.replace("Version: 0.5.2+rpt20250903-1", "Version: 0.4.0-1", 1)
    write(pi, "var/lib/dpkg/status", older)
    found = findings(pi)["libcamera"]
    assert (found.state, "0.4.0-1" in found.says) == ("broken", True)
    assert "full-upgrade" in str(found.fix)


def test_an_older_libcamera_that_apt_has_left_there_is_fine(pi: Path):
    left = PACKAGES.replace("deinstall ok config-files", "install ok installed")
    write(pi, "var/lib/dpkg/status", left)
    assert findings(pi)["libcamera"].state == "fine"


def test_no_binding_is_broken(pi: Path):
    write(pi, "var/lib/dpkg/status", "")
    found = findings(pi)["libcamera"]
    assert found.state == "broken"
    assert "sudo apt install" in str(found.fix)


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("ImportError('numpy.core.multiarray failed to import')", "numpy<2"),
        ("ValueError('numpy.dtype size changed, may indicate binary incompatibility')", "numpy<2"),
        ("ImportError('libcamera.so.0.5: cannot open shared object file')", "sudo apt install"),
        ("ModuleNotFoundError(\"No module named 'libcamera'\")", "--system-site-packages"),
    ],
)
def test_a_picamera2_that_cannot_be_imported_is_broken(
    pi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, fix: str
):
    write(tmp_path / "broken", "libcamera.py", f"raise {error}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "broken"))
    found = findings(pi)["picamera2"]
    assert found.state == "broken"
    assert fix in str(found.fix)


def test_a_picamera2_that_is_too_old_is_broken(
    pi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "old", "picamera2.py", "")
    write(
        tmp_path / "old", "picamera2-0.3.31.dist-info/METADATA", "Name: picamera2\nVersion: 0.3.31"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "old"))
    found = findings(pi)["picamera2"]
    assert (found.state, "0.3.31 is too old" in found.says) == ("broken", True)
    assert "full-upgrade" in str(found.fix)


def test_a_picamera2_whose_import_hangs_is_broken(
    pi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "slow", "picamera2.py", "import time; time.sleep(60)")
    monkeypatch.syspath_prepend(str(tmp_path / "slow"))
    monkeypatch.setattr(sys.modules["glasses_sdk.doctor.raspberry"], "_SECONDS", 0.5)
    found = findings(pi)["picamera2"]
    assert (found.state, "has not ended" in found.says) == ("broken", True)


def test_missing_firmware_is_named(pi: Path):
    (pi / "lib/firmware/imx500_loader.fpk").unlink()
    found = findings(pi)["imx500 firmware"]
    assert (found.state, found.fix) == ("broken", "sudo apt install imx500-all")
    assert "imx500_loader.fpk" in found.says


def test_no_camera_on_the_cable_is_a_note(pi: Path):
    (pi / "sys/class/video4linux").unlink()
    assert findings(pi)["imx500"].state == "note"


def test_a_network_that_is_not_packed_is_a_note_with_the_command(pi: Path):
    (models.folder() / models.DEFAULT / "imx500" / "network.rpk").unlink()
    found = findings(pi)["imx500 network"]
    assert (found.state, found.fix) == ("note", "glasses models package")


def test_a_network_that_does_not_fit_is_broken(pi: Path):
    memory = {"Memory Report": {"Fit In Chip": False, "Memory Usage": "9.1MB"}}
    home = models.folder() / models.DEFAULT / "imx500"
    write(home, "net_MemoryReport.json", json.dumps(memory))
    found = findings(pi)["imx500 network"]
    assert (found.state, "9.1MB" in found.says) == ("broken", True)


def test_a_report_of_junk_says_nothing_of_the_memory(pi: Path):
    write(models.folder() / models.DEFAULT / "imx500", "net_MemoryReport.json", "[1")
    assert findings(pi)["imx500 network"].says.startswith("an unknown share")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use everything")
def test_a_device_of_somebody_else_is_broken(pi: Path):
    (pi / "dev/media0").chmod(0)
    found = findings(pi)["permissions"]
    assert found.state == "broken"
    assert "media0" in found.says
    assert "usermod" in str(found.fix)
