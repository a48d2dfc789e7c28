"""A model of the contract as a package for the IMX500."""

# pyright: reportUnknownMemberType=false
# (onnx types only a part of itself)

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from glasses_sdk.crop import Picture
from glasses_sdk.errors import ModelError
from glasses_sdk.training.imx500.contract import Model, in_plain_arithmetic
from glasses_sdk.training.imx500.environment import Environment, Say

__all__ = ["WORTH_GPTQ", "Package", "convert"]

WORTH_GPTQ = 0.005  # lost mIoU

Lost = Callable[[Path], float]


@dataclass(frozen=True, slots=True)
class Package:
    """What was made.

    method  `ptq`, or `gptq`: with the roundings of the weights learnt
    lost    mIoU against the float model, None where it was not measured
    memory  the converter's report
    """

    method: str
    lost: float | None
    memory: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A quantized network, for the converter and as a model of the contract."""

    method: str
    quantized: Path
    reference: Path
    lost: float | None


def convert(
    model: Path,
    name: str,
    out: Path,
    regions: Picture,
    environment: Environment,
    lost: Lost | None,
    say: Say,
) -> Package:
    """Write the folder `out`, whole or not at all, in place of what was there.

    name     what the files are called after
    regions  [N, H, W, 3] uint8 of the model's input size: `representative`
    lost     the mIoU that a model of the contract has lost against `model`; without it what
             post-training quantization gives is taken as it is

    In the folder: the converter's own `packerOut.zip` and `NAME_MemoryReport.json`; the network as
    the chip computes it as a model of the contract, `NAME-imx500.onnx`; and `SHA256SUMS`. Raises
    ModelError when a step fails or the network does not fit into the chip's memory.
    """
    source = Model.read(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".imx500-", dir=out.parent) as temporary:
        work = Path(temporary)
        onnx.save(source.network(), work / "network.onnx")
        np.save(work / "regions.npy", regions)
        best = _quantized(source, work, environment, lost, say)
        say("converting")
        made = work / "package"
        memory = _packed(best, name, made, environment)
        _put(made, out)
    return Package(best.method, best.lost, memory)


def _quantized(
    source: Model, work: Path, environment: Environment, lost: Lost | None, say: Say
) -> _Attempt:
    """By PTQ; where that lost too much by GPTQ as well, and then the better of the two."""
    ptq = _attempt("ptq", source, work, environment, lost, say)
    if ptq.lost is None or ptq.lost <= WORTH_GPTQ:
        return ptq
    gptq = _attempt("gptq", source, work, environment, lost, say)
    return gptq if gptq.lost is not None and gptq.lost < ptq.lost else ptq


def _attempt(
    method: str, source: Model, work: Path, environment: Environment, lost: Lost | None, say: Say
) -> _Attempt:
    say(f"quantizing by {method.upper()}")
    environment.quantize(method, work)
    reference = work / method / "reference.onnx"
    fake = onnx.load(work / method / "fake.onnx")
    onnx.save(source.around(in_plain_arithmetic(fake)), reference)
    if lost:
        say("measuring what was lost")
    return _Attempt(
        method, work / method / "quantized.onnx", reference, lost(reference) if lost else None
    )


def _packed(best: _Attempt, name: str, made: Path, environment: Environment) -> dict[str, Any]:
    """Convert, and gather what is kept in `made`; the converter's report."""
    network = best.quantized.with_name(f"{name}.onnx")  # it names its files after this one
    best.quantized.rename(network)
    converted = made.with_name("converted")
    report = converted / f"{name}_MemoryReport.json"
    try:
        environment.convert(network, converted)
    except ModelError:
        _complain(report)
        raise
    made.mkdir()
    shutil.copy(report, made)
    shutil.copy(converted / "packerOut.zip", made)
    shutil.copy(best.reference, made / f"{name}-imx500.onnx")
    sums = [f"{_sha256(file)}  {file.name}\n" for file in sorted(made.iterdir())]
    (made / "SHA256SUMS").write_text("".join(sums))
    return _memory(report)


def _complain(report: Path) -> None:
    """What does not fit is said in the report, and not in the converter's last line."""
    if report.exists() and not _memory(report)["Fit In Chip"]:
        memory = _memory(report)
        raise ModelError(
            f"the network takes {memory['Memory Usage']} of the chip's "
            f"{memory['Total Memory Available On Chip']}: give it a smaller input or fewer channels"
        )


def _memory(report: Path) -> dict[str, Any]:
    return json.loads(report.read_bytes())["Memory Report"]


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _put(made: Path, out: Path) -> None:
    """In place of what was there."""
    if out.exists():
        out.rename(made.with_name("before"))
    made.rename(out)
