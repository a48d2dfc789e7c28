"""A client in another language, written from the protocol's page: Node, its zeromq and msgpack."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

HERE = Path(__file__).parent / "node"
VECTORS = Path(__file__).parents[1] / "vectors"


def unavailable(reason: str) -> None:
    """Skips on a desk, fails in continuous integration."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def node() -> Path:
    """A folder with the client and its packages, installed once for each package.json."""
    if not (shutil.which("node") and shutil.which("npm")):
        unavailable("needs node and npm")
    wanted = (HERE / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"glasses-node-{hashlib.sha256(wanted).hexdigest()[:12]}"
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "client.mjs"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "installed").exists():
        install(folder)
    return folder


def install(folder: Path) -> None:
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    if done.returncode:
        unavailable(f"npm could not install the client's packages: {done.stderr[-300:]}")
    (folder / "installed").touch()


def told(folder: Path, *arguments: str) -> Any:
    command = ["node", "client.mjs", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def number(value: str | int) -> int:
    """A BigInt was told as `5n`."""
    return int(value.removesuffix("n")) if isinstance(value, str) else value


def test_a_node_client_reads_masks_and_status(node: Path, published: Any):
    found = told(node, "live", published.addresses.stream, published.addresses.control)
    mask = found["mask"]["message"]
    assert found["mask"]["frames"] == 2
    assert found["mask"]["topic"] == mask["topic"] == "g1.mask.glasses"
    assert found["cells"] == published.bits.astype(int).tolist()
    assert (mask["roi"], mask["score"]) == ([100, 60, 200, 150], 0.875)
    assert mask["seq"].endswith("n")  # beyond 2^53: a BigInt, or digits would be lost
    assert number(mask["seq"]) >= 2**60
    assert found["status"]["message"]["state"] == "streaming"
    for socket in ("dealer", "request"):
        hello, clock, aim, wrong, release = found[socket]
        assert [reply["id"] for reply in found[socket]] == [1, 2, 3, 4, 5]
        assert hello["session"] == published.session
        assert number(clock["t_recv_ns"]) <= number(clock["t_send_ns"])
        assert (aim["ok"], wrong["ok"], release["ok"]) == (True, False, True)
        assert wrong["error"]
    assert published.commands == [("look", 320.5, 240.0, None), ("release",)] * 2


def test_a_node_client_reads_the_golden_vectors(node: Path):
    files = sorted(VECTORS.glob("*.msgpack"))
    assert files
    for file, found in zip(files, told(node, "vectors", *map(str, files)), strict=True):
        expected = json.loads(file.with_suffix(".json").read_text())
        assert same(found["message"], expected), file.name
        if found["cells"]:
            picture = cv2.imread(str(file.with_suffix(".pbm")), cv2.IMREAD_GRAYSCALE)
            assert np.array_equal(np.array(found["cells"]) == 1, picture == 0)


def same(found: Any, expected: Any) -> bool:
    match expected:
        case dict():
            return found.keys() == expected.keys() and all(
                same(found[key], expected[key]) for key in expected
            )
        case list():
            return len(found) == len(expected) and all(map(same, found, expected))
        case int() if not isinstance(expected, bool):
            return number(found) == expected
        case _:
            return found == expected
