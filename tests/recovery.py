"""How soon masks are back on an object that has left and returns: `python -m tests.recovery`.

For each cut-out a world of its own: the object swings out of the frame at either side and comes
back, and the eyes wait for it. `glasses simulate` counts the frames from their arrival on it until
a mask's IoU is at least 0.5, 1 for the first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from glasses_sdk.sensors.cutouts import load_cutouts
from glasses_sdk.sensors.world import Actor, Script, Swing, write_script

Report = dict[str, Any]
STILL = Swing(0.0, 0.0, 1.0, 0.0)


def there_and_back(cutout: str) -> Script:
    """It begins outside, and crosses the frame again and again."""
    actor = Actor(
        cutout=cutout,
        mirrored=False,
        x=Swing(0.5, 0.9, 12.0, 0.25),
        y=Swing(0.5, 0.1, 5.0, 0.0),
        log_height=Swing(log(0.35), 0.2, 11.0, 0.0),
        roll_deg=STILL,
    )
    return Script(1, 960, 540, 30.0, "gravel", STILL, STILL, (actor,))


def simulate(script: Script, frames: int, model: str) -> Report:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "world.json"
        write_script(script, path)
        words = ["--world", str(path), "--frames", str(frames), "--model", model]
        command = [sys.executable, "-P", "-m", "glasses_sdk", "simulate", "--sensor", "host"]
        done = subprocess.run([*command, *words, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=720)
    parser.add_argument("--model", default="picosam3")
    asked = parser.parse_args()
    reports: dict[str, Report] = {}
    for cutout in load_cutouts():
        reports[cutout] = simulate(there_and_back(cutout), asked.frames, asked.model)
    returns = [report["landings"] for report in reports.values()]
    in_three = [report["settled_in_three"] for report in reports.values()]
    found = {
        "returns": sum(returns),
        "in_three": round(float(np.average(in_three, weights=returns)), 3),
        "frames_p50": {name: report["settle_frames_p50"] for name, report in reports.items()},
        "iou": {name: round(report["iou"], 3) for name, report in reports.items()},
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
