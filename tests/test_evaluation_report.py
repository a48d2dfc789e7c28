"""What `glasses evaluate` prints and leaves: lines, JSON, plots and the contact sheet."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from glasses_sdk.cli import app
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.evaluation import Settings, evaluate
from glasses_sdk.evaluation.folder import prepare
from glasses_sdk.evaluation.lines import lines
from glasses_sdk.evaluation.scenes import Case
from glasses_sdk.evaluation.sheet import chosen, sheet
from glasses_sdk.types import Mask, Size

sys.path.append(str(Path(__file__).parent))
from made_pictures import annotation, block, network, picture, write_world

FRAME, CELLS = Size(320, 240), Size(48, 48)
PAGE = Path(__file__).parents[1] / "docs/reference/evaluation.md"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Thirty objects of two sources, the network beside them."""
    network(tmp_path / "bright.onnx", threshold=127.0, size=CELLS)
    images = [picture(n, ("one", "other")[n % 2], FRAME) for n in range(30)]
    objects = [
        annotation(n, block(20 + 3 * n, 10 + 2 * n, 60 + n, 50, FRAME), image=n) for n in range(30)
    ]
    return write_world(tmp_path, images, objects)


def run(made: Path, *flags: str) -> str:
    model = str(made.parent / "bright.onnx")
    arguments = ["evaluate", "--annotations", str(made), "--model", model, *flags]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def keys(heading: str) -> set[str]:
    """Of the table under a heading of the page."""
    after = PAGE.read_text().split(f"\n{heading}\n", 1)[1]
    table = re.search(r"^\| key .*?(?=\n\n)", after, re.M | re.S)
    assert table
    return set(re.findall(r"^\| `(\w+)`", table[0], re.M))


@pytest.mark.parametrize(
    ("flags", "left_out"),
    [
        (("--protocol", "box"), {"clicks", "seeds", "baselines"}),
        (("--protocol", "tight", "--baselines", "--box-error", "20"), {"clicks"}),
        (("--protocol", "point"), {"padding", "box_error", "seeds", "baselines"}),
        (("--protocol", "servo", "--clicks", "random:3"), {"padding", "box_error"}),
    ],
    ids=["box", "tight", "point", "servo"],
)
def test_the_json_has_the_keys_of_its_page(made, flags, left_out):
    printed = json.loads(run(made, *flags, "--json"))
    assert printed["protocol"] == flags[1]
    assert set(printed) == keys("## The JSON") - left_out
    assert set(printed["sources"]) == {"one", "other"}
    heading = "### servo" if "servo" in flags else "### box, tight, point"
    for source in printed["sources"].values():
        assert set(source) == keys(heading) - left_out
        assert source["n"] == 15


def test_the_flags_reach_the_settings(made):
    tight = json.loads(
        run(made, "--protocol", "tight", "--padding", "15", "--box-error", "5", "--json")
    )
    assert (tight["padding"], tight["box_error"]) == (0.15, 0.05)
    point = json.loads(run(made, "--protocol", "point", "--clicks", "random:4", "--json"))
    assert point["clicks"] == "random:4"
    (made.parent / "pictures/3.png").unlink()
    skipped = json.loads(run(made, "--skip-bad", "--json"))["skipped"]
    assert skipped == [f"no picture {made.parent / 'pictures/3.png'}"]


def test_the_lines_say_what_the_json_says(made):
    report = evaluate(network(made.parent / "n.onnx", 999.0), made, Settings("box", baselines=True))
    text = "\n".join(lines(report))
    for name, score in report.sources.items():
        assert re.search(rf"^  {name} +mIoU {score.marks.miou:.3f} ", text, re.M)
        assert f"mIoU {score.baselines['grabcut'].miou:.3f}" in text
    assert text.count("below box_ellipse") == 2


def test_a_servo_prints_its_runs(made):
    report = evaluate(network(made.parent / "n.onnx", 127.0), made, Settings("servo"))
    text = "\n".join(lines(report))
    for score in report.sources.values():
        assert f"1: {score.passes[1]:.3f}  2: {score.passes[2]:.3f}" in text
        assert f"best_scale {score.best_scale:.3f}" in text


@pytest.mark.parametrize("protocol", ["box", "point", "servo"])
def test_a_report_leaves_figures_plots_and_cases(made, tmp_path, protocol):
    folder = tmp_path / "deep/report"
    flags = ["--baselines"] if protocol == "box" else []
    printed = run(made, "--protocol", protocol, "--report", str(folder), "--json", *flags)
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(printed)
    plots, cases = (cv2.imread(str(folder / name)) for name in ("plots.png", "sheet.png"))
    assert np.unique(plots.reshape(-1, 3), axis=0).shape[0] > 20  # there is something on it
    assert cases.shape == (2 * (20 + 3 * (20 + 232)), 8 * 232, 3)


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"nothing can be written to .*file/report"):
        prepare(tmp_path / "file/report")


def test_a_missing_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("glasses_sdk.evaluation.folder.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"matplotlib.*pip install 'glasses-sdk\[eval\]'"):
        prepare(tmp_path)


# The contact sheet


@pytest.fixture
def cases(made: Path) -> list[Case]:
    report = evaluate(
        network(made.parent / "bright.onnx", 127.0, CELLS), made, Settings("tight"), keep_cases=True
    )
    return report.cases


def judged(case: Case, iou: float) -> Case:
    return Case(case.instance, case.photo, case.mask, iou, case.click)


def test_the_worst_and_the_middle_ones_are_chosen(cases):
    many = [judged(cases[n % 30], n / 100) for n in (*range(50, 100), *range(50))]
    median, worst = chosen(many)
    assert [round(100 * case.iou) for case in worst] == list(range(24))
    assert [round(100 * case.iou) for case in median] == list(range(38, 62))


def test_of_equals_the_largest_object_is_shown_first(cases):
    _, worst = chosen([judged(case, 0.0) for case in cases])
    areas = [case.instance.area for case in worst]
    assert areas == sorted((case.instance.area for case in cases), reverse=True)[:24]


def test_few_cases_are_all_shown(cases):
    median, worst = chosen(cases[:3])
    assert len(median) == len(worst) == 3


def test_a_tile_shows_the_mask_on_its_object(cases):
    """The mask in red over the white box that it was made of, black around it."""
    drawn = sheet(cases[:1])
    tile = drawn[40 : 40 + 228, :228].astype(int)
    reddish = (tile[..., 0] > 200) & (tile[..., 1] < 200)
    case = cases[0]
    box, region = case.instance.box, case.mask.roi
    side = 1.2 * max(region.width, region.height)
    part = box.width * box.height / side**2
    assert reddish.sum() / 228**2 == pytest.approx(part, rel=0.15)


def test_the_sheet_names_a_picture_that_has_gone(cases):
    cases[0].photo.path.unlink()
    with pytest.raises(DataError, match=cases[0].photo.path.name):
        sheet(cases[:1])


def test_an_empty_mask_is_drawn_as_none(cases):
    case = cases[0]
    empty = Mask(np.zeros_like(case.mask.bits), case.mask.roi, case.mask.sensor, 0, 0, 0.0)
    drawn = sheet([Case(case.instance, case.photo, empty, 0.0, (30, 30))]).astype(int)
    assert not ((drawn[40:268, :228, 0] > 200) & (drawn[40:268, :228, 1] < 150)).any()
