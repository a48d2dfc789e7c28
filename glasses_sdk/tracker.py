"""The region servo: looks and masks go in, the region to look at next comes out.

One look becomes the whole object's mask: the first frames after it try a few sizes around the point
looked at, the mask that looks most like a whole object gives the region, and from then on it
follows the masks.
Position and velocity are a Kalman filter with constant velocity over measured time (belief.py).
All times are arguments; nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Literal

import numpy as np

from glasses_sdk.belief import Belief, Extent
from glasses_sdk.geometry import alike, at_least, holding, off_middle, overlap, visible
from glasses_sdk.looks import Looks
from glasses_sdk.salient import Search
from glasses_sdk.sighting import Sighting, sight
from glasses_sdk.sliding import Sliding
from glasses_sdk.track import Track
from glasses_sdk.trials import Trials
from glasses_sdk.turning import Turns, focal_px
from glasses_sdk.types import HeadPose, Mask, Roi, RoiState, Size

__all__ = ["RoiTracker", "TrackerConfig"]


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """How the region behaves. Sizes are shares of the sensor's shorter side.

    start_sizes     sides tried one after the other when somebody looks at something new
    padding         what the region shows around the object, a share of its box on each side, where
                    its place is certain and its masks are sure; more where they are not
    min_size        smallest side of a region
    deadband        the region stays while no edge would move by more, as a share of its side
    granularity     a click on a shirt: its `part`, the `object` that the network sees in it, or the
                    `whole` that it belongs to
    min_score       masks below it are as good as empty
    coast_ms        how long after the last look the region counts as looked at
    linger_ms       how long eyes may wander off the object, without landing elsewhere, and keep it
    release_ms      how long a track lives on masks that are empty or below `min_score`
    """

    start_sizes: tuple[float, ...] = (0.58, 0.29)
    padding: float = 0.12
    min_size: float = 0.06
    deadband: float = 0.03
    granularity: Literal["part", "object", "whole"] = "object"
    min_score: float = 0.55
    coast_ms: float = 250.0
    linger_ms: float = 150.0
    release_ms: float = 300.0

    def __post_init__(self) -> None:
        if not self.start_sizes or not all(0 < size <= 2 for size in self.start_sizes):
            raise ValueError(
                f"start_sizes are shares of the sensor above 0, not {self.start_sizes}"
            )
        for name in ("padding", "min_size", "deadband", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies in 0 to 1, not {getattr(self, name)}")
        for name in ("coast_ms", "release_ms"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)}")
        if self.granularity not in _GRAINS:
            raise ValueError(f"granularity is {', '.join(_GRAINS)}, not {self.granularity!r}")
        if not 0 <= self.linger_ms < inf:
            raise ValueError(f"linger_ms is 0 or more, not {self.linger_ms}")


class RoiTracker:
    """Turns looks and masks into the next region. All points are full-sensor pixels.

    sensor             its size; regions never leave it
    config             see `TrackerConfig`
    field_of_view_deg  of its camera, from left to right: what a turn of the head moves
    salient            nobody's gaze is known: while nothing is tracked, look for something
    """

    def __init__(
        self,
        sensor: Size,
        config: TrackerConfig | None = None,
        field_of_view_deg: float = 66.0,
        *,
        salient: bool = False,
    ) -> None:
        self._sensor = sensor
        self._config = config or TrackerConfig()
        self._short = min(sensor.width, sensor.height)
        self._track: Track | None = None
        self._before: Track | None = None  # what was followed until the eyes left for `_track`
        self._previous = 0  # the id of the track before this one
        self._last_id = 0
        self._looks = Looks()
        self._turns = Turns(sensor, focal_px(sensor, field_of_view_deg))
        self._late_s = 0.0  # how long before the newest exposure aimed at the newest mask was taken
        self._unlearned: tuple[Track, Mask] | None = None
        self._search: Search | None = None
        if salient:
            self._search = Search(sensor, self._config.padding, self._config.min_score)

    @property
    def track(self) -> int:
        """The number of the object that is followed, 0 for none."""
        self._catch_up()
        return self._track.id if self._track else 0

    def look(self, point: tuple[float, float], time_ns: int, landed: bool = False) -> None:
        """Somebody holds `point` with the eyes: a fixation or pursuit, no point on the way.

        landed  the eyes have just come there

        Looks beside the sensor, or older than the newest, do not count; where the clock has been
        set back, all begins anew.
        """
        self._catch_up()
        if self._looks.is_set_back(time_ns):
            self.release()
        if not self._is_inside(*point) or not self._looks.add(time_ns, point, landed):
            return
        self._arrive(*point, time_ns, landed)
        track = self._track
        if track is None:
            self._start(*point, time_ns)
        elif not track.pinned and track.means(*point, time_ns, self._slack, landed):
            track.hold(*point, time_ns)
        elif not track.pinned:
            track.left_ns = time_ns if track.left_ns is None else track.left_ns
            if landed or time_ns - track.left_ns > self._config.linger_ms * 1e6:
                self._start(*point, time_ns)

    def approach(self, point: tuple[float, float], time_ns: int) -> None:
        """The eyes are about to land at `point`: the region waits for them there.

        What was followed is forgotten only once they hold something else.
        """
        self._catch_up()
        track = self._track
        if not self._is_inside(*point) or (track and track.pinned):
            return
        if track and track.means(*point, time_ns, self._slack, landed=False):
            if track.approached:
                track.aim(*point, time_ns)
            return
        before = self._before if track and track.approached else track
        self._start(*point, time_ns, approached=True)
        self._before = before

    def turn(self, pose: HeadPose) -> None:
        """The head, and the camera with it, has turned so: what is far moves in the picture."""
        self._turns.add(pose)

    def take(self, point: tuple[float, float], time_ns: int, side: float | None = None) -> None:
        """Follow what is at `point`, whatever the eyes do, until `release`: a tap in the app.

        `side` is the object's rough size in sensor pixels, where it is known. Raises ValueError for
        numbers that are none, and a side that is not above 0.
        """
        if not all(map(isfinite, point)) or not (side is None or 0 < side < inf):
            raise ValueError(f"a tap is a point and perhaps a side above 0, not {point}, {side}")
        self._catch_up()
        self._start(*point, time_ns, pinned=True)
        if side is not None and self._track:
            self._track.trials = Trials([side * (1 + 2 * self._config.padding)])

    def take_region(self, roi: Roi, time_ns: int) -> None:
        """Follow what fills `roi`, until `release`."""
        self._catch_up()
        self._start(*roi.centre, time_ns, pinned=True)
        self._fill(roi, time_ns)

    def release(self) -> None:
        """Forget the object; the next look starts anew."""
        if self._track:
            self._previous, self._track = self._track.id, None
            self._looks = Looks()
            if self._search:
                self._search.elsewhere()

    def predict(self, time_ns: int) -> Roi | None:
        """The region to look at for a picture taken then; None while nothing is tracked."""
        self._catch_up()
        track = self._track
        if track is None:
            return self._search.region if self._search else None
        region = self._region(track, time_ns)
        if track.wanted is None or self._moves(track.wanted, region):
            track.wanted = region
        track.asked, track.asked_ns = self._inside(track.wanted), time_ns
        if track.asked is None:
            self.release()
        elif track.trials:
            track.trials.ask(track.trials.side(time_ns), track.asked, time_ns)
        return track.asked

    def see(self, mask: Mask) -> Mask:
        """What the sensor saw: says whose mask it is, at once; `predict` learns from it first.

        Returns the mask with `track` and `roi_state`; one that belongs to nobody is emptied.
        """
        self._catch_up()
        track = self._track
        if track is None and self._search:
            return self._find(self._search, mask)
        if track is None or track.asked is None or overlap(mask.roi, track.asked) < 0.1:
            return _labelled(mask, self._previous if track else 0, mask.roi_state)
        held = not self._is_looked_at(track, mask.time_ns)
        state: RoiState = "held" if held and mask.roi_state == "stable" else mask.roi_state
        self._unlearned = track, mask
        return _labelled(mask if self._is_known(track, mask) else _emptied(mask), track.id, state)

    def _catch_up(self) -> None:
        """Learn from the mask that was told of: whoever waits for it has it by now."""
        if self._unlearned:
            (track, mask), self._unlearned = self._unlearned, None
            if track is self._track:
                self._learn(track, mask)

    def _region(self, track: Track, time_ns: int) -> Roi:
        """Around the object where it will be, wide enough to hold what is being looked at."""
        box = track.box(time_ns)
        if track.trials:
            side = track.trials.side(time_ns)
            return Roi.around(*box.centre, side, side)
        room = _ROOM_LATE if self._late_s else _ROOM
        unsure = room * track.belief.error(track.size, time_ns) / track.size
        unsure += _WIDER * max(_SURE - track.trust, 0.0)
        if track.gaze and self._is_looked_at(track, time_ns):
            gaze = self._turns.carry(track.gaze, track.looked_ns, time_ns)
            box = holding(box, *gaze, _AROUND_GAZE * min(track.extent.width, track.extent.height))
        share = (1 + 2 * (self._config.padding + unsure)) * track.widened
        sides = (max(side * share, self._least) for side in (box.width, box.height))
        return Roi.around(*box.centre, *sides)

    def _inside(self, region: Roi) -> Roi | None:
        """What the sensor can show of it, and no less than the smallest; None beside the sensor."""
        seen = visible(region, self._sensor)
        return seen and visible(at_least(seen, self._least, self._sensor), self._sensor)

    def _is_looked_at(self, track: Track, time_ns: int) -> bool:
        """Whether the last look at it was not long before."""
        return time_ns - track.looked_ns < self._config.coast_ms * 1e6

    def _moves(self, before: Roi, after: Roi) -> bool:
        """Whether an edge has moved by more than the deadband, which is wider for late masks."""
        deadband = self._config.deadband * (1 + _RESTFUL * self._late_s)
        across, down = deadband * after.width, deadband * after.height
        return (
            max(abs(after.left - before.left), abs(after.right - before.right)) > across
            or max(abs(after.top - before.top), abs(after.bottom - before.bottom)) > down
        )

    @property
    def _least(self) -> float:
        """A region's smallest side, in pixels."""
        return self._config.min_size * self._short

    # What happens at a look

    def _is_inside(self, x: float, y: float) -> bool:
        return 0 <= x < self._sensor.width and 0 <= y < self._sensor.height

    @property
    def _slack(self) -> float:
        """How far looks may miss what they mean, in pixels."""
        return _GAZE_ERROR * self._sensor.width

    def _arrive(self, x: float, y: float, time_ns: int, landed: bool) -> None:
        """The eyes hold something after an approach: what it led to, or still what was before."""
        track, before = self._track, self._before
        if track is None or not track.approached:
            return
        track.approached = False
        if before and before.means(x, y, time_ns, self._slack, landed):
            self._previous, self._track = track.id, before
        elif track.means(x, y, time_ns, self._slack, landed):
            track.aim(x, y, time_ns)

    def _start(
        self, x: float, y: float, time_ns: int, *, pinned: bool = False, approached: bool = False
    ) -> None:
        if self._track:
            self._previous = self._track.id
        self._last_id += 1
        sizes = self._start_sides
        self._track = Track(
            id=self._last_id,
            belief=Belief(x, y, sizes[0], time_ns, self._turns),
            extent=Extent(sizes[0], sizes[0], time_ns),
            turns=self._turns,
            looked_ns=time_ns,
            good_ns=time_ns,
            pinned=pinned,
            approached=approached,
            trials=Trials(sizes),
        )

    def _fill(self, box: Roi, time_ns: int) -> None:
        """The size of what was started is known."""
        if self._track:
            self._track.trials = None
            self._track.extent = Extent(box.width, box.height, time_ns)
            self._track.belief.measure(box.centre, self._track.size, time_ns, doubt=0.0)
            self._track.good_ns = time_ns

    @property
    def _start_sides(self) -> list[float]:
        grain = _GRAINS[self._config.granularity]
        return [grain * share * self._short for share in self._config.start_sizes]

    # What happens at a mask

    def _find(self, search: Search, mask: Mask) -> Mask:
        """Nobody looks: whether this mask shows something to follow."""
        if box := search.see(mask):
            never_ns = mask.time_ns - round(self._config.coast_ms * 1e6) - 1
            self._start(*box.centre, never_ns)
            self._fill(box, mask.time_ns)
        state: RoiState = "held" if mask.roi_state == "stable" else mask.roi_state
        return _labelled(mask, self.track, state)

    def _learn(self, track: Track, mask: Mask) -> None:
        landing = track.trials is not None
        seen = sight(mask, track.belief.centre(mask.time_ns), landing=landing)
        if track.trials:
            self._try(track, track.trials, mask, seen)
            return
        self._note_delay(track, mask)
        if mask.roi_state == "settling" and track.asked and alike(mask.roi, track.asked) < _ASKED:
            return  # of a region before it, which was long on its way
        point = self._looks.at(mask.time_ns)
        if point and track.left_ns is None and not track.pinned:
            track.follow_gaze(point, mask.time_ns, self._slack, self._late_s)
        if seen is None or mask.score < self._config.min_score or track.jumps(seen, self._slack):
            self._miss(track, mask)
            return
        track.follow(seen, self._late_s)
        self._doubt(track, seen, point)

    def _note_delay(self, track: Track, mask: Mask) -> None:
        """How late masks come is the sensor's doing: the next track begins knowing it."""
        late_ns = track.asked_ns - mask.time_ns
        self._late_s = late_ns / 1e9 if late_ns > _IN_TIME_NS else 0.0

    def _doubt(self, track: Track, seen: Sighting, point: tuple[float, float] | None) -> None:
        """A region that has drifted off shows unsure masks: while somebody looks, start again.

        So does one that is the wrong thing's: people look near the middle of what they look at, at
        the thing itself and not at what its outline leaves out, and their eyes move with it.
        """
        beside, off, sliding = 0.0, False, 0.0
        if point and track.left_ns is None:
            beside = off_middle(seen.box, point, least=self._slack)
            off = not seen.reaches(*point, _AT_MASK * self._slack)
            time_ns = seen.mask.time_ns
            track.sliding.note(point, seen.box.centre, time_ns, self._looks.landed_ns)
            sliding = self._against(track)
        far = max(min(beside, 1.0) - _MIDDLE, 0.0)
        sign = seen.mask.score - _OFF_MIDDLE * far - _OFF_MASK * off - sliding
        track.trust += _NEWEST * (sign - track.trust)
        looked_at = self._is_looked_at(track, seen.mask.time_ns)
        gaze = track.gaze if looked_at else None  # None too where one look is all there was
        late = _DOUBT_LATE * self._late_s
        doubt = max(_DOUBT - late, _DOUBT_HELD) if gaze else _DOUBT_HELD
        if track.pinned or track.trust >= doubt:
            return
        if gaze:
            self._again(track, seen, gaze)
        else:
            self.release()

    def _against(self, track: Track) -> float:
        """What eyes that do not move with it say against a thing, as score or IoU.

        Those of a large thing may move with one of its limbs.
        """
        with_limbs = _LIMBS * track.size + _STILL * self._sensor.width
        beyond = max(track.sliding.speed - with_limbs, 0.0) / self._sensor.width
        return min(_SLIDING * beyond, _SLIDING_MOST)

    def _again(self, track: Track, doubted: Sighting, gaze: tuple[float, float]) -> None:
        """Look for it anew; what is doubted may still turn out to be it.

        The starting sizes would cut what is larger than they are: there, a little wider and
        narrower than before, most times. But what the eyes move with while something else is shown
        is in front of that, and smaller.
        """
        track.restarts += 1
        side = max(doubted.mask.roi.width, doubted.mask.roi.height)
        sides = self._start_sides
        against = self._against(track)
        cut = side > _LARGE * sides[0] and track.restarts % _AFRESH
        if cut and not against and not self._late_s:
            sides = [min(share * side, self._short) for share in _AGAIN]
        track.trials = Trials(sides, doubted, against)
        track.sliding = Sliding()
        track.trust = 1.0
        track.belief = Belief(*gaze, sides[0], track.looked_ns, self._turns)

    def _is_known(self, track: Track, mask: Mask) -> bool:
        """Whether it is sure enough to say anything; the first ones after a look always are."""
        first = track.trials is not None and track.trials.doubted is None
        return first or mask.score >= self._config.min_score

    def _try(self, track: Track, trials: Trials, mask: Mask, seen: Sighting | None) -> None:
        """One starting size's mask; after the last one, what looks most like it is the object."""
        trials.see(mask, seen if self._is_known(track, mask) else None)
        if not trials.done:
            return
        grain = _GRAINS[self._config.granularity]
        best = trials.best(grain, lambda time_ns: self._looks.at(time_ns) or track.gaze)
        if best:
            track.settle(best, trials.candidates)
        else:
            self.release()

    def _miss(self, track: Track, mask: Mask) -> None:
        """An empty or doubtful mask: look a little wider, give up in the end."""
        track.widened = min(track.widened * 1.15, 2.0)
        if mask.time_ns - track.good_ns > self._config.release_ms * 1e6:
            self.release()


_GRAINS = {"part": 0.5, "object": 1.0, "whole": 2.0}  # times the starting sizes
_ASKED = 0.5  # IoU from which a mask is of the region asked for
_GAZE_ERROR = 0.03  # of the sensor's width: how far looks may miss what they mean
_IN_TIME_NS = 20_000_000  # no other exposure has been aimed at since
_ROOM = 0.9  # standard deviations of the object's place, beside the padding
_ROOM_LATE = 0.2  # the same where masks come late: a region as wide as that shows its neighbours
_SURE = 0.9  # mean score below which the region is wider
_WIDER = 0.9  # times what it is below it, as a share of the object on each side
_RESTFUL = 16.0  # times wider is the deadband a second that masks take: each move costs as long
_NEWEST = 0.28  # weight of the newest mask in the mean score
_AGAIN = 1.4, 0.9  # times the side of the region that is doubted
_AFRESH = 4  # every so many times the starting sizes are tried even so
_LARGE = 0.8  # of the first starting size: a region from there on
_DOUBT = 0.8  # mean score below which a region has drifted off, while somebody looks
_DOUBT_HELD = 0.65  # and while nobody does
_DOUBT_LATE = 0.6  # less a second that its masks take: to start again costs as much and more
_MIDDLE = 0.25  # of the object's sides: looks fall within it (Nuthmann & Henderson 2010)
_OFF_MIDDLE = 0.3  # of the score, for looks that lie a whole side beside it
_OFF_MASK = 0.15  # of the score, for looks that fall on none of its cells
_SLIDING = 6.0  # of the score, for eyes that slide over it by the sensor's width a second
_SLIDING_MOST = 0.4  # however fast they do
_LIMBS = 0.3  # of its size a second, by which eyes move with a part of it
_STILL = 0.04  # of the sensor's width a second, by which eyes are no better than still
_AT_MASK = 0.5  # of that by which looks may miss: cells that near are looked at
_AROUND_GAZE = 0.2  # of the object's shorter side: what the region holds around a look


def _labelled(mask: Mask, track: int, state: RoiState) -> Mask:
    m = mask if track else _emptied(mask)
    return Mask(m.bits, m.roi, m.sensor, m.time_ns, m.seq, m.score, track, state)


def _emptied(mask: Mask) -> Mask:
    return replace(mask, bits=np.zeros_like(mask.bits), score=0.0)
