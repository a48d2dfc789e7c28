"""What a network's file and its neighbours say, without opening the camera."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from glasses_sdk.errors import ModelError

__all__ = ["input_tensor", "model_name"]

_DAMAGED = BadZipFile, zlib.error, EOFError, RuntimeError, ValueError  # what zipfile raises


def model_name(rpk: Path) -> str:
    """name@first 8 hex digits of the file's sha256; a release is named by its folder.

    Raises ModelError for a file that cannot be read.
    """
    try:
        digest = hashlib.sha256(rpk.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"cannot read network {rpk}: {error.strerror}; make one with imx500-package, or name "
            f"another: --sensor imx500:FILE.rpk"
        ) from error
    folder = rpk.resolve().parent
    name = rpk.stem if rpk.stem != "network" else folder.name
    if name == "imx500":
        name = f"{folder.parent.name}-imx500"
    return f"{name[:39]}@{digest[:8]}"


def input_tensor(rpk: Path) -> Literal["absent", "off", "unknown"]:
    """Whether the network could give its input picture away, by the converter's dnnParams.xml.

    It lies beside the network, as a file or in the converter's packerOut.zip.

    `absent`: the input's memory is used again while it runs (`imxconv --no-input-persistency`);
    `off`: it could, and is never asked to; `unknown`: there is no such file beside the network.
    """
    try:
        tree = ElementTree.fromstring(_params(rpk.parent))
    except (OSError, KeyError, ElementTree.ParseError, *_DAMAGED):
        return "unknown"
    kept = [tensor.get("persistency") for tensor in tree.iter("inputTensor")]
    if not kept or any(one not in ("0", "1") for one in kept):
        return "unknown"
    return "off" if "1" in kept else "absent"


def _params(folder: Path) -> bytes:
    path = folder / "dnnParams.xml"
    if path.exists():
        return path.read_bytes()
    with ZipFile(folder / "packerOut.zip") as package:
        return package.read(path.name)
