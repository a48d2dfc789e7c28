"""The made world against its own laws, and the score against masks whose worth is known."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.geometry import mask_box
from glasses_sdk.network import Network
from glasses_sdk.sensors.cutouts import background, load_cutouts
from glasses_sdk.sensors.synthetic import SyntheticFrames, World, WorldGaze, open_world
from glasses_sdk.simulation import score
from glasses_sdk.types import Mask, Roi, Size
from tests.recovery import there_and_back

SMALL = Size(480, 270)
SECONDS = 20


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, SMALL)


@pytest.fixture(scope="module")
def looks(world: World) -> list[tuple[int, object]]:
    return [(i, truth) for i in range(SECONDS * 30) if (truth := world.truth(i))]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A model of the contract that calls every cell of its 96 x 96 an object."""
    onnx = pytest.importorskip(
        "onnx", reason="onnx builds the model; it comes with the extra train"
    )
    helper, kinds = onnx.helper, onnx.TensorProto
    path = tmp_path_factory.mktemp("model") / "everything.onnx"
    nodes = [
        helper.make_node("Cast", ["rgb"], ["float"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[3], keepdims=0),
        helper.make_node("Abs", ["mean"], ["positive"]),
        helper.make_node("Add", ["positive", "one"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "everything",
        [helper.make_tensor_value_info("rgb", kinds.UINT8, ["N", 96, 96, 3])],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, ["N", 96, 96])],
        [helper.make_tensor("one", kinds.FLOAT, [1], [1.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return Network(path)


def true_mask(world: World, index: int, shift: int = 0) -> Mask | None:
    """The truth as a mask of whole pixels, cut to 256 cells a side by nearest cell."""
    truth = world.truth(index)
    if truth is None:
        return None
    left, top = max(int(truth.box.left) - 8, 0), max(int(truth.box.top) - 8, 0)
    right = min(int(truth.box.right) + 8, world.size.width)
    bottom = min(int(truth.box.bottom) + 8, world.size.height)
    moved = np.roll(truth.mask, shift, axis=1)[top:bottom, left:right]
    cells = (min(right - left, 256), min(bottom - top, 256))
    bits = cv2.resize(moved.astype(np.uint8), cells, interpolation=cv2.INTER_NEAREST) > 0
    roi = Roi(left, top, right - left, bottom - top)
    return Mask(bits, roi, world.size, world.time_ns(index), index, 1.0)


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    one, same, other = World(5, SMALL), World(5, SMALL), World(6, SMALL)
    later = same.gaze(10**9, 3 * 10**9)  # asked for in another order
    assert np.array_equal(one.render(70), same.render(70))
    assert repr(one.gaze(0, 3 * 10**9)[200:]) == repr(later)
    assert not np.array_equal(one.render(70), other.render(70))


def test_a_world_comes_back_from_its_file(tmp_path: Path) -> None:
    one = World(5, SMALL, 25.0)
    one.to_file(tmp_path / "world.json")
    again = World.from_file(tmp_path / "world.json")
    assert again.script == one.script
    assert np.array_equal(again.render(33), one.render(33))
    assert again.landings(200) == one.landings(200)


def test_a_damaged_file_or_an_unknown_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    path.write_text('{"seed": 1, "speed": 3}')
    with pytest.raises(DataError, match="speed"):
        World.from_file(path)
    World(1, SMALL).to_file(path)
    path.write_text(path.read_text().replace('"astronaut"', '"teapot"'))
    with pytest.raises(DataError, match=r"teapot.*known: .*cat"):
        World.from_file(path)
    with pytest.raises(ConfigError, match="synthetic:7"):
        open_world("nowhere.json")
    with pytest.raises(DataError, match=r"sand.*grass"):
        background("sand", 1, SMALL)


def test_without_scikit_image_the_message_says_what_to_install() -> None:
    program = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'skimage' else find(name, *a)\n"
        "from glasses_sdk.errors import ConfigError\n"
        "from glasses_sdk.sensors.synthetic import World\n"
        "try: World(1)\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'glasses-sdk[demo]'" in done.stdout, done.stderr


def test_scikit_image_is_read_but_never_imported() -> None:
    program = (
        "import sys; from glasses_sdk.sensors.synthetic import World; World(1).render(0)\n"
        "print('skimage' in sys.modules, 'cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_the_picture_shows_the_looked_at_object_exactly_where_the_truth_says() -> None:
    """The object's colours become their complement: only pixels of the mask and its edge change."""
    world, changed = World(2, SMALL), World(2, SMALL)
    index = next(i for i in range(30, 900) if (t := world.truth(i)) and t.mask.sum() > 2000)
    truth = world.truth(index)
    assert truth is not None
    inverted = [_inverted(level) for level in changed._cutouts[truth.thing].levels]
    cutout = changed._cutouts[truth.thing]
    changed._cutouts[truth.thing] = type(cutout)(tuple(inverted), cutout.area)
    difference = np.abs(world.render(index).astype(int) - changed.render(index)).max(axis=2)
    inside = cv2.erode(truth.mask.astype(np.uint8), np.ones((3, 3))) > 0
    outside = cv2.dilate(truth.mask.astype(np.uint8), np.ones((5, 5))) == 0
    assert difference[outside].max() == 0
    assert np.mean(difference[inside] > 0) > 0.99


def _inverted(level: object) -> object:
    opacity = 255 - level.veil
    return type(level)(opacity - np.minimum(level.colour, opacity), level.veil, level.matrix)


def test_a_hidden_part_is_no_part_of_the_truth() -> None:
    """Whatever is in front only takes away from an object, and does so often."""
    world = World(7, SMALL)
    more = 0
    for thing in range(world.objects - 1):
        for index in range(0, 600, 40):
            view = world.view(thing, index / 30)
            drawn = world._drawn(thing, index / 30)
            if drawn is None:
                continue
            assert not np.any(view.bits & ~drawn.bits())
            more += int(drawn.bits().sum() > view.bits.sum())
    assert more > 5


def test_three_objects_are_in_view_nearly_always_and_their_sizes_span_the_range() -> None:
    enough, heights = [], []
    for seed in range(8):
        world = World(seed, Size(240, 135))
        for second in range(0, 60, 3):
            seen = [world.view(thing, second).share > 0.3 for thing in range(world.objects)]
            enough.append(sum(seen) >= 3)
            heights += [math.exp(actor.log_height.at(second)) for actor in world.script.actors]
    assert np.mean(enough) > 0.95
    assert 0.079 < min(heights) < 0.12
    assert 0.55 < max(heights) < 0.81


def test_objects_leave_the_frame_and_come_back() -> None:
    world = World(1, Size(240, 135))
    shares = np.array([[world.view(k, t).share for t in range(60)] for k in range(world.objects)])
    gone = [np.flatnonzero(row < 0.05) for row in shares]
    back = [
        any(row[first:].max() > 0.5 for first in at[:1])
        for row, at in zip(shares, gone, strict=True)
    ]
    assert sum(back) >= 2


def test_eyes_wait_for_the_only_object_and_are_on_it_when_it_is_back() -> None:
    world = World(1, script=there_and_back("cup"))
    landings = world.landings(720)
    assert len(landings) == 4
    for before, after in pairwise(landings):
        away = [i for i in range(before.stop, after.frame) if world.truth(i) is None]
        assert len(away) == after.frame - before.stop


def test_the_gaze_is_on_the_visible_object_but_for_its_noise(world: World, looks: list) -> None:
    """Half a degree at 60 degrees a frame width is 4 pixels here."""
    near = []
    for index, truth in looks:
        sample = world.gaze(world.time_ns(index), world.time_ns(index) + 5_000_000)
        for gaze in (g for g in sample if g.confidence):
            distance = cv2.distanceTransform((~truth.mask).astype(np.uint8), cv2.DIST_L2, 5)
            row = min(int(gaze.y * SMALL.height), SMALL.height - 1)
            near.append(distance[row, min(int(gaze.x * SMALL.width), SMALL.width - 1)])
    assert len(near) > 300
    assert np.mean(np.array(near) <= 8) > 0.97
    assert np.mean(np.array(near) == 0) > 0.6


def test_samples_come_at_200_hz_and_a_blink_has_no_confidence(world: World) -> None:
    samples = world.gaze(0, SECONDS * 10**9)
    assert [gaze.time_ns for gaze in samples] == list(range(0, SECONDS * 10**9, 5_000_000))
    shut = np.array([gaze.confidence == 0 for gaze in samples])
    edges = np.flatnonzero(np.diff(np.pad(shut.astype(int), 1)))
    lengths_ms = (edges[1::2] - edges[::2]) * 5
    assert 3 <= len(lengths_ms) <= SECONDS
    assert lengths_ms.min() >= 95
    assert lengths_ms.max() <= 255
    assert all(0 <= g.x <= 1 and 0 <= g.y <= 1 for g in samples if g.confidence)


def test_the_noise_is_half_a_degree() -> None:
    """Against the eyes' own path: the part that is new in each sample, and the part that stays."""
    world = World(11, SMALL)
    samples = [g for g in world.gaze(0, 60 * 10**9) if g.confidence]
    path = np.array([world._eyes._at(g.time_ns / 1e9) for g in samples])
    seen = np.array([(g.x * SMALL.width - 0.5, g.y * SMALL.height - 0.5) for g in samples])
    inside = np.all((seen > 20) & (seen < (SMALL.width - 20, SMALL.height - 20)), axis=1)
    new_deg = np.linalg.norm(seen - path, axis=1)[inside] * 60 / SMALL.width
    assert math.sqrt(np.mean(new_deg**2)) == pytest.approx(0.5 / math.sqrt(2), rel=0.05)


def test_saccades_keep_the_main_sequence(world: World) -> None:
    """Peaks of 200 to 1000 deg/s for 5 to 30 degrees, 20 to 60 ms, faster where longer."""
    world.gaze(0, SECONDS * 10**9)
    moves = world._eyes._movements
    peaks = []
    for leap, landing in pairwise(moves):
        length_s = landing.start_s - leap.start_s
        times = np.linspace(leap.start_s, landing.start_s, 50)
        path = np.array([leap.at(t) for t in times]) * 60 / SMALL.width
        amplitude = float(np.linalg.norm(path[-1] - path[0]))
        if length_s < 0.1 and 5 < amplitude < 30:
            assert 0.02 <= length_s <= 0.06 + 1e-9
            speed = np.linalg.norm(np.diff(path, axis=0), axis=1) / np.diff(times)
            peaks.append((amplitude, speed.max()))
    assert len(peaks) >= 5
    assert all(200 < peak < 1000 for _, peak in peaks)
    small, large = min(peaks), max(peaks)
    assert small[1] < large[1]


def test_a_landing_is_on_another_object_and_the_truth_begins_with_it(world: World) -> None:
    landings = world.landings(SECONDS * 30)
    assert len(landings) >= SECONDS / 4
    for before, after in pairwise(landings):
        assert before.thing != after.thing
        assert before.stop <= after.frame
    for landing in landings:
        truth, before = world.truth(landing.frame), world.truth(landing.frame - 1)
        assert truth is not None
        assert truth.thing == landing.thing
        assert before is None or before.thing != landing.thing
        after = world.truth(landing.stop)
        assert after is None or after.thing != landing.thing


def test_dwells_last_about_one_to_three_seconds_on_things_that_can_be_seen(
    world: World, looks: list
) -> None:
    lengths = [(one.stop - one.frame) / 30 for one in world.landings(SECONDS * 30)]
    assert all(0.5 < length < 3.2 for length in lengths)
    assert all(world.view(t.thing, world.time_ns(i) / 1e9).share > 0.55 for i, t in looks)


def test_gaze_as_a_source_gives_each_sample_once_on_the_monotonic_clock(world: World) -> None:
    now = iter([1_000, 10**9 + 500_000_000, 10**9 + 500_000_000, 3 * 10**9])
    with WorldGaze(world, 10**9, lambda: next(now)) as gaze:
        early, first, none, second = gaze.read(), gaze.read(), gaze.read(), gaze.read()
    assert list(early) == []
    assert list(none) == []
    times = [sample.time_ns for sample in (*first, *second)]
    assert times == list(range(10**9, 3 * 10**9, 5_000_000))
    assert first[50].x == world.gaze(0, 10**9)[50].x


def test_frames_of_a_world_end_at_their_limit_and_say_their_order_of_colours() -> None:
    world = World(1, SMALL)
    frames = SyntheticFrames(world, "every", 3)
    read = [frames.read() for _ in range(4)]
    assert read[3] is None
    assert [frame.seq for frame in read[:3]] == [0, 1, 2]
    assert read[2].time_ns - frames.first_frame_ns == world.time_ns(2)
    assert read[2].channels == "rgb"
    assert np.array_equal(read[2].picture, world.render(2))


def test_resumed_frames_go_on_where_the_world_was() -> None:
    world = World(1, SMALL)
    frames = SyntheticFrames(world, "every", 30)
    frames.resume(20, 10**9)
    frame = frames.read()
    assert frame.seq == 20
    assert frame.time_ns == 10**9 + world.time_ns(20)
    assert np.array_equal(frame.picture, world.render(20))


def test_cutouts_have_no_old_background_on_their_edge() -> None:
    """Where a cut-out is transparent it adds no light: colour is never more than opacity."""
    for cutout in load_cutouts().values():
        for level in cutout.levels:
            assert np.all(level.colour <= 255 - level.veil)


def test_true_masks_score_one(world: World, network: Network) -> None:
    masks = [mask for i in range(150) if (mask := true_mask(world, i))]
    report = score(world, masks, 150, network)
    assert report.iou > 0.97  # cells of a region over 256 pixels wide are larger than pixels
    assert report.share_above_half == 1
    assert report.settled_in_three == 1
    assert report.settle_frames_p50 == 1
    assert report.frames == len(masks)
    assert report.landings >= 2


def test_masks_moved_sideways_score_what_their_overlap_says(world: World, network: Network) -> None:
    masks = [mask for i in range(100) if (mask := true_mask(world, i, shift=6))]
    expected = []
    for mask in masks:
        truth, moved = world.truth(mask.seq).mask, mask.full()
        both = sum(a and b for a, b in zip(truth.flat, moved.flat, strict=True) if a or b)
        expected.append(both / (truth.sum() + moved.sum() - both))
    report = score(world, masks, 100, network)
    assert report.iou == pytest.approx(np.mean(expected))
    assert 0.3 < report.iou < 0.95


def test_a_frame_without_a_mask_counts_as_nothing(world: World, network: Network) -> None:
    masks = [mask for i in range(90) if (mask := true_mask(world, i))]
    whole, half = score(world, masks, 90, network), score(world, masks[::2], 90, network)
    assert half.iou == pytest.approx(whole.iou * len(masks[::2]) / len(masks), rel=0.02)
    assert score(world, [], 90, network).settle_frames_p50 is None
    assert score(world, [], 90, network).iou == 0


def test_a_mask_that_comes_five_frames_late_does_not_settle_in_three(
    world: World, network: Network
) -> None:
    landings = [one for one in world.landings(240) if one.stop - one.frame > 10]
    late = {i for one in landings for i in range(one.frame, one.frame + 5)}
    masks = [mask for i in range(240) if i not in late and (mask := true_mask(world, i))]
    report = score(world, masks, 240, network)
    assert report.settled_in_three == 0
    assert report.settle_frames_p50 == 6


def test_the_ceiling_is_the_network_on_the_true_box_padded(world: World, network: Network) -> None:
    """This network fills its region: its IoU is the object's share of the padded, cut box."""
    shares = []
    for i in range(60):
        if truth := world.truth(i):
            box = mask_box(truth.mask, Roi(0, 0, SMALL.width, SMALL.height))
            left = max(round(box.left - 0.1 * box.width), 0)
            top = max(round(box.top - 0.1 * box.height), 0)
            right = min(round(box.right + 0.1 * box.width), SMALL.width)
            bottom = min(round(box.bottom + 0.1 * box.height), SMALL.height)
            shares.append(truth.mask.sum() / ((right - left) * (bottom - top)))
    report = score(world, [], 60, network)
    assert report.ceiling == pytest.approx(np.mean(shares), abs=1e-6)
    assert min(report.ceiling_by_size) <= report.ceiling <= max(report.ceiling_by_size)
