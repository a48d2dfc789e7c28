"""Networks of different resolutions on one raster: `python -m tests.outlines MODEL.onnx ...`.

`glasses evaluate` judges each network in its own cells, and the outlines of one that has more of
them by a narrower tolerance. Here each sees the same regions, its mask is laid over `--cells` a
side, and is judged there, as is the object.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from glasses_sdk.crop import crop
from glasses_sdk.evaluation.judging import View
from glasses_sdk.evaluation.report import measure
from glasses_sdk.evaluation.settings import Settings
from glasses_sdk.network import Network, Segmentation
from glasses_sdk.types import Size


def predict(network: Network, cells: Size, view: View) -> Segmentation:
    found = network.segment(crop(view.scene.picture, view.seen, network.input))
    size = (cells.width, cells.height)
    bits = cv2.resize(found.bits.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return Segmentation(bits, found.score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--cells", type=int, default=192)
    asked = parser.parse_args()
    annotations = Path(os.environ["GLASSES_DATA"]) / "val.json"
    cells = Size(asked.cells, asked.cells)
    for model in asked.models:
        of_network = partial(predict, Network(model), cells)
        for protocol in ("box", "tight"):
            scores = measure(of_network, cells, annotations, Settings(protocol))
            for source in ("coco", "ecssd"):
                score = scores[source].marks
                print(
                    f"{model} {protocol} {source}: mIoU {100 * score.miou:.1f}, "
                    f"boundary F {100 * score.boundary_f:.1f}, n {score.n}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
