"""Released models: where they lie, and whether they are what was released."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from glasses_sdk.errors import ModelError

__all__ = [
    "DEFAULT",
    "Checked",
    "cache",
    "find",
    "folder",
    "precisions",
    "released",
    "seal",
    "verify",
]

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


def cache() -> Path:
    """This user's folder for what can be made again."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "glasses-sdk"


def released() -> dict[str, Path]:
    """Name to float file of each release that is here."""
    return {path.parent.name: path for path in sorted(folder().glob("*/fp32.onnx"))}


def precisions(name: str) -> dict[str, Path]:
    """The files of a release that are here: `fp32`, `int8`, and `imx500`, as the chip computes."""
    home = folder() / name
    files = {
        "fp32": home / "fp32.onnx",
        "int8": home / "int8.onnx",
        "imx500": home / "imx500" / f"{name}-imx500.onnx",
    }
    return {precision: path for precision, path in files.items() if path.is_file()}


def find(name: str) -> Path:
    """The model file of a release's name, or of a path. Raises ModelError when there is none.

    `picosam3` is the float file, `picosam3/int8` that precision of it.
    """
    here = released()
    if name in here:
        return here[name]
    release, _, precision = name.partition("/")
    if release in here:
        files = precisions(release)
        if precision not in files:
            raise ModelError(f"no {precision!r} of {release}: there is {', '.join(files)}")
        return files[precision]
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


def seal() -> Path:
    """Write the manifest anew, from the files as they are now."""
    root = folder()
    files = [file for name in released() for file in (root / name).rglob("*") if file.is_file()]
    sums = {file.relative_to(root).as_posix(): sha256(file) for file in sorted(files)}
    manifest = root / "manifest.json"
    manifest.write_bytes(msgspec.json.format(msgspec.json.encode(sums), indent=1) + b"\n")
    return manifest


def sha256(file: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _fault(path: Path, wanted: str) -> str | None:
    if not path.exists():
        return "missing"
    found = sha256(path)
    return None if found == wanted else f"damaged: its sha256 is {found}"
