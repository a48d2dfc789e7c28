"""Draw published masks over the frames they were cut from, as one picture to look at.

    python -m tests.contact_sheet VIDEO MASKS.jsonl OUT.png [--every 12]

MASKS.jsonl is what `glasses sub --json` prints: one mask payload a line, `data` in base64. It is
read here from the protocol's page alone, without the SDK, so that a mistake in the SDK's decoder
or geometry shows up as a mask beside its object. `seq` is the frame's index in the video.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_TINT = (80, 220, 60)  # BGR, as everything OpenCV draws
_STATE_COLOURS = {"stable": (255, 200, 0), "settling": (0, 165, 255), "held": (255, 0, 255)}
_UNKNOWN_STATE = (255, 255, 255)
_MISSING = "no mask"


@dataclass(frozen=True, slots=True)
class Published:
    """One mask payload; `cells` is bool (height, width), `roi` left, top, width, height."""

    seq: int
    cells: np.ndarray
    roi: tuple[int, int, int, int]
    sensor: tuple[int, int]
    roi_state: str
    track: int
    score: float


def unpack_bits(data: bytes, width: int, height: int) -> np.ndarray:
    """The cells of a PBM P4 raster: rows padded to whole bytes, high bit first, 1 = object."""
    stride = (width + 7) // 8
    if len(data) != height * stride:
        raise ValueError(f"{width} x {height} cells need {height * stride} bytes, not {len(data)}")
    rows = np.frombuffer(data, np.uint8).reshape(height, stride)
    return np.unpackbits(rows, axis=1)[:, :width].astype(bool)


def parse_mask(payload: dict[str, Any]) -> Published:
    """The mask in a decoded JSON line; raises KeyError or ValueError where it is not one."""
    data = base64.b64decode(payload["data"], validate=True)
    left, top, width, height = payload["roi"]
    return Published(
        seq=payload["seq"],
        cells=unpack_bits(data, payload["width"], payload["height"]),
        roi=(left, top, width, height),
        sensor=tuple(payload["sensor"]),
        roi_state=payload["roi_state"],
        track=payload["track"],
        score=payload["score"],
    )


def read_masks(path: Path) -> dict[int, Published]:
    """The masks of a JSON-lines file by `seq`; lines of other kinds are passed over."""
    masks: dict[int, Published] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        payload = json.loads(line) if line.strip() else {}
        if "data" in payload:
            mask = parse_mask(payload)
            masks[mask.seq] = mask
    return masks


def on_sensor(mask: Published) -> np.ndarray:
    """The mask as bool (sensor height, sensor width): a pixel takes the cell its centre is in."""
    height, width = mask.cells.shape
    left, top, roi_width, roi_height = mask.roi
    columns = ((np.arange(roi_width) + 0.5) * width / roi_width).astype(int)
    rows = ((np.arange(roi_height) + 0.5) * height / roi_height).astype(int)
    full = np.zeros((mask.sensor[1], mask.sensor[0]), bool)
    full[top : top + roi_height, left : left + roi_width] = mask.cells[np.ix_(rows, columns)]
    return full


def draw(frame: np.ndarray, mask: Published) -> np.ndarray:
    """A copy of the frame (BGR uint8) with the region, the mask's tint and outline, and a text."""
    picture = frame.copy()
    size = (frame.shape[1], frame.shape[0])
    inside = cv2.resize(on_sensor(mask).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    set_pixels = inside.astype(bool)
    picture[set_pixels] = (0.55 * picture[set_pixels] + 0.45 * np.array(_TINT)).astype(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, (0, 0, 255), 2)
    draw_region(picture, mask)
    return picture


def draw_region(picture: np.ndarray, mask: Published) -> None:
    """Outline the region on the picture itself, in the colour of its state."""
    scale = np.array([picture.shape[1] / mask.sensor[0], picture.shape[0] / mask.sensor[1]])
    left, top, width, height = mask.roi
    first = np.floor(np.array([left, top]) * scale).astype(int)
    last = np.ceil(np.array([left + width, top + height]) * scale).astype(int) - 1
    colour = _STATE_COLOURS.get(mask.roi_state, _UNKNOWN_STATE)
    cv2.rectangle(picture, (int(first[0]), int(first[1])), (int(last[0]), int(last[1])), colour, 3)


def caption(index: int, mask: Published | None) -> str:
    """The text of a tile."""
    if mask is None:
        return f"{index}  {_MISSING}"
    return f"{index}  track {mask.track}  {mask.score:.2f}  {mask.roi_state}"


def tile(frame: np.ndarray, text: str, width: int) -> np.ndarray:
    """The frame at the given width, its text in a strip above it."""
    height = round(frame.shape[0] * width / frame.shape[1])
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.copyMakeBorder(small, 20, 0, 0, 0, cv2.BORDER_CONSTANT)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(small, text, (4, 15), font, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return small


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video in order, BGR uint8; raises ValueError where there is none."""
    video = cv2.VideoCapture(str(path))
    try:
        ok, frame = video.read()
        if not ok:
            raise ValueError(f"no frame can be read from {path}")
        while ok:
            yield frame
            ok, frame = video.read()
    finally:
        video.release()


def lay_out(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Equal tiles in rows, the last row filled up with black."""
    blanks = [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    filled = [*tiles, *blanks]
    rows = [np.hstack(filled[i : i + columns]) for i in range(0, len(filled), columns)]
    return np.vstack(rows)


def contact_sheet(
    video: Path, masks: dict[int, Published], every: int, columns: int, width: int
) -> np.ndarray:
    """Each `every`-th frame with the mask of its own number, BGR uint8."""
    tiles: list[np.ndarray] = []
    for index, frame in enumerate(read_frames(video)):
        if index % every == 0:
            mask = masks.get(index)
            drawn = frame if mask is None else draw(frame, mask)
            tiles.append(tile(drawn, caption(index, mask), width))
    return lay_out(tiles, columns)


def positive(text: str) -> int:
    """An argument that counts something; argparse reports the ValueError."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.contact_sheet", description="Draw published masks over a video."
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("masks", type=Path, help="JSON lines from `glasses sub --json`")
    parser.add_argument("out", type=Path, help="the picture to write")
    parser.add_argument("--every", type=positive, default=12, help="a tile for every N-th frame")
    parser.add_argument("--columns", type=positive, default=5)
    parser.add_argument("--width", type=positive, default=384, help="of a tile, in pixels")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse_arguments(arguments)
    masks = read_masks(given.masks)
    sheet = contact_sheet(given.video, masks, given.every, given.columns, given.width)
    if not cv2.imwrite(str(given.out), sheet):
        raise SystemExit(f"cannot write {given.out}")
    print(f"{given.out}: every {given.every}. frame, {len(masks)} masks read")


if __name__ == "__main__":
    main()
