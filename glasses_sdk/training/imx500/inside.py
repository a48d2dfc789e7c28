"""Runs in the converter's environment: 8 bits by Sony's Model Compression Toolkit.

    python -m glasses_sdk.training.imx500.inside ptq|gptq FOLDER

reads `network.onnx` (float, [N, 3, H, W] in 0..255) and `regions.npy` (uint8 [N, H, W, 3]) of the
folder, and writes into its folder `ptq` or `gptq`: `quantized.onnx` for the converter, and
`fake.onnx`, the same network in ordinary operators: float arithmetic on values that are rounded as
on the chip.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false
# (the toolkit has no types, and is not in the environment in which types are checked)

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glasses_sdk.errors import GlassesError
from glasses_sdk.training.imx500.onnx_to_torch import read_network

_AT_ONCE = 8
_GPTQ_EPOCHS = 5

Regions = Callable[[], Iterator[list[Tensor]]]


def main(method: str, folder: Path) -> None:
    network = read_network(folder / "network.onnx")
    rgb = torch.from_numpy(np.load(folder / "regions.npy")).permute(0, 3, 1, 2).float()

    def regions() -> Iterator[list[Tensor]]:
        yield from ([part] for part in rgb.split(_AT_ONCE))

    toolkit = _toolkit()
    quantized = (_gptq if method == "gptq" else _ptq)(toolkit, network, regions)
    _raise_logits(quantized, regions)
    out = folder / method
    out.mkdir()
    formats = toolkit.exporter.QuantizationFormat
    for name, form in (("quantized", formats.MCTQ), ("fake", formats.FAKELY_QUANT)):
        toolkit.exporter.pytorch_export_model(
            quantized,
            str(out / f"{name}.onnx"),
            regions,
            serialization_format=toolkit.exporter.PytorchExportSerializationFormat.ONNX,
            quantization_format=form,
        )


def _toolkit() -> Any:
    """The library, made to work with this PyTorch: its errors without these stand beside."""
    # operator torchvision::nms does not exist: torchvision's wheel wants CUDA, and is only imported
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import model_compression_toolkit

    # the exporter that is the default since PyTorch 2.9 does not know the toolkit's operators
    torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
    return model_compression_toolkit


def _chip() -> Any:
    from edgemdt_tpc import get_target_platform_capabilities

    return get_target_platform_capabilities(tpc_version="4.0", device_type="imx500")


def _ptq(toolkit: Any, network: nn.Module, regions: Regions) -> nn.Module:
    quantized, _ = toolkit.ptq.pytorch_post_training_quantization(
        network, regions, target_platform_capabilities=_chip()
    )
    return quantized


def _raise_logits(quantized: nn.Module, regions: Regions) -> None:
    """By half a step: what lies in the half above 0 is rounded to 0, and 0 is no object.

    Without this each mask loses a rim.
    """
    with torch.no_grad():
        maps = quantized(next(regions())[0])
        values = torch.unique(maps[0] if isinstance(maps, tuple | list) else maps)
        heads = [one for one in quantized.modules() if isinstance(one, nn.Conv2d)]
        (head,) = (one for one in heads if one.out_channels == 1)
        assert head.bias is not None
        head.bias += values.diff().min() / 2


def _gptq(toolkit: Any, network: nn.Module, regions: Regions) -> nn.Module:
    """With the roundings of the weights learnt; without Hessians, which take hours on a CPU."""
    settings = toolkit.gptq.get_pytorch_gptq_config(
        n_epochs=_GPTQ_EPOCHS, use_hessian_based_weights=False, use_hessian_sample_attention=False
    )
    quantized, _ = toolkit.gptq.pytorch_gradient_post_training_quantization(
        network, regions, gptq_config=settings, target_platform_capabilities=_chip()
    )
    return quantized


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except GlassesError as error:
        sys.exit(str(error))
