"""`python -m tests.imx500.simulate`: how true the masks of an IMX500 are whose region lags.

The sensor's code runs as it is, over the real picamera2 and a fake device that executes the network
on the region that is in effect. First the lag is measured, as `glasses calibrate latency roi` does;
then the eyes of a made world are followed. The same world and the same frames, seen by the host
sensor with the same network, give `host_iou`. The network is the released one of 8 bits.

    stable_iou    mean IoU of the stable masks with what the eyes are on, in full-sensor pixels
    host_iou      the host sensor's, on the same frames
    all_iou       of all masks
    stable_share  of the masks that come more than 3 x (lag + jitter) frames after the eyes have
                  landed, while the object moves less than a quarter of the region's width a second
    wrong_region  stable masks whose region is not the one that their frame showed

The full sensor is sampled at a quarter of its resolution.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from math import hypot
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import onnxruntime
from msgspec.structs import replace

from glasses_sdk import models
from glasses_sdk.gaze.attention import Attention
from glasses_sdk.gaze_map import GazeMap
from glasses_sdk.network import Network
from glasses_sdk.sensors.host import HostEngine
from glasses_sdk.sensors.imx500 import latency
from glasses_sdk.sensors.imx500.attribution import Attribution
from glasses_sdk.sensors.imx500.camera import Camera, Picamera
from glasses_sdk.sensors.imx500.engine import Engine, Seen
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.sensors.synthetic import SyntheticFrames, World, WorldGaze
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.types import Mask, Roi, Size
from tests.imx500.device import EXPOSURE_NS, SENSOR, Device, Tensors, Traits, plugged
from tests.imx500.rpk import write_rpk

VIEW = Size(SENSOR.width // 4, SENSOR.height // 4)
VIEW_DEG = 60.0, 47.0  # of the made world
_SLOW = 0.25  # of the region's width, a second


@dataclass(frozen=True)
class Told:
    """A mask as the tracker publishes it, whether the sensor called it stable, and rightly so.

    iou    with what the eyes are on, None while they are on nothing
    width  of its region, in pixels of the view
    """

    frame: int
    iou: float | None
    width: float
    stable: bool
    right: bool


@dataclass(frozen=True)
class Result:
    """See the top; `stable` and `watched` are how many masks count for their figures."""

    stable_iou: float
    host_iou: float
    stable_share: float
    all_iou: float
    wrong_region: int
    stable: int
    watched: int
    latency_frames: int


class Chip:
    """What the device does in silicon: a released network on a region of the made world."""

    def __init__(self, world: World, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options)
        height, width = self._session.get_inputs()[0].shape[1:3]
        self.cells = Size(width, height)
        self._world = world

    def __call__(self, frame: int, region: Roi) -> Tensors:
        picture = self._cut(self._world.render(frame), region)
        logits, *more = self._session.run(None, {"rgb": picture[None]})
        return [logits, *(one.ravel() for one in more)]

    def _cut(self, picture: np.ndarray, region: Roi) -> np.ndarray:
        """The region stretched to the input, from its own edges and not from whole pixels."""
        x = region.width / self.cells.width * VIEW.width / SENSOR.width
        y = region.height / self.cells.height * VIEW.height / SENSOR.height
        left = region.left * VIEW.width / SENSOR.width
        top = region.top * VIEW.height / SENSOR.height
        matrix = np.array([[x, 0, left + x / 2 - 0.5], [0, y, top + y / 2 - 0.5]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (self.cells.width, self.cells.height)
        return cv2.warpAffine(picture, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)


class LastSet(Attribution):
    """What everybody else does: the region that was set last made the mask."""

    def shown(self, frame: int) -> tuple[Roi, bool]:
        return self.newest, True


@contextmanager
def opened(device: Device, spec: Imx500Spec) -> Generator[Picamera]:
    """The started camera over this device."""
    with plugged(device):
        camera = Picamera(spec)
        try:
            camera.start()
            yield camera
        finally:
            camera.close()


def wait(device: Device, camera: Camera) -> None:
    """Until the device's next frame is there."""
    while not device.tick():
        pass
    latency.wait_for(camera)


def measured(device: Device, spec: Imx500Spec) -> Imx500Spec:
    """With the lag as `glasses calibrate latency roi` measures it."""
    with opened(device, spec) as camera:
        found = latency.measure(camera, spec, device.now_ns, wait=partial(wait, device))
    return replace(spec, latency_frames=found.frames, jitter_frames=found.jitter)


def follow(device: Device, world: World, spec: Imx500Spec, frames: int) -> Iterator[Told]:
    """The loop over the sensor's own code."""
    tracker, attention = RoiTracker(SENSOR), Attention(GazeMap.scale(SENSOR), SENSOR, VIEW_DEG)
    with opened(device, spec) as camera:
        engine = Engine(camera, spec, device.now_ns)
        first_ns = device.first_ns - EXPOSURE_NS // 2
        gaze = WorldGaze(world, first_ns, device.now_ns)
        for _ in range(frames):
            wait(device, camera)
            for seen in filter(None, map(engine.see, camera.take())):
                mask = _mask(seen)
                frame = round((mask.time_ns - first_ns) * world.fps / 1e9)
                shown = device.shown[seen.time_ns + EXPOSURE_NS // 2]
                given = mask if seen.elsewhere else tracker.see(mask)  # those are held back
                yield Told(
                    frame,
                    _iou(world, frame, given),
                    mask.roi.width * VIEW.width / SENSOR.width,
                    stable=seen.state == "stable",
                    right=seen.roi == shown,
                )
            for look in gaze.read():
                attention.follow(tracker, look, device.now_ns())
            engine.aim(tracker.predict(engine.due().exposure_ns(device.now_ns())))


def _mask(seen: Seen) -> Mask:
    return Mask(
        seen.bits, seen.roi, SENSOR, seen.time_ns, seen.number, seen.score, roi_state=seen.state
    )


def host(world: World, network: Network, frames: int) -> Iterator[float | None]:
    """How true the host sensor's masks are, of the same eyes and frame by frame."""
    engine = HostEngine(SyntheticFrames(world, "every", frames), network)
    tracker, attention = RoiTracker(VIEW), Attention(GazeMap.scale(VIEW), VIEW, VIEW_DEG)
    gaze = WorldGaze(world, engine.next_ns(), engine.next_ns)
    for frame in range(frames):
        for look in gaze.read():
            attention.follow(tracker, look, engine.next_ns())
        roi = tracker.predict(engine.next_ns())
        seen = engine.step(lambda roi=roi: roi)
        assert seen is not None
        mask = Mask(seen.bits, seen.roi, VIEW, seen.time_ns, seen.seq, seen.score)
        yield _iou(world, frame, tracker.see(mask))


def simulate(
    traits: Traits, frames: int, attributed: bool = True, model: Path | None = None
) -> Result:
    """Everything, in the world of the device's seed."""
    model = model or models.find(f"{models.DEFAULT}/int8")
    world = World(traits.seed, VIEW, traits.rate_hz)
    chip = Chip(world, model)
    with tempfile.TemporaryDirectory() as name, _regions(attributed):
        folder = Path(name)
        rpk = write_rpk(folder / "network.rpk", chip.cells)
        still = Device(lambda _, region: chip(0, region), folder, traits, paced=False)
        spec = measured(still, Imx500Spec(str(rpk), rate_hz=traits.rate_hz))
        told = list(follow(Device(chip, folder, traits, paced=False), world, spec, frames))
    stable = [one for one in told if one.stable and one.iou is not None]
    of_host = list(host(world, Network(model), frames))
    watched = list(_watched(world, traits, told, frames))
    return Result(
        stable_iou=_mean([one.iou for one in stable]),
        host_iou=_mean([of_host[one.frame] for one in stable]),
        stable_share=_mean([one.stable for one in watched]),
        all_iou=_mean([one.iou for one in told]),
        wrong_region=sum(one.stable and not one.right for one in told),
        stable=len(stable),
        watched=len(watched),
        latency_frames=spec.latency_frames or 0,
    )


@contextmanager
def _regions(attributed: bool) -> Generator[None]:
    name = "glasses_sdk.sensors.imx500.engine.Attribution"
    with nullcontext() if attributed else patch(name, LastSet):
        yield


def _watched(world: World, traits: Traits, told: Sequence[Told], frames: int) -> Iterator[Told]:
    """The masks long enough after a landing, while the object is slow for its region."""
    late = 3 * (traits.lag + traits.jitter)
    dwelt = {i for one in world.landings(frames) for i in range(one.frame + late + 1, one.stop)}
    for one in told:
        before, now = world.truth(one.frame - 1), world.truth(one.frame)
        if one.frame in dwelt and before and now:
            speed = _distance(before.box, now.box) * world.fps
            if speed < _SLOW * one.width:
                yield one


def _distance(one: Roi, other: Roi) -> float:
    (x, y), (u, v) = one.centre, other.centre
    return hypot(u - x, v - y)


def _iou(world: World, frame: int, mask: Mask) -> float | None:
    truth = world.truth(frame)
    if truth is None:
        return None
    seen = mask.full(VIEW)
    union = np.count_nonzero(seen | truth.mask)
    return np.count_nonzero(seen & truth.mask) / union if union else 1.0


def _mean(values: Sequence[float | None]) -> float:
    """Of those that there are."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lag", type=int, default=2, help="frames that a region takes effect late")
    parser.add_argument("--jitter", type=int, default=0, help="frames that it may take longer")
    parser.add_argument("--seed", type=int, default=0, help="which made world")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--model", type=Path, help="an .onnx file")
    parser.add_argument("--no-attribution", action="store_true", help="believe the region set last")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    traits = Traits(lag=chosen.lag, jitter=chosen.jitter, seed=chosen.seed)
    result = simulate(traits, chosen.frames, not chosen.no_attribution, chosen.model)
    if chosen.json:
        print(json.dumps(asdict(result)))
        return
    for name, value in asdict(result).items():
        print(f"{name:15} {value:.3f}" if isinstance(value, float) else f"{name:15} {value}")


if __name__ == "__main__":
    main()
