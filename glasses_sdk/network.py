"""A released model, run by onnxruntime: RGB bytes in, logits and score out.

The contract (docs/reference/models.md): input `rgb` uint8 [N, H, W, 3], output `logits` float32
[N, H, W], object where > 0, and optionally `score` float32 [N].
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (onnxruntime types only a part of itself)

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Read while it loads; without it some releases keep a file about their use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from glasses_sdk.errors import ModelError
from glasses_sdk.types import Bits, Size

__all__ = ["Network", "Segmentation"]

Picture = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """bits [H, W] bool, and how sure the network is of them, 0 to 1."""

    bits: Bits
    score: float


class Network:
    """A model file, loaded. One thread by default: that is the fastest beside a busy neighbour.

    Raises ModelError for a file that is missing, damaged, or does not keep the contract.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.name = _name(path)
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own errors share no public base
            raise ModelError(
                f"{path} is no model that onnxruntime can load; `glasses models verify` checks "
                f"the released ones ({str(error).splitlines()[0][:160]})"
            ) from error
        self.input = _input_size(path, self._session)
        self._scored = "score" in _tensors(self._session.get_outputs())

    def logits(self, rgb: Picture) -> tuple[Logits, npt.NDArray[np.float32]]:
        """rgb [N, H, W, 3] uint8 to logits [N, H, W] and score [N]."""
        outputs: Any = self._session.run(
            ["logits", "score"] if self._scored else ["logits"], {"rgb": rgb}
        )
        logits: Logits = outputs[0]
        if self._scored:
            return logits, np.clip(outputs[1], 0, 1)
        return logits, np.array([_certainty(one) for one in logits], np.float32)

    def segment(self, rgb: Picture) -> Segmentation:
        """One picture [H, W, 3] uint8 RGB of the size `input`."""
        logits, score = self.logits(rgb[None])
        return Segmentation(logits[0] > 0, float(score[0]))


def _certainty(logits: Logits) -> float:
    """Mean of the sigmoid over the mask's cells, 0 when empty."""
    inside = logits[logits > 0]
    return float((1 / (1 + np.exp(-inside))).mean()) if inside.size else 0.0


def _name(path: Path) -> str:
    """name@first 8 hex digits of the file's sha256; a release is named by its folder."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {error.strerror}") from error
    released = path.stem in {"fp32", "int8"}
    name = f"{path.parent.name}-{path.stem}" if released else path.stem
    return f"{name[:39]}@{digest[:8]}"


def _input_size(path: Path, session: onnxruntime.InferenceSession) -> Size:
    inputs = _tensors(session.get_inputs())
    outputs = _tensors(session.get_outputs())
    kind, shape = inputs.get("rgb", ("", []))
    if len(inputs) != 1 or kind != "tensor(uint8)" or len(shape) != 4 or shape[3] != 3:
        raise ModelError(
            f"{path} does not keep the model contract: input `rgb` uint8 [N, H, W, 3] is wanted, "
            f"{inputs} is there"
        )
    out_kind, out_shape = outputs.get("logits", ("", []))
    if out_kind != "tensor(float)" or out_shape[1:] != shape[1:3]:
        raise ModelError(
            f"{path} does not keep the model contract: output `logits` float32 "
            f"[N, {shape[1]}, {shape[2]}] is wanted, {outputs} is there"
        )
    height, width = shape[1:3]
    if not (isinstance(height, int) and isinstance(width, int) and max(height, width) <= 256):
        raise ModelError(f"{path} has an input of {width}x{height}; 1 to 256 a side is wanted")
    return Size(width, height)


def _tensors(arguments: Any) -> dict[str, tuple[str, list[Any]]]:
    """onnxruntime's descriptions as name to (type, shape)."""
    return {argument.name: (argument.type, argument.shape) for argument in arguments}
