"""What `glasses track --plot DIR` leaves in the folder, drawn by matplotlib (extra: eval)."""

# pyright: reportUnknownMemberType=false
# (matplotlib types only a part of itself)

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from glasses_sdk.crop import Picture
from glasses_sdk.errors import ConfigError
from glasses_sdk.tracking.judging import Judged, Judgement
from glasses_sdk.types import Bits

__all__ = ["plot", "save", "worst"]

_WORST = 3
_TILES, _COLUMNS, _WIDTH, _STRIP = 20, 5, 320, 20
_TRUTH, _MASK, _REGION = (60, 220, 60), (255, 60, 60), (255, 255, 255)


def save(judgement: Judgement, folder: Path) -> None:
    """NAME.png, the curves of each video, and worst.png, frames of the worst three.

    What is no letter, digit, hyphen or blank of a name is _ in the file's. Raises ConfigError where
    the folder cannot be written, DataError where a picture has gone.
    """
    try:
        for judged in judgement.videos:
            plot(judgement, judged, folder / f"{_safe(judged.video.name)}.png")
        sheet = cv2.cvtColor(worst(judgement.videos), cv2.COLOR_RGB2BGR)
        (folder / "worst.png").write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    except OSError as error:
        raise ConfigError(f"no plot can be written to {folder}: {error.strerror}") from error


def plot(judgement: Judgement, judged: Judged, path: Path) -> None:
    """J over the frames, of everybody."""
    curves = {
        "tracker": judged.tracker,
        "ceiling": judged.ceilings[judgement.ceiling],
        f"constant {judgement.side:g}": judged.constants[judgement.side],
        **judged.contrib,
    }
    figure = Figure(figsize=(9, 4), dpi=100)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        style = "-" if curve is judged.tracker else "--"
        axes.plot(curve.J, style, label=f"{name}  J {curve.score.J:.3f}  F {curve.score.F:.3f}")
    axes.set(xlabel="frame", ylabel="J", ylim=(0, 1))
    axes.set_title(_safe(judged.video.name), parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def _safe(name: str) -> str:
    """A video's name as that of a file in this folder."""
    return re.sub(r"[^\w -]", "_", name)


def worst(videos: Sequence[Judged]) -> Picture:
    """Frames of the three with the lowest J, [H, W, 3] RGB."""
    ranked = sorted(videos, key=lambda judged: judged.tracker.score.J)[:_WORST]
    width = _COLUMNS * _WIDTH
    rows = [_text("green: object   red: mask   white: region", width)]
    for judged in ranked:
        rows += [_text(f"{judged.video.name}  J {judged.tracker.score.J:.3f}", width)]
        rows += _rows(judged)
    return np.vstack(rows)


def _rows(judged: Judged) -> list[Picture]:
    """The first three frames and others evenly through the video."""
    count = len(judged.masks)
    later = np.linspace(3, count - 1, _TILES - 3).round().astype(int)
    chosen = sorted({k for k in (0, 1, 2, *later.tolist()) if k < count})
    truths = judged.video.load().truths
    tiles = [_tile(judged, truths[k], k) for k in chosen]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    return [np.hstack(tiles[n : n + _COLUMNS]) for n in range(0, len(tiles), _COLUMNS)]


def _tile(judged: Judged, truth: Bits, frame: int) -> Picture:
    picture, mask = judged.video.picture(frame), judged.masks[frame]
    found = mask.full()
    picture[found] = (0.65 * picture[found] + 0.35 * np.array(_MASK)).astype(np.uint8)
    for bits, colour in ((truth, _TRUTH), (found, _MASK)):
        lines, _ = cv2.findContours(bits.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, lines, -1, colour, 1)
    if mask.track:
        corner = int(mask.roi.left), int(mask.roi.top)
        opposite = int(mask.roi.right) - 1, int(mask.roi.bottom) - 1
        cv2.rectangle(picture, corner, opposite, _REGION, 1)
    height = round(picture.shape[0] * _WIDTH / picture.shape[1])
    small = cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    said = f"{frame}  J {judged.tracker.J[frame]:.2f}  track {mask.track}  score {mask.score:.2f}"
    return np.vstack([_text(said, _WIDTH), small])  # pyright: ignore[reportReturnType]


def _text(said: str, width: int) -> Picture:
    strip = np.zeros((_STRIP, width, 3), np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(strip, said, (3, 14), font, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return strip
