"""From the gaze provider's plane to full-sensor pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from glasses_sdk.errors import ConfigError
from glasses_sdk.types import Gaze, Matrix, Size

__all__ = ["GazeMap", "load_gaze_map", "save_gaze_map"]


@dataclass(frozen=True, slots=True, eq=False)
class GazeMap:
    """A 3 x 3 homography from the provider's plane to full-sensor pixels (pixel centres).

    `model` is `identity` (the provider speaks in sensor pixels), `scale` (0 to 1 of the sensor's
    width and height, origin top-left) or `homography` (fitted, from a file).
    """

    model: Literal["identity", "scale", "homography"]
    matrix: Matrix

    @classmethod
    def identity(cls) -> GazeMap:
        """The provider already gives full-sensor pixels."""
        return cls("identity", np.eye(3))

    @classmethod
    def scale(cls, sensor: Size) -> GazeMap:
        """The provider gives 0 to 1 of the sensor's width and height."""
        return cls(
            "scale",
            np.array([[sensor.width, 0, -0.5], [0, sensor.height, -0.5], [0, 0, 1]], np.float64),
        )

    def to_sensor(self, gaze: Gaze) -> tuple[float, float]:
        """The point looked at, in full-sensor pixels.

        It may lie outside the sensor; on the map's horizon it is infinitely far away.
        """
        x, y, w = map(float, self.matrix @ (gaze.x, gaze.y, 1.0))
        return (x / w, y / w) if w else (inf, inf)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    model: Literal["identity", "scale", "homography"]
    matrix: list[float] | None = None


def load_gaze_map(path: Path, sensor: Size) -> GazeMap:
    """Read a gaze map from TOML: `model`, and for a homography `matrix`, nine numbers row by row.

    Raises ConfigError that names the file and what is wrong.
    """
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise ConfigError(f"cannot read gaze map {path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"gaze map {path}: {error}") from error
    match file.model:
        case "identity":
            return GazeMap.identity()
        case "scale":
            return GazeMap.scale(sensor)
        case "homography":
            return GazeMap("homography", _homography(path, file.matrix))


def _homography(path: Path, numbers: list[float] | None) -> Matrix:
    if numbers is None or len(numbers) != 9 or not all(map(isfinite, numbers)):
        raise ConfigError(f"gaze map {path}: a homography needs `matrix`, nine finite numbers")
    matrix = np.array(numbers).reshape(3, 3)
    if np.linalg.matrix_rank(matrix) < 3:
        raise ConfigError(f"gaze map {path}: its matrix cannot be inverted; fit the map again")
    return matrix


def save_gaze_map(gaze_map: GazeMap, path: Path) -> None:
    """Write what `load_gaze_map` reads."""
    numbers = [float(n) for n in gaze_map.matrix.ravel()]
    path.write_text(f'model = "{gaze_map.model}"\nmatrix = {numbers}\n')
