"""Where a host sensor's frames come from: webcam, video file, folder of pictures.

Frames live inside a sensor only. The newest wins: whoever is late misses frames and sees a gap in
`seq`; nothing queues.
"""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import ConfigError, DeviceError, DeviceLost
from glasses_sdk.sensors.spec import Pace
from glasses_sdk.types import Size

__all__ = ["Frame", "Frames", "Images", "Pace", "Schedule", "Video", "Webcam"]

Picture = npt.NDArray[np.uint8]

# What a decoder has to say goes into our errors' one sentence, not beside it on standard error.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_FIRST_FRAME_S = 5.0
_STALLED_S = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """picture [H, W, 3] uint8 in the order `channels`, taken at `time_ns` (monotonic)."""

    picture: Picture
    time_ns: int
    seq: int
    channels: Literal["bgr", "rgb"] = "bgr"


class Frames(Protocol):
    """A source of frames of one size."""

    kind: str
    size: Size
    first_frame_ns: int

    def read(self) -> Frame | None:
        """The newest frame not yet read; blocks until there is one. None: the recording ended.

        Raises DeviceLost once the camera is gone.
        """
        ...

    def next_ns(self) -> int:
        """When the next frame is due."""
        ...

    def resume(self, seq: int, first_frame_ns: int) -> None:
        """Number the next frame `seq`, in what began at `first_frame_ns`; before any `read`."""
        ...

    def close(self) -> None: ...


class Schedule:
    """Which frame of a recording is due: frame k at `first_frame_ns + k / fps`.

    `realtime` skips what is overdue; `every` waits for nobody and skips nothing.
    """

    def __init__(self, fps: float, pace: Pace, limit: int | None) -> None:
        self.first_frame_ns = time.monotonic_ns()
        self.next = 0
        self._period_ns = 1e9 / fps
        self._pace = pace
        self._limit = limit

    def resume(self, seq: int, first_frame_ns: int) -> None:
        """Go on with frame `seq` of what began at `first_frame_ns`."""
        self.next, self.first_frame_ns = seq, first_frame_ns

    def due_ns(self, seq: int) -> int:
        """The time of this frame."""
        return self.first_frame_ns + round(seq * self._period_ns)

    def take(self) -> int | None:
        """The number of the frame to show next, once it is due; None after the last."""
        seq = self.next
        if self._pace == "realtime":
            behind = time.monotonic_ns() - self.first_frame_ns
            seq = max(seq, int(behind / self._period_ns))
        if self._limit is not None and seq >= self._limit:
            return None
        if self._pace == "realtime":
            time.sleep(max(self.due_ns(seq) - time.monotonic_ns(), 0) / 1e9)
        self.next = seq + 1
        return seq


class Video:
    """A video file. `limit` frames in all, from the start again where it is shorter."""

    kind = "video"

    def __init__(self, path: Path, pace: Pace, limit: int | None) -> None:
        if not path.is_file():
            raise ConfigError(f"no video {path}: the file does not exist")
        self._path = path
        self._loop = limit is not None
        self._capture = self._open()
        first = self._decode()
        if first is None:
            raise DeviceError(f"{path} is no video that OpenCV can read; is the file whole?")
        self.size = _size(first)
        self._start = 0  # the frame number at which this round through the file began
        self._held: tuple[int, Picture] | None = (0, first)
        self._at = 1  # the next frame number that the file will give
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._schedule = Schedule(fps if 0 < fps < 1000 else 30.0, pace, limit)
        self.first_frame_ns = self._schedule.first_frame_ns

    def read(self) -> Frame | None:
        seq = self._schedule.take()
        if seq is None:
            return None
        picture = self._picture(seq)
        if picture is None:
            return None
        return Frame(picture, self._schedule.due_ns(seq), seq)

    def next_ns(self) -> int:
        return self._schedule.due_ns(self._schedule.next)

    def resume(self, seq: int, first_frame_ns: int) -> None:
        self._schedule.resume(seq, first_frame_ns)
        self.first_frame_ns = first_frame_ns

    def close(self) -> None:
        self._capture.release()

    def _picture(self, seq: int) -> Picture | None:
        if self._held and self._held[0] == seq:
            picture, self._held = self._held[1], None
            return picture
        while self._at < seq:  # grabbing decodes nothing that can be left undecoded
            if self._capture.grab():
                self._at += 1
            elif not self._again():
                return None
        picture = self._decode()
        if picture is None and self._again():
            picture = self._decode()
        self._at += 1
        return picture

    def _again(self) -> bool:
        """Go back to the start when the file has really ended and is to be looped."""
        told = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        given = self._at - self._start
        if given == 0 or given < 0.95 * told - 1:
            raise DeviceLost(
                f"video {self._path} breaks off after frame {given} of {told}: it is damaged, "
                f"copy it again"
            )
        if not self._loop:
            return False
        self._capture.release()
        self._capture = self._open()
        self._start = self._at
        return True

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise DeviceError(f"{self._path} is no video that OpenCV can read; is the file whole?")
        return capture

    def _decode(self) -> Picture | None:
        there, picture = self._capture.read()
        return picture if there else None  # pyright: ignore[reportReturnType]


class Images:
    """A folder of pictures in order of their names, `fps` a second.

    All are shown at the size of the first: others are scaled to fit, on black.
    """

    kind = "images"

    def __init__(self, folder: Path, pace: Pace, limit: int | None, fps: float = 2.0) -> None:
        if not folder.is_dir():
            raise ConfigError(f"no folder of pictures {folder}")
        self._paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
        if not self._paths:
            raise ConfigError(f"no pictures in {folder}: .jpg, .png, .webp, .bmp or .tif")
        self._loop = limit is not None
        self.size = _size(_read_picture(self._paths[0]))
        self._schedule = Schedule(fps, pace, limit)
        self.first_frame_ns = self._schedule.first_frame_ns

    def read(self) -> Frame | None:
        seq = self._schedule.take()
        if seq is None or (seq >= len(self._paths) and not self._loop):
            return None
        picture = _read_picture(self._paths[seq % len(self._paths)])
        return Frame(_fitted(picture, self.size), self._schedule.due_ns(seq), seq)

    def next_ns(self) -> int:
        return self._schedule.due_ns(self._schedule.next)

    def resume(self, seq: int, first_frame_ns: int) -> None:
        self._schedule.resume(seq, first_frame_ns)
        self.first_frame_ns = first_frame_ns

    def close(self) -> None:
        pass


class Webcam:
    """A V4L2 camera by OpenCV. A thread keeps taking frames, so that a slow reader gets the newest.

    `capture` stands for the opened device; without it /dev/video<index> is opened.
    """

    kind = "webcam"

    def __init__(
        self, index: int, limit: int | None, capture: cv2.VideoCapture | None = None
    ) -> None:
        self._name = f"webcam:{index}"
        self._capture = capture or _open_webcam(index)
        self._limit = limit
        self._fresh = threading.Condition()
        self._newest: Frame | None = None
        self._seen = -1
        self._next = 0
        self._period_ns = 1e9 / 30
        self._over: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._take, name=self._name, daemon=True)
        self._thread.start()
        first = self._wait(_FIRST_FRAME_S)
        if first is None:
            self.close()
            raise DeviceError(f"{self._name} gives no picture: is another program using it?")
        self.size = _size(first.picture)
        self.first_frame_ns = first.time_ns
        self._seen = -1

    def read(self) -> Frame | None:
        if self._limit is not None and self._seen + 1 >= self._limit:
            return None
        frame = self._wait(_STALLED_S)
        if frame is None:
            raise DeviceLost(f"{self._name} {self._over or 'gives no picture any more'}")
        self._seen = frame.seq
        return frame if self._limit is None or frame.seq < self._limit else None

    def next_ns(self) -> int:
        newest = self._newest
        return round((newest.time_ns if newest else time.monotonic_ns()) + self._period_ns)

    def resume(self, seq: int, first_frame_ns: int) -> None:
        with self._fresh:
            self._next, self._seen = seq, seq - 1
        self.first_frame_ns = first_frame_ns

    def close(self) -> None:
        self._closing = True
        self._thread.join(timeout=1.0)
        self._capture.release()

    def _wait(self, seconds: float) -> Frame | None:
        """The newest frame not yet seen, None when it does not come in time or no more will."""
        with self._fresh:
            self._fresh.wait_for(lambda: self._is_fresh() or self._over is not None, seconds)
            return self._newest if self._is_fresh() else None

    def _is_fresh(self) -> bool:
        return self._newest is not None and self._newest.seq > self._seen

    def _take(self) -> None:
        while not self._closing:
            there, picture = self._capture.read()
            now = time.monotonic_ns()
            with self._fresh:
                if there:
                    if self._newest is not None:
                        self._period_ns += 0.1 * (now - self._newest.time_ns - self._period_ns)
                    self._newest = Frame(
                        picture,  # pyright: ignore[reportArgumentType]
                        now,
                        self._next,
                    )
                    self._next += 1
                else:
                    self._over = "is gone: unplugged, or taken by another program"
                self._fresh.notify_all()
            if not there:
                return


def _open_webcam(index: int) -> cv2.VideoCapture:
    device = Path(f"/dev/video{index}")
    if not device.exists():
        raise DeviceError(
            f"no webcam {index}: there is no {device}; plug one in, or try "
            f"--sensor synthetic or --sensor video:FILE"
        )
    capture = cv2.VideoCapture(index, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise DeviceError(
            f"{device} cannot be opened: in use (`sudo fuser -v {device}` says by whom), not a "
            "camera, or not yours to read (group `video`)"
        )
    return capture


def _read_picture(path: Path) -> Picture:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DeviceError(f"{path} is no picture that OpenCV can read; remove or replace it")
    return picture  # pyright: ignore[reportReturnType]


def _size(picture: Picture) -> Size:
    height, width = picture.shape[:2]
    return Size(width, height)


def _fitted(picture: Picture, size: Size) -> Picture:
    if _size(picture) == size:
        return picture
    here = _size(picture)
    scale = min(size.width / here.width, size.height / here.height)
    width = max(math.floor(here.width * scale), 1)
    height = max(math.floor(here.height * scale), 1)
    canvas = np.zeros((size.height, size.width, 3), np.uint8)
    left, top = (size.width - width) // 2, (size.height - height) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(picture, (width, height))
    return canvas
