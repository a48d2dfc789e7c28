"""From the converter's package to the camera's file: a stand-in for Raspberry Pi's program."""

from __future__ import annotations

import errno
import hashlib
import subprocess
from pathlib import Path

import pytest

from glasses_sdk import models
from glasses_sdk.cli import main
from glasses_sdk.errors import ConfigError, ModelError
from glasses_sdk.sensors.imx500 import package as packaging
from glasses_sdk.sensors.imx500.package import package

MAKES = 'printf "rpk of " > "$4/network.rpk"; cat "$2" >> "$4/network.rpk"'
PACKED = b"what the converter wrote"
RELEASED = {"packerOut.zip", "SHA256SUMS"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "imx500"
    made.mkdir()
    (made / "packerOut.zip").write_bytes(PACKED)
    digest = hashlib.sha256(PACKED).hexdigest()
    (made / "SHA256SUMS").write_text(f"{digest}  packerOut.zip\n")
    return made


def install(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `imx500-package` that does this with `-i PACKAGE -o FOLDER`."""
    tool = tmp_path / "bin" / "imx500-package"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n[ "$1 $3" = "-i -o" ] || exit 64\n{program}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")


def test_the_network_lies_beside_its_package_with_its_checksum(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(MAKES, tmp_path, monkeypatch)
    network = package(folder)
    assert network == folder / "network.rpk"
    assert network.read_bytes() == b"rpk of " + PACKED
    sums = "network.rpk.sha256"
    checked = subprocess.run(["sha256sum", "-c", sums], cwd=folder, capture_output=True)
    assert checked.returncode == 0
    assert b"network.rpk: OK" in checked.stdout
    assert {one.name for one in folder.iterdir()} == {*RELEASED, "network.rpk", sums}


def test_packaging_changes_no_file_that_was_released(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(MAKES, tmp_path, monkeypatch)
    before = {name: (folder / name).read_bytes() for name in RELEASED}
    package(folder)
    package(folder)  # again, as after an update
    assert {name: (folder / name).read_bytes() for name in RELEASED} == before


def test_a_folder_of_somebody_else_s_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(MAKES, tmp_path, monkeypatch)
    monkeypatch.setattr(packaging, "TemporaryDirectory", refused)
    with pytest.raises(ConfigError, match=rf"cannot write {folder}/network\.rpk \(Permission"):
        package(folder)


def refused(**_: object) -> None:
    """What the kernel says to whoever may not write there; root may."""
    raise PermissionError(errno.EACCES, "Permission denied")


def test_checksums_that_are_no_text_are_named(folder: Path):
    (folder / "SHA256SUMS").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="SHA256SUMS is damaged"):
        package(folder)


def test_where_the_program_is_not_the_message_has_the_apt_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="sudo apt install imx500-all imx500-tools"):
        package(folder)


def test_a_damaged_package_is_not_touched(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(MAKES, tmp_path, monkeypatch)
    (folder / "packerOut.zip").write_bytes(PACKED[:-1])
    with pytest.raises(ModelError, match="is damaged"):
        package(folder)
    assert not (folder / "network.rpk").exists()


def test_a_folder_without_a_package_is_named(tmp_path: Path):
    with pytest.raises(ModelError, match=rf"no packerOut\.zip in {tmp_path}"):
        package(tmp_path)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("echo cannot read manifest >&2; exit 3", "ended with 3 .* cannot read manifest"),
        ("true", "ended with 0 .* it said: nothing"),
    ],
)
def test_a_program_that_makes_nothing_is_told_in_its_own_words(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, sentence: str
):
    install(program, tmp_path, monkeypatch)
    with pytest.raises(ModelError, match=sentence):
        package(folder)
    assert {one.name for one in folder.iterdir()} == RELEASED


def test_the_command_packs_a_release_or_a_folder(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    install(MAKES, tmp_path, monkeypatch)
    release = tmp_path / "models" / "shoes"
    release.mkdir(parents=True)
    (release / "fp32.onnx").touch()
    folder.rename(release / "imx500")
    monkeypatch.setattr(models, "folder", lambda: tmp_path / "models")
    for named in ("shoes", str(release / "imx500")):
        monkeypatch.setattr("sys.argv", ["glasses", "models", "package", named])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        assert str(release / "imx500" / "network.rpk") in capsys.readouterr().out
