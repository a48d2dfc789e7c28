"""What stands between a tracker's stream and the loop: bad samples are dropped, and it says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import exp, isfinite, nan

from glasses_sdk.types import Gaze

__all__ = ["FARTHEST", "MAX_AGE_MS", "Guard", "Named", "as_gaze"]

MAX_AGE_MS = 150.0  # of a look that still says where the eyes are
FARTHEST = 1e6  # no plane is so large, in pixels either

_SECOND_NS = 1_000_000_000
_AHEAD_NS = 50_000_000  # two clocks may differ by so much
_LONGEST_STEP_S = 0.1  # of a tracker: 10 Hz
_BURST = 4  # times the usual rate
_SPARE = 32.0  # samples that may come closer together
_LEARN_S = 4.0  # how long a rate lasts before it is the usual one


def as_gaze(time_ns: float, x: float, y: float, confidence: float) -> Gaze:
    """The sample as a tracker said it, whatever it said: without a point or trust it is a blink.

    A time that is no number becomes 0, which no `Guard` takes for now.
    """
    when = int(time_ns) if isfinite(time_ns) else 0
    if not (abs(x) < FARTHEST and abs(y) < FARTHEST and confidence > 0):  # nor NaN
        return Gaze(when, nan, nan, 0.0)
    return Gaze(when, float(x), float(y), min(float(confidence), 1.0))


class Guard:
    """Watches one stream of samples whose times are on our clock (monotonic ns).

    Build each sample with `as_gaze` (NaN becomes a blink) and ask `admit`. Faults and answers:

    | code       | what                                             | answer                       |
    |------------|--------------------------------------------------|------------------------------|
    | no-gaze    | only blinks or NaN for a second                  | the blinks are handed on     |
    | zeros      | a point of exactly (0, 0)                        | becomes a blink              |
    | frozen     | the very same point for a second                 | dropped until it moves       |
    | unsorted   | older than the sample before it                  | dropped                      |
    | duplicate  | the same time twice                              | dropped                      |
    | burst      | more than 4 times the usual rate for a while     | thinned                      |
    | late       | older than `max_age_ms`, or in the future        | dropped                      |
    | clock-jump | late for a second on end                         | from then on arrival counts  |
    | malformed  | the source calls `refuse`                        |                              |
    | silent     | nothing has come for a second                    |                              |

    A rate that stays is the usual one soon; a clock that comes right again counts again.

    clock       now, in monotonic ns
    max_age_ms  between a sample's time and its arrival
    eyes        False where a hand makes the samples: it may rest, at (0, 0) too, and be silent
    """

    def __init__(
        self, clock: Callable[[], int], max_age_ms: float = MAX_AGE_MS, *, eyes: bool = True
    ) -> None:
        self._clock = clock
        self._max_age_ns = max_age_ms * 1e6
        self._eyes = eyes
        self._fault = ""
        self._fault_ns = -_SECOND_NS
        self._came_ns = self._pointed_ns = clock()
        self._last: Gaze | None = None  # the newest that was admitted
        self._rests_ns = 0  # since when the point is the same
        self._newest_ns: int | None = None
        self._rate_hz: float | None = None  # the usual one
        self._spare = _SPARE  # samples that may still come too close together
        self._shift_ns = 0  # added to the stream's own times
        self._wrong_ns: int | None = None  # since when its times make no sense
        self._least_ns = 0  # age of the samples since then

    @property
    def reason(self) -> str | None:
        """What has been wrong within the last second, `code: sentence`; None when all is well."""
        now = self._clock()
        if self._eyes and now - self._came_ns > _SECOND_NS:
            return "silent: the gaze source has sent nothing for more than a second"
        return self._fault if now - self._fault_ns < _SECOND_NS else None

    def admit(self, sample: Gaze) -> Gaze | None:
        """The sample as it may be used, None where it may not; never raises."""
        self._came_ns = now = self._clock()
        timed = self._timed(sample, now)
        if timed is None or not self._in_turn(timed):
            return None
        seen = self._seen(timed, now)
        if self._frozen(seen):
            return None
        self._last = seen
        return seen

    def admit_all(self, samples: Iterable[Gaze]) -> list[Gaze]:
        """What came together, sorted by time, without what may not be used."""
        admitted = map(self.admit, sorted(samples, key=lambda sample: sample.time_ns))
        return [sample for sample in admitted if sample is not None]

    def refuse(self, what: str, code: str = "malformed") -> None:
        """Something came that is no sample, or not wanted; `what` is the reason's sentence."""
        self._came_ns = self._clock()
        self._say(f"{code}: {what}")

    def _say(self, reason: str) -> None:
        """The first of one code stands as long as there are more: each change is a status."""
        fresh = self._came_ns - self._fault_ns < _SECOND_NS
        if not fresh or self._fault.partition(":")[0] != reason.partition(":")[0]:
            self._fault = reason
        self._fault_ns = self._came_ns

    def _timed(self, sample: Gaze, now: int) -> Gaze | None:
        age_ns = now - sample.time_ns
        shifts = [shift for shift in (0, self._shift_ns) if self._is_in_time(age_ns - shift)]
        if shifts:
            self._shift_ns, self._wrong_ns = shifts[0], None
        else:
            self._doubt(age_ns, now)
            if self._wrong_ns is not None or not self._is_in_time(age_ns - self._shift_ns):
                return None
        if self._shift_ns:
            self._say("clock-jump: the gaze source's clock is not ours; the arrival counts")
        return replace(sample, time_ns=sample.time_ns + self._shift_ns)

    def _is_in_time(self, age_ns: int) -> bool:
        return -_AHEAD_NS < age_ns < self._max_age_ns

    def _doubt(self, age_ns: int, now: int) -> None:
        """One wrong time is dropped; if all are for a second, the clock has jumped.

        The quickest of that second is then taken to have arrived at once.
        """
        where = "old" if age_ns > 0 else "in the future"
        self._say(f"late: gaze is dropped that is {abs(age_ns) / 1e9:.1f} s {where}")
        if self._wrong_ns is None:
            self._wrong_ns, self._least_ns = now, age_ns
        self._least_ns = min(self._least_ns, age_ns)
        if now - self._wrong_ns >= _SECOND_NS:
            self._shift_ns, self._wrong_ns = self._least_ns, None

    def _in_turn(self, sample: Gaze) -> bool:
        if self._newest_ns is None:
            self._newest_ns = sample.time_ns
            return True
        step_ns = sample.time_ns - self._newest_ns
        if step_ns < 0:
            self._say("unsorted: gaze samples come out of order; the older ones are dropped")
            return False
        if step_ns == 0:
            self._say("duplicate: gaze samples come twice; the second is dropped")
            return False
        self._newest_ns = sample.time_ns
        return self._in_measure(step_ns / 1e9)

    def _in_measure(self, step: float) -> bool:
        """A bucket of `_SPARE` samples, which fills at `_BURST` times the usual rate."""
        if self._rate_hz is None and step > _LONGEST_STEP_S:
            return True  # a pause is no rate
        rate = self._rate_hz or 1 / step
        step = min(step, _BURST / rate)  # a pause is no slower rate
        self._rate_hz = rate + (1 - exp(-step / _LEARN_S)) * (1 / step - rate)
        self._spare = min(self._spare + _BURST * rate * step, _SPARE)
        if self._spare < 1:
            self._say(f"burst: gaze comes at more than {_BURST} times its rate; it is thinned")
            return False
        self._spare -= 1
        return True

    def _seen(self, sample: Gaze, now: int) -> Gaze:
        """As it came; a point of exactly (0, 0) is what trackers say that have lost the eye."""
        if self._eyes and sample.confidence > 0 and sample.x == sample.y == 0:
            self._say("zeros: the gaze source says (0, 0), which no eye looks at exactly")
            return Gaze(sample.time_ns, nan, nan, 0.0)
        if sample.confidence > 0:
            self._pointed_ns = now
        elif now - self._pointed_ns > _SECOND_NS:
            self._say("no-gaze: the gaze source sees no eye; is it worn and calibrated?")
        return sample

    def _frozen(self, sample: Gaze) -> bool:
        last = self._last
        if last is None or (sample.x, sample.y) != (last.x, last.y) or not self._eyes:
            self._rests_ns = sample.time_ns
            return False
        if sample.confidence == 0 or sample.time_ns - self._rests_ns <= _SECOND_NS:
            return False
        self._say("frozen: the gaze source says the very same point for more than a second")
        return True


class Named:
    """Whose samples are taken, of those that other programs push: `name` None takes everybody's."""

    def __init__(self, name: str | None, clock: Callable[[], int]) -> None:
        self._name = name
        self._clock = clock
        self._taken_ns = self._other_ns = clock() - _SECOND_NS
        self._other = ""

    def takes(self, name: str) -> bool:
        """A sample came under this name."""
        if self._name is None or name == self._name:
            self._taken_ns = self._clock()
            return True
        self._other, self._other_ns = name, self._clock()
        return False

    @property
    def reason(self) -> str | None:
        """That in the last second others alone have come."""
        last_ns = self._clock() - _SECOND_NS
        if self._taken_ns > last_ns or self._other_ns <= last_ns:
            return None
        return f"other-name: {self._other!r} is pushed, and {self._name!r} is wanted"
