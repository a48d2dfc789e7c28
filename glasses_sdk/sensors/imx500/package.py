"""The network's file for the camera's firmware, out of the converter's package.

Only Raspberry Pi's own `imx500-package` can make it, which their archive alone has: this finds it,
runs it, and keeps the checksums.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from glasses_sdk.errors import ConfigError, ModelError
from glasses_sdk.models import sha256

__all__ = ["package"]

_TOOL = "imx500-package"
_SUMS = "SHA256SUMS"  # of what was released
_SECONDS = 300.0


def package(folder: Path) -> Path:
    """Make `network.rpk` of the `packerOut.zip` in this folder, and `network.rpk.sha256`.

    Raises ModelError for a package that is missing, damaged or refused, ConfigError where there is
    no `imx500-package` or the folder cannot be written.
    """
    packed = folder / "packerOut.zip"
    if not packed.is_file():
        raise ModelError(f"no packerOut.zip in {folder}: glasses convert makes one")
    if _released(folder, packed.name) not in (None, sha256(packed)):
        raise ModelError(f"{packed} is damaged, or not the one of {folder / _SUMS}: copy it again")
    tool = shutil.which(_TOOL)
    if tool is None:
        raise ConfigError(
            f"no {_TOOL} here: on a Raspberry Pi, sudo apt install imx500-all imx500-tools; it is "
            f"in Raspberry Pi's own archive only"
        )
    try:
        with TemporaryDirectory(prefix=".rpk-", dir=folder) as work:
            made = _run(tool, packed, Path(work))
            digest = made.with_name(f"{made.name}.sha256")
            digest.write_text(f"{sha256(made)}  {made.name}\n")
            digest.replace(folder / digest.name)
            return made.replace(folder / made.name)
    except OSError as error:
        raise ConfigError(
            f"cannot write {folder / 'network.rpk'} ({error.strerror}): run it as the folder's "
            "owner, or package a copy of the folder that is yours"
        ) from error


def _run(tool: str, packed: Path, work: Path) -> Path:
    """What the tool has made in `work`."""
    try:
        ran = subprocess.run(
            [tool, "-i", str(packed), "-o", str(work)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"{_TOOL} did not do its work on {packed}: {error}") from error
    network = work / "network.rpk"
    if ran.returncode != 0 or not network.is_file():
        said = " ".join((ran.stderr or ran.stdout).split())[-200:] or "nothing"
        raise ModelError(f"{_TOOL} ended with {ran.returncode} on {packed}; it said: {said}")
    return network


def _released(folder: Path, name: str) -> str | None:
    """The file's checksum as it was released, where the folder says."""
    sums = folder / _SUMS
    try:
        lines = sums.read_text().splitlines() if sums.is_file() else []
    except UnicodeDecodeError as error:
        raise ModelError(f"{sums} is damaged: copy it again") from error
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    return digests.get(name)
