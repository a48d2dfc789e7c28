"""A test double of a network's file: the container that picamera2 reads, with no network inside."""

from __future__ import annotations

import struct
from pathlib import Path

from glasses_sdk.types import Size

_NORM = ("K00", "K02", "K03", "K11", "K13", "K20", "K22", "K23")


def write_rpk(path: Path, cells: Size = Size(96, 96), info: str | None = None) -> Path:  # noqa: B008
    """One firmware block and the archive behind it."""
    text = network_info(cells) if info is None else info
    path.write_bytes(_block(b"\x5a" * 256) + _archive({"network_info.txt": text.encode()}))
    return path


def write_params(folder: Path, persistency: str) -> Path:
    """The converter's dnnParams.xml, as far as it speaks of the input."""
    path = folder / "dnnParams.xml"
    path.write_text(
        '<dnnParams><networks><network name="n" ordinal="0"><inputTensors>'
        f'<inputTensor ordinal="0" name="rgb" persistency="{persistency}"/>'
        "</inputTensors></network></networks></dnnParams>"
    )
    return path


def network_info(cells: Size) -> str:
    lines = ["networkID=000100", "apParamSize=100", "networkNum=1", "networkOrdinal=0"]
    lines += [f"inputTensorWidth={cells.width}", f"inputTensorHeight={cells.height}"]
    lines += ["inputTensorFormat=RGB", *(f"inputTensorNorm_{name}=0x0000" for name in _NORM)]
    return "\n".join(lines) + "\n"


def _block(body: bytes) -> bytes:
    return struct.pack(">4sI", b"9464", len(body)) + bytes(52) + body + b"3695"


def _archive(files: dict[str, bytes]) -> bytes:
    """cpio, the new ASCII format."""
    entries = [_entry(name, data) for name, data in files.items()]
    return b"".join([*entries, _entry("TRAILER!!!", b"")])


def _entry(name: str, data: bytes) -> bytes:
    fields = [1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
