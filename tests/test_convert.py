"""The package for the IMX500: out of the contract and back, and through Sony's own converter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: quantize")
pytest.importorskip("pycocotools", reason="needs the extra: quantize")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from glasses_sdk import models  # noqa: E402
from glasses_sdk.errors import ConfigError, ModelError  # noqa: E402
from glasses_sdk.network import Network  # noqa: E402
from glasses_sdk.training.imx500.contract import Model, in_plain_arithmetic  # noqa: E402
from glasses_sdk.training.imx500.convert import convert  # noqa: E402
from glasses_sdk.training.imx500.environment import (  # noqa: E402
    REQUIREMENTS,
    Environment,
    prepare,
    run,
)
from glasses_sdk.training.representative import representative  # noqa: E402
from glasses_sdk.types import Size  # noqa: E402

sys.path.append(str(Path(__file__).parent))
import photographs  # noqa: E402

RELEASED = models.find("picosam3")
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
SECONDS = 30.0  # of patience; nothing here is measured


@pytest.fixture(params=["released", "scored"])
def model(request: pytest.FixtureRequest) -> Path:
    return RELEASED if request.param == "released" else request.getfixturevalue("scored")


def answers(path: Path | bytes, feed: dict[str, Any], qdq: bool = True) -> list[Any]:
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not qdq:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(path, options).run(None, feed)


# Out of the contract, and back into it


def test_the_network_has_floats_in_channels_first_and_gives_maps_and_what_is_made_of_them(
    scored: Path,
) -> None:
    network = Model.read(scored).network()
    rgb = PICTURES.transpose(0, 3, 1, 2).astype(np.float32)
    logits, five = answers(network.SerializeToString(), {network.graph.input[0].name: rgb})
    wanted, score = answers(str(scored), {"rgb": PICTURES})
    assert np.allclose(logits, wanted, atol=1e-4)
    assert five.shape == (2, 5)
    assert np.allclose(1 / (1 + np.exp(-five[:, 0])), score, atol=1e-4)


def test_the_network_back_in_its_model_answers_as_the_model(model: Path, tmp_path: Path) -> None:
    source = Model.read(model)
    whole = source.around(source.network())
    onnx.checker.check_model(whole)
    onnx.save(whole, tmp_path / "again.onnx")
    for one, same in zip(
        Network(model).logits(PICTURES),
        Network(tmp_path / "again.onnx").logits(PICTURES),
        strict=True,
    ):
        assert np.allclose(one, same, atol=1e-5)


def test_a_network_read_into_pytorch_answers_as_in_onnxruntime(model: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra: train")
    from glasses_sdk.training.imx500.onnx_to_torch import read_network

    network = Model.read(model).network()
    onnx.save(network, tmp_path / "network.onnx")
    rgb = PICTURES.transpose(0, 3, 1, 2).astype(np.float32)
    wanted = answers(network.SerializeToString(), {network.graph.input[0].name: rgb})
    with torch.no_grad():
        got = read_network(tmp_path / "network.onnx")(torch.from_numpy(rgb))
    for one, other in zip(got if isinstance(got, tuple) else [got], wanted, strict=True):
        assert np.abs(one.numpy() - other).max() < 1e-4 * np.ptp(other)


def test_an_operator_that_nobody_tried_on_the_chip_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra: train")
    from glasses_sdk.training.imx500.onnx_to_torch import read_network

    onnx.save(_small([helper.make_node("Erf", ["x"], ["y"])], []), tmp_path / "network.onnx")
    with pytest.raises(ModelError, match=r"operator Erf is not known here; known: Add, "):
        read_network(tmp_path / "network.onnx")


def _small(nodes: list[Any], constants: list[Any]) -> Any:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [None]) for n in "xy")
    graph = helper.make_graph(nodes, "small", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("scale", [2.0, 1.0, 0.03125])
def test_rounding_written_out_is_onnxruntimes_to_the_last_bit(kind: type, scale: float) -> None:
    nodes = [
        helper.make_node(
            "Constant", [], ["scale"], value=numpy_helper.from_array(np.float32(scale))
        ),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(kind(0))),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    paired = _small(nodes, [])
    ties = np.arange(-300, 301, dtype=np.float32) * scale / 2  # halves, and beyond both ends
    x = np.concatenate([ties, np.random.default_rng(0).normal(0, 99 * scale, 500)]).astype("f")
    plain = in_plain_arithmetic(paired)
    assert {node.op_type for node in plain.graph.node}.isdisjoint(
        {"QuantizeLinear", "DequantizeLinear"}
    )
    (wanted,) = answers(paired.SerializeToString(), {"x": x}, qdq=False)
    (got,) = answers(plain.SerializeToString(), {"x": x})
    assert np.array_equal(got, wanted)
    assert len(np.unique(got)) > 100


def test_a_zero_that_is_not_the_chips_is_refused() -> None:
    nodes = [
        helper.make_node("Constant", [], ["scale"], value=numpy_helper.from_array(np.float32(1))),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.uint8(128))),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    with pytest.raises(ModelError, match="the chip's zero is 0"):
        in_plain_arithmetic(_small(nodes, []))


# The steps around Sony's programs, which are planted here


class Planted(Environment):
    """Quantizes by leaving everything as it is; the converter writes what it is told to."""

    def quantize(self, method: str, work: Path) -> None:
        (work / method).mkdir()
        for name in ("quantized", "fake"):
            shutil.copy(work / "network.onnx", work / method / f"{name}.onnx")
        with (work / method / "quantized.onnx").open("ab") as file:
            file.write(method.encode())

    def convert(self, network: Path, out: Path) -> None:
        out.mkdir()
        fits = not (self.folder / "small").exists()
        memory = {"Memory Usage": "9MB", "Total Memory Available On Chip": "8MB"}
        report = {"Memory Report": memory | {"Fit In Chip": fits}}
        (out / f"{network.stem}_MemoryReport.json").write_text(json.dumps(report))
        if not fits:
            raise ModelError("imxconv-pt ended with 1: a line of its log")
        (out / "packerOut.zip").write_bytes(network.read_bytes()[-4:])


@pytest.mark.parametrize(
    ("lost", "tried", "kept"),
    [
        ([0.004], 1, "ptq"),
        ([0.02, 0.001], 2, "gptq"),
        ([0.02, 0.03], 2, "ptq"),
    ],
)
def test_gptq_is_tried_where_ptq_lost_too_much_and_the_better_one_is_packed(
    tmp_path: Path, lost: list[float], tried: int, kept: str
) -> None:
    measured: list[Network] = []

    def loss(reference: Path) -> float:
        measured.append(Network(reference))
        return lost[len(measured) - 1]

    out = tmp_path / "imx500"
    package = convert(
        RELEASED, "net", out, PICTURES, Planted(tmp_path / "environment"), loss, print
    )
    assert (package.method, package.lost, len(measured)) == (kept, min(lost), tried)
    assert kept.encode().endswith((out / "packerOut.zip").read_bytes()[-3:])
    assert sorted(file.name for file in out.iterdir()) == [
        *("SHA256SUMS", "net-imx500.onnx", "net_MemoryReport.json", "packerOut.zip")
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["imx500"]


def test_a_package_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    out = tmp_path / "imx500"
    out.mkdir()
    (out / "of the one before").touch()
    convert(RELEASED, "net", out, PICTURES, Planted(tmp_path / "environment"), None, print)
    assert "of the one before" not in {file.name for file in out.iterdir()}


def test_a_network_that_does_not_fit_says_how_much_and_leaves_what_was_there(
    tmp_path: Path,
) -> None:
    out, environment = tmp_path / "imx500", tmp_path / "environment"
    for folder, file in ((out, "before"), (environment, "small")):
        folder.mkdir()
        (folder / file).touch()
    with pytest.raises(ModelError, match="takes 9MB of the chip's 8MB"):
        convert(RELEASED, "net", out, PICTURES, Planted(environment), None, print)
    assert [file.name for file in out.iterdir()] == ["before"]
    assert {file.name for file in tmp_path.iterdir()} == {"imx500", "environment"}


# Programs


def test_a_program_that_fails_says_so_in_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^sh ended with 3: no such layer$"):
        run(["sh", "-c", "echo begun; echo no such layer >&2; exit 3"], tmp_path)


def test_a_programs_temporary_files_lie_in_its_folder(tmp_path: Path) -> None:
    run([sys.executable, "-c", "import tempfile; tempfile.mkstemp(suffix='.mine')"], tmp_path)
    assert list(tmp_path.glob("*.mine"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_whoever_is_interrupted_leaves_no_program_behind(
    tmp_path: Path, how: signal.Signals
) -> None:
    ours = (
        "import sys; from pathlib import Path\n"
        "from glasses_sdk.cli.app import interruptible\n"
        "from glasses_sdk.training.imx500.environment import run\n"
        "interruptible()\n"
        "run(['sh', '-c', 'sleep 600 & echo $! > pid; sleep 600'], Path('.'))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", ours],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(models.__file__).parents[1])},
    )
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    grandchild = int((tmp_path / "pid").read_text())
    process.send_signal(how)
    process.wait(SECONDS)
    wait_for(lambda: not is_running(grandchild))


def is_running(pid: int) -> bool:
    """A dead process that nobody has taken note of is not running."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition: Any) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_java_the_first_thing_said_is_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt install default-jre-headless"):
        prepare(tmp_path / "environment", print)
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_cannot_be_installed_is_an_error_of_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "java").touch(mode=0o755)
    (tmp_path / "environment").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConfigError, match="the converter cannot be installed in"):
        prepare(tmp_path / "environment", print)


def test_an_environment_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    shutil.copy(REQUIREMENTS, tmp_path)
    said: list[str] = []
    assert prepare(tmp_path, said.append) == Environment(tmp_path)
    assert said == []


def test_each_requirement_is_pinned_and_pytorch_comes_without_cuda() -> None:
    lines = REQUIREMENTS.read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert all("==" in line for line in packages)
    assert "torch==2.13.0+cpu" in packages


# Sony's own programs


@pytest.fixture(scope="module")
def converter() -> Path:
    """The folder of the converter's environment, which may be still to be made."""
    chosen = os.environ.get("GLASSES_TEST_CONVERTER")
    folder = Path(chosen).absolute() if chosen else models.cache() / "imx500-converter"
    if shutil.which("java") is None:
        pytest.skip("no Java here, which the IMX500 converter runs on")
    if not chosen and not (folder / REQUIREMENTS.name).exists():
        pytest.skip("the converter (2 GB) is not here: GLASSES_TEST_CONVERTER=DIR installs it")
    return folder


@pytest.mark.timeout(1500)
def test_the_released_network_becomes_a_package_whose_masks_are_those_of_the_floats(
    converter: Path, tmp_path: Path
) -> None:
    scales = photographs.annotate(tmp_path / "scales", photographs.FOR_SCALES)
    others = photographs.annotate(tmp_path / "others", photographs.TO_MEASURE)
    place, out = tmp_path / "place", tmp_path / "place" / "imx500"
    place.mkdir()
    words = ("convert", "picosam3", "--out", out, "--annotations", scales, "--env", converter)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "glasses_sdk", *map(str, words)],
        cwd=place,
        env={key: value for key, value in os.environ.items() if key != "GLASSES_DATA"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "the loss is not measured" in done.stderr
    assert [file.name for file in place.iterdir()] == ["imx500"]

    with zipfile.ZipFile(out / "packerOut.zip") as package:
        assert package.testzip() is None
        assert len(package.namelist()) > 2
    memory = json.loads((out / "picosam3_MemoryReport.json").read_bytes())["Memory Report"]
    assert memory["Fit In Chip"] is True
    assert memory["Input Persistent"] is False
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=out, check=True)

    reference = out / "picosam3-imx500.onnx"
    rgb = representative(others, Size(96, 96), 80)
    floats, chip = (Network(path).logits(rgb)[0] for path in (RELEASED, reference))
    both, either = (floats > 0) & (chip > 0), (floats > 0) | (chip > 0)
    assert both.sum() / either.sum() > 0.95
    assert (chip > 0).sum() / (floats > 0).sum() == pytest.approx(1, abs=0.03)  # loses no rim
    assert len(np.unique(chip)) <= 256  # what leaves the chip has 8 bits


@pytest.mark.timeout(1500)
def test_learnt_roundings_come_closer_to_the_floats(
    request: pytest.FixtureRequest, converter: Path, tmp_path: Path
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("takes minutes: --long")
    scales = photographs.annotate(tmp_path / "scales", photographs.FOR_SCALES)
    source, environment = Model.read(RELEASED), prepare(converter, print)
    rgb = representative(scales, Size(96, 96), 80)
    onnx.save(source.network(), tmp_path / "network.onnx")
    np.save(tmp_path / "regions.npy", rgb)
    floats, _ = Network(RELEASED).logits(rgb)
    error: dict[str, float] = {}
    for method in ("ptq", "gptq"):
        environment.quantize(method, tmp_path)
        fake = onnx.load(tmp_path / method / "fake.onnx")
        onnx.save(source.around(in_plain_arithmetic(fake)), tmp_path / f"{method}.onnx")
        chip, _ = Network(tmp_path / f"{method}.onnx").logits(rgb)
        error[method] = float(((chip - floats) ** 2).mean())
    assert error["gptq"] < error["ptq"]
