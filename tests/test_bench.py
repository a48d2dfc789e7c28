"""`glasses bench`: that it runs, says what it promises, and leaves nothing. No figure is judged."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from glasses_sdk import models
from glasses_sdk.bench.command import limits_of
from glasses_sdk.bench.report import Limits, Report, Spread, misses
from glasses_sdk.errors import ConfigError

STAGES = {"capture", "crop", "network", "tracker", "encode", "publish", "receive", "decode"}
CONTENDERS = {"host", "bare", "isolated", "ready", "bare-ready"}
GENEROUS = [f"--limit={field.name}=1e12" for field in fields(Limits)]
ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not models.released(), reason="no released model is here")


def command(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "glasses_sdk", "bench", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, str]:
    """Exit code, output and errors of a run of five rounds in which one limit cannot be held."""
    options = ["--json", "--check", "--rounds=5", "--masks=300", "--sensor=ready"]
    limits = [*GENEROUS, "--limit=ready_ratio=0.001"]
    with command(*options, *limits, folder=tmp_path_factory.mktemp("bench")) as run:
        try:
            out, errors = run.communicate(timeout=100)
        finally:
            run.kill()
    return run.returncode, out, errors


def test_a_tiny_run_says_everything_in_json(tiny):
    report = json.loads(tiny[1])
    assert report["stages"].keys() == STAGES
    assert report["ends"].keys() == CONTENDERS
    for spread in (*report["stages"].values(), *report["ends"].values()):
        assert 0 <= spread["p50_us"] <= spread["p99_us"]
    for name in ("floor_us", "ours_us", "ratio", "crop_ratio", "tracker_ratio", "tensors_us"):
        assert report[name] > 0
    for name in ("isolation_us", "clock_error_us", "rss_growth_bytes"):
        assert math.isfinite(report[name])
    assert report["rounds"] == 5


def test_the_ratio_is_that_of_the_sensor_asked_for(tiny):
    report = json.loads(tiny[1])
    assert report["sensor"] == "ready"
    assert report["ours_us"] == report["ends"]["ready"]["p50_us"]
    assert report["floor_us"] == report["ends"]["bare-ready"]["p50_us"]
    assert report["ratio"] == pytest.approx(report["ours_us"] / report["floor_us"], abs=0.001)


def test_a_limit_that_nothing_can_hold_fails_the_check_with_its_own_line(tiny):
    code, _, errors = tiny
    told = [line for line in errors.splitlines() if not line.startswith("bench:")]
    assert code == 1
    assert len(told) == 1
    assert "ratio (ready)" in told[0]
    assert "0.001" in told[0]


def sample(**changes: float | None) -> Report:
    ends = {"host": 1100, "bare": 1000, "isolated": 1200, "ready": 300, "bare-ready": 250}
    values = {"crop_ratio": 1.1, "tracker_ratio": 3.0, "clock_error_us": 5.0, "tensors_us": 40.0}
    values |= {"rss_growth_bytes": 0} | {k: v for k, v in changes.items() if k not in ends}
    ends |= {k: v for k, v in changes.items() if k in ends}
    spreads = {name: Spread(p50, 2 * p50) for name, p50 in ends.items()}
    return Report(sensor="host", rounds=1, stages={}, ends=spreads, **values)


def test_a_run_within_all_limits_misses_none():
    assert misses(sample(), Limits()) == []


def test_a_tracker_that_nothing_is_there_to_compare_with_is_left_out():
    assert misses(sample(tracker_ratio=None), Limits(tracker_ratio=0.0)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bare": 870}, "ratio (host)"),
        ({"isolated": 1400}, "isolation"),
        ({"bare-ready": 190}, "ratio (ready)"),
        ({"ready": 3300, "bare-ready": 3000}, "ours - floor"),
        ({"crop_ratio": 1.4}, "crop"),
        ({"tracker_ratio": 11.0}, "tracker"),
        ({"tensors_us": 101.0}, "tensors"),
        ({"rss_growth_bytes": 2_000_000}, "memory"),
        ({"clock_error_us": 14_000.0}, "clock"),
        ({"clock_error_us": math.nan}, "clock"),
    ],
)
def test_each_limit_is_looked_at(change, said):
    (line,) = misses(sample(**change), Limits())
    assert said in line


def test_the_median_and_the_99th_percentile_are_in_microseconds():
    spread = Spread.of([1000 * k for k in range(101)])
    assert (spread.p50_us, spread.p99_us) == (50.0, 99.0)


@pytest.mark.parametrize("change", ["speed=1", "host_ratio=fast", "host_ratio"])
def test_a_limit_that_is_none_is_refused_by_name(change):
    with pytest.raises(ConfigError, match=change.partition("=")[0]):
        limits_of([change])


def children(parent: int) -> set[int]:
    """All processes below this one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1])
    found, new = set(), {parent}
    while new:
        new = {pid for pid, above in parents.items() if above in new}
        found |= new
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_ctrl_c_leaves_no_process_and_no_file(tmp_path: Path):
    with command("--rounds=100000", "--masks=10", folder=tmp_path) as run:
        try:
            said = ""
            while "round 0" not in said:
                line = run.stderr.readline()
                assert line, f"ended after {said}"
                said += line
            below = children(run.pid)
            assert len(below) >= 12  # publishers, subscribers, and the locked-in camera
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=30)
        finally:
            run.kill()
    assert run.returncode == 130
    assert "Traceback" not in errors
    end = time.monotonic() + 10
    while any(map(alive, below)) and time.monotonic() < end:
        time.sleep(0.05)
    assert [pid for pid in below if alive(pid)] == []
    assert list(tmp_path.iterdir()) == []
