"""A contact sheet: objects, and the masks that were made of them, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from glasses_sdk.annotations import read_rgb
from glasses_sdk.crop import Picture
from glasses_sdk.evaluation.scenes import Case
from glasses_sdk.geometry import padded, square, visible
from glasses_sdk.types import Bits, Roi, Size

__all__ = ["chosen", "sheet"]

_EACH = 24
_COLUMNS = 8
_TILE, _STRIP = 232, 20  # pixels
_TRUTH, _MASK, _REGION, _CLICK = (60, 220, 60), (255, 60, 60), (255, 255, 255), (255, 230, 0)


def chosen(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """The 24 around the median and the 24 worst, worst first; of equals the largest object."""
    ranked = sorted(cases, key=lambda case: (case.iou, -case.instance.area))
    start = max((len(ranked) - _EACH) // 2, 0)
    return ranked[start : start + _EACH], ranked[:_EACH]


def sheet(cases: Sequence[Case]) -> Picture:
    """Both kinds, drawn, [H, W, 3] RGB. Raises DataError where a picture has gone."""
    median, worst = chosen(cases)
    legend = "green: object   red: mask   white: region   yellow: click"
    return np.vstack(
        [
            _text(f"around the median    {legend}", _COLUMNS * _TILE),
            _rows([_tile(case) for case in median]),
            _text("worst", _COLUMNS * _TILE),
            _rows([_tile(case) for case in worst]),
        ]
    )


def _rows(tiles: list[Picture]) -> Picture:
    blanks = [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    filled = [*tiles, *blanks]
    rows = [np.hstack(filled[n : n + _COLUMNS]) for n in range(0, len(filled), _COLUMNS)]
    return np.vstack(rows)


def _tile(case: Case) -> Picture:
    window = _window(case)
    scale = (_TILE - 4) / max(window.width, window.height)
    size = Size(max(round(window.width * scale), 1), max(round(window.height * scale), 1))
    picture = _cut(read_rgb(case.photo), window, size, cv2.INTER_AREA)
    found = _cut(case.mask.full().astype(np.uint8), window, size, cv2.INTER_NEAREST) > 0
    truth = _cut(case.instance.mask(), window, size, cv2.INTER_NEAREST) > 0
    picture[found] = (0.65 * picture[found] + 0.35 * np.array(_MASK)).astype(np.uint8)
    _outline(picture, truth, _TRUTH)
    _outline(picture, found, _MASK)
    _mark(picture, case, window, scale)
    tile = np.zeros((_TILE, _TILE, 3), np.uint8)
    tile[: size.height, : size.width] = picture
    said = f"{case.photo.source} {case.instance.id}  IoU {case.iou:.2f}"
    return np.vstack([_text(f"{said}  score {case.mask.score:.2f}", _TILE), tile])


def _window(case: Case) -> Roi:
    """What a tile shows: the object and the region, with something around."""
    box, roi = case.instance.box, case.mask.roi
    left, top = min(box.left, roi.left), min(box.top, roi.top)
    right, bottom = max(box.right, roi.right), max(box.bottom, roi.bottom)
    around = square(padded(Roi(left, top, right - left, bottom - top), 0.1))
    return visible(around, case.photo.size) or roi


def _cut(picture: Picture, window: Roi, size: Size, how: int) -> Picture:
    left, top = int(window.left), int(window.top)
    view = picture[top : top + int(window.height), left : left + int(window.width)]
    return cv2.resize(view, (size.width, size.height), interpolation=how)  # pyright: ignore[reportReturnType]


def _outline(picture: Picture, bits: Bits, colour: tuple[int, int, int]) -> None:
    lines, _ = cv2.findContours(bits.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, lines, -1, colour, 1)


def _mark(picture: Picture, case: Case, window: Roi, scale: float) -> None:
    """The region's outline, and the click."""

    def at(x: float, y: float) -> tuple[int, int]:
        return round((x - window.left) * scale), round((y - window.top) * scale)

    roi = case.mask.roi
    right, bottom = at(roi.right, roi.bottom)
    cv2.rectangle(picture, at(roi.left, roi.top), (right - 1, bottom - 1), _REGION, 1)
    if case.click:
        place = at(case.click[0] + 0.5, case.click[1] + 0.5)
        cv2.drawMarker(picture, place, _CLICK, cv2.MARKER_CROSS, 12, 2)


def _text(said: str, width: int) -> Picture:
    strip = np.zeros((_STRIP, width, 3), np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(strip, said, (3, 14), font, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return strip
