"""The region servo: looks and masks go in, the region to look at next comes out.

One look becomes the whole object's mask: the first frames after it try a few sizes around the point
looked at, the mask that looks most like a whole object gives the region, and from then on it
follows the masks.
Position and velocity are a Kalman filter (filterpy) with constant velocity over measured time.
All times are arguments; nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from glasses_sdk.belief import Belief
from glasses_sdk.geometry import holding, mask_box, overlap, padded, visible
from glasses_sdk.landing import component, expected_iou
from glasses_sdk.types import Bits, Mask, Roi, RoiState, Size

__all__ = ["RoiTracker", "TrackerConfig"]


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """How the region behaves. Sizes are shares of the sensor's shorter side.

    start_sizes     sides tried one after the other when somebody looks at something new
    enough          the expected IoU from which no other size is tried
    padding         what the region shows around the object, a share of its box on each side
    min_size        smallest side of a region
    max_shrink      how much smaller a region may get from one frame to the next
    min_confidence  looks below it do not count
    min_score       masks below it are as good as empty
    coast_ms        how long after the last look the region counts as looked at
    release_ms      how long a track lives on masks that are empty or below `min_score`
    """

    start_sizes: tuple[float, ...] = (0.5, 0.25)
    enough: float = 0.75
    padding: float = 0.2
    min_size: float = 0.06
    max_shrink: float = 0.04
    min_confidence: float = 0.6
    min_score: float = 0.6
    coast_ms: float = 250.0
    release_ms: float = 300.0

    def __post_init__(self) -> None:
        if not self.start_sizes or not all(0 < size <= 2 for size in self.start_sizes):
            raise ValueError(
                f"start_sizes are shares of the sensor above 0, not {self.start_sizes}"
            )
        for name in ("enough", "padding", "min_size", "max_shrink", "min_confidence", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies in 0 to 1, not {getattr(self, name)}")
        for name in ("coast_ms", "release_ms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class _Trial:
    """What one starting size gave: the IoU to expect, and the box of its mask."""

    expected: float
    box: Roi
    time_ns: int


@dataclass(slots=True)
class _Track:
    """One object. `width` and `height` are its box's, in sensor pixels.

    `sizes` are the sides of the regions still to be tried around the point looked at; while there
    are any, nothing is known of the object but that point.
    """

    id: int
    belief: Belief
    width: float
    height: float
    looked_ns: int
    good_ns: int
    pinned: bool
    sizes: list[float]
    trials: list[_Trial]
    gaze: tuple[float, float] | None = None
    trust: float = 1.0
    masks: int = 0
    asked: Roi | None = None
    widened: float = 1.0


class RoiTracker:
    """Turns looks and masks into the next region. All points are full-sensor pixels.

    sensor  its size; regions never leave it
    config  see `TrackerConfig`
    """

    def __init__(self, sensor: Size, config: TrackerConfig | None = None) -> None:
        self._sensor = sensor
        self._config = config or TrackerConfig()
        self._short = min(sensor.width, sensor.height)
        self._track: _Track | None = None
        self._previous = 0  # the id of the track before this one
        self._last_id = 0
        self._looks: list[tuple[int, float, float]] = []

    @property
    def track(self) -> int:
        """The number of the object that is followed, 0 for none."""
        return self._track.id if self._track else 0

    @property
    def rests(self) -> bool:
        """Whether the latest looks stand still: the eyes have landed."""
        if len(self._looks) < 2:
            return False
        now = self._looks[-1][0]
        latest = [look for look in self._looks if now - look[0] <= _RESTING_NS]
        _, xs, ys = zip(*(latest if len(latest) > 1 else self._looks[-2:]), strict=True)
        spread = max(max(xs) - min(xs), max(ys) - min(ys)) / 2
        return spread < _RESTING * self._sensor.width

    def look(self, point: tuple[float, float], time_ns: int, confidence: float = 1.0) -> None:
        """Somebody looked at `point`. Late, doubtful and outside looks are ignored."""
        x, y = point
        inside = 0 <= x < self._sensor.width and 0 <= y < self._sensor.height
        late = bool(self._looks) and time_ns < self._looks[-1][0]
        if confidence < self._config.min_confidence or not inside or late:
            return
        self._looks = [look for look in self._looks if time_ns - look[0] <= _LANDING_NS]
        self._looks.append((time_ns, x, y))
        track = self._track
        if track is None:
            self._start(x, y, time_ns)
        elif not track.pinned:
            if self.rests and self._elsewhere(track, x, y):
                self._start(x, y, time_ns)
            else:
                track.looked_ns = time_ns
                track.gaze = x, y
                if track.sizes:
                    track.belief.move(x, y)

    def take(self, point: tuple[float, float], time_ns: int, side: float | None = None) -> None:
        """Follow what is at `point`, whatever the eyes do, until `release`: a tap in the app.

        `side` is the object's rough size in sensor pixels, where it is known.
        """
        self._start(*point, time_ns, pinned=True)
        if side is not None and self._track:
            self._track.sizes = [side * (1 + 2 * self._config.padding)]

    def take_region(self, roi: Roi, time_ns: int) -> None:
        """Follow what fills `roi`, until `release`."""
        self._start(*roi.centre, time_ns, pinned=True)
        if self._track:
            self._track.sizes = []
            self._track.width, self._track.height = roi.width, roi.height

    def release(self) -> None:
        """Forget the object; the next look starts anew."""
        if self._track:
            self._previous, self._track = self._track.id, None
            self._looks.clear()

    def predict(self, time_ns: int) -> Roi | None:
        """The region to look at for a picture taken then; None while nothing is tracked."""
        track = self._track
        if track is None:
            return None
        track.asked = visible(self._region(track, time_ns), self._sensor)
        if track.asked is None:
            self.release()
            return None
        return track.asked

    def see(self, mask: Mask) -> Mask:
        """What the sensor saw: learn from it, and say whose mask it is.

        Returns the mask with `track` and `roi_state`; one that belongs to nobody is emptied.
        """
        track = self._track
        if track is None or track.asked is None or overlap(mask.roi, track.asked) < 0.1:
            return _labelled(mask, self._previous if track else 0, mask.roi_state)
        held = mask.time_ns - track.looked_ns > self._config.coast_ms * 1e6
        state: RoiState = "held" if held and mask.roi_state == "stable" else mask.roi_state
        known = self._learn(track, mask)
        return _labelled(mask if known else _emptied(mask), self.track, state)

    def _region(self, track: _Track, time_ns: int) -> Roi:
        """Around the object where it will be, wide enough to hold what is being looked at."""
        x, y = track.belief.centre(time_ns)
        if track.sizes:
            return Roi.around(x, y, track.sizes[0], track.sizes[0])
        width, height = track.width, track.height
        box = Roi.around(x, y, width, height)
        if track.gaze and time_ns - track.looked_ns < self._config.coast_ms * 1e6:
            box = holding(box, *track.gaze, _AROUND_GAZE * min(width, height))
        share = (1 + 2 * self._config.padding) * track.widened
        least = self._config.min_size * self._short
        sides = (max(side * share, least) for side in (box.width, box.height))
        return Roi.around(*box.centre, *sides)

    # What happens at a look

    def _start(self, x: float, y: float, time_ns: int, pinned: bool = False) -> None:
        if self._track:
            self._previous = self._track.id
        self._last_id += 1
        sizes = [share * self._short for share in self._config.start_sizes]
        self._track = _Track(
            id=self._last_id,
            belief=Belief(x, y, sizes[0], time_ns),
            width=sizes[0],
            height=sizes[0],
            looked_ns=time_ns,
            good_ns=time_ns,
            pinned=pinned,
            sizes=sizes,
            trials=[],
        )

    def _elsewhere(self, track: _Track, x: float, y: float) -> bool:
        """Whether a look at (x, y) means something other than the object."""
        if track.sizes:
            cx, cy = track.belief.centre(track.belief.time_ns)
            return max(abs(x - cx), abs(y - cy)) > 2 * _RESTING * self._sensor.width
        now = self._looks[-1][0]
        cx, cy = track.belief.centre(now)
        near = padded(Roi.around(cx, cy, track.width, track.height), _MARGIN)
        slack = _RESTING * self._sensor.width
        return not (
            near.left - slack <= x <= near.right + slack
            and near.top - slack <= y <= near.bottom + slack
        )

    # What happens at a mask

    def _learn(self, track: _Track, mask: Mask) -> bool:
        """Whether this mask may show the object."""
        bits = component(mask.bits, mask.roi, track.belief.centre(mask.time_ns))
        box = mask_box(bits, mask.roi)
        if track.sizes:
            self._try(track, mask, bits, box)
        elif box is None or mask.score < self._config.min_score or self._jumps(track, box, mask):
            self._miss(track, mask)
            return False
        else:
            self._follow(track, self._grown(box, bits, mask.roi), mask.time_ns)
            self._doubt(track, mask)
        return True

    def _doubt(self, track: _Track, mask: Mask) -> None:
        """A region that has drifted off shows unsure masks: while somebody looks, start again."""
        track.trust += 0.25 * (mask.score - track.trust)
        looked = mask.time_ns - track.looked_ns < self._config.coast_ms * 1e6
        if track.pinned or track.trust >= (_DOUBT if looked else _DOUBT_HELD):
            return
        if looked and track.gaze:
            self._again(track, *track.gaze)
        else:
            self.release()

    def _again(self, track: _Track, x: float, y: float) -> None:
        track.sizes = [share * self._short for share in self._config.start_sizes]
        track.trials.clear()
        track.trust = 1.0
        track.belief = Belief(x, y, track.sizes[0], track.belief.time_ns)

    def _try(self, track: _Track, mask: Mask, bits: Bits, box: Roi | None) -> None:
        """One starting size's mask; after the last one, or a good one, the best is the object."""
        if box is not None:
            side = max(mask.roi.width, mask.roi.height) / self._short
            expected = expected_iou(bits, mask.score, side)
            box = self._grown(box, bits, mask.roi)
            track.trials.append(_Trial(expected, box, mask.time_ns))
        track.sizes.pop(0)
        best = max(track.trials, key=lambda trial: trial.expected, default=None)
        if best is None and not track.sizes:
            self.release()
        elif best and (not track.sizes or best.expected >= self._config.enough):
            track.sizes = []
            track.width, track.height = best.box.width, best.box.height
            self._follow(track, best.box, mask.time_ns)

    def _follow(self, track: _Track, box: Roi, time_ns: int) -> None:
        track.masks += 1
        track.good_ns = time_ns
        track.widened = 1.0
        track.belief.measure(box.centre, max(track.width, track.height), time_ns)
        self._resize(track, box)

    def _jumps(self, track: _Track, box: Roi, mask: Mask) -> bool:
        """Whether this cannot be the same object any more."""
        cx, cy = track.belief.centre(mask.time_ns)
        x, y = box.centre
        far = abs(x - cx) > 0.75 * track.width or abs(y - cy) > 0.75 * track.height
        area = box.width * box.height / (track.width * track.height)
        return far or not 0.15 < area < 6

    def _miss(self, track: _Track, mask: Mask) -> None:
        """An empty or doubtful mask: look a little wider, give up in the end."""
        track.widened = min(track.widened * 1.15, 2.0)
        if mask.time_ns - track.good_ns > self._config.release_ms * 1e6:
            self.release()

    def _grown(self, box: Roi, bits: Bits, roi: Roi) -> Roi:
        """The box, extended where the mask runs into the region's edge inside the sensor."""
        least = _TOUCHING
        left = bits[:, 0].mean() > least and roi.left > 0
        right = bits[:, -1].mean() > least and roi.right < self._sensor.width
        top = bits[0].mean() > least and roi.top > 0
        bottom = bits[-1].mean() > least and roi.bottom < self._sensor.height
        x0 = box.left - _GROW * roi.width * left
        y0 = box.top - _GROW * roi.height * top
        x1 = box.right + _GROW * roi.width * right
        y1 = box.bottom + _GROW * roi.height * bottom
        x0, y0 = max(x0, 0.0), max(y0, 0.0)
        x1, y1 = min(x1, float(self._sensor.width)), min(y1, float(self._sensor.height))
        return Roi(x0, y0, x1 - x0, y1 - y0)

    def _resize(self, track: _Track, box: Roi) -> None:
        if track.masks <= _SETTLING:
            track.width, track.height = box.width, box.height
            return
        floor = 1 - self._config.max_shrink
        for side in ("width", "height"):
            now, new = getattr(track, side), getattr(box, side)
            pace = _WIDEN_PACE if new > now else _NARROW_PACE
            eased = now * (new / now) ** pace
            setattr(track, side, min(max(eased, now * floor), now * _MAX_GROWTH))


_LANDING_NS = 60_000_000  # older looks say nothing about where the eyes are now
_RESTING_NS = 15_000_000
_RESTING = 0.03  # of the sensor's width: looks within it are one fixation
_MARGIN = 0.15  # of the object's box: looks that near it still mean it
_SETTLING = 2  # masks of a new object whose box is taken as it is
_GROW = 0.25  # of the region's side
_DOUBT = 0.85  # mean score below which a region has drifted off, while somebody looks
_DOUBT_HELD = 0.65  # and while nobody does
_MAX_GROWTH = 1.1  # of a side from one frame to the next
_AROUND_GAZE = 0.45  # of the object's shorter side: what the region holds around a look
_WIDEN_PACE, _NARROW_PACE = 1.0, 0.3  # share of the way, in logarithms, that a side goes
_TOUCHING = 0.06  # of an edge's cells


def _labelled(mask: Mask, track: int, state: RoiState) -> Mask:
    return replace(mask if track else _emptied(mask), track=track, roi_state=state)


def _emptied(mask: Mask) -> Mask:
    return replace(mask, bits=np.zeros_like(mask.bits), score=0.0)
