"""The servo in many made worlds: `python -m tests.worlds [--first N] [--seeds N] [--model M]`.

Runs `glasses simulate` in worlds 0, 1, 2 ... (from `--first` on, `--frames` of each) and prints the
figures of all of them together: those of masks weighted by the frames in which something is looked
at, those of landings by landings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Report = dict[str, Any]


def simulate(seed: int, frames: int, model: str) -> Report:
    words = ("simulate", "--seed", seed, "--frames", frames, "--model", model, "--sensor", "host")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "glasses_sdk", *map(str, words), "--json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def together(reports: list[Report]) -> Report:
    def mean(of: Callable[[Report], Any], weight: str) -> Any:
        weights = [report[weight] for report in reports]
        return np.average([of(report) for report in reports], axis=0, weights=weights).round(3)

    by_frames = ("iou", "ceiling", "iou_by_size", "ceiling_by_size", "share_above_half")
    found = {name: mean(lambda report, name=name: report[name], "frames") for name in by_frames}
    found["settled_in_three"] = mean(lambda report: report["settled_in_three"], "landings")
    counts = {name: sum(report[name] for report in reports) for name in ("landings", "frames")}
    return {name: value.tolist() for name, value in found.items()} | counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--frames", type=int, default=450)
    parser.add_argument("--model", default="picosam3")
    asked = parser.parse_args()
    reports: list[Report] = []
    for seed in range(asked.first, asked.first + asked.seeds):
        reports.append(simulate(seed, asked.frames, asked.model))
        iou, ceiling = reports[-1]["iou"], reports[-1]["ceiling"]
        print(f"world {seed}: iou {iou:.3f}, ceiling {ceiling:.3f}", file=sys.stderr)
    print(json.dumps(together(reports), indent=1))


if __name__ == "__main__":
    main()
