"""What of the wearer's gaze the tracker is told: the points that the eyes hold."""

from __future__ import annotations

from dataclasses import replace

from glasses_sdk.gaze.events import EventConfig, EventFilter, Movement
from glasses_sdk.gaze_map import GazeMap
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.types import Gaze

__all__ = ["Attention"]


class Attention:
    """Samples in the provider's plane become a tracker's looks: fixations and pursuit, no more.

    field_of_view_deg  width and height of that plane, where the configuration says none
    """

    def __init__(
        self,
        gaze_map: GazeMap,
        field_of_view_deg: tuple[float, float],
        config: EventConfig | None = None,
    ) -> None:
        config = config or EventConfig()
        view = config.field_of_view_deg or field_of_view_deg
        self._gaze_map = gaze_map
        self._events = EventFilter(replace(config, field_of_view_deg=view))

    def follow(self, tracker: RoiTracker, sample: Gaze, now_ns: int) -> Movement | None:
        """What the eyes do, in sensor pixels; None for a sample that does not count.

        now_ns  when it arrived, on its own clock
        """
        movement = self._events.take(sample, now_ns)
        if movement is None or movement.state == "blink":
            return movement
        gaze = movement.gaze
        x, y = self._gaze_map.to_sensor(gaze)
        if movement.slowing:
            tracker.approach((x, y), gaze.time_ns)
        if movement.state != "saccade":
            tracker.look((x, y), gaze.time_ns, movement.landed)
        return replace(movement, gaze=Gaze(gaze.time_ns, x, y, gaze.confidence))
