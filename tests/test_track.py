"""`glasses track`: made videos of bright blocks, of which a network of one threshold sees all."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from glasses_sdk import models
from glasses_sdk.cli import app
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.network import Network
from glasses_sdk.tracking import judge, load_videos, open_eyes
from glasses_sdk.tracking.contrib import boxes_of
from glasses_sdk.tracking.eyes import object_point
from glasses_sdk.tracking.recordings import read_gaze
from glasses_sdk.tracking.scores import Score, curve
from glasses_sdk.types import Gaze, Roi

mask_tools = pytest.importorskip("pycocotools.mask", reason="needs the extra eval")

WIDTH, HEIGHT, FPS = 128, 96, 24
Boxes = list[tuple[int, int, int, int] | None]
Film = Callable[..., Path]
MOVING: Boxes = [(20 + 2 * k, 30 + k, 32, 32) for k in range(16)]


def bits_of(box: tuple[int, int, int, int] | None) -> np.ndarray:
    bits = np.zeros((HEIGHT, WIDTH), np.bool_)
    if box:
        left, top, width, height = box
        bits[top : top + height, left : left + width] = True
    return bits


@pytest.fixture
def videos(tmp_path: Path) -> Film:
    """Writes a tracking file, and for each frame its block in white on black."""

    def write(**sequences: Boxes) -> Path:
        told: dict[str, Any] = {}
        for name, boxes in sequences.items():
            (tmp_path / name).mkdir(parents=True)
            told[name] = []
            for k, box in enumerate(boxes):
                bits = bits_of(box)
                file = f"{name}/{k:05}.png"
                cv2.imwrite(str(tmp_path / file), 255 * bits.astype(np.uint8))
                counts = mask_tools.encode(np.asfortranarray(bits.astype(np.uint8)))["counts"]
                packed = {"size": [HEIGHT, WIDTH], "counts": counts.decode()}
                told[name].append({"file_name": file, "segmentation": packed, "bbox": box})
        path = tmp_path / "tracking.json"
        path.write_text(json.dumps({"fps": FPS, "size": [WIDTH, HEIGHT], "sequences": told}))
        return path

    return write


@pytest.fixture
def recording(tmp_path: Path) -> Callable[[list[Gaze]], Path]:
    def write(samples: list[Gaze]) -> Path:
        rows = [f"{s.time_ns},{s.x},{s.y},{s.confidence}" for s in samples]
        path = tmp_path / "gaze.csv"
        path.write_text("\n".join(["time_ns,x,y,confidence", *rows]) + "\n")
        return path

    return write


def at_100_hz(points: list[tuple[float, float]], confidence: float = 1.0) -> list[Gaze]:
    return [Gaze(10_000_000 * k, x, y, confidence) for k, (x, y) in enumerate(points)]


# What is measured


def test_a_network_that_is_told_the_box_of_what_it_sees_scores_one(bright, videos):
    found = judge(Network(bright), load_videos(videos(block=MOVING)), open_eyes("point"))
    assert found.report().ceiling == Score(1.0, 1.0, 1.0)
    assert found.ceiling[0] == 0.0  # the box itself: every cell is of the block


def test_one_look_is_enough_to_follow_a_block(bright, videos):
    report = judge(Network(bright), load_videos(videos(block=MOVING)), open_eyes("point")).report()
    assert report.mean.J > 0.8
    assert report.mean.share == 1.0
    assert report.sequences == {"block": report.mean}
    assert (report.csrt, report.kcf) == (None, None)


def test_the_constant_region_is_the_best_of_the_three_squares(bright, videos):
    """All is bright: what a square of side s finds is the square, of which s² / (W H) is true."""
    path = videos(white=[(0, 0, WIDTH, HEIGHT)] * 3)
    found = judge(Network(bright), load_videos(path), open_eyes("point"))
    sides = {share: round(share * HEIGHT) for share in (0.35, 0.6, 0.9)}
    for share, side in sides.items():
        wanted = side * side / (WIDTH * HEIGHT)
        assert found.videos[0].constants[share].score.J == pytest.approx(wanted, rel=0.1)
    assert found.side == 0.9
    assert found.report().fixed == found.videos[0].constants[0.9].score


def test_whoever_never_looks_has_no_mask_and_that_counts_nothing(bright, videos, recording):
    asleep = recording(at_100_hz([(0.5, 0.5)] * 200, confidence=0.0))
    path = videos(block=MOVING)
    report = judge(Network(bright), load_videos(path), open_eyes(f"real:{asleep}")).report()
    assert report.mean == report.fixed == Score(0.0, 0.0, 0.0)
    assert report.ceiling.J == 1.0


def test_each_video_counts_the_same(bright, videos):
    path = videos(long=MOVING, white=[(0, 0, WIDTH, HEIGHT)] * 2)
    report = judge(Network(bright), load_videos(path), open_eyes("point")).report()
    each = list(report.sequences.values())
    assert report.mean.J == pytest.approx((each[0].J + each[1].J) / 2)
    assert each[0].J != each[1].J


def test_an_object_out_of_sight_is_best_not_found(videos):
    (video,) = load_videos(videos(block=[*MOVING[:4], None, None]))
    clip = video.load()
    nothing = [bits_of(None)] * 6
    assert curve(nothing, clip.truths).J == [0, 0, 0, 0, 1, 1]
    assert curve(nothing, clip.truths).score.share == pytest.approx(2 / 6)


def test_half_is_not_yet_good():
    truth = bits_of((0, 0, 20, 20))
    half = curve([bits_of((0, 0, 10, 20))], [truth]).score
    assert (half.J, half.share) == (0.5, 0.0)
    assert 0 < half.F < 1
    assert curve([bits_of((0, 0, 11, 20))], [truth]).score.share == 1.0


# Eyes


@pytest.mark.parametrize("seed", range(10))
def test_the_eyes_are_meant_to_be_well_inside_of_the_object(seed):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((HEIGHT, WIDTH)), None, 4)
    truth = noise > np.quantile(noise, 0.8)
    x, y = object_point(truth)
    rows, columns = np.nonzero(~np.pad(truth, 1))
    depth = np.hypot(columns - 1 + 0.5 - x, rows - 1 + 0.5 - y).min()
    assert truth[int(y), int(x)]
    assert depth >= 2


def test_a_point_is_one_look_at_the_middle_of_a_block(videos):
    (video,) = load_videos(videos(block=[(20, 30, 31, 21)] * 4))
    (look,) = open_eyes("point")(video, video.load(), 0)
    assert (look.x, look.y) == (35.5, 40.5)
    assert look.time_ns == video.times_ns()[0]


def test_noisy_looks_miss_by_so_many_pixels_and_are_the_same_again(videos):
    still: Boxes = [(48, 32, 33, 33)] * (10 * FPS)
    (video,) = load_videos(videos(block=still))
    clip = video.load()
    looks = open_eyes("noisy:6")(video, clip, 0)
    errors = np.array([(look.x - 64.5, look.y - 48.5) for look in looks])
    assert len(looks) == pytest.approx(10 * 120, abs=10)
    assert errors.std(axis=0) == pytest.approx(6, rel=0.1)
    assert abs(errors.mean(axis=0)).max() < 1
    assert looks == open_eyes("noisy:6")(video, clip, 0)
    assert looks != open_eyes("noisy:6")(video, clip, 1)


def test_of_a_recording_the_places_are_taken_out_and_the_tremor_is_kept(videos, recording):
    """Two places, a tremor of 0.01 of the width: the looks tremble about the object alone."""
    places = [(0.2, 0.3)] * 50 + [(0.8, 0.6)] * 50
    tremor = [0.01, -0.01, 0.0, 0.0] * 25
    samples = at_100_hz([(x + t, y) for (x, y), t in zip(places, tremor, strict=True)])
    (video,) = load_videos(videos(block=[(48, 32, 33, 33)] * 24))
    looks = open_eyes(f"real:{recording(samples)}")(video, video.load(), 0)
    offsets = np.array([(look.x - 64.5, look.y - 48.5) for look in looks])
    kept = np.min([abs(offsets[:, 0] - t * WIDTH) for t in (-0.01, 0.0, 0.01)], axis=0) < 1e-6
    assert kept.mean() > 0.9  # beside the jump the median itself trembles
    assert abs(offsets[:, 0]).max() <= 0.0201 * WIDTH
    assert np.ptp(offsets[:, 0]) >= 0.02 * WIDTH
    assert offsets[:, 1] == pytest.approx(0)


def test_the_next_video_goes_on_in_the_recording_which_begins_again_at_its_end(videos, recording):
    trust = [1.0] * 30 + [0.5] * 70
    samples = [Gaze(10_000_000 * k, 0.5, 0.5, one) for k, one in enumerate(trust)]
    (video,) = load_videos(videos(block=[(48, 32, 33, 33)] * 12))
    eyes, clip = open_eyes(f"real:{recording(samples)}"), video.load()

    def trusted(before_ns: int) -> float:
        return float(np.mean([look.confidence == 1.0 for look in eyes(video, clip, before_ns)]))

    assert trusted(0) == pytest.approx(30 / 50, abs=0.05)  # half a second is seen
    assert trusted(400_000_000) == 0
    assert trusted(800_000_000) == pytest.approx(30 / 50, abs=0.05)
    assert trusted(1_000_000_000) == trusted(0)


def test_a_recording_that_stood_still_is_closed_up(videos, recording):
    early, late = at_100_hz([(0.5, 0.5)] * 20), at_100_hz([(0.5, 0.5)] * 20)
    later = [Gaze(one.time_ns + 60_000_000_000, one.x, one.y) for one in late]
    (video,) = load_videos(videos(block=[(48, 32, 33, 33)] * 24))
    looks = open_eyes(f"real:{recording([*early, *later])}")(video, video.load(), 0)
    assert np.diff([look.time_ns for look in looks]).max() == 10_000_000


@pytest.mark.parametrize("name", ["", "points", "point:3", "noisy", "noisy:-1", "noisy:x", "real:"])
def test_eyes_that_nobody_knows_are_refused(name):
    with pytest.raises(ConfigError, match=r"known: point, noisy:PX, real:FILE|0 or more pixels"):
        open_eyes(name)


# Files


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fps": 0}, "fps lies in 0.1 to 1000, not 0"),
        ({"fps": 1e-9}, "fps lies in 0.1 to 1000, not 1e-09"),
        ({"sequences": {}}, "has no video"),
        ({"sequences": {"a": []}}, "video a has no frame"),
        ({"size": [3, 3]}, r"video block, frame 0: a mask of \(96, 128\)"),
        ({"fps": "x"}, "is no file of tracking videos"),
        ({"sequences": 3}, "is no file of tracking videos"),
    ],
)
def test_a_damaged_file_is_named(videos, change, says):
    path = videos(block=MOVING[:2])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=f"tracking.json.*{says}"):
        load_videos(path)


@pytest.mark.parametrize("counts", ["", "zzz", "o", "0" * 999])
def test_a_damaged_mask_is_named(videos, counts):
    path = videos(block=MOVING[:2])
    data = json.loads(path.read_text())
    data["sequences"]["block"][1]["segmentation"]["counts"] = counts
    path.write_text(json.dumps(data))
    (video,) = load_videos(path)
    with pytest.raises(DataError, match="video block, frame 1: its run lengths"):
        video.load()


def test_a_video_that_begins_without_its_object_is_refused(videos):
    (video,) = load_videos(videos(block=[None, *MOVING[:2]]))
    with pytest.raises(DataError, match="video block shows no object in its first frame"):
        video.load()


@pytest.mark.parametrize("name", ["tracking.json", "livedata.json", "gaze.csv.gz"])
@pytest.mark.parametrize(
    "content", [b'{"sequences": {"\xff": []}}', b'{"ts": 1, "x": ' + b"[" * 90_000, b"\x1f\x8b\x08"]
)
def test_whatever_lies_in_a_file_is_one_sentence(tmp_path, name, content):
    path = tmp_path / name
    damaged = gzip.compress(content * 9)
    path.write_bytes(damaged[:20] + b"??" + damaged[22:] if path.suffix == ".gz" else content)
    with pytest.raises(DataError, match=path.name):
        load_videos(path) if path.name == "tracking.json" else read_gaze(path)


def test_a_packed_recording_s_fault_is_named_by_its_own_name(tmp_path):
    path = tmp_path / "gaze.csv.gz"
    path.write_bytes(gzip.compress(b"time_ns,x,y,confidence\n5,0.5,high,1\n"))
    with pytest.raises(DataError, match=rf"{path}, line 2: y is a number"):
        read_gaze(path)


def test_a_missing_file_and_a_missing_recording_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.json: No such file"):
        load_videos(tmp_path / "nowhere.json")
    for name in ("nowhere.csv", "nowhere.csv.gz", "nowhere.json", "neon/gaze.raw"):
        with pytest.raises(DataError, match=r"nowhere|neon"):
            read_gaze(tmp_path / name)
    with pytest.raises(ConfigError, match=r"gaze\.mp4 is no gaze recording"):
        read_gaze(tmp_path / "gaze.mp4")


def test_tobii_livedata_gives_its_gaze_in_order_packed_or_not(tmp_path):
    lines = [
        '{"ts":200000,"s":0,"gp":[0.25,0.5]}',
        '{"ts":1000,"s":1,"gp":[0,0]}',
        '{"ts":1500,"s":0,"gy":[1,2,3]}',
    ]
    plain, packed = tmp_path / "livedata.json", tmp_path / "packed.json.gz"
    plain.write_text("\n".join(lines))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        blink, look = read_gaze(path)
        assert (blink.time_ns, blink.confidence) == (1_000_000, 0.0)
        assert look == Gaze(200_000_000, 0.25, 0.5, 1.0)


@pytest.mark.parametrize("text", ["", "time_ns,x,y,confidence\n5,0.5,0.5,1\n5,0.5,0.5,1\n"])
def test_a_recording_too_short_for_dynamics_is_refused(tmp_path, text):
    path = tmp_path / "gaze.csv"
    path.write_text(text or "time_ns,x,y,confidence\n")
    with pytest.raises(DataError, match=r"gaze\.csv has no two gaze samples"):
        read_gaze(path)


def test_a_recording_whose_times_are_no_nanoseconds_is_refused(tmp_path):
    path = tmp_path / "gaze.csv"
    rows = [f"{ms},0.5,0.5,1" for ms in range(0, 60_000, 5)]
    path.write_text("\n".join(["time_ns,x,y,confidence", *rows]))
    with pytest.raises(DataError, match="lasts 59995 ns by its times: are they nanoseconds"):
        read_gaze(path)


# OpenCV's trackers


def test_a_python_without_the_trackers_is_named(videos):
    (video,) = load_videos(videos(block=MOVING[:2]))
    with pytest.raises(ConfigError, match="has no TrackerCSRT: pip install opencv-contrib"):
        boxes_of(Path(sys.executable), video, Roi(*MOVING[0] or ()))
    with pytest.raises(ConfigError, match="/bin/true is no Python: it says ''"):
        boxes_of(Path("/bin/true"), video, Roi(*MOVING[0] or ()))
    with pytest.raises(ConfigError, match="cannot run the Python /nowhere"):
        boxes_of(Path("/nowhere"), video, Roi(*MOVING[0] or ()))


def test_the_trackers_of_opencv_follow_a_block(bright, videos):
    python = os.environ.get("GLASSES_CONTRIB_PYTHON")
    if not python:
        pytest.skip("GLASSES_CONTRIB_PYTHON names no Python that has opencv-contrib-python")
    path = videos(block=MOVING)
    found = judge(Network(bright), load_videos(path), open_eyes("point"), Path(python))
    report = found.report()
    assert report.csrt
    assert report.kcf
    ellipse = np.pi / 4  # of its box
    assert found.videos[0].contrib["csrt"].J[0] == pytest.approx(ellipse, abs=0.02)
    assert report.csrt.J > 0.6
    assert 0 < report.kcf.J <= 1


# The command


def test_the_command_prints_what_is_promised_and_leaves_plots(bright, videos, tmp_path):
    path = videos(**{"block": MOVING[:6], "a/$other$": MOVING[6:]})
    plots = tmp_path / "plots"
    command = ["track", "--data", str(path), "--model", str(bright), "--look", "noisy:2"]
    env = {"GLASSES_CONTRIB_PYTHON": None}
    done = CliRunner().invoke(app, [*command, "--plot", str(plots), "--json"], env=env)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert list(report) == ["mean", "ceiling", "fixed", "csrt", "kcf", "sequences"]
    assert report["csrt"] is report["kcf"] is None
    assert list(report["sequences"]) == ["block", "a/$other$"]
    for score in (report["mean"], report["ceiling"], report["fixed"], report["sequences"]["block"]):
        assert list(score) == ["J", "F", "share"]
        assert all(0 <= value <= 1 for value in score.values())
    for name in ("block", "a__other_", "worst"):
        picture = cv2.imread(str(plots / f"{name}.png"))
        assert picture.std() > 10, name
    said = CliRunner().invoke(app, command, env=env)
    assert "tracker" in said.stdout
    assert "block" in said.stdout


# Real videos and recordings


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA does not say where the videos and recordings are")
    return Path(folder)


def test_a_real_video_is_followed_below_its_ceiling(data, tmp_path):
    """The first frames of one video, with the released network."""
    whole = json.loads((data / "tracking.json").read_text())
    frames = whole["sequences"]["car-roundabout"][:8]
    for frame in frames:
        frame["file_name"] = str(data / frame["file_name"])
    path = tmp_path / "short.json"
    path.write_text(json.dumps(whole | {"sequences": {"car": frames}}))
    network = Network(models.find(models.DEFAULT))
    report = judge(network, load_videos(path), open_eyes("point")).report()
    assert report.ceiling.J > 0.6
    assert 0.3 < report.mean.J <= 1


@pytest.mark.parametrize(
    ("name", "hz"),
    [
        ("neon", 200),
        ("neon/gaze ps1.raw", 200),
        ("tobii_g2/livedata.json.gz", 50),
        ("pupil_core/gaze_positions.csv.gz", 240),
    ],
)
def test_real_recordings_tremble_about_the_object(data, videos, name, hz):
    (video,) = load_videos(videos(block=[(48, 32, 33, 33)] * 48))
    looks = open_eyes(f"real:{data / 'gaze' / name}")(video, video.load(), 0)
    assert len(looks) == pytest.approx(hz * 2, rel=0.35)
    errors = [(k.x - 64.5, k.y - 48.5) for k in looks if k.confidence >= 0.6]
    assert np.abs(np.median(errors, axis=0)).max() < 0.01 * WIDTH
    assert 0 < np.median(np.hypot(*np.transpose(errors))) < 0.02 * WIDTH
