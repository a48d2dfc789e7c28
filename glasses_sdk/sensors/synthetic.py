"""A made world whose truth is known: photographs that move, and eyes that look at them.

For trying and testing everything without a camera or an eye tracker. Cut-outs are laid over a
background and over one another (Porter and Duff 1984, `over`), with an edge of about one pixel; a
pixel counts as an object's when at least half of it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.geometry import mask_box
from glasses_sdk.sensors.cutouts import Cutout, Drawn, Picture, background, load_cutouts, scale
from glasses_sdk.sensors.eyes import Eyes, Point, View
from glasses_sdk.sensors.frames import Frame, Pace, Schedule
from glasses_sdk.sensors.world import Affine, Script, make_script, read_script, write_script
from glasses_sdk.types import Bits, Gaze, Roi, Size

__all__ = ["Landing", "SyntheticFrames", "Truth", "World", "WorldGaze", "open_world"]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the eyes are on while a frame is exposed.

    mask    [H, W] bool, the visible part of the object after occlusion
    box     of that part
    """

    thing: int
    mask: Bits
    box: Roi


@dataclass(frozen=True, slots=True)
class Landing:
    """The eyes arrive at another object: its first frame, and the first after they left it."""

    frame: int
    thing: int
    stop: int


class World:
    """A made world: `render` is what the camera sees, `gaze` the eyes, `truth` what they are on.

    The same seed, size and rate make the same world; so does the file of its script, which may
    also have been written by hand. Frame i is exposed i / fps seconds after the first. Raises
    ConfigError without scikit-image.
    """

    def __init__(
        self,
        seed: int,
        size: Size = Size(960, 540),  # noqa: B008 - frozen
        fps: float = 30.0,
        *,
        script: Script | None = None,
    ) -> None:
        cutouts = load_cutouts()
        sizes = {name: cutout.size for name, cutout in cutouts.items()}
        self.script = script or make_script(seed, size, fps, sizes)
        self.size = self.script.size
        self.fps = self.script.fps
        self._cutouts = [_find(cutouts, actor.cutout) for actor in self.script.actors]
        self._eyes = Eyes(self, self.script.seed)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Raises DataError for a file that is not a world's script."""
        script = read_script(path)
        return cls(script.seed, script.size, script.fps, script=script)

    def to_file(self, path: Path) -> None:
        """The script as JSON."""
        write_script(self.script, path)

    @property
    def objects(self) -> int:
        return len(self.script.actors)

    def time_ns(self, index: int) -> int:
        """When a frame is exposed, from the first frame on."""
        return round(index * 1e9 / self.fps)

    def render(self, index: int) -> Picture:
        """[H, W, 3] uint8 RGB."""
        time_s = self.time_ns(index) / 1e9
        picture = self._backdrop(time_s)
        for thing in range(self.objects):
            if place := self._drawn(thing, time_s):
                under = picture[place.window]
                shade = cv2.multiply(under, place.veil(), scale=1 / 255)
                picture[place.window] = cv2.add(shade, place.colour())
        return picture

    def truth(self, index: int) -> Truth | None:
        """None while the eyes are on the way to another object, or nothing can be looked at.

        A blink does not take the eyes off their object.
        """
        time_s = self.time_ns(index) / 1e9
        thing = self._eyes.thing(time_s)
        if thing is None:
            return None
        mask = np.zeros((self.size.height, self.size.width), np.bool_)
        view = self.view(thing, time_s)
        height, width = view.bits.shape
        mask[view.top : view.top + height, view.left : view.left + width] = view.bits
        box = mask_box(mask, Roi(0, 0, self.size.width, self.size.height))
        return Truth(thing, mask, box) if box else None

    def gaze(self, start_ns: int, stop_ns: int) -> list[Gaze]:
        """200 Hz, times from the first frame in [start_ns, stop_ns), x and y in 0 to 1.

        A blink is confidence 0 with NaN for a point.
        """
        return self._eyes.gaze(start_ns, stop_ns)

    def landings(self, frames: int) -> list[Landing]:
        """Where the eyes come to another object within the first frames, in order."""
        dwells = self._eyes.dwells(self.time_ns(frames) / 1e9)
        found = [
            Landing(self._frame_from(dwell.start_s), dwell.thing, self._frame_from(dwell.stop_s))
            for dwell in dwells
        ]
        return [landing for landing in found if landing.frame < min(landing.stop, frames)]

    def view(self, thing: int, time_s: float) -> View:
        """What can be seen of an object at a time."""
        place = self._drawn(thing, time_s)
        if place is None:
            return View(0, 0, np.zeros((1, 1), np.bool_), 0.0)
        bits = place.bits()
        for other in range(thing + 1, self.objects):
            if front := self._drawn(other, time_s):
                front.hide(bits, place)
        area = self._cutouts[thing].area * scale(self._pose(thing, time_s)) ** 2
        share = np.count_nonzero(bits) / area if area else 0.0
        return View(place.left, place.top, bits, min(float(share), 1.0))

    def place(self, thing: int, spot: Point, time_s: float) -> Point:
        """Where a point of an object's cut-out is in the frame."""
        x, y = self._pose(thing, time_s) @ (*spot, 1.0)
        return float(x), float(y)

    def spot(self, thing: int, point: Point, time_s: float) -> Point:
        """Which point of an object's cut-out is at a point of the frame."""
        pose = self._pose(thing, time_s)
        u, v = np.linalg.solve(pose[:, :2], np.asarray(point) - pose[:, 2])
        return float(u), float(v)

    def _frame_from(self, time_s: float) -> int:
        """The first frame that is exposed at this time or later."""
        index = int(time_s * self.fps)
        return next(i for i in (index, index + 1, index + 2) if self.time_ns(i) / 1e9 >= time_s)

    def _pose(self, thing: int, time_s: float) -> Affine:
        return self.script.pose(self.script.actors[thing], self._cutouts[thing].size, time_s)

    def _drawn(self, thing: int, time_s: float) -> Drawn | None:
        """None where nothing of the object is in the frame."""
        pose = self._pose(thing, time_s)
        return self._cutouts[thing].drawn(pose, self.size)

    def _backdrop(self, time_s: float) -> Picture:
        right, down = self.script.camera(time_s)
        canvas, (x, y) = self._canvas
        top, left = y + down, x + right
        return canvas[top : top + self.size.height, left : left + self.size.width].copy()

    @cached_property
    def _canvas(self) -> tuple[Picture, tuple[int, int]]:
        """All that the camera ever turns to, and where its middle position begins in it."""
        script = self.script
        x = int((abs(script.camera_x.middle) + abs(script.camera_x.reach)) * script.width) + 2
        y = int((abs(script.camera_y.middle) + abs(script.camera_y.reach)) * script.height) + 2
        size = Size(script.width + 2 * x, script.height + 2 * y)
        return background(script.background, script.seed, size), (x, y)


def _find(cutouts: dict[str, Cutout], name: str) -> Cutout:
    if name not in cutouts:
        raise DataError(f"no cut-out {name!r}; known: {', '.join(cutouts)}")
    return cutouts[name]


def open_world(name: str) -> World:
    """By its seed or by its file; an empty name is seed 1. Raises ConfigError for anything else."""
    if not name or name.isdecimal():
        return World(int(name or 1))
    if not Path(name).is_file():
        raise ConfigError(f"a made world has a seed or a file, as in synthetic:7, not {name!r}")
    return World.from_file(Path(name))


class SyntheticFrames:
    """A made world as a source of frames. `limit` frames in all, endless without."""

    kind = "synthetic"

    def __init__(self, world: World, pace: Pace, limit: int | None) -> None:
        world.render(0)  # the background is made before the clock starts
        self._world = world
        self._schedule = Schedule(world.fps, pace, limit)
        self.size = world.size
        self.first_frame_ns = self._schedule.first_frame_ns

    def read(self) -> Frame | None:
        seq = self._schedule.take()
        if seq is None:
            return None
        return Frame(self._world.render(seq), self._schedule.due_ns(seq), seq, "rgb")

    def next_ns(self) -> int:
        return self._schedule.due_ns(self._schedule.next)

    def resume(self, seq: int, first_frame_ns: int) -> None:
        self._schedule.resume(seq, first_frame_ns)
        self.first_frame_ns = first_frame_ns

    def close(self) -> None:
        """Nothing is held."""


class WorldGaze:
    """The eyes of a made world as a gaze source.

    origin_ns   monotonic time of the world's first frame
    clock       says the monotonic time
    """

    def __init__(self, world: World, origin_ns: int, clock: Callable[[], int]) -> None:
        self._world = world
        self._origin_ns = origin_ns
        self._clock = clock
        self._until_ns = 0

    def read(self) -> Sequence[Gaze]:
        """The samples since the last call, the first time since the first frame."""
        start_ns, self._until_ns = (
            self._until_ns,
            max(self._clock() - self._origin_ns, self._until_ns),
        )
        return [
            Gaze(self._origin_ns + gaze.time_ns, gaze.x, gaze.y, gaze.confidence)
            for gaze in self._world.gaze(start_ns, self._until_ns)
        ]

    @property
    def reason(self) -> None:
        """Nothing can be wrong with it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None
