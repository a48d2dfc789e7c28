"""Photographs of scikit-image, CC0 or in the public domain, with the objects' boxes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

data = pytest.importorskip("skimage.data", reason="needs the extra: demo")

# name: left, top, width, height of one object each, traced by eye
FOR_SCALES = {
    "chelsea": (110, 15, 240, 270),
    "coffee": (160, 90, 260, 220),
    "rocket": (300, 90, 60, 250),
}
TO_MEASURE = {"astronaut": (90, 10, 250, 490), "cat": (110, 15, 240, 270)}


def annotate(folder: Path, boxes: dict[str, tuple[int, int, int, int]]) -> Path:
    """A COCO-format file; each object is the ellipse in its box, as coarse as that is."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, (name, (left, top, width, height)) in enumerate(boxes.items()):
        rgb = getattr(data, name)()[..., :3]
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        images.append(
            {
                "id": number,
                "file_name": f"{name}.png",
                "width": rgb.shape[1],
                "height": rgb.shape[0],
                "source": "photographs",
            }
        )
        centre = (left + width // 2, top + height // 2)
        outline = cv2.ellipse2Poly(centre, (width // 2, height // 2), 0, 0, 360, 8)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "bbox": [left, top, width, height],
                "segmentation": [outline.ravel().tolist()],
                "area": width * height,
                "iscrowd": 0,
            }
        )
    path = folder / "objects.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path
