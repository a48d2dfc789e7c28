"""One object that is followed: what is known of it, and what looks and masks add to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot

from glasses_sdk.belief import BLUR, Belief, Extent
from glasses_sdk.geometry import alike, overlap, padded
from glasses_sdk.landing import Trial
from glasses_sdk.sighting import Sighting, sight
from glasses_sdk.sliding import Sliding
from glasses_sdk.trials import Trials
from glasses_sdk.turning import Turns
from glasses_sdk.types import Roi

__all__ = ["Track"]

_SAME = 0.4  # IoU of two trials' boxes from which they show the same
_MARGIN = 0.15  # of the object's box: looks that near it still mean it
_NEAR = 0.3  # of that by which looks may miss: beside a mask, within its box
_RECENT_NS = 120_000_000
_SIZE_ERROR = 0.14  # of a box's side, standard deviation of its logarithm
_SIZE_ERROR_OPEN = 0.3  # where the mask runs into the region's edge
_AS_ONE = 10.0  # times less exact a second late: masks of one region on end err alike
_CUT = 3.0  # times less exact
_SMALLER = 2.0  # times less exact: masks that undershoot lead to regions that do so more
_GAZE_DOUBT = 1.5  # times a mask's: a look is on the object, and seldom on its middle
_MISS = 0.4  # of that by which looks may miss: standard deviation, whatever the object's size
_GAZE_DOUBT_LATE = 7.0  # where masks come late, whose regions do better with less of the eyes
_AT_FIRST = 1.1  # trust, above any score: what has just been found is not doubted at once
_JUMP_ERROR, _JUMP = 0.2, 3.75  # of the size, a box's middle; standard deviations of all errors


@dataclass(slots=True)
class Track:
    """Where one object is, and how large.

    `trials` are the sizes that are tried around the point looked at; while there are any, nothing
    is known of the object but that point.
    `approached`: the eyes have not landed on it yet.
    `gaze` is the newest point of it that was looked at, at `looked_ns`; since `left_ns` the eyes
    have been elsewhere.
    `trust` is the score that its masks have of late.
    `restarts` says how often that was too little, and it was looked for anew.
    `seen` is the newest mask that was taken for it.
    `sliding` is how the point looked at moves over it.
    `wanted` is the region last asked for, `asked` what of it lies on the sensor,
    for the picture taken at `asked_ns`.
    """

    id: int
    belief: Belief
    extent: Extent
    turns: Turns
    looked_ns: int
    good_ns: int
    pinned: bool
    approached: bool
    trials: Trials | None
    gaze: tuple[float, float] | None = None
    left_ns: int | None = None
    trust: float = _AT_FIRST
    wanted: Roi | None = None
    asked: Roi | None = None
    asked_ns: int = 0
    widened: float = 1.0
    restarts: int = 0
    seen: Sighting | None = None
    sliding: Sliding = field(default_factory=Sliding)

    @property
    def size(self) -> float:
        """The object's longer side."""
        return max(self.extent.width, self.extent.height)

    def box(self, time_ns: int) -> Roi:
        """Where the object is believed to be in the picture taken then."""
        centre = self.belief.centre(time_ns)
        return Roi.around(*centre, self.extent.width, self.extent.height)

    def means(self, x: float, y: float, time_ns: int, slack: float, landed: bool) -> bool:
        """Whether a look at (x, y) means this object; looks may miss by `slack` pixels.

        Eyes that land in its box and beside its mask mean what stands there before it or behind.
        """
        if self.trials:
            cx, cy = self.belief.centre(time_ns)
            return max(abs(x - cx), abs(y - cy)) <= 2 * slack
        near = padded(self.box(time_ns), _MARGIN)
        inside = (
            near.left - slack <= x <= near.right + slack
            and near.top - slack <= y <= near.bottom + slack
        )
        return inside and not (landed and self._is_beside(x, y, time_ns, slack * _NEAR))

    def _is_beside(self, x: float, y: float, time_ns: int, distance: float) -> bool:
        """Whether its newest mask is a recent one, and shows nothing of it near this point."""
        if self.seen is None or time_ns - self.seen.mask.time_ns > _RECENT_NS:
            return False
        (x0, y0), (x1, y1) = (
            self.belief.centre(at_ns) for at_ns in (self.seen.mask.time_ns, time_ns)
        )
        return not self.seen.reaches(x - (x1 - x0), y - (y1 - y0), distance)

    def hold(self, x: float, y: float, time_ns: int) -> None:
        """One more look at the object; while no more is known of it, the looks say where it is."""
        self.looked_ns, self.gaze, self.left_ns = time_ns, (x, y), None
        if self.trials:
            self.belief.measure((x, y), self.trials.first, time_ns)

    def aim(self, x: float, y: float, time_ns: int) -> None:
        """The eyes come there; how fast they do says nothing of the object."""
        if self.trials:
            self.belief = Belief(x, y, self.trials.first, time_ns, self.turns)

    def settle(self, trial: Trial, trials: Sequence[Trial]) -> None:
        """This is the object. Those of the trials that show about the same say how it has moved.

        It moves as the eyes did that pursue it; where it is, its masks say better.
        """
        box, time_ns = trial.box, trial.mask.time_ns
        self.trials = None
        self.seen = sight(trial.mask, box.centre)
        self.good_ns = trials[-1].mask.time_ns
        self.extent = Extent(box.width, box.height, time_ns)
        velocity = self.belief.vx, self.belief.vy
        same = [other for other in trials if alike(other.box, box) > _SAME]
        first = same[0]
        self.belief = Belief(*first.box.centre, self.size, first.mask.time_ns, self.turns, velocity)
        for other in same:
            self.belief.measure(other.box.centre, self.size, other.mask.time_ns)

    def jumps(self, seen: Sighting, slack: float) -> bool:
        """Whether this cannot be the same object any more; `slack` pixels beside it are near."""
        time_ns = seen.mask.time_ns
        far = self.belief.surprise(seen.box.centre, self.size, time_ns, _JUMP_ERROR) > _JUMP
        area = seen.box.width * seen.box.height / (self.extent.width * self.extent.height)
        return far or self._is_elsewhere(seen, slack) or not 0.15 < area < 6

    def _is_elsewhere(self, seen: Sighting, slack: float) -> bool:
        """Whether its last masks were empty, and this one is nowhere near where it must be.

        The region widens meanwhile, and shows what else there is.
        """
        box = self.box(seen.mask.time_ns)
        near = Roi.around(*box.centre, box.width + 2 * slack, box.height + 2 * slack)
        return self.widened > 1 and not overlap(seen.box, near)

    def follow(self, seen: Sighting, late_s: float) -> None:
        """Fuse one mask's box, which came so late. A smaller one than the object says less."""
        mask, whole = seen.mask, seen.whole
        self.seen, self.good_ns = seen, mask.time_ns
        self.widened = 1.0
        self.belief.measure(whole.centre, self.size, mask.time_ns, self._cut(seen, late_s))
        doubt = 1 + _AS_ONE * late_s
        across = doubt * (_SIZE_ERROR_OPEN if seen.open_across else _SIZE_ERROR)
        down = doubt * (_SIZE_ERROR_OPEN if seen.open_down else _SIZE_ERROR)
        across *= _SMALLER if whole.width < self.extent.width else 1.0
        down *= _SMALLER if whole.height < self.extent.height else 1.0
        self.extent.measure((whole.width, whole.height), (across, down), mask.time_ns)

    def _cut(self, seen: Sighting, late_s: float) -> float:
        """How much less exactly a late mask says where the object is that runs out of its region.

        It does so for frames on end, before the region can follow, and how far is a guess.
        """
        return _CUT if late_s and (seen.open_across or seen.open_down) else 1.0

    def follow_gaze(
        self, point: tuple[float, float], time_ns: int, slack: float, late_s: float
    ) -> None:
        """The point of it that was looked at when a mask was taken, which came so late.

        slack  how far looks may miss what they mean, in pixels
        """
        doubt = _GAZE_DOUBT_LATE if late_s else _GAZE_DOUBT
        doubt = hypot(doubt, _MISS * slack / (BLUR * self.size))
        self.belief.measure(point, self.size, time_ns, doubt)
