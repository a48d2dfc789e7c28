"""The main job on a real video: a dog that is looked at, judged by outlines traced by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

DATA = os.environ.get("GLASSES_DATA")
HERE = Path(__file__).parent / "data" / "dog"
GONE = range(78, 100)  # frames in which nothing of the dog can be seen

pytestmark = pytest.mark.skipif(not DATA, reason="needs the dog's video: set GLASSES_DATA")


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory):
    """Every mask published while `glasses run` watches the video, as a subscriber sees them."""
    from glasses_sdk import MaskSubscriber, RecordingEnded, StaleStream

    address = f"ipc://{tmp_path_factory.mktemp('dog')}/masks"
    sensor = f"video:{DATA}/video/01_dog.mp4"
    words = ["--sensor", sensor, "--gaze", f"replay:{HERE}/gaze.csv", "--pace", "every"]
    seen = {}
    with MaskSubscriber(address, every=True) as subscriber:
        command = [sys.executable, "-P", "-m", "glasses_sdk", "run", *words]
        command += ["--model", "picosam3/fp32"]  # on any machine the same file
        process = subprocess.Popen([*command, "--frames", "289", "--bind", address])
        try:
            while len(seen) < 289:
                mask = subscriber.recv(timeout=30)
                seen[mask.seq] = mask
        except (TimeoutError, StaleStream, RecordingEnded):
            pass
        finally:
            process.wait(timeout=30)
    return seen


def _looked_at() -> set[int]:
    lines = (HERE / "gaze.csv").read_text().splitlines()[1:]
    return {int(line.split(",")[0]) * 30_000 // (1001 * 10**9) for line in lines}


def test_the_masks_lie_on_the_dog(masks) -> None:
    truth = json.loads((HERE / "truth.json").read_text())["frames"]
    ious = {}
    for frame, outlines in truth.items():
        dog = np.zeros((720, 1280), np.uint8)
        cv2.fillPoly(dog, [np.array(outline, np.int32) for outline in outlines], 1)
        mask = masks[int(frame)]
        cells = cv2.warpPerspective(
            mask.bits.astype(np.uint8), mask.to_sensor(), (1280, 720), flags=cv2.INTER_NEAREST
        )
        ious[frame] = (cells & dog).sum() / (cells | dog).sum()
    assert len(ious) == 20
    assert np.mean(list(ious.values())) >= 0.6, ious


def test_no_mask_is_empty_while_the_dog_is_looked_at(masks) -> None:
    looked_at = _looked_at()
    assert len(looked_at) > 200
    assert [frame for frame in sorted(looked_at) if frame in masks and not masks[frame].area] == []


def test_nothing_else_is_shown_while_the_dog_is_away(masks) -> None:
    assert [frame for frame in GONE if frame in masks and masks[frame].area] == []


def test_each_frame_is_published(masks) -> None:
    assert sorted(masks) == list(range(289))
