from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glasses_sdk import models
from glasses_sdk.errors import ModelError
from glasses_sdk.models import Checked

PACKAGE = Path(models.__file__).parent


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of releases in place of the real one."""
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fp32.onnx").write_bytes(name.encode())
    (tmp_path / "unfinished").mkdir()
    write_manifest(tmp_path)
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    return tmp_path


def write_manifest(root: Path) -> None:
    files = sorted(root.rglob("*.onnx"))
    sums = {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    (root / "manifest.json").write_text(json.dumps(sums))


def test_a_release_is_found_by_its_name(house):
    assert models.released() == {
        "large": house / "large" / "fp32.onnx",
        "small": house / "small" / "fp32.onnx",
    }
    assert models.find("small") == house / "small" / "fp32.onnx"


def test_a_file_is_found_by_its_path(house):
    own = house / "my own.onnx"
    own.write_bytes(b"mine")
    assert models.find(str(own)) == own


@pytest.mark.parametrize("name", ["medium", "unfinished", "nowhere.onnx", "", "manifest.json"])
def test_an_unknown_model_lists_those_that_are_here(house, name):
    with pytest.raises(ModelError, match=r"released \(large, small\)") as caught:
        models.find(name)
    assert repr(name) in str(caught.value)


def test_without_releases_the_list_says_none(house):
    shutil.rmtree(house / "small")
    shutil.rmtree(house / "large")
    with pytest.raises(ModelError, match=r"\(none\)"):
        models.find("small")


def test_what_is_as_released_has_no_fault(house):
    wanted = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("large", "small")}
    assert list(models.verify()) == [
        Checked(f"{name}/fp32.onnx", checksum, None) for name, checksum in wanted.items()
    ]


def test_one_changed_byte_is_a_fault_that_shows_the_sum_found(house):
    (house / "large" / "fp32.onnx").write_bytes(b"Large")
    found = hashlib.sha256(b"Large").hexdigest()
    faults = {checked.file: checked.fault for checked in models.verify()}
    assert faults == {
        "large/fp32.onnx": f"damaged: its sha256 is {found}",
        "small/fp32.onnx": None,
    }


def test_a_missing_file_is_a_fault(house):
    (house / "small" / "fp32.onnx").unlink()
    assert [checked.fault for checked in models.verify()] == [None, "missing"]


def test_a_missing_manifest_is_named(house):
    (house / "manifest.json").unlink()
    with pytest.raises(ModelError, match="no manifest in"):
        list(models.verify())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"small/fp32.onnx": 5}'])
def test_a_damaged_manifest_is_named(house, content):
    (house / "manifest.json").write_text(content)
    with pytest.raises(ModelError, match=r"manifest\.json is damaged"):
        list(models.verify())


@pytest.mark.parametrize("checkout", [True, False])
def test_models_lie_beside_the_package_in_a_checkout_and_inside_it_in_a_wheel(tmp_path, checkout):
    package = tmp_path / "glasses_sdk"
    package.mkdir()
    for name in ("__init__.py", "errors.py", "models.py"):
        shutil.copy(PACKAGE / name, package / name)
    (tmp_path / "models").mkdir()  # anybody's folder of that name is not ours
    wanted = tmp_path / "models" if checkout else package / "_models"
    wanted.mkdir(exist_ok=True)
    write_manifest(wanted)
    say = "from glasses_sdk import models; print(models.folder())"
    run = subprocess.run(
        [sys.executable, "-c", say], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(run.stdout.strip()).samefile(wanted)
