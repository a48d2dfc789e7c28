"""What of the wearer's gaze the tracker is told: the points that the eyes hold."""

from __future__ import annotations

from dataclasses import replace

from glasses_sdk.gaze.events import EventConfig, EventFilter, Movement
from glasses_sdk.gaze.guard import as_gaze
from glasses_sdk.gaze_map import GazeMap
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.types import Gaze, Size

__all__ = ["Attention"]

_SECOND_NS = 1_000_000_000


class Attention:
    """Samples in the provider's plane become a tracker's looks: fixations and pursuit, no more.

    Movements are judged in the provider's plane where that is 0 to 1, else in the sensor's: a
    provider may speak in pixels of a camera that nobody here knows.

    sensor             its size
    field_of_view_deg  width and height of the plane in which movements are judged, where the
                       configuration says none
    """

    def __init__(
        self,
        gaze_map: GazeMap,
        sensor: Size,
        field_of_view_deg: tuple[float, float],
        config: EventConfig | None = None,
    ) -> None:
        config = config or EventConfig()
        view = config.field_of_view_deg or field_of_view_deg
        self._sensor = sensor
        self._mapped = None if gaze_map.model == "scale" else gaze_map
        self._to_sensor = GazeMap.scale(sensor).to_sensor
        self._events = EventFilter(replace(config, field_of_view_deg=view))
        self._beside_ns: int | None = None  # since when all points lie beside the sensor
        self._newest_ns = 0

    @property
    def reason(self) -> str | None:
        """What is wrong with all points of the last second, `code: sentence`; None: nothing."""
        if self._beside_ns is None or self._newest_ns - self._beside_ns < _SECOND_NS:
            return None
        return "off-sensor: all gaze lies beside the sensor's picture; it may need a gaze map"

    def follow(self, tracker: RoiTracker, sample: Gaze, now_ns: int) -> Movement | None:
        """What the eyes do, in sensor pixels; None for a sample that does not count.

        now_ns  when it arrived, on its own clock
        """
        if self._mapped and sample.confidence > 0:
            sample = self._shared(sample, *self._mapped.to_sensor(sample))
        movement = self._events.take(sample, now_ns)
        if movement is None or movement.state == "blink":
            return movement
        gaze = movement.gaze
        x, y = self._to_sensor(gaze)
        self._note(x, y, gaze.time_ns)
        if movement.slowing:
            tracker.approach((x, y), gaze.time_ns)
        if movement.state != "saccade":
            tracker.look((x, y), gaze.time_ns, movement.landed)
        return replace(movement, gaze=Gaze(gaze.time_ns, x, y, gaze.confidence))

    def _shared(self, sample: Gaze, x: float, y: float) -> Gaze:
        """A point in sensor pixels as 0 to 1 of its sides; on a map's horizon there is none."""
        across, down = (x + 0.5) / self._sensor.width, (y + 0.5) / self._sensor.height
        return as_gaze(sample.time_ns, across, down, sample.confidence)

    def _note(self, x: float, y: float, time_ns: int) -> None:
        self._newest_ns = time_ns
        if 0 <= x < self._sensor.width and 0 <= y < self._sensor.height:
            self._beside_ns = None
        elif self._beside_ns is None:
            self._beside_ns = time_ns
