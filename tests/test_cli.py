"""The command line as its user has it: a process, its exit code, and what it prints."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from glasses_sdk import models
from glasses_sdk.sensors.world import write_script
from tests.recovery import there_and_back

COMMAND = [sys.executable, "-P", "-m", "glasses_sdk"]
MASK_KEYS = [
    "v",
    "topic",
    "device",
    "session",
    "seq",
    "t_capture_ns",
    "t_publish_ns",
    "width",
    "height",
    "encoding",
    "data",
    "roi",
    "sensor",
    "roi_state",
    "track",
    "score",
    "area",
    "model",
    "privacy",
]


def surroundings(**extra: str) -> dict[str, str]:
    """This process's environment without settings of ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GLASSES_")}
    return {**kept, **extra}


def glasses(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end in a folder of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=surroundings(**extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room: the path of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="g", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def place(tmp_path: Path, film: Callable[..., Path], bright: Path) -> Path:
    """A folder with a film, a model, and several things that are not what they should be."""
    film("film.avi", frames=20)
    cut = film("cut.avi", frames=30)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    (tmp_path / "diary.mp4").write_text("Dear diary, this is no video.\n" * 40)
    (tmp_path / "cut.onnx").write_bytes(models.find(models.DEFAULT).read_bytes()[:50_000])
    header = "time_ns,x,y,confidence\n"
    (tmp_path / "nan.csv").write_text(f"{header}0,0.5,0.5,1\n10,nan,0.5,1\n")
    (tmp_path / "unsorted.csv").write_text(f"{header}20,0.5,0.5,1\n10,0.5,0.5,1\n")
    (tmp_path / "key.toml").write_text("[sensor]\nsuorce = 'auto'\n")
    (tmp_path / "type.toml").write_text("[sensor]\nframes = 'many'\n")
    return tmp_path


RUN = ("run", "--sensor", "video:film.avi", "--model", "bright.onnx", "--bind", "tcp://127.0.0.1:*")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((*RUN, "--model", "none.onnx"), "no model 'none.onnx': give a .onnx file or one of"),
        ((*RUN, "--model", "cut.onnx"), "no model that onnxruntime can load"),
        ((*RUN, "--sensor", "video:diary.mp4"), "diary.mp4 is no video that OpenCV can read"),
        ((*RUN, "--sensor", "webcam:77"), "no webcam 77: there is no /dev/video77"),
        ((*RUN, "--sensor", "telescope"), "no sensor 'telescope'; known: webcam:0, video:FILE"),
        (
            (*RUN, "--gaze", "stars"),
            "no gaze source 'stars'; known: auto, centre, none, replay:FILE",
        ),
        ((*RUN, "--gaze", "replay:nan.csv"), "nan.csv, line 3: a gaze point needs finite numbers"),
        ((*RUN, "--gaze", "replay:unsorted.csv"), "unsorted.csv, line 3: time goes back"),
        ((*RUN, "--pace", "quick"), "--pace: [sensor] pace is 'realtime' or 'every', not 'quick'"),
        ((*RUN, "--bind", "tcp://0.0.0.0:5570"), "--bind: [stream] tcp://0.0.0.0:5570 can be"),
        ((*RUN, "--config", "key.toml"), "key.toml: no setting sensor.suorce; known: source"),
        ((*RUN, "--config", "type.toml"), "type.toml: [sensor] frames = 'many' is of the wrong"),
        (("evaluate", "--annotations", "none.json"), "cannot read annotations none.json: No such"),
        (("evaluate", "--annotations", "x", "--protocol", "round"), "no protocol 'round'; known"),
    ],
)
def test_what_is_wrong_is_one_sentence_on_standard_error(
    place: Path, arguments: tuple[str, ...], sentence: str
):
    result = glasses(place, *arguments)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("glasses: ")
    assert sentence in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif(Path("/dev/video0").exists(), reason="this machine has a camera")
def test_without_a_camera_auto_says_what_else_there_is(tmp_path: Path):
    result = glasses(tmp_path, "run")
    assert result.returncode == 1
    assert result.stderr.startswith("glasses: no camera here")
    assert "--sensor synthetic" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_named(place: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{min(taken.getsockname()[1], 65533)}"
        result = glasses(place, *RUN, "--bind", address)
    assert result.returncode == 1
    assert result.stderr == (
        f"glasses: {address} is in use: stop the other publisher or bind another address\n"
    )


def test_a_video_that_breaks_off_ends_the_run_with_the_reason(place: Path):
    result = glasses(place, *RUN, "--sensor", "video:cut.avi", "--pace", "every")
    assert result.returncode == 1
    *_, last = result.stderr.splitlines()
    assert last.startswith("glasses: video cut.avi breaks off after frame")
    assert "Traceback" not in result.stderr


def test_a_recording_is_run_to_its_end_and_counted(place: Path):
    result = glasses(place, *RUN, "--pace", "every", "--frames", "25")
    assert result.returncode == 0
    said = result.stderr.splitlines()
    assert said[0].startswith("sensor video:film.avi, 64x48; model bright@")
    assert said[1].startswith("masks on tcp://127.0.0.1:")
    assert "*" not in said[1]
    assert said[-1] == "the recording has ended after 25 masks"


def test_a_wrong_flag_shows_how_to_get_help(tmp_path: Path):
    result = glasses(tmp_path, "run", "--sensro", "auto")
    assert result.returncode == 2
    assert "No such option: --sensro" in result.stderr
    assert "--help" in result.stderr
    assert "Traceback" not in result.stderr


# Subscribers, models, settings


class Said:
    """What a process says on standard error, line by line as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        self._new = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait_for(self, words: str, seconds: float = 30) -> bool:
        """Whether a line with these words came before the process ended."""
        with self._new:
            self._new.wait_for(lambda: self._over or self._has(words), seconds)
            return self._has(words)

    def join(self) -> None:
        self._thread.join(10)

    def _has(self, words: str) -> bool:
        return any(words in line.rpartition("|")[2] for line in self.lines)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._new:
                self.lines.append(line.rstrip("\n"))
                self._new.notify_all()
        with self._new:
            self._over = True
            self._new.notify_all()


@contextmanager
def started(
    folder: Path, *arguments: str, options: tuple[str, ...] = ()
) -> Iterator[tuple[subprocess.Popen[str], Said]]:
    """The command in a process group of its own, as a terminal starts it; killed in the end."""
    process = subprocess.Popen(
        [sys.executable, *options, "-P", "-m", "glasses_sdk", *arguments],
        cwd=folder,
        env=surroundings(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = Said(process)
    try:
        yield process, said
    finally:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said.join()
        assert process.stderr is not None
        process.stderr.close()


def alive(group: int) -> bool:
    """Whether any process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def gone(group: int, seconds: float = 3) -> bool:
    """Whether no process of the group is there, in so many seconds."""
    deadline = time.monotonic() + seconds
    while alive(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(group)


def test_a_subscriber_prints_each_masks_payload_as_json(place: Path, short: Path):
    bind = f"ipc://{short}/masks"
    running = (*RUN, "--bind", bind, "--frames", "1000000")
    with started(place, *running) as (_, said):
        assert said.wait_for(f"masks on {bind}; see them with: glasses sub {bind}")
        result = glasses(place, "sub", bind, "--json", "--count", "3")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 3
    for fields in lines:
        assert list(fields) == [*MASK_KEYS, "age_ms"]
        data = np.frombuffer(base64.b64decode(fields["data"], validate=True), np.uint8)
        assert data.size == fields["height"] * ((fields["width"] + 7) // 8)
        assert np.unpackbits(data).sum() == fields["area"]
        assert (fields["v"], fields["topic"]) == (1, "g1.mask.glasses")
        assert (fields["sensor"], fields["encoding"]) == ([64, 48], "bits")
        assert fields["t_publish_ns"] >= fields["t_capture_ns"]
        assert fields["age_ms"] > 0
    assert lines[0]["seq"] < lines[1]["seq"] < lines[2]["seq"]


def test_a_subscriber_without_a_publisher_says_so_and_not_for_ever(tmp_path: Path, short: Path):
    result = glasses(tmp_path, "sub", f"ipc://{short}/nobody", "--count", "1", "--wait", "4")
    assert result.returncode == 1
    reason = f"never connected to ipc://{short}/nobody: is a publisher running there?"
    assert result.stderr == f"waiting: {reason}\nglasses: {reason}\n"


def test_a_subscriber_that_came_first_waits_for_the_publisher(place: Path, short: Path):
    bind = f"ipc://{short}/masks"
    command = [*COMMAND, "sub", bind, "--count", "1", "--wait", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        time.sleep(3.5)
        with started(place, *RUN, "--bind", bind, "--frames", "1000000"):
            told, _ = first.communicate(timeout=30)
    assert first.returncode == 0
    assert "/s  age" in told


def test_the_models_that_are_here_are_listed_with_the_default(tmp_path: Path):
    result = glasses(tmp_path, "models", "list")
    assert result.returncode == 0
    (default,) = [line for line in result.stdout.splitlines() if line.endswith("(default)")]
    assert default.startswith("picosam3 ")
    assert str(models.find("picosam3").parent) in default


def test_the_released_models_are_what_was_released(tmp_path: Path):
    result = glasses(tmp_path, "models", "verify")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert ["picosam3/fp32.onnx", "as released"] in rows
    assert {row[1] for row in rows} == {"as released"}


def test_settings_are_shown_with_where_each_came_from(tmp_path: Path):
    (tmp_path / "glasses.toml").write_text("[tracker]\ncoast_ms = 100\n[sensor]\nthreads = 2\n")
    result = glasses(tmp_path, "config", "show", GLASSES_SENSOR_THREADS="3", GLASSES_DATA="/x")
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert result.returncode == 0
    assert rows["tracker.coast_ms"] == ["100.0", "glasses.toml"]
    assert rows["sensor.threads"] == ["3", "GLASSES_SENSOR_THREADS"]
    assert rows["sensor.source"] == ["'auto'", "default"]


# Ctrl-C


MOMENTS = {
    "the first of our modules is there": ("glasses_sdk.errors", 0.0),
    "the command line is there": ("glasses_sdk.cli", 0.0),
    "settings are being read": ("msgspec", 0.0),
    "the decoder is loaded": ("cv2", 0.0),
    "everything is loaded": ("glasses_sdk.pipeline", 0.0),
    "the sensor starts": ("glasses_sdk.pipeline", 0.15),
    "the sensor opens": ("glasses_sdk.pipeline", 0.6),
    "it says that it runs": ("Ctrl-C stops", 0.0),
    "masks stream": ("Ctrl-C stops", 0.7),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_it_at_once_and_leaves_nothing(place: Path, short: Path, moment: str):
    words, then = MOMENTS[moment]
    running = (*RUN, "--bind", f"ipc://{short}/masks", "--frames", "1000000")
    # importtime prints a line once a module has been loaded: moments that do not depend on speed
    with started(place, *running, options=("-X", "importtime")) as (process, said):
        assert said.wait_for(words), said.lines[-5:]
        time.sleep(then)
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(timeout=10)
        assert gone(process.pid)
        said.join()
    told = [line for line in said.lines if not line.startswith("import time:")]
    # while modules load the signal itself ends it
    assert code in (0, 130, -signal.SIGINT)
    assert not [line for line in told if "Traceback" in line or "Exception" in line], told
    assert sorted(short.iterdir()) == []


def test_a_terminated_run_stops_as_by_ctrl_c(place: Path, short: Path):
    running = (*RUN, "--bind", f"ipc://{short}/masks", "--frames", "1000000")
    with started(place, *running) as (process, said):
        assert said.wait_for("Ctrl-C stops")
        process.terminate()
        code = process.wait(timeout=10)
        assert gone(process.pid)
        said.join()
    assert code == 0
    assert said.lines[-1] == "stopped"


def test_a_worlds_file_is_simulated_and_one_that_is_not_there_is_named(tmp_path: Path):
    write_script(there_and_back("cup"), tmp_path / "cup.json")
    words = ("simulate", "--sensor", "host", "--model", "picosam3/fp32", "--frames", "75", "--json")
    report = json.loads(glasses(tmp_path, *words, "--world", "cup.json").stdout)
    assert (report["landings"], report["frames"]) == (1, 10)  # it comes in at the 65th
    absent = glasses(tmp_path, *words, "--world", "tea.json")
    assert absent.returncode != 0
    assert "a made world has a seed or a file" in absent.stderr
    assert "tea.json" in absent.stderr


def test_the_installed_command_is_the_module(tmp_path: Path):
    installed = shutil.which("glasses", path=str(Path(sys.executable).parent))
    if installed is None:
        pytest.skip("the package is not installed, so there is no command `glasses`")
    result = subprocess.run([installed, "--help"], capture_output=True, text=True, check=True)
    for command in ("run", "sub", "evaluate", "train", "models", "config"):
        assert f" {command} " in result.stdout
