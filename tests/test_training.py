"""Networks, regions, and the loop that trains them, on a made data set of a few pictures."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: train")
pytest.importorskip("pycocotools", reason="needs the extra: train")
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from glasses_sdk.annotations import load_annotations, read_rgb  # noqa: E402
from glasses_sdk.crop import crop  # noqa: E402
from glasses_sdk.errors import ConfigError, DataError, ModelError  # noqa: E402
from glasses_sdk.geometry import padded  # noqa: E402
from glasses_sdk.network import Network  # noqa: E402
from glasses_sdk.training import networks  # noqa: E402
from glasses_sdk.training.augment import augment  # noqa: E402
from glasses_sdk.training.checkpoint import State, begin, blend  # noqa: E402
from glasses_sdk.training.cost import cost  # noqa: E402
from glasses_sdk.training.data import Batch, Lesson, Regions  # noqa: E402
from glasses_sdk.training.export import export_onnx  # noqa: E402
from glasses_sdk.training.journal import Journal  # noqa: E402
from glasses_sdk.training.losses import (  # noqa: E402
    iou,
    lesson_loss,
    mask_loss,
    overlap_loss,
)
from glasses_sdk.training.memory import Memory  # noqa: E402
from glasses_sdk.training.networks import build  # noqa: E402
from glasses_sdk.training.ranks import Rank, this_rank  # noqa: E402
from glasses_sdk.training.recipe import DataRecipe, Recipe, Schedule, load_recipe  # noqa: E402
from glasses_sdk.training.regions import RegionMix, around_object  # noqa: E402
from glasses_sdk.training.train import Standing, train  # noqa: E402
from glasses_sdk.types import Roi, Size  # noqa: E402

MODELS = Path(__file__).parent.parent / "models"
ALONE = Rank()
PLAN = Schedule(samples=24, batch=4, sides=((0.0, 32),), precision="fp32", checkpoint_every=2)
DISCS = DataRecipe(files=["discs.json"], weights={"discs": 1.0})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_discs(folder: Path, source: Callable[[int], str] = lambda n: "discs") -> Path:
    """Six pictures of a bright disc on noise, in COCO format."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for n in range(6):
        x, y, r = (int(v) for v in (rng.integers(40, 80), rng.integers(40, 60), 15 + 3 * n))
        picture = rng.integers(0, 90, (100, 120, 3), np.uint8)
        cv2.circle(picture, (x, y), r, (240, 200, 220), -1)
        cv2.imwrite(str(folder / f"{n}.png"), picture)
        image = {"id": n, "file_name": f"{n}.png", "width": 120, "height": 100}
        images.append(image | {"source": source(n)})
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        outline = np.stack([x + r * np.cos(angles), y + r * np.sin(angles)], 1).ravel().tolist()
        annotations.append(
            {
                "id": 10 + n,
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


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture
def own_discs(tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return write_discs(tmp_path / "discs")


def change(record: Any, **values: object) -> Any:
    return msgspec.structs.replace(record, **values)


def recipe_of(network: str = "picosam3", data: DataRecipe = DISCS, **schedule: object) -> Recipe:
    return Recipe(network=network, data=data, schedule=change(PLAN, **schedule))


def plan_of(batch: int) -> Schedule:
    """One step of so many regions."""
    return change(PLAN, samples=batch, batch=batch)


def losses(folder: Path) -> list[tuple[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


# Networks

NETWORKS = [
    ("picosam2", "published", 96, 1_262_818, 323_053_056),
    ("picosam3", "published", 96, 1_371_418, 330_162_496),
    ("picosam3", "eca", 96, 1_369_821, 330_161_016),
    ("picosam3-fine", "published", 192, 1_578_562, 628_926_208),
    ("picosam3-fine", "eca", 192, 1_476_165, 628_824_768),
]


@pytest.mark.parametrize(("name", "attention", "side", "parameters", "macs"), NETWORKS)
def test_a_network_has_exactly_its_parameters_and_multiplications(
    name: str, attention: Any, side: int, parameters: int, macs: int
) -> None:
    network = build(name, attention)
    counted = cost(network, side)
    assert (counted.parameters, counted.macs) == (parameters, macs)
    with FlopCounterMode(display=False) as torchs_own, torch.no_grad():
        network(torch.zeros(2, 3, side, side))
    assert torchs_own.get_total_flops() == 2 * 2 * macs  # two pictures; a MAC is two operations


def test_counting_leaves_a_network_as_it_was() -> None:
    network = build("picosam2").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    cost(network, 32)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.fixture
def checked_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `forward` of the networks is held to the shapes in its types."""
    beartype = pytest.importorskip("beartype", reason="needs the extra: dev").beartype
    from jaxtyping import jaxtyped

    for name in ("picosam2", "picosam3", "picosam3-fine"):
        for part in {type(part) for part in build(name).modules()} | {
            type(networks.blocks.EfficientAttention())
        }:
            if part.__module__.startswith("glasses_sdk") and "forward" in vars(part):
                typed = jaxtyped(part.forward, typechecker=beartype)
                monkeypatch.setattr(part, "forward", typed)


@pytest.mark.usefixtures("checked_shapes")
@pytest.mark.parametrize(("name", "attention"), [row[:2] for row in NETWORKS])
def test_the_shapes_are_those_of_the_types(name: str, attention: Any) -> None:
    network = build(name, attention).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 32, 64)).shape == (2, 32, 64)


@pytest.mark.usefixtures("checked_shapes")
def test_a_shape_that_is_not_the_types_is_seen() -> None:
    jaxtyping = pytest.importorskip("jaxtyping")
    with pytest.raises(jaxtyping.TypeCheckError, match="rgb"):
        build("picosam3")(torch.zeros(2, 4, 32, 32))


def test_the_textbooks_attention_is_a_convolution_along_the_channels() -> None:
    torch.manual_seed(0)
    attention = networks.blocks.EfficientAttention()
    maps = torch.randn(2, 7, 4, 5)
    kernel = attention.weigh.weight.detach().reshape(1, 1, 3)
    weights = nn.functional.conv1d(maps.mean((2, 3)).unsqueeze(1), kernel, padding=1).sigmoid()
    wanted = maps * weights.reshape(2, 7, 1, 1)
    assert torch.allclose(attention(maps), wanted, atol=1e-6)


def test_the_fine_network_has_no_wide_map_of_full_size() -> None:
    widths: list[int] = []

    def note(part: nn.Module, _: object, output: Any) -> None:
        if output.ndim == 4 and output.shape[2] == 64:
            widths.append(output.shape[1])

    network = build("picosam3-fine").eval()
    for part in network.modules():
        part.register_forward_hook(note)
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    assert 32 in widths
    assert max(widths) == 32


def test_an_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="picosam2, picosam3, picosam3-fine"):
        build("picosam9")


# Where a sample looks


def test_region_kinds_come_in_the_stated_shares() -> None:
    rng = np.random.default_rng(1)
    kinds = [RegionMix().kind(rng.random()) for _ in range(20_000)]
    for kind, share in (("square", 1 / 3), ("tight", 1 / 3), ("look", 1 / 4), ("nothing", 1 / 12)):
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=0.015)


BAR = np.zeros((100, 200), np.uint8)
BAR[40:60, 50:150] = 1
BAR_BOX = Roi(50, 40, 100, 20)


def regions_around(kind: str, count: int, box: Roi = BAR_BOX, **mix: float) -> list[Roi]:
    rng = np.random.default_rng(0)
    return [around_object(kind, box, BAR, RegionMix(**mix), rng) for _ in range(count)]


def test_a_tight_region_keeps_the_objects_shape_and_a_square_one_does_not() -> None:
    (tight,) = regions_around("tight", 1, max_box_error=0.0)
    (square,) = regions_around("square", 1, max_box_error=0.0)
    assert (tight.width, tight.height) == pytest.approx((120, 24))
    assert (square.width, square.height) == pytest.approx((120, 120))
    assert tight.centre == square.centre == pytest.approx((100, 50))


@pytest.mark.parametrize("box", [BAR_BOX, Roi(0, 0, 20, 20)], ids=["right", "wrong"])
def test_a_look_is_centred_on_the_object_and_of_any_size(box: Roi) -> None:
    looks = regions_around("look", 400, box)
    for x, y in (look.centre for look in looks):
        assert BAR[int(y), int(x)] == 1
    columns = [look.centre[0] for look in looks]
    assert min(columns) < 60 < 140 < max(columns)
    sides = [max(look.width, look.height) / (1.2 * box.width) for look in looks]
    assert min(sides) < 0.35 < 2.5 < max(sides)


def test_in_a_native_region_a_cell_is_a_pixel() -> None:
    regions = regions_around("native", 50)
    assert {(one.width, one.height) for one in regions} == {(96, 96)}
    assert sum(one.centre == BAR_BOX.centre for one in regions) > 20


# Batches


def test_a_batch_shows_the_regions_and_the_masks_in_them(discs: Path) -> None:
    exact = change(DISCS, regions=RegionMix(0.0, 1.0, 0.0, max_box_error=0.0))
    plan = plan_of(12)
    batch = Regions(discs, exact).batch(0, plan, ALONE)
    data = load_annotations(discs / "discs.json")
    by_id = {instance.id: instance for instance in data.instances}
    for rgb, target, name in zip(batch.rgb, batch.target, batch.instances, strict=True):
        instance = by_id[name]
        region = padded(instance.box, 0.1)
        picture = read_rgb(data.photos[instance.photo])
        assert np.array_equal(rgb.permute(1, 2, 0).numpy(), crop(picture, region, Size(32, 32)))
        wanted = crop(instance.mask(), region, Size(32, 32), nearest=True)
        assert np.array_equal(target.numpy(), wanted)


def test_a_batch_depends_on_its_step_and_seed_alone(discs: Path) -> None:
    regions = Regions(discs, DISCS)
    one, same, later = (regions.batch(step, PLAN, ALONE) for step in (3, 3, 4))
    other = regions.batch(3, change(PLAN, seed=1), ALONE)
    assert torch.equal(one.rgb, same.rgb)
    assert torch.equal(one.target, same.target)
    assert not torch.equal(one.rgb, later.rgb)
    assert not torch.equal(one.rgb, other.rgb)


def test_workers_cut_the_same_batches_in_the_same_order(discs: Path) -> None:
    regions = Regions(discs, DISCS)
    here = regions.batches(range(2, 6), PLAN, ALONE)
    there = regions.batches(range(2, 6), PLAN, Rank(workers=2))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.rgb, other.rgb)
        assert one.instances == other.instances


def test_ranks_share_a_batch(discs: Path) -> None:
    regions = Regions(discs, DISCS)
    whole = regions.batch(1, PLAN, ALONE)
    for number in range(2):
        share = regions.batch(1, PLAN, Rank(number, 2))
        assert torch.equal(share.rgb, whole.rgb[number::2])


def test_each_source_has_its_share(tmp_path: Path) -> None:
    folder = write_discs(tmp_path / "discs", lambda n: "rare" if n == 0 else "common")
    recipe = change(DISCS, weights={"rare": 3.0, "common": 1.0})
    batch = Regions(folder, recipe).batch(0, plan_of(600), ALONE)
    assert batch.instances.count(10) / 600 == pytest.approx(0.75, abs=0.06)
    alone = Regions(folder, change(DISCS, weights={"rare": 1.0}))
    assert set(alone.batch(0, PLAN, ALONE).instances) == {10}


def test_an_empty_target_has_no_object_at_the_regions_middle(discs: Path) -> None:
    nothing = change(DISCS, regions=RegionMix(square=1e-9, tight=0.0, look=0.0))
    batch = Regions(discs, nothing).batch(0, plan_of(64), ALONE)
    empty = [n for n in range(64) if batch.target[n].sum() == 0]
    assert len(empty) > 40
    middles = batch.rgb[empty][:, :, 14:18, 14:18].float().mean((1, 2, 3))
    assert middles.max() < 150  # noise, never the bright disc


# Data that is bad


def damage_file(folder: Path) -> None:
    path = folder / "discs.json"
    path.write_bytes(path.read_bytes()[:-40])


def test_an_annotation_file_that_is_cut_off_is_named(own_discs: Path) -> None:
    damage_file(own_discs)
    with pytest.raises(DataError, match=r"discs\.json is not a whole JSON file"):
        Regions(own_discs, DISCS)


def lose_pictures(folder: Path) -> None:
    (folder / "1.png").unlink()
    (folder / "4.png").unlink()


def cut_pictures_off(folder: Path) -> None:
    for name in ("1.png", "4.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:200])


def spoil_masks(folder: Path) -> None:
    """One out of its picture, one without an area."""
    data = json.loads((folder / "discs.json").read_text())
    data["annotations"][1] |= {"segmentation": [[500, 5, 520, 5, 520, 9]], "bbox": [500, 5, 20, 4]}
    data["annotations"][4] |= {"segmentation": []}
    (folder / "discs.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("spoil", "first"),
    [
        (lose_pictures, r"no picture .*1\.png"),
        (cut_pictures_off, r"1\.png"),
        (spoil_masks, r"discs\.json: annotation 11: "),
    ],
)
def test_what_is_bad_is_named_counted_and_refused_or_skipped(
    own_discs: Path, spoil: Callable[[Path], None], first: str
) -> None:
    spoil(own_discs)
    with pytest.raises(DataError, match=rf"{first}.* and 1 more; .*--skip-bad"):
        Regions(own_discs, DISCS)
    regions = Regions(own_discs, DISCS, skip_bad=True)
    assert len(regions.bad) == 2
    seen = set(regions.batch(0, plan_of(100), ALONE).instances)
    assert seen == {10, 12, 13, 15}


def test_a_source_that_no_picture_has_lists_those_that_are_there(discs: Path) -> None:
    with pytest.raises(ConfigError, match="source cups; there: discs"):
        Regions(discs, change(DISCS, weights={"discs": 1.0, "cups": 0.1}))


# A teacher


@pytest.fixture
def taught(own_discs: Path) -> DataRecipe:
    """Answers at half the resolution, for all objects but the first."""
    folder = own_discs / "wise" / "discs"
    folder.mkdir(parents=True)
    for instance in load_annotations(own_discs / "discs.json").instances[1:]:
        logits = cv2.resize(instance.mask(), (60, 50)).astype(np.float16) * 8 - 4
        np.savez(folder / f"{instance.id}.npz", logits=logits, score=np.float32(0.9))
    return change(DISCS, teacher="wise", regions=RegionMix(0.4, 0.3, 0.2))


def test_a_teachers_answer_is_cut_as_the_region_is(own_discs: Path, taught: DataRecipe) -> None:
    batch = Regions(own_discs, taught).batch(0, plan_of(40), ALONE)
    assert batch.lesson is not None
    agreeing = 0
    for n, name in enumerate(batch.instances):
        there = bool(batch.target[n].any())
        assert batch.lesson.score[n] == pytest.approx(0.9 * (there and name != 10))
        if batch.lesson.score[n]:
            logits, target = batch.lesson.logits[n : n + 1], batch.target[n : n + 1]
            agreeing += int(iou(logits, target) > 0.85)
    assert agreeing > 0.9 * int((batch.lesson.score > 0).sum()) > 10


def test_training_listens_to_the_teacher(
    own_discs: Path, taught: DataRecipe, tmp_path: Path
) -> None:
    train(recipe_of(data=change(taught, teacher=None), samples=4), own_discs, tmp_path / "alone")
    train(recipe_of(data=taught, samples=4), own_discs, tmp_path / "taught")
    assert losses(tmp_path / "alone") != losses(tmp_path / "taught")


def test_a_teacher_that_is_not_there_or_damaged_is_named(
    own_discs: Path, taught: DataRecipe
) -> None:
    with pytest.raises(ConfigError, match=r"folder .*unwise"):
        Regions(own_discs, change(taught, teacher="unwise"))
    for file in (own_discs / "wise" / "discs").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"answer .*wise/discs/1\d\.npz is damaged"):
        Regions(own_discs, taught).batch(0, plan_of(40), ALONE)


# Augmentation

PLAIN = DataRecipe(files=["any"], weights={"any": 1.0})


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dotted(n: int = 32, side: int = 32) -> Batch:
    """A bright square of another size and place in each sample, over the middle; a teacher sees
    it, too."""
    rgb, target = torch.full((n, 3, side, side), 40.0), torch.zeros(n, side, side)
    for k in range(n):
        left, reach = side // 2 - 2 - k % 8, 6 + k % 5
        target[k, left : left + reach, left : left + reach + 3] = 1.0
        rgb[k, :, left : left + reach, left : left + reach + 3] = 220.0
    return Batch(rgb, target, list(range(n)), Lesson(target * 12 - 6, torch.ones(n)))


def bright(batch: Batch) -> Any:
    """Cells nearer to the sample's brightest than to its darkest."""
    grey = nn.functional.avg_pool2d(batch.rgb.mean(1, keepdim=True), 3, 1, 1).squeeze(1)
    low, high = grey.amin((1, 2), keepdim=True), grey.amax((1, 2), keepdim=True)
    return grey > (low + high) / 2


@pytest.mark.parametrize("share", [{}, {"turn": 1.0}, {"degrade": 1.0}, {"paste": 1.0}])
def test_the_mask_and_the_lesson_move_with_the_picture(share: dict[str, float]) -> None:
    before = dotted()
    after = augment(before, change(PLAIN, **share), drawn())
    moved = (after.target != before.target).any(2).any(1).sum()
    assert moved > 8
    shown = bright(after).float() * 2 - 1
    assert iou(shown, after.target) > 0.7
    assert after.lesson is not None
    assert iou(after.lesson.logits, after.target) > 0.95


def test_half_of_the_samples_are_mirrored() -> None:
    before = dotted(64)
    after = augment(before, PLAIN, drawn())
    same = (after.target == before.target).all(2).all(1)
    mirrored = (after.target == before.target.flip(2)).all(2).all(1)
    assert (same | mirrored).all()
    assert 20 < int(mirrored.sum()) < 44


def test_augmentation_depends_on_the_generator_alone() -> None:
    hard = change(PLAIN, paste=0.5, clutter=0.5, turn=0.5, degrade=0.5)
    one, same, other = (augment(dotted(), hard, drawn(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.rgb, same.rgb)
    assert not torch.equal(one.rgb, other.rgb)


def test_what_is_covered_is_no_longer_the_objects() -> None:
    n, side = 64, 32
    rgb, target = torch.zeros(n, 3, side, side), torch.zeros(n, side, side)
    target[:, 4:28, 4:28] = 1.0
    rgb[:, :, 4:28, 4:28] = torch.rand(n, 3, 1, 1, generator=drawn()) * 255
    before = Batch(rgb, target, list(range(n)), Lesson(target * 12 - 6, torch.ones(n)))
    after = augment(before, change(PLAIN, clutter=1.0), drawn())
    share = after.target.sum((1, 2)) / target.sum((1, 2))
    assert 10 < int((share < 1).sum())
    assert share.min() >= 0.5
    assert (after.target[:, side // 2, side // 2 - 1 : side // 2 + 1] > 0).any(1).all()
    assert after.lesson is not None
    assert torch.equal(after.lesson.logits > 0, after.target > 0)


def test_a_pasted_object_has_another_samples_background() -> None:
    n, side = 32, 32
    target = torch.zeros(n, side, side)
    target[:, 10:22, 10:22] = 1.0
    around = torch.where(torch.arange(n) % 2 > 0, 20.0, 235.0).reshape(n, 1, 1, 1)
    rgb = torch.where(target.unsqueeze(1) > 0, 128.0, around).expand(n, 3, side, side)
    after = augment(Batch(rgb, target, list(range(n))), change(PLAIN, paste=1.0), drawn())
    assert torch.equal(after.target, target)
    inside, outside = (after.rgb[:, :, low:high, low:high] for low, high in ((13, 19), (0, 6)))
    lighter = inside.mean((1, 2, 3)) > outside.mean((1, 2, 3))
    assert 8 < int((lighter != (around.flatten() < 128)).sum()) < 24


def test_a_worse_sensor_shows_less_detail_and_more_noise_in_the_light() -> None:
    n, side = 32, 32
    fine = torch.zeros(n, 3, side, side)
    fine[:, :, :, ::2] = 200.0
    halves = torch.full((n, 3, side, side), 20.0)
    halves[:, :, side // 2 :] = 230.0
    for rgb, is_worse in (
        (fine, lambda seen, usual: detail(seen) < 0.8 * detail(usual)),
        (halves, lambda seen, usual: spread(seen) > spread(usual)),
    ):
        batch = Batch(rgb, torch.zeros(n, side, side), list(range(n)))
        usual = augment(batch, PLAIN, drawn()).rgb
        worse = augment(batch, change(PLAIN, degrade=1.0), drawn()).rgb
        assert is_worse(worse, usual)


def detail(rgb: Any) -> float:
    """How different neighbouring columns are: their mean over the rows, which have no noise."""
    columns = rgb.mean((1, 2))
    return float((columns[:, 1:] - columns[:, :-1]).abs().mean())


def spread(rgb: Any) -> float:
    """How much more the light half varies than the dark one."""
    dark, light = rgb[:, :, :12], rgb[:, :, 20:]
    return float(light.std((2, 3)).mean() - dark.std((2, 3)).mean())


# Losses


def square(side: int = 8) -> Any:
    target = torch.zeros(1, side, side)
    target[:, 2:6, 2:6] = 1.0
    return target


def test_the_loss_is_lower_for_the_right_mask_and_finite_for_empty_targets() -> None:
    target = square()
    right, wrong = (target * 2 - 1) * 8, (1 - target * 2) * 8
    assert mask_loss(right, target) < 0.01 < 5 < mask_loss(wrong, target)
    assert torch.isfinite(mask_loss(wrong, torch.zeros(1, 8, 8)))


def test_cells_that_are_likely_less_than_half_join_the_mask_where_the_overlap_counts() -> None:
    """Each cell is the object's in two samples of five: no mask has an IoU of 0, a full one 0.4."""
    target = (torch.rand(200, 8, 8, generator=drawn()) < 0.4).float()

    def learnt(loss: Any) -> int:
        logits = torch.zeros(1, 8, 8, requires_grad=True)
        optimizer = torch.optim.Adam([logits], 0.05)
        for _ in range(100):
            optimizer.zero_grad()
            loss(logits.expand_as(target), target).backward()
            optimizer.step()
        return int((logits > 0).sum())

    assert learnt(nn.functional.binary_cross_entropy_with_logits) < 4
    assert learnt(overlap_loss) > 50


def test_the_overlap_is_of_samples_with_an_object_alone() -> None:
    target = square()
    right, wrong = (target * 2 - 1) * 8, (1 - target * 2) * 8
    assert overlap_loss(right, target) < 0.01 < 5 < overlap_loss(wrong, target)
    empty = torch.zeros(1, 8, 8)
    both = overlap_loss(torch.cat([right, empty - 20]), torch.cat([target, empty]))
    assert both < overlap_loss(right, target)


def test_a_teacher_that_says_nothing_changes_nothing() -> None:
    logits, target = torch.randn(3, 8, 8, generator=drawn()), square().expand(3, 8, 8)
    taught = torch.randn(3, 8, 8, generator=drawn(1))
    assert lesson_loss(logits, target, taught, torch.zeros(3)) == mask_loss(logits, target)


def test_a_teacher_that_is_sure_is_learnt_from_alone() -> None:
    taught, sure = (square() * 2 - 1) * 8, torch.ones(1)
    nothing, everything = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    agreeing, contrary = (lesson_loss(sign * taught, nothing, taught, sure) for sign in (1, -1))
    assert agreeing < 0.01 < 1 < contrary
    assert agreeing == lesson_loss(taught, everything, taught, sure)


def test_the_iou_is_that_of_the_masks_with_an_object() -> None:
    logits, target = torch.full((3, 8, 8), -1.0), torch.zeros(3, 8, 8)
    target[0, :4], target[1, :2] = 1.0, 1.0
    logits[0, 2:6], logits[1, :2] = 1.0, 1.0  # a third, and all of it; the last is of nothing
    assert iou(logits, target) == pytest.approx((1 / 3 + 1) / 2)
    assert iou(logits[2:], target[2:]) == 0


# Training


def test_training_learns_the_discs(discs: Path, tmp_path: Path) -> None:
    harder = change(DISCS, paste=0.2, clutter=0.2, turn=0.2, degrade=0.2)
    recipe = recipe_of(
        data=harder, samples=160, learning_rate=4e-3, checkpoint_every=10, precision="bf16"
    )
    train(recipe, discs, tmp_path)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10", "20", "30", "40"]
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    assert float(rows[-1]["iou"]) > float(rows[0]["iou"])


def test_an_interrupted_run_goes_on_to_the_same_loss_curve(discs: Path, tmp_path: Path) -> None:
    whole = train(recipe_of(), discs, tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        train(recipe_of(), discs, tmp_path / "halved", stopping_at(5))
    assert len(losses(tmp_path / "halved")) == 2
    halved = train(recipe_of(), discs, tmp_path / "halved")
    assert losses(tmp_path / "halved") == losses(tmp_path / "whole")
    for one, other in zip(whole.parameters(), halved.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_was_written_down_after_the_last_checkpoint_is_written_once(
    discs: Path, tmp_path: Path
) -> None:
    train(recipe_of(), discs, tmp_path / "whole")
    run = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train(recipe_of(), discs, run, stopping_at(5))
    with (run / "metrics.csv").open("a") as file:
        file.write("6,0.1,0.1,0.1,0.1\n")  # its process was killed before the checkpoint
    train(recipe_of(), discs, run)
    assert losses(run) == losses(tmp_path / "whole")


def stopping_at(step: int) -> Callable[[Standing], None]:
    def stop(standing: Standing) -> None:
        if standing.step == step:
            raise KeyboardInterrupt

    return stop


def test_another_seed_is_another_run(discs: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        train(recipe_of(samples=8, seed=seed), discs, tmp_path / str(seed))
    assert losses(tmp_path / "0") != losses(tmp_path / "1")


def test_the_average_follows_weights_and_norms() -> None:
    torch.manual_seed(0)
    state = State.of(build("picosam2").train(), 0.01)
    state.network(torch.rand(2, 3, 32, 32) * 255)
    before = {name: tensor.clone() for name, tensor in state.average.state_dict().items()}
    with torch.no_grad():
        for parameter in state.network.parameters():
            parameter.add_(1.0)
    state.follow(0.75)
    own = state.network.state_dict()
    for name, tensor in state.average.state_dict().items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, 0.75 * before[name] + 0.25 * own[name], atol=1e-5)
    moved = "trunk.stages.0.1.running_mean"
    assert not torch.equal(state.average.state_dict()[moved], before[moved])


def test_a_loss_that_is_no_number_stops_with_the_batchs_instances(
    discs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"loss is (nan|inf) at step \d, instances \[1\d, "):
        train(recipe_of(learning_rate=1e30, checkpoint_every=100), discs, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_gpus_losses_are_looked_at_a_step_late_and_before_a_checkpoint(tmp_path: Path) -> None:
    seen: list[int] = []
    gpu = Rank(device=torch.device("cuda", 0))
    journal = Journal(tmp_path / "metrics.csv", 0, PLAN, gpu, lambda now: seen.append(now.step))
    good, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    journal.note(0, [1], good, good)
    assert seen == []
    journal.note(1, [2], good, good)
    assert seen == [1]
    journal.close(1, 0.1)
    assert seen == [1, 2]
    journal.note(2, [3, 4], bad, good)
    with pytest.raises(ModelError, match=r"step 2, instances \[3, 4\]"):
        journal.close(2, 0.1)


# Checkpoints


@pytest.fixture(scope="module")
def finished(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of picosam3."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(recipe_of(samples=8), discs, folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    folder = tmp_path / "run"
    folder.mkdir()
    for file in finished.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def rewrite(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> None:
    saved = torch.load(checkpoint, weights_only=True)
    change(saved)
    torch.save(saved, checkpoint)


def test_a_checkpoint_of_another_recipe_is_refused(discs: Path, run: Path) -> None:
    with pytest.raises(ConfigError, match="another recipe"):
        train(recipe_of(samples=12), discs, run)


def test_a_checkpoint_of_another_architecture_is_refused(discs: Path, run: Path) -> None:
    def pretend(saved: dict[str, Any]) -> None:
        saved["recipe"] = msgspec.json.encode(recipe_of("picosam2", samples=8)).decode()

    rewrite(run / "checkpoint.pt", pretend)
    with pytest.raises(ConfigError, match="another architecture than picosam2"):
        train(recipe_of("picosam2", samples=8), discs, run)


@pytest.mark.parametrize("left", [0, 20, 100_000])
def test_a_checkpoint_that_is_cut_off_is_refused(discs: Path, run: Path, left: int) -> None:
    path = run / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ModelError, match=r"checkpoint\.pt is damaged"):
        train(recipe_of(samples=8), discs, run)


def test_a_file_that_is_no_checkpoint_of_a_run_is_refused(discs: Path, run: Path) -> None:
    torch.save({"step": 2}, run / "checkpoint.pt")
    with pytest.raises(ModelError, match="no checkpoint of a run: average, network"):
        train(recipe_of(samples=8), discs, run)


def test_a_run_with_the_second_output_of_earlier_days_is_still_of_use(
    discs: Path, run: Path
) -> None:
    plain = train(recipe_of(samples=8), discs, run)

    def wrap(saved: dict[str, Any]) -> None:
        for part in ("network", "average"):
            inner = {f"network.{name}": tensor for name, tensor in saved[part].items()}
            saved[part] = inner | {"fit.squeeze.0.weight": torch.zeros(32, 321, 1, 1)}
        saved["recipe"] = json.dumps(json.loads(saved["recipe"]) | {"fit": True})

    rewrite(run / "checkpoint.pt", wrap)
    finished = train(recipe_of(samples=8), discs, run)
    begun = build("picosam3")
    begin(begun, run / "checkpoint.pt")
    for network in (finished, begun):
        for one, other in zip(plain.parameters(), network.parameters(), strict=True):
            assert torch.equal(one, other)


def test_a_run_begins_with_what_another_architecture_shares(finished: Path) -> None:
    torch.manual_seed(5)
    network = build("picosam2")
    head = network.head.weight.detach().clone()
    begin(network, finished / "checkpoint.pt")
    there = torch.load(finished / "checkpoint.pt", weights_only=True)["average"]
    assert torch.equal(network.trunk.stages[0][0].weight, there["trunk.stages.0.0.weight"])
    assert torch.equal(network.head.weight, head)


def test_the_recipe_says_which_loss_and_a_teacher_has_its_own(discs: Path, tmp_path: Path) -> None:
    recipe = recipe_of()
    train(recipe, discs, tmp_path / "dice")
    train(change(recipe, loss="overlap"), discs, tmp_path / "overlap")
    assert losses(tmp_path / "dice") != losses(tmp_path / "overlap")
    taught = change(recipe.data, teacher="said")
    with pytest.raises(ValueError, match="learnt by the loss dice, not overlap"):
        change(recipe, data=taught, loss="overlap")


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_finished_network_keeps_a_share_of_what_it_began_with(
    discs: Path, run: Path, tmp_path: Path, share: float
) -> None:
    (tmp_path / "before").mkdir()
    shutil.copy(run / "checkpoint.pt", tmp_path / "before")
    begun = torch.load(run / "checkpoint.pt", weights_only=True)["average"]
    recipe = change(recipe_of(), start="before")
    learnt = train(recipe, discs, tmp_path / "one").state_dict()
    blended = train(change(recipe, keep={"before": share}), discs, tmp_path / "two").state_dict()
    first = "trunk.stages.0.0.weight"
    assert not torch.equal(learnt[first], begun[first])
    for name, tensor in learnt.items():
        if tensor.is_floating_point():
            expected = (1 - share) * tensor + share * begun[name]
            torch.testing.assert_close(blended[name], expected)


def test_shares_of_several_runs_can_be_kept_and_have_to_be_there(
    discs: Path, run: Path, tmp_path: Path
) -> None:
    for name in ("before", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(run / "checkpoint.pt", tmp_path / name)

    def shift(saved: dict[str, Any]) -> None:
        for tensor in saved["average"].values():
            if tensor.is_floating_point():
                tensor += 1

    rewrite(tmp_path / "other" / "checkpoint.pt", shift)
    recipe = change(recipe_of(), start="before", keep={"before": 0.25, "other": 0.75})
    kept = train(recipe, discs, tmp_path / "one").state_dict()
    before = torch.load(run / "checkpoint.pt", weights_only=True)["average"]
    for name, tensor in kept.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, before[name] + 0.75)
    with pytest.raises(ConfigError, match=r"keeps a share of .*nowhere/checkpoint\.pt"):
        train(change(recipe, keep={"nowhere": 0.5}), discs, tmp_path / "two")


def test_what_is_remembered_counts_beside_the_annotations_and_has_to_be_there(
    discs: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "before").mkdir()
    shutil.copy(run / "checkpoint.pt", tmp_path / "before")
    for trust in (0.2, 0.9):
        train(change(recipe_of(), remember={"before": trust}), discs, tmp_path / f"{trust}")
    train(recipe_of(), discs, tmp_path / "none")
    said = [losses(tmp_path / name) for name in ("none", "0.2", "0.9")]
    assert said[0] != said[1] != said[2]
    with pytest.raises(ConfigError, match=r"remembers .*nowhere/checkpoint\.pt"):
        train(change(recipe_of(), remember={"nowhere": 0.5}), discs, tmp_path / "two")


def test_a_memory_answers_for_photographs_as_they_are_shown_and_not_for_collages(
    run: Path,
) -> None:
    memory = Memory(build("picosam3"), run / "checkpoint.pt", 0.7)
    rgb = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 255
    batch = Batch(rgb, torch.zeros(3, 32, 32), [1, 2, 3], made=torch.tensor([False, True, False]))
    lesson = memory.teach(batch).lesson
    assert lesson is not None
    assert lesson.score.tolist() == pytest.approx([0.7, 0.0, 0.7])
    knows = build("picosam3")
    begin(knows, run / "checkpoint.pt")
    torch.testing.assert_close(lesson.logits, knows.eval()(rgb))


def test_there_is_one_to_learn_from() -> None:
    recipe = recipe_of()
    with pytest.raises(ValueError, match="one run to remember, or one teacher"):
        change(recipe, remember={"one": 0.5, "other": 0.5})
    with pytest.raises(ValueError, match="one run to remember, or one teacher"):
        change(recipe, remember={"one": 0.5}, data=change(recipe.data, teacher="said"))
    with pytest.raises(ValueError, match="by the loss dice, not overlap"):
        change(recipe, remember={"one": 0.5}, loss="overlap")


def test_shares_that_are_kept_are_no_more_than_the_whole() -> None:
    with pytest.raises(ValueError, match="more than 1 together"):
        change(recipe_of(), keep={"before": 0.6, "other": 0.5})


def test_what_is_kept_has_to_be_of_the_same_architecture(finished: Path) -> None:
    with pytest.raises(ConfigError, match="same architecture"):
        blend(build("picosam2"), {finished / "checkpoint.pt": 0.5})


def test_a_run_to_begin_with_has_to_be_there_and_to_share_something(
    discs: Path, run: Path, tmp_path: Path
) -> None:
    absent = change(recipe_of(), start="nowhere")
    with pytest.raises(ConfigError, match=r"nowhere/checkpoint\.pt, which is not there"):
        train(absent, discs, tmp_path / "other")

    def strip(saved: dict[str, Any]) -> None:
        saved["average"] = {"encoder.weight": torch.zeros(3)}

    rewrite(run / "checkpoint.pt", strip)
    with pytest.raises(ConfigError, match="no layer in common"):
        begin(build("picosam3"), run / "checkpoint.pt")


def test_regions_are_led_by_the_network_of_the_run_before(
    discs: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "before")
    led = change(DISCS, collage=0.5, regions=RegionMix(led=0.25, square=0.25, tight=0.25))
    recipe = Recipe(network="picosam3", data=led, schedule=PLAN, start="before")
    with pytest.raises(ConfigError, match=r"led by .*before/fp32\.onnx, which is not there"):
        train(recipe, discs, tmp_path / "other")
    export_onnx(build("picosam3"), tmp_path / "before" / "fp32.onnx", 32)
    train(recipe, discs, tmp_path / "one")
    train(recipe, discs, tmp_path / "two")
    assert len(losses(tmp_path / "one")) == 3
    assert losses(tmp_path / "one") == losses(tmp_path / "two")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's disk that is full")
@pytest.mark.parametrize("file", ["checkpoint.part", "metrics.csv"])
def test_a_disk_that_is_full_stops_with_a_sentence_and_keeps_the_last_checkpoint(
    discs: Path, tmp_path: Path, file: str
) -> None:
    checkpoints: list[bytes] = []

    def fill_up(standing: Standing) -> None:
        if standing.step == 3:
            checkpoints.append((tmp_path / "checkpoint.pt").read_bytes())
            (tmp_path / file).unlink(missing_ok=True)
            (tmp_path / file).symlink_to("/dev/full")

    with pytest.raises(ModelError, match=r"cannot write .*(checkpoint\.pt|metrics\.csv)"):
        train(recipe_of(), discs, tmp_path, fill_up)
    assert [(tmp_path / "checkpoint.pt").read_bytes()] == checkpoints
    assert Path("/dev/full").is_char_device()


def test_a_folder_that_cannot_be_made_is_named(discs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot make the run's folder .*file/run"):
        train(recipe_of(), discs, tmp_path / "file" / "run")


# Recipes


@pytest.mark.parametrize(
    "path", sorted(MODELS.glob("*/*.toml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_released_recipe_can_be_read(path: Path) -> None:
    recipe = load_recipe(path)
    plan = recipe.schedule
    assert plan.side(0) <= plan.side(plan.steps - 1) == recipe.side


RECIPE = (
    'network = "picosam3"\n[data]\nfiles = ["discs.json"]\nweights = { discs = 1.0 }\n'
    "[schedule]\nsamples = 8\nbatch = 4\nsides = [[0.0, 32]]\n"
)


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ('network = "picosam3"', 'network = "picosam3"\nspeed = 3', "speed"),
        ('"picosam3"', '"picosam9"', "picosam9"),
        ("[data]", 'attention = "none"\n[data]', "attention"),
        ('"picosam3"', '"picosam2"\nattention = "eca"', "no attention to choose"),
        ("[[0.0, 32]]", "[[0.0, 50]]", "multiples of 16"),
        ("[[0.0, 32]]", "[[0.5, 32]]", "begin at 0.0"),
        ("[[0.0, 32]]", "[]", "sides"),
        ("samples = 8", "samples = 3", "less than one batch of 4"),
        ("discs = 1.0", "discs = 0.0", "weights"),
        ("[schedule]", "paste = 2.0\n[schedule]", "paste"),
        ("[schedule]", "collage = 0.5\n[schedule]", "need a start"),
        ("[schedule]", "[data.regions]\nled = 0.08\n[schedule]", "need a start"),
        ("samples = 8", "samples = ", "recipe"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(
    tmp_path: Path, right: str, wrong: str, named: str
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    assert load_recipe(path).side == 32
    path.write_text(RECIPE.replace(right, wrong, 1))
    with pytest.raises(ConfigError, match=named):
        load_recipe(path)
    with pytest.raises(ConfigError, match=r"cannot read recipe .*absent\.toml"):
        load_recipe(tmp_path / "absent.toml")


# Out of it


@pytest.mark.parametrize(("name", "attention", "side"), [row[:3] for row in NETWORKS])
def test_the_exported_model_answers_as_the_network_does(
    tmp_path: Path, name: str, attention: Any, side: int
) -> None:
    torch.manual_seed(0)
    network = build(name, attention).train()
    network(torch.rand(2, 3, side, side) * 255)  # give the norms statistics of their own
    export_onnx(network, tmp_path / "fp32.onnx", side)
    rgb = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    with torch.no_grad():
        wanted = network.eval()(torch.from_numpy(rgb).permute(0, 3, 1, 2).float()).numpy()
    model = Network(tmp_path / "fp32.onnx")
    assert model.input == Size(side, side)
    got, _ = model.logits(rgb)
    assert np.abs(got - wanted).max() < 1e-4 * np.ptp(wanted)
    assert [file.name for file in tmp_path.iterdir()] == ["fp32.onnx"]


def test_without_torchrun_a_process_is_alone() -> None:
    with this_rank() as rank:
        assert (rank.number, rank.count, rank.leads) == (0, 1, True)


TWO = """
import sys
from pathlib import Path
import torch
from torch import distributed
from glasses_sdk.training.ranks import this_rank
from glasses_sdk.training.recipe import load_recipe
from glasses_sdk.training.train import train
torch.set_num_threads(1)
recipe, data, out = (Path(one) for one in sys.argv[1:])
with this_rank() as rank:
    losses = []
    network = train(load_recipe(recipe), data, out, lambda now: losses.append(now.loss), rank=rank)
    mine = torch.cat([weight.flatten() for weight in network.parameters()])
    everyones = [torch.zeros_like(mine) for _ in range(2)]
    distributed.all_gather(everyones, mine)
    first = torch.tensor(losses[:1])
    firsts = [torch.zeros(1) for _ in range(2)]
    distributed.all_gather(firsts, first)
    if rank.leads:
        print(rank.count, torch.equal(*everyones), not torch.equal(*firsts))
"""


def test_two_processes_train_one_network_on_different_regions(discs: Path, tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    files = [tmp_path / "two.py", tmp_path / "recipe.toml", discs, tmp_path / "run"]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["2", "True", "True"], done.stderr
    assert [step for step, _ in losses(tmp_path / "run")] == ["2"]


def test_a_batch_has_to_be_shareable(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch of 4 cannot be shared by 3"):
        train(recipe_of(), discs, tmp_path, rank=Rank(0, 3))


def test_the_command_writes_a_model_that_the_runtime_loads_and_a_plot(
    own_discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "tiny" / "recipe.toml"
    recipe.parent.mkdir()
    recipe.write_text(RECIPE)
    lose_pictures(own_discs)
    monkeypatch.setenv("GLASSES_DATA", str(own_discs))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["train", str(recipe), "--out", str(tmp_path / "run")]
    command = [sys.executable, "-P", "-m", "glasses_sdk", *words]
    done = subprocess.run(
        [*command, "--skip-bad"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = " ".join(done.stderr.split())
    assert done.returncode == 0, done.stderr
    assert "picosam3: 1,371,418 parameters, 37 M MACs; on 1 x" in said
    assert said.count("left out: no picture") == 2
    assert Network(tmp_path / "run" / "fp32.onnx").input == Size(32, 32)
    assert cv2.imread(str(tmp_path / "run" / "metrics.png")).std() > 5


@pytest.mark.parametrize(
    ("recipe", "folder"), [("big/recipe.toml", "runs/big"), ("big/slow.toml", "runs/slow")]
)
def test_each_recipe_has_a_run_of_its_own(
    recipe: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glasses_sdk.cli import keep
    from glasses_sdk.training import command

    folders: list[Path] = []
    monkeypatch.setattr(command, "run", lambda _, run, *__, **___: folders.append(run))
    monkeypatch.setenv("GLASSES_DATA", str(tmp_path))
    keep.train(Path(recipe))
    assert folders == [Path(folder)]


def test_the_command_makes_the_model_of_a_finished_run_again(run: Path, tmp_path: Path) -> None:
    from glasses_sdk.training import command

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE + 'precision = "fp32"\ncheckpoint_every = 2\n')
    command.run(recipe, run, tmp_path / "no-data", skip_bad=False)
    assert Network(run / "fp32.onnx").input == Size(32, 32)
