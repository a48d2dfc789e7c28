from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glasses_sdk import evaluation, models, precision
from glasses_sdk.cli import app
from glasses_sdk.errors import ModelError
from glasses_sdk.models import Checked
from glasses_sdk.network import Network

sys.path.append(str(Path(__file__).parent))
import photographs

PACKAGE = Path(models.__file__).parent


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of releases in place of the real one."""
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fp32.onnx").write_bytes(name.encode())
    (tmp_path / "unfinished").mkdir()
    write_manifest(tmp_path)
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    return tmp_path


def write_manifest(root: Path) -> None:
    files = sorted(root.rglob("*.onnx"))
    sums = {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    (root / "manifest.json").write_text(json.dumps(sums))


def test_a_release_is_found_by_its_name(house):
    assert models.released() == {
        "large": house / "large" / "fp32.onnx",
        "small": house / "small" / "fp32.onnx",
    }
    assert models.find("small") == house / "small" / "fp32.onnx"


def test_a_file_is_found_by_its_path(house):
    own = house / "my own.onnx"
    own.write_bytes(b"mine")
    assert models.find(str(own)) == own


@pytest.mark.parametrize("name", ["medium", "unfinished", "nowhere.onnx", "", "manifest.json"])
def test_an_unknown_model_lists_those_that_are_here(house, name):
    with pytest.raises(ModelError, match=r"released \(large, small\)") as caught:
        models.find(name)
    assert repr(name) in str(caught.value)


def test_without_releases_the_list_says_none(house):
    shutil.rmtree(house / "small")
    shutil.rmtree(house / "large")
    with pytest.raises(ModelError, match=r"\(none\)"):
        models.find("small")


def test_what_is_as_released_has_no_fault(house):
    wanted = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("large", "small")}
    assert list(models.verify()) == [
        Checked(f"{name}/fp32.onnx", checksum, None) for name, checksum in wanted.items()
    ]


def test_one_changed_byte_is_a_fault_that_shows_the_sum_found(house):
    (house / "large" / "fp32.onnx").write_bytes(b"Large")
    found = hashlib.sha256(b"Large").hexdigest()
    faults = {checked.file: checked.fault for checked in models.verify()}
    assert faults == {
        "large/fp32.onnx": f"damaged: its sha256 is {found}",
        "small/fp32.onnx": None,
    }


def test_a_missing_file_is_a_fault(house):
    (house / "small" / "fp32.onnx").unlink()
    assert [checked.fault for checked in models.verify()] == [None, "missing"]


def test_a_missing_manifest_is_named(house):
    (house / "manifest.json").unlink()
    with pytest.raises(ModelError, match="no manifest in"):
        list(models.verify())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"small/fp32.onnx": 5}'])
def test_a_damaged_manifest_is_named(house, content):
    (house / "manifest.json").write_text(content)
    with pytest.raises(ModelError, match=r"manifest\.json is damaged"):
        list(models.verify())


@pytest.mark.parametrize("checkout", [True, False])
def test_models_lie_beside_the_package_in_a_checkout_and_inside_it_in_a_wheel(tmp_path, checkout):
    package = tmp_path / "glasses_sdk"
    package.mkdir()
    for name in ("__init__.py", "errors.py", "models.py"):
        shutil.copy(PACKAGE / name, package / name)
    (tmp_path / "models").mkdir()  # anybody's folder of that name is not ours
    wanted = tmp_path / "models" if checkout else package / "_models"
    wanted.mkdir(exist_ok=True)
    write_manifest(wanted)
    say = "from glasses_sdk import models; print(models.folder())"
    run = subprocess.run(
        [sys.executable, "-c", say], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(run.stdout.strip()).samefile(wanted)


# The files of a release, and which of them runs


def whole_release(root: Path, *files: str) -> None:
    for file in files:
        path = root / "small" / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.encode())


def test_a_precision_is_found_behind_the_name(house):
    whole_release(house, "int8.onnx", "imx500/small-imx500.onnx")
    assert models.find("small") == models.find("small/fp32") == house / "small" / "fp32.onnx"
    assert models.find("small/int8") == house / "small" / "int8.onnx"
    assert models.find("small/imx500") == house / "small" / "imx500" / "small-imx500.onnx"


def test_a_precision_that_is_not_here_lists_those_that_are(house):
    with pytest.raises(ModelError, match=r"no 'int8' of large: there is fp32$"):
        models.find("large/int8")


def test_what_is_sealed_is_as_released_until_it_changes(house):
    whole_release(house, "card.md", "imx500/packerOut.zip")
    (house / "unfinished" / "notes.md").touch()
    assert models.seal() == house / "manifest.json"
    assert {checked.file: checked.fault for checked in models.verify()} == dict.fromkeys(
        ["large/fp32.onnx", "small/card.md", "small/fp32.onnx", "small/imx500/packerOut.zip"]
    )
    (house / "small" / "imx500" / "packerOut.zip").write_bytes(b"another")
    assert [checked.file for checked in models.verify() if checked.fault] == [
        "small/imx500/packerOut.zip"
    ]


@pytest.fixture
def raced(
    house: Path, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """A release whose named file does a thousand times the other's work."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    onnx = pytest.importorskip("onnx", reason="models are built with the package onnx")

    def write(slow: str) -> Path:
        for kind in ("fp32", "int8"):
            model = onnx.load(bright)
            if kind == slow:
                (last,) = (node for node in model.graph.node if node.op_type == "Sub")
                last.output[0] = "0"
                work = [onnx.helper.make_node("Erf", [str(n)], [str(n + 1)]) for n in range(3000)]
                work.append(onnx.helper.make_node("Identity", ["3000"], ["logits"]))
                model.graph.node.extend(work)
            onnx.save(model, house / "small" / f"{kind}.onnx")
        return house / "small"

    return write


@pytest.mark.parametrize(("slow", "fast"), [("fp32", "int8"), ("int8", "fp32")])
def test_a_release_runs_as_its_faster_file(raced, slow, fast):
    home = raced(slow)
    assert precision.faster("small") == home / f"{fast}.onnx"


def test_which_is_faster_is_measured_once_for_these_files(raced, tmp_path):
    home = raced("int8")
    assert precision.faster("small") == home / "fp32.onnx"
    kept = (tmp_path / "cache" / "glasses-sdk" / "faster.json").read_bytes()
    precision.faster("small")
    assert (tmp_path / "cache" / "glasses-sdk" / "faster.json").read_bytes() == kept
    raced("fp32")
    assert precision.faster("small") == home / "int8.onnx"
    precision.faster("small", threads=2)
    again = json.loads((tmp_path / "cache" / "glasses-sdk" / "faster.json").read_bytes())
    assert list(again.values())[:2] == ["fp32", "int8"]
    assert len(again) == 3


def test_what_was_measured_is_believed(raced, tmp_path):
    home = raced("int8")
    precision.faster("small")
    store = tmp_path / "cache" / "glasses-sdk" / "faster.json"
    store.write_text(store.read_text().replace("fp32", "int8"))
    assert precision.faster("small") == home / "int8.onnx"


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}'])
def test_a_damaged_cache_is_measured_anew(raced, tmp_path, content):
    home = raced("fp32")
    store = tmp_path / "cache" / "glasses-sdk" / "faster.json"
    store.parent.mkdir(parents=True)
    store.write_text(content)
    assert precision.faster("small") == home / "int8.onnx"
    assert list(json.loads(store.read_bytes()).values()) == ["int8"]


def test_a_cache_that_cannot_be_written_is_no_error(raced, tmp_path):
    home = raced("fp32")
    (tmp_path / "cache").touch()
    assert precision.faster("small") == home / "int8.onnx"


def test_what_is_chosen_by_its_name_or_has_one_file_is_not_measured(house, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole_release(house, "int8.onnx")  # which no runtime could load
    assert precision.faster("small/int8") == house / "small" / "int8.onnx"
    assert precision.faster("large") == house / "large" / "fp32.onnx"
    assert not (tmp_path / "cache").exists()


def test_each_file_is_timed_with_each_number_of_threads(raced):
    home = raced("int8")
    files = {kind: home / f"{kind}.onnx" for kind in ("fp32", "int8")}
    times = precision.compare(files, (1, 2), rounds=3)
    assert set(times) == {("fp32", 1), ("fp32", 2), ("int8", 1), ("int8", 2)}
    assert times["fp32", 1] < times["int8", 1]


# Figures and card


@pytest.fixture
def measurable(house: Path, bright: Path) -> Path:
    """A release with all its files, each of them the same network."""
    pytest.importorskip("torch", reason="needs the extra: train")
    for file in ("fp32.onnx", "int8.onnx", "imx500/small-imx500.onnx"):
        (house / "small" / file).parent.mkdir(exist_ok=True)
        shutil.copy(bright, house / "small" / file)
    (house / "small" / "recipe.toml").write_text(
        'network = "picosam2"\n'
        "[data]\nfiles = ['a.json']\nweights = { coco = 0.7, mine = 0.3 }\n"
        "[schedule]\nsamples = 64_000\n"
    )
    return house / "small"


def measure(release: Path, annotations: Path) -> None:
    words = ["models", "measure", release.name, "--annotations", str(annotations)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0


def test_measuring_writes_what_evaluate_says_of_each_file(measurable, tmp_path):
    file = photographs.annotate(tmp_path / "photographs", photographs.TO_MEASURE)
    measure(measurable, file)
    found = json.loads((measurable / "metrics.json").read_bytes())
    of_all = {"box", "tight", "point"}
    assert {kind: set(each) for kind, each in found.items()} == {
        "fp32": of_all | {"box_imprecise", "tight_imprecise", "servo"},
        "int8": of_all,
        "imx500": of_all,
    }
    network = Network(measurable / "fp32.onnx")
    for kind, settings in {
        "box_imprecise": evaluation.Settings("box", box_error=0.2),
        "servo": evaluation.Settings("servo"),
    }.items():
        wanted = evaluation.evaluate(network, file, settings).to_json()
        for source in (wanted, found["fp32"][kind]):
            source["sources"]["photographs"].pop("ms", None)
        assert found["fp32"][kind] == wanted
    assert "ellipse_50" in found["fp32"]["point"]["sources"]["photographs"]["baselines"]


def test_a_card_shows_the_figures_that_were_measured(measurable, tmp_path):
    measure(measurable, photographs.annotate(tmp_path / "photographs", photographs.TO_MEASURE))
    found = json.loads((measurable / "metrics.json").read_bytes())["fp32"]
    card = (measurable / "card.md").read_text()
    tight, servo = (found[kind]["sources"]["photographs"] for kind in ("tight", "servo"))
    ellipse = tight["baselines"]["box_ellipse"]["miou"]
    row = next(line for line in card.splitlines() if line.startswith("| photographs | `tight`"))
    for share in (tight["miou"], tight["map"], tight["boundary_f"], ellipse):
        assert f"| {100 * share:.1f} |" in row
    assert f"| {100 * servo['passes']['3']:.1f} |" in card
    assert tight["miou"] < ellipse
    assert "photographs by `tight`" in card.split("**Below the own box's ellipse**")[1]
    assert "- COCO 2017, train (70% of the samples; annotations CC BY 4.0" in card
    assert "- mine (30% of the samples)" in card
    assert "1,262,818 parameters" in card


def test_a_card_is_written_again_without_measuring_and_everything_is_sealed(measurable, tmp_path):
    measure(measurable, photographs.annotate(tmp_path / "photographs", photographs.TO_MEASURE))
    card = (measurable / "card.md").read_text()
    (measurable / "card.md").write_text("of before")
    done = CliRunner().invoke(app, ["models", "card", "small"], catch_exceptions=False)
    assert done.exit_code == 0
    assert (measurable / "card.md").read_text() == card
    checked = {one.file: one.fault for one in models.verify()}
    assert checked["small/card.md"] is checked["small/metrics.json"] is None
    assert set(checked.values()) == {None}


def test_figures_of_another_file_make_no_card(measurable, tmp_path):
    measure(measurable, photographs.annotate(tmp_path / "photographs", photographs.TO_MEASURE))
    with (measurable / "int8.onnx").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ModelError, match="has the figures of other files"):
        CliRunner().invoke(app, ["models", "card", "small"], catch_exceptions=False)


@pytest.mark.parametrize("content", ["", "[]", '{"fp32": {"box": {}}}'])
def test_without_figures_there_is_no_card(measurable, content):
    (measurable / "metrics.json").write_text(content)
    with pytest.raises(ModelError, match=r"no figures in .*: glasses models measure"):
        CliRunner().invoke(app, ["models", "card", "small"], catch_exceptions=False)


# The releases themselves


RELEASES = sorted(models.released())


@pytest.mark.parametrize("name", RELEASES)
def test_a_releases_card_says_its_figures(name):
    pytest.importorskip("torch", reason="needs the extra: train")
    from glasses_sdk.training import card, recipe, release

    home = models.find(name).parent
    digests = {kind: models.sha256(path) for kind, path in models.precisions(name).items()}
    metrics = release.read_metrics(home / "metrics.json", digests)
    wanted = card.card(name, recipe.load_recipe(home / "recipe.toml"), metrics)
    assert (home / "card.md").read_text() == wanted


@pytest.mark.parametrize("precision", ["int8", "imx500"])
@pytest.mark.parametrize("name", RELEASES)
def test_8_bits_lose_at_most_half_a_point(name, precision):
    """On the annotated pictures of COCO, by each protocol."""
    found = json.loads((models.find(name).parent / "metrics.json").read_bytes())
    for protocol in ("box", "tight"):
        floats, eight = (
            found[kind][protocol]["sources"]["coco"]["miou"] for kind in ("fp32", precision)
        )
        assert floats - eight <= 0.005


@pytest.mark.parametrize("name", RELEASES)
def test_a_releases_package_is_the_converters_and_fits_into_the_chip(name):
    folder = models.find(name).parent / "imx500"
    sums = dict(reversed(line.split("  ")) for line in _lines(folder / "SHA256SUMS"))
    assert {"packerOut.zip", f"{name}_MemoryReport.json", f"{name}-imx500.onnx"} <= sums.keys()
    for file, digest in sums.items():
        assert models.sha256(folder / file) == digest
    memory = json.loads((folder / f"{name}_MemoryReport.json").read_bytes())["Memory Report"]
    assert memory["Fit In Chip"] is True
    assert memory["Input Persistent"] is False
    used, unit = memory["Memory Usage"][:-2], memory["Memory Usage"][-2:]
    assert unit == "MB"
    assert float(used) < 8


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_the_releases_are_as_released_and_small_enough_to_be_kept():
    files = list(models.verify())
    assert {one.fault for one in files} == {None}
    assert models.DEFAULT in RELEASES
    for name in RELEASES:
        whole = {"fp32.onnx", "int8.onnx", "card.md", "metrics.json", "recipe.toml"}
        assert {f"{name}/{file}" for file in whole} <= {one.file for one in files}
    assert sum((models.folder() / one.file).stat().st_size for one in files) < 40e6
