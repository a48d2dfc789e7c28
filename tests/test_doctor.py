"""`glasses doctor`: what is fine is said to be fine, what is broken is found and can be mended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from glasses_sdk import doctor, models
from glasses_sdk.protocols import SensorInfo
from glasses_sdk.transport import MaskPublisher, StreamConfig
from glasses_sdk.types import Size

INFO = SensorInfo("none", Size(64, 48), Size(8, 8), "none@00000000", "none", "absent", 0)


class Nobody:
    """Commands that do nothing."""

    def look(self, x, y, side, time_ns): ...
    def look_at(self, roi, time_ns): ...
    def release(self, time_ns): ...
    def gaze(self, name, gaze): ...
    def head(self, name, pose): ...
    def refuse(self, what): ...


def glasses(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "glasses_sdk", "doctor", *arguments],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


@pytest.fixture
def listener() -> socket.socket:
    """Holds a port whose two next ones exist."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held


def test_the_json_has_a_finding_for_everything():
    run = glasses("--json", "--bind=tcp://127.0.0.1:*")
    findings = {finding["about"]: finding for finding in json.loads(run.stdout)}
    libraries = {"python", "numpy", "onnxruntime", "opencv", "pyzmq", "msgspec"}
    assert libraries | {"camera", "isolation", "stream", "clock"} <= findings.keys()
    assert findings["numpy"]["says"] == __import__("numpy").__version__
    broken = any(finding["state"] == "broken" for finding in findings.values())
    assert run.returncode == int(broken)
    assert all(finding["fix"] for finding in findings.values() if finding["state"] != "fine")


def test_a_port_that_somebody_holds_is_broken_and_says_who(listener):
    port = listener.getsockname()[1]
    run = glasses(f"--bind=tcp://127.0.0.1:{port}")
    assert run.returncode == 1
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("broken  stream")]
    assert str(os.getpid()) in line
    assert "--bind" in run.stdout


def test_a_publisher_that_runs_already_is_a_note():
    import threading

    with MaskPublisher(StreamConfig("tcp://127.0.0.1:*", "mine"), INFO, Nobody()) as publisher:
        over = threading.Event()

        def serve():
            while not over.is_set():
                publisher.serve(timeout_ms=20)

        server = threading.Thread(target=serve)
        server.start()
        try:
            findings = list(doctor.ports(publisher.addresses.stream))
        finally:
            over.set()
            server.join()
    assert [finding.state for finding in findings] == ["note"] * 3
    assert all("mine" in finding.says for finding in findings)


def test_free_ports_are_fine(listener):
    port = listener.getsockname()[1]
    listener.close()
    stream, *_ = doctor.ports(f"tcp://127.0.0.1:{port}")
    assert stream.state == "fine"


def test_an_address_that_is_none_is_broken():
    (finding,) = doctor.ports("udp://somewhere")
    assert finding.state == "broken"
    assert "udp://somewhere" in finding.says


def test_no_camera_is_a_note(tmp_path):
    (finding,) = doctor.camera(tmp_path)
    assert finding.state == "note"
    assert "synthetic" in finding.fix


def test_a_camera_that_may_be_used_is_fine(tmp_path):
    (tmp_path / "video0").touch()
    (finding,) = doctor.camera(tmp_path)
    assert (finding.state, finding.says) == ("fine", str(tmp_path / "video0"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_camera_of_somebody_else_is_broken(tmp_path):
    (tmp_path / "video0").touch(mode=0)
    (finding,) = doctor.camera(tmp_path)
    assert finding.state == "broken"
    assert "group" in finding.fix or "usermod" in finding.fix


def test_a_damaged_model_is_broken(tmp_path, monkeypatch):
    if not models.released():
        pytest.skip("no released model is here")
    copy = tmp_path / "models"
    shutil.copytree(models.folder(), copy)
    damaged = next(copy.glob("*/fp32.onnx"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(models, "folder", lambda: copy)
    states = {finding.about: finding.state for finding in doctor.released()}
    assert states.pop(f"model {damaged.relative_to(copy)}") == "broken"
    assert "broken" not in states.values()


def test_a_missing_manifest_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    (finding,) = doctor.released()
    assert finding.state == "broken"
    assert str(tmp_path) in finding.says


def test_a_library_that_cannot_be_loaded_is_broken(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1 is missing')")
    run = glasses("--bind=tcp://127.0.0.1:*", PYTHONPATH=str(tmp_path))
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("broken  opencv")]
    assert "libGL.so.1 is missing" in line
    assert run.returncode == 1


def test_a_date_before_the_sdk_was_written_is_noted():
    assert [finding.about for finding in doctor.clock(lambda: 0.0)] == ["clock", "date"]
    assert [finding.about for finding in doctor.clock(lambda: 4e9)] == ["clock"]


def test_isolation_is_tried_in_another_process():
    before = doctor.isolation()
    assert doctor.isolation() == before
    with socket.socket():  # still allowed here
        pass
