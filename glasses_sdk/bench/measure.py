"""The conductor: starts all contenders, gives each a frame in turn, and collects what it takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from glasses_sdk.bench.contender import Contender, Program
from glasses_sdk.bench.ratios import crop_ratio, tensors_us, tracker_ratio
from glasses_sdk.bench.report import RECEIVED, SENT, Report, SensorKind, Spread
from glasses_sdk.transport import Control, addresses_of

__all__ = ["MASKS", "ROUNDS", "measure"]

ROUNDS = 300
MASKS = 20_000

_WARM_UP = 10
_PAUSE_S = 0.004  # what a loop has to do after its mask is over by then
_ESTIMATES = 5
_STAGES = "stages"

Say = Callable[[str], None]


def measure(
    model: Path,
    sensor: SensorKind = "host",
    rounds: int = ROUNDS,
    masks: int = MASKS,
    say: Say = lambda _: None,
) -> Report:
    """Run everything.

    rounds  frames that each contender gets
    masks   how many are sent while the growth in memory is watched
    say     is told what is going on

    Raises GlassesError when a contender ends or gives no mask. Nothing is left behind, however it
    ends: no process, no socket, no file.
    """
    say("memory")
    growth = _growth(masks)
    say("crop, tracker and tensors")
    few = min(rounds, ROUNDS)
    crop, tracker, tensors = crop_ratio(few), tracker_ratio(few), tensors_us(few)
    if tracker is None:
        say("the tracker is not compared: filterpy is not installed, see the extra `dev`")
    with ExitStack() as stack:
        say("starting the contenders")
        contenders = _open_all(stack, str(model.resolve()))
        say("clock")
        clock_error_us = _clock_error_us(contenders[0].address)
        ends, stages = _race(contenders, rounds, say)
    return Report(
        sensor=sensor,
        rounds=rounds,
        stages=stages,
        ends=ends,
        crop_ratio=round(crop, 3),
        tracker_ratio=tracker and round(tracker, 3),
        tensors_us=round(tensors, 1),
        clock_error_us=clock_error_us,
        rss_growth_bytes=growth,
    )


def _growth(masks: int) -> int:
    with Program("stages", "memory", str(masks)) as program:
        return int(program.line(seconds=120.0))


def _open_all(stack: ExitStack, model: str) -> list[Contender]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glasses-bench-")))
    contenders = [
        stack.enter_context(Contender(name, folder, sender, receiver))
        for name, sender, receiver in (
            ("host", ("ours", "host", model), ("ours", "subscriber")),
            ("bare", ("bare", "camera", model), ("bare", "subscriber")),
            ("isolated", ("ours", "isolated", model), ("ours", "subscriber")),
            ("ready", ("ours", "ready", ""), ("ours", "subscriber")),
            ("bare-ready", ("bare", "ready", ""), ("bare", "subscriber")),
            (_STAGES, ("stages", "sender", model), ("stages", "receiver")),
        )
    ]
    for contender in contenders:
        contender.connect()
    return contenders


def _clock_error_us(stream: str) -> float:
    """The worst of a few estimates, while the camera gives nothing: both clocks are the same."""
    time.sleep(0.3)
    with Control(addresses_of(stream).control) as control:
        offsets = [control.clock().offset_ns for _ in range(_ESTIMATES)]
    return max(map(abs, offsets)) / 1e3


def _race(
    contenders: Sequence[Contender], rounds: int, say: Say
) -> tuple[dict[str, Spread], dict[str, Spread]]:
    """From frame to mask by contender, and stage by stage. Every other round runs backwards."""
    ends: dict[str, list[int]] = {one.name: [] for one in contenders if one.name != _STAGES}
    stages: dict[str, list[int]] = {name: [] for name in (*SENT, *RECEIVED)}
    for number in range(-_WARM_UP, rounds):
        if number % 50 == 0:
            say(f"round {number} of {rounds}")
        for contender in contenders[:: 1 if number % 2 else -1]:
            times = _frame(contender)
            if number >= 0:
                _note(contender.name, times, ends, stages)
    return _spreads(ends), _spreads(stages)


def _frame(contender: Contender) -> list[int]:
    seq = contender.tick()
    received = contender.receiver.of_frame(seq)
    sent = contender.sender.of_frame(seq) if contender.name == _STAGES else []
    time.sleep(_PAUSE_S)
    return sent + received


def _note(
    name: str, times: list[int], ends: dict[str, list[int]], stages: dict[str, list[int]]
) -> None:
    if name != _STAGES:
        ends[name].append(times[0])
        return
    for stage, spent in zip((*SENT, *RECEIVED), times, strict=True):
        stages[stage].append(spent)


def _spreads(times: dict[str, list[int]]) -> dict[str, Spread]:
    return {name: Spread.of(spent) for name, spent in times.items()}
