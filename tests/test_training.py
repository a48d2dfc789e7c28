"""Networks, regions, and the loop that trains them, on a made data set of a few pictures."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from glasses_sdk.errors import ConfigError, DataError, ModelError  # noqa: E402
from glasses_sdk.network import Network  # noqa: E402
from glasses_sdk.training import train as training  # noqa: E402
from glasses_sdk.training.augment import augment  # noqa: E402
from glasses_sdk.training.data import Regions  # noqa: E402
from glasses_sdk.training.export import export_onnx  # noqa: E402
from glasses_sdk.training.losses import mask_loss  # noqa: E402
from glasses_sdk.training.networks import build  # noqa: E402
from glasses_sdk.training.recipe import DataRecipe, Recipe, Schedule, load_recipe  # noqa: E402
from glasses_sdk.training.regions import RegionMix, around_object  # noqa: E402
from glasses_sdk.types import Roi, Size  # noqa: E402

MODELS = Path(__file__).parent.parent / "models"


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of a bright disc on noise, in COCO format."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for n in range(6):
        x, y, r = (int(v) for v in (rng.integers(40, 80), rng.integers(40, 60), 15 + 3 * n))
        picture = rng.integers(0, 90, (100, 120, 3), np.uint8)
        cv2.circle(picture, (x, y), r, (240, 200, 220), -1)
        cv2.imwrite(str(folder / f"{n}.png"), picture)
        images.append(
            {"id": n, "file_name": f"{n}.png", "width": 120, "height": 100, "source": "discs"}
        )
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        outline = np.stack([x + r * np.cos(angles), y + r * np.sin(angles)], 1).ravel().tolist()
        annotations.append(
            {
                "id": n,
                "image_id": n,
                "category_id": 1,
                "segmentation": [outline],
                "bbox": [x - r, y - r, 2 * r, 2 * r],
                "area": np.pi * r * r,
                "iscrowd": 0,
            }
        )
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "o"}]}
    (folder / "discs.json").write_text(json.dumps(data))
    return folder


def _recipe(**schedule: object) -> Recipe:
    plan = Schedule(samples=24, batch=4, sides=((0.0, 32),), precision="fp32", checkpoint_every=2)
    return Recipe(
        network="picosam3",
        data=DataRecipe(files=["discs.json"], weights={"discs": 1.0}),
        schedule=msgspec.structs.replace(plan, **schedule),
    )


def _losses(folder: Path) -> list[str]:
    with (folder / "metrics.csv").open() as file:
        return [row["loss"] for row in csv.DictReader(file)]


def test_picosam3_has_exactly_the_published_parameters() -> None:
    assert sum(p.numel() for p in build("picosam3").parameters()) == 1_371_418


def test_picosam3_gives_one_logit_map_of_its_inputs_size() -> None:
    assert build("picosam3").eval()(torch.zeros(2, 3, 96, 96)).shape == (2, 96, 96)


def test_an_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="picosam3"):
        build("picosam9")


def test_region_kinds_come_in_the_stated_shares() -> None:
    rng = np.random.default_rng(1)
    kinds = [RegionMix().kind(rng.random()) for _ in range(20_000)]
    for kind, share in (("square", 1 / 3), ("tight", 1 / 3), ("look", 1 / 4), ("nothing", 1 / 12)):
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=0.015)


def test_a_tight_region_keeps_the_objects_shape_and_a_square_one_does_not() -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[40:60, 50:150] = 1
    box, mix = Roi(50, 40, 100, 20), RegionMix(max_box_error=0.0)
    rng = np.random.default_rng(0)
    tight = around_object("tight", box, mask, mix, rng)
    square = around_object("square", box, mask, mix, rng)
    assert (tight.width, tight.height) == pytest.approx((120, 24))
    assert (square.width, square.height) == pytest.approx((120, 120))
    assert tight.centre == square.centre == pytest.approx((100, 50))


def test_a_look_region_is_centred_on_the_object_and_of_any_size() -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[40:60, 50:150] = 1
    rng = np.random.default_rng(0)
    looks = [
        around_object("look", Roi(50, 40, 100, 20), mask, RegionMix(), rng) for _ in range(400)
    ]
    for look in looks:
        x, y = look.centre
        assert mask[int(y), int(x)] == 1
    sides = [max(look.width, look.height) / 120 for look in looks]
    assert min(sides) < 0.35 < 2.5 < max(sides)


def test_an_empty_target_has_no_object_at_the_regions_middle(discs: Path) -> None:
    nothing = RegionMix(square=1e-9, tight=0.0, look=0.0)
    regions = Regions([discs / "discs.json"], {"discs": 1.0}, nothing)
    batch = regions.batch(0, 64, 32, 0)
    empty = [n for n in range(64) if batch.target[n].sum() == 0]
    assert len(empty) > 40
    middles = batch.rgb[empty][:, :, 14:18, 14:18].mean((1, 2, 3))
    assert middles.max() < 150  # noise, never the bright disc


def test_a_batch_depends_on_its_step_and_seed_alone(discs: Path) -> None:
    regions = Regions([discs / "discs.json"], {"discs": 1.0}, RegionMix())
    one, same, other = (regions.batch(step, 8, 32, 0) for step in (3, 3, 4))
    assert torch.equal(one.rgb, same.rgb)
    assert torch.equal(one.target, same.target)
    assert not torch.equal(one.rgb, other.rgb)


def test_augmentation_moves_the_mask_with_the_picture() -> None:
    rgb = torch.zeros(32, 3, 16, 16)
    rgb[:, :, :, :4] = 255.0
    target = torch.zeros(32, 16, 16)
    target[:, :, :4] = 1.0
    seen, wanted = augment(rgb, target, torch.Generator().manual_seed(0))
    flipped = 0
    for picture, mask in zip(seen, wanted, strict=True):
        bright = picture.mean((0, 1))
        assert (bright[:3].mean() > bright[-3:].mean()) == bool(mask[0, 0])
        flipped += int(not mask[0, 0])
    assert 5 < flipped < 27


def test_the_loss_is_lower_for_the_right_mask_and_finite_for_empty_targets() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1.0
    right, wrong = (target * 2 - 1) * 8, (1 - target * 2) * 8
    assert mask_loss(right, target) < 0.01 < 5 < mask_loss(wrong, target)
    assert torch.isfinite(mask_loss(wrong, torch.zeros(1, 8, 8)))


def test_training_learns_the_discs(discs: Path, tmp_path: Path) -> None:
    recipe = _recipe(samples=240, learning_rate=4e-3, checkpoint_every=10)
    training.train(recipe, discs, tmp_path)
    losses = [float(loss) for loss in _losses(tmp_path)]
    assert losses[-1] < 0.6 * losses[0]


def test_an_interrupted_run_goes_on_to_the_same_loss_curve(discs: Path, tmp_path: Path) -> None:
    training.train(_recipe(), discs, tmp_path / "whole")

    def stop(standing: training.Standing) -> None:
        if standing.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(_recipe(), discs, tmp_path / "halved", stop)
    training.train(_recipe(), discs, tmp_path / "halved")
    assert _losses(tmp_path / "halved") == _losses(tmp_path / "whole")


def test_a_checkpoint_of_another_recipe_is_refused(discs: Path, tmp_path: Path) -> None:
    training.train(_recipe(samples=8), discs, tmp_path)
    with pytest.raises(ConfigError, match="another recipe"):
        training.train(_recipe(samples=12), discs, tmp_path)


def test_a_loss_that_is_no_number_stops_with_the_batchs_instances(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "mask_loss", lambda logits, _: logits.sum() * float("nan"))
    with pytest.raises(ModelError, match=r"step 0, instances \[\d"):
        training.train(_recipe(), discs, tmp_path)


def test_missing_pictures_and_unknown_keys_are_named(discs: Path, tmp_path: Path) -> None:
    data = json.loads((discs / "discs.json").read_text())
    (tmp_path / "discs.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"0\.png"):
        training.train(_recipe(), tmp_path, tmp_path / "run")
    bad = tmp_path / "recipe.toml"
    bad.write_text('network = "picosam3"\nspeed = 3\n')
    with pytest.raises(ConfigError, match="speed"):
        load_recipe(bad)


def test_the_released_recipe_can_be_read() -> None:
    recipe = load_recipe(MODELS / "picosam3" / "recipe.toml")
    assert recipe.schedule.side(0) <= recipe.schedule.side(recipe.schedule.steps - 1) == 96
    assert replace(recipe.data.regions, look=0.25) == recipe.data.regions


def test_the_exported_model_answers_as_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("picosam3").train()
    network(torch.rand(4, 3, 96, 96) * 255)  # give the norms statistics of their own
    export_onnx(network, tmp_path / "fp32.onnx")
    rgb = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    with torch.no_grad():
        wanted = network.eval()(torch.from_numpy(rgb).permute(0, 3, 1, 2).float()).numpy()
    got, _ = Network(tmp_path / "fp32.onnx").logits(rgb)
    assert np.abs(got - wanted).max() < 1e-4 * np.ptp(wanted)
    assert [file.name for file in tmp_path.iterdir()] == ["fp32.onnx"]


def test_the_command_writes_a_model_that_the_runtime_loads(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "tiny" / "recipe.toml"
    recipe.parent.mkdir()
    recipe.write_text(
        'network = "picosam3"\n[data]\nfiles = ["discs.json"]\nweights = { discs = 1.0 }\n'
        "[schedule]\nsamples = 8\nbatch = 4\nsides = [[0.0, 32]]\n"
    )
    monkeypatch.setenv("GLASSES_DATA", str(discs))
    words = ["train", str(recipe), "--out", str(tmp_path / "run")]
    command = [sys.executable, "-P", "-m", "glasses_sdk", *words]
    for _ in range(2):  # the second finds the run finished and writes the model again
        subprocess.run(command, check=True, cwd=tmp_path)
        assert Network(tmp_path / "run" / "fp32.onnx").input == Size(96, 96)
