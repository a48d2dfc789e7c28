"""Fit what a first mask promises: `GLASSES_DATA=... python -m tests.fit_landings [--model M]`.

Looks at training pictures (never at those that accuracy is judged on) from random points inside an
object, with regions of several sizes, and fits the IoU with the whole object to what the mask looks
like. Prints the weights for glasses_sdk/landing.py, and what choosing by them gives on other
objects of the same pictures' sources, beside the best single size and the best of all sizes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np

from glasses_sdk import models
from glasses_sdk.annotations import load_annotations, read_rgb
from glasses_sdk.crop import crop
from glasses_sdk.geometry import visible
from glasses_sdk.landing import Trial, component_nearest, trial_features
from glasses_sdk.network import Network
from glasses_sdk.tracker import TrackerConfig
from glasses_sdk.types import Mask, Roi, Size

SIZES = TrackerConfig().start_sizes
SOURCES = {"coco": 400, "ecssd": 150, "davis": 100}
MIN_AREA = 1024


def look(network: Network, picture, truth, point, share: float) -> tuple[Trial, float]:
    """A first mask, and its true IoU in full-picture pixels."""
    height, width = truth.shape
    size = Size(width, height)
    side = share * min(width, height)
    roi = visible(Roi.around(*point, side, side), size)
    assert roi is not None
    found = network.segment(crop(picture, roi, network.input))
    mask = Mask(component_nearest(found.bits, roi, point), roi, size, 0, 0, found.score)
    full = mask.full()
    iou = (full & truth).sum() / max((full | truth).sum(), 1)
    return Trial(mask, share, roi), float(iou)


def landings(network: Network, data: Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[n, sizes, features] and [n, sizes] true IoU, over random objects of each source."""
    rng = np.random.default_rng(seed)
    annotations = load_annotations(data / "train.json")
    features, ious = [], []
    for source, count in SOURCES.items():
        things = [
            thing
            for thing in annotations.instances
            if annotations.photos[thing.photo].source == source and thing.area > MIN_AREA
        ]
        for n in rng.choice(len(things), count, replace=False):
            thing = things[n]
            truth = thing.mask().astype(bool)
            depth = cv2.distanceTransform(truth.astype(np.uint8), cv2.DIST_L2, 5)
            rows, columns = np.nonzero(depth >= depth.max() / 2)
            k = rng.integers(rows.size)
            point = (float(columns[k]), float(rows[k]))
            picture = read_rgb(annotations.photos[thing.photo])
            seen = [look(network, picture, truth, point, share) for share in SIZES]
            features.append(trial_features([trial for trial, _ in seen]))
            ious.append([iou for _, iou in seen])
    return np.array(features), np.array(ious)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=models.DEFAULT)
    network = Network(models.find(parser.parse_args().model))
    features, ious = landings(network, Path(os.environ["GLASSES_DATA"]), seed=0)
    fitted = np.arange(len(ious)) % 2 == 0
    x, y = features[fitted].reshape(-1, features.shape[-1]), ious[fitted].ravel()
    weights = np.linalg.solve(x.T @ x + 0.5 * np.eye(x.shape[1]), x.T @ y)
    print("weights", [round(float(w), 3) for w in weights])
    expected, truth = features[~fitted] @ weights, ious[~fitted]
    print("n fitted", int(fitted.sum()), "n judged", int((~fitted).sum()))
    print("correlation", round(float(np.corrcoef(expected.ravel(), truth.ravel())[0, 1]), 3))
    print("each size", dict(zip(SIZES, truth.mean(0).round(3).tolist(), strict=True)))
    chosen = truth[np.arange(len(truth)), expected.argmax(1)]
    print(f"chosen {chosen.mean():.3f}, by the truth {truth.max(1).mean():.3f}")


if __name__ == "__main__":
    main()
