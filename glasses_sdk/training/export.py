"""A trained network as ONNX under the model contract (docs/reference/models.md)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from glasses_sdk.errors import ModelError
from glasses_sdk.network import Network

__all__ = ["export_onnx"]

_OPSET = 17


class _Contract(nn.Module):
    """Layout and type, so that a caller hands over bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, rgb: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n h w"]:
        return self.network(rgb.permute(0, 3, 1, 2).float())


def export_onnx(network: nn.Module, path: Path, side: int = 96) -> None:
    """Write `network` for pictures of side x side, and see that onnxruntime agrees with PyTorch.

    Raises ModelError, and leaves no file, when the logits differ by more than 1e-4 of their spread.
    """
    whole = _Contract(network.float()).eval()
    part = path.with_suffix(".part.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(  # pyright: ignore[reportUnknownMemberType]
            whole,
            (torch.zeros(1, side, side, 3, dtype=torch.uint8),),
            str(part),
            input_names=["rgb"],
            output_names=["logits"],
            dynamic_axes={"rgb": {0: "n"}, "logits": {0: "n"}},
            opset_version=_OPSET,
            dynamo=False,  # the other exporter needs one more dependency and gains nothing here
        )
    try:
        _agree(whole, part, side)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _agree(whole: nn.Module, path: Path, side: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    with torch.no_grad():
        wanted = whole(torch.from_numpy(rgb)).numpy()
    got, _ = Network(path).logits(rgb)
    error = float(np.abs(got - wanted).max() / (wanted.max() - wanted.min()))
    if error > 1e-4:
        raise ModelError(f"the exported network differs by {error:.1e} of the logits' spread")
