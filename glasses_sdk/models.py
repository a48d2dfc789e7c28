"""Released models: where they lie, and whether they are what was released."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from glasses_sdk.errors import ModelError

__all__ = ["DEFAULT", "Checked", "find", "folder", "released", "verify"]

DEFAULT = "picosam3"


@dataclass(frozen=True, slots=True)
class Checked:
    """One file of the manifest: `fault` is None when it is as released."""

    file: str
    sha256: str
    fault: str | None


def folder() -> Path:
    """The released models: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    checkout = package.parent / "models"
    return checkout if (checkout / "manifest.json").exists() else package / "_models"


def released() -> dict[str, Path]:
    """Name to default file of each release that is here."""
    return {path.parent.name: path for path in sorted(folder().glob("*/fp32.onnx"))}


def find(name: str) -> Path:
    """The model file of a release's name, or of a path. Raises ModelError when there is none."""
    here = released()
    if name in here:
        return here[name]
    path = Path(name)
    if path.suffix == ".onnx" and path.is_file():
        return path
    known = ", ".join(here) or "none"
    raise ModelError(f"no model {name!r}: give a .onnx file or one of the released ({known})")


def verify() -> Iterator[Checked]:
    """Each file of the manifest against its checksum."""
    root = folder()
    try:
        manifest = msgspec.json.decode((root / "manifest.json").read_bytes(), type=dict[str, str])
    except OSError as error:
        raise ModelError(f"no manifest in {root}: {error.strerror}; reinstall the SDK") from error
    except msgspec.DecodeError as error:
        raise ModelError(f"{root / 'manifest.json'} is damaged: {error}") from error
    if not manifest:
        raise ModelError(f"{root / 'manifest.json'} names no file; reinstall the SDK")
    for file, wanted in manifest.items():
        yield Checked(file, wanted, _fault(root / file, wanted))


def _fault(path: Path, wanted: str) -> str | None:
    if not path.exists():
        return "missing"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    return None if found == wanted else f"damaged: its sha256 is {found}"
