"""8 bits for this computer: the same masks, whole files, and scales of other pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra: quantize")
pytest.importorskip("pycocotools", reason="needs the extra: quantize")
from onnx import numpy_helper  # noqa: E402

from glasses_sdk import models  # noqa: E402
from glasses_sdk.errors import DataError, ModelError  # noqa: E402
from glasses_sdk.network import Network  # noqa: E402
from glasses_sdk.training.loss import Loss, losses, worst  # noqa: E402
from glasses_sdk.training.quantize import quantize  # noqa: E402
from glasses_sdk.training.representative import representative  # noqa: E402
from glasses_sdk.types import Size  # noqa: E402

sys.path.append(str(Path(__file__).parent))
import photographs  # noqa: E402

CELLS = Size(96, 96)


@pytest.fixture(scope="module")
def scales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs.annotate(tmp_path_factory.mktemp("scales"), photographs.FOR_SCALES)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs.annotate(tmp_path_factory.mktemp("others"), photographs.TO_MEASURE)


@pytest.fixture(scope="module")
def int8(scales: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quantized") / "int8.onnx"
    quantize(models.find("picosam3"), out, representative(scales, CELLS, 80))
    return out


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    without = {key: value for key, value in os.environ.items() if key != "GLASSES_DATA"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "glasses_sdk", *map(str, words)],
        cwd=folder,
        env=without,
        capture_output=True,
        text=True,
    )


def test_8_bits_draw_nearly_the_same_masks_on_other_photographs(int8: Path, others: Path) -> None:
    rgb = representative(others, CELLS, 80, seed=1)
    (floats, *_), (eight, *_) = (
        Network(path).logits(rgb) for path in (models.find("picosam3"), int8)
    )
    both, either = (floats > 0) & (eight > 0), (floats > 0) | (eight > 0)
    assert both.sum() / either.sum() > 0.96
    assert not np.array_equal(floats, eight)


def test_weights_have_scales_for_each_channel_and_seven_bits_but_for_the_ends(int8: Path) -> None:
    graph = onnx.load(int8).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    for node in convolutions[2:-2]:
        weight, scale, _ = (constants[name] for name in makers[node.input[1]].input)
        assert weight.dtype == np.int8
        assert np.abs(weight.astype(int)).max() <= 64
        assert scale.shape == (weight.shape[0],)
    assert len(convolutions) > 20
    for node in [*convolutions[:2], *convolutions[-2:]]:
        assert constants[node.input[1]].dtype == np.float32
    assert int8.stat().st_size < 0.35 * models.find("picosam3").stat().st_size


def test_what_leads_to_other_outputs_than_the_mask_stays_in_float(
    scored: Path, scales: Path, tmp_path: Path
) -> None:
    quantize(scored, tmp_path / "int8.onnx", representative(scales, CELLS, 80))
    graph = onnx.load(tmp_path / "int8.onnx").graph
    assert [one.name for one in graph.output] == ["logits", "score"]
    plain = {one.name for one in graph.initializer if "fit" in one.name and one.data_type == 1}
    used = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    assert len(plain & used) >= 2


def test_a_file_that_is_no_model_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "fp32.onnx").write_bytes(b"nothing")
    regions = np.zeros((80, 96, 96, 3), np.uint8)
    with pytest.raises(ModelError, match=r"fp32\.onnx is no model"):
        quantize(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", regions)
    assert [file.name for file in tmp_path.iterdir()] == ["fp32.onnx"]


def test_regions_of_another_size_are_an_error_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "int8.onnx").write_bytes(b"before")
    regions = np.zeros((80, 32, 32, 3), np.uint8)
    with pytest.raises(ModelError, match="cannot be quantized"):
        quantize(models.find("picosam3"), tmp_path / "int8.onnx", regions)
    assert (tmp_path / "int8.onnx").read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["int8.onnx"]


# Representative regions


def test_regions_depend_on_the_seed_alone_and_differ(scales: Path) -> None:
    one, same = (representative(scales, Size(24, 16), 80) for _ in range(2))
    assert one.shape == (80, 16, 24, 3)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, representative(scales, Size(24, 16), 80, seed=1))
    assert len({region.tobytes() for region in one}) > 60


def test_too_few_regions_are_refused(scales: Path) -> None:
    with pytest.raises(DataError, match="80 or more"):
        representative(scales, CELLS, 79)


def test_a_file_without_objects_is_named(tmp_path: Path) -> None:
    file = tmp_path / "empty.json"
    file.write_text('{"images": [], "annotations": []}')
    with pytest.raises(DataError, match=r"empty\.json has no object"):
        representative(file, CELLS, 80)


# What was lost


def test_a_model_loses_nothing_against_itself_and_much_against_nothing(
    others: Path, bright: Path
) -> None:
    model = models.find("picosam3")
    found = losses(model, model, others)
    assert [(one.protocol, one.source, one.n) for one in found] == [
        ("box", "photographs", 2),
        ("tight", "photographs", 2),
    ]
    assert worst(found) == 0
    assert worst(losses(model, bright, others)) > 0.05


def test_the_worse_protocol_counts_over_all_its_objects() -> None:
    found = [
        Loss("box", "a", 0.8, 0.7, 30),
        Loss("box", "b", 0.5, 0.5, 10),
        Loss("tight", "a", 0.8, 0.76, 30),
        Loss("tight", "b", 0.5, 0.6, 10),
    ]
    assert worst(found) == pytest.approx(0.075)


# The command


def test_the_command_writes_a_model_and_says_what_it_lost(
    scales: Path, others: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.onnx"
    words = ("--annotations", scales, "--measure", others, "--out", out, "--regions", 80)
    done = run(tmp_path, "quantize", "picosam3", *words)
    assert done.returncode == 0, done.stderr
    assert Network(out).input == CELLS
    assert "wrote" in done.stdout
    assert done.stdout.count("photographs") == 2


def test_a_disk_that_is_full_is_one_sentence_and_leaves_what_was_there(
    scales: Path, tmp_path: Path
) -> None:
    """The kernel refuses to write more than 100 kB to a file."""
    (tmp_path / "int8.onnx").write_bytes(b"before")
    words = ("quantize", "picosam3", "--annotations", scales, "--out", tmp_path / "int8.onnx")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
    program = f"{limit} from glasses_sdk.__main__ import main; main()"
    without = {key: value for key, value in os.environ.items() if key != "GLASSES_DATA"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *map(str, words)],
        cwd=tmp_path,
        env=without,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "int8.onnx").read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["int8.onnx"]


def damaged(scales: Path, folder: Path, how: str) -> Path:
    """The annotation file with something wrong."""
    shutil.copytree(scales.parent, folder)
    file = folder / scales.name
    entries = json.loads(file.read_text())
    if how == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "no picture":
        (folder / entries["images"][0]["file_name"]).unlink()
    else:
        entries["annotations"][0]["bbox"] = [9000, 9000, 10, 10]
        file.write_text(json.dumps(entries))
    return file


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("cut off", "objects.json is not a whole JSON file"),
        ("no picture", "cannot read picture"),
        ("out of the picture", "annotation 0: .* lies outside its picture"),
    ],
)
def test_bad_annotations_are_named(scales: Path, tmp_path: Path, how: str, sentence: str) -> None:
    file = damaged(scales, tmp_path / "damaged", how)
    with pytest.raises(DataError, match=sentence):
        representative(file, CELLS, 80)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "GLASSES_DATA is not set"),
        (("--annotations", "a.json", "--measure", "a.json"), "cannot choose the scales and"),
        (("--annotations", "nowhere.json"), "cannot read annotations nowhere.json"),
    ],
)
def test_a_wrong_order_is_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    done = run(tmp_path, "quantize", "picosam3", "--out", tmp_path / "int8.onnx", *words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
