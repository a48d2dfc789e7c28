from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasses_sdk.errors import WireError
from glasses_sdk.types import Gaze, HeadPose, Mask, Roi, Size
from glasses_sdk.wire import (
    AimRequest,
    Calibration,
    GazeMessage,
    Origin,
    Status,
    StreamedMask,
    TimeRequest,
    decode,
    decode_input,
    decode_mask,
    decode_request,
    encode,
    encode_gaze_input,
    encode_head_input,
    encode_mask,
    encode_request,
    request_id,
)

VECTORS = Path(__file__).parent / "vectors"
NAMES = sorted(path.stem for path in VECTORS.glob("*.msgpack"))
MASKS = [name for name in NAMES if name.startswith("mask")]
ORIGIN = Origin("glasses", "0123456789abcdef", "picosam3@89abcdef")


def frames_of(message: dict[str, Any]) -> tuple[bytes, bytes]:
    return message["topic"].encode(), msgpack.packb(message)


def golden(name: str) -> tuple[bytes, bytes]:
    return frames_of(values(name))


def values(name: str) -> dict[str, Any]:
    return msgpack.unpackb((VECTORS / f"{name}.msgpack").read_bytes())


def a_mask(**changes: Any) -> Mask:
    fields: dict[str, Any] = {
        "bits": np.eye(5, 11, dtype=np.bool_),
        "roi": Roi(10, 20, 110, 50),
        "sensor": Size(640, 480),
        "time_ns": 5,
        "seq": 1,
        "score": 0.5,
    }
    return Mask(**(fields | changes))


def test_there_are_vectors_of_each_kind():
    assert {name.split("-")[0] for name in NAMES} == {"mask", "status", "calibration", "gaze"}


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_of_a_vector_say_what_its_json_says(name: str):
    expected = json.loads((VECTORS / f"{name}.json").read_text())
    found = values(name)
    if "data" in found:
        found["data"] = found["data"].hex()
    assert found == expected


@pytest.mark.parametrize("name", MASKS)
def test_a_golden_mask_is_the_picture_in_its_pbm(name: str):
    mask = decode_mask(golden(name))
    picture = cv2.imread(str(VECTORS / f"{name}.pbm"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(mask.bits, picture == 0)  # black in a PBM is a bit that is set


@pytest.mark.parametrize("name", MASKS)
def test_a_golden_mask_is_encoded_to_the_same_bytes(name: str):
    topic, payload = golden(name)
    mask = decode_mask((topic, payload))
    origin = Origin(mask.device, mask.session, mask.model, mask.privacy)
    assert encode_mask(mask, origin, mask.published_ns) == (topic, payload)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MASKS])
def test_other_golden_messages_are_encoded_to_the_same_bytes(name: str):
    message = decode(golden(name))
    assert isinstance(message, Status | Calibration | GazeMessage)
    assert encode(message) == golden(name)


def test_a_golden_mask_has_the_values_of_its_json():
    mask = decode_mask(golden("mask-letter"))
    assert (mask.seq, mask.time_ns, mask.published_ns) == (7, 1_000_000_000, 1_012_345_678)
    assert (mask.roi, mask.sensor) == (Roi(100, 60, 200, 150), Size(640, 480))
    assert (mask.track, mask.score, mask.area, mask.roi_state) == (3, 0.875, 20, "stable")
    assert (mask.device, mask.session, mask.model) == (
        "glasses",
        "0123456789abcdef",
        "picosam3@89abcdef",
    )
    assert mask.privacy == "fine"


@given(
    bits=st.tuples(st.integers(1, 256), st.integers(1, 256), st.integers(0, 2**32 - 1)),
    seq=st.integers(0, 2**63 - 1),
    score=st.floats(0, 1),
    state=st.sampled_from(["stable", "settling", "held"]),
    left=st.integers(0, 500),
    width=st.integers(1, 140),
)
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_is_decoded_the_same(
    bits: tuple[int, int, int], seq: int, score: float, state: Any, left: int, width: int
):
    height, across, seed = bits
    cells = np.random.default_rng(seed).random((height, across)) < 0.5
    mask = a_mask(
        bits=cells, seq=seq, score=score, roi_state=state, roi=Roi(left, 7, width, 9), track=seq
    )
    back = decode_mask(encode_mask(mask, ORIGIN, seq))
    assert np.array_equal(back.bits, cells)
    assert (back.seq, back.score, back.roi_state, back.roi) == (seq, score, state, mask.roi)


def test_an_independent_reader_finds_each_key_of_the_page_in_a_mask():
    topic, payload = encode_mask(a_mask(), ORIGIN, 9)
    message = msgpack.unpackb(payload)
    assert topic == b"g1.mask.glasses"
    assert list(message) == [
        *("v", "topic", "device", "session", "seq", "t_capture_ns", "t_publish_ns"),
        *("width", "height", "encoding", "data", "roi", "sensor", "roi_state", "track"),
        *("score", "area", "model", "privacy"),
    ]
    assert message["data"] == np.packbits(np.eye(5, 11, dtype=np.bool_), axis=1).tobytes()
    assert all(type(number) is int for number in message["roi"])


def test_the_largest_payload_is_its_data_and_less_than_512_bytes():
    origin = Origin("d" * 32, "f" * 16, "m" * 48, "coarse")
    big = 2**63 - 1
    mask = a_mask(
        bits=np.ones((256, 256), np.bool_), seq=big, time_ns=big, track=big, roi_state="settling"
    )
    _, payload = encode_mask(mask, origin, big)
    assert 256 * 32 < len(payload) <= 256 * 32 + 512


def test_the_size_of_a_payload_does_not_tell_what_the_mask_shows():
    empty = encode_mask(a_mask(bits=np.zeros((96, 96), np.bool_)), ORIGIN, 1)[1]
    full = encode_mask(a_mask(bits=np.ones((96, 96), np.bool_)), ORIGIN, 1)[1]
    assert 0 <= len(full) - len(empty) <= 2  # the width of `area`


@pytest.mark.parametrize("name", NAMES)
def test_unknown_keys_are_ignored(name: str):
    message = values(name)
    known = decode(frames_of(message))
    more = decode(frames_of(message | {"tomorrow": {"a": [1, None]}}))
    assert type(known) is type(more)


@pytest.mark.parametrize("name", NAMES)
def test_each_key_must_be_there(name: str):
    message = values(name)
    for key in message:
        less = {other: value for other, value in message.items() if other != key}
        with pytest.raises(WireError):
            decode((message["topic"].encode(), msgpack.packb(less)))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"device": "Glasses"},
        {"device": "glasses\n"},
        {"session": "0123"},
        {"seq": -1},
        {"seq": 1.5},
        {"seq": "7"},
        {"t_capture_ns": -5},
        {"width": 0},
        {"width": 257},
        {"width": 17},
        {"height": 6},
        {"encoding": "rle"},
        {"data": b""},
        {"data": "text"},
        {"roi": [500, 60, 200, 150]},
        {"roi": [-1, 60, 200, 150]},
        {"roi": [1, 60, 0, 150]},
        {"roi": [1, 60, 200]},
        {"roi": [1.5, 60, 200, 150]},
        {"sensor": [0, 480]},
        {"sensor": None},
        {"roi_state": "moving"},
        {"track": -1},
        {"score": math.nan},
        {"score": 1.01},
        {"score": None},
        {"area": 21},
        {"model": "m" * 49},
        {"privacy": "none"},
        {"topic": "g1.mask.other"},
    ],
    ids=str,
)
def test_a_mask_that_breaks_the_page_is_refused_with_a_sentence(change: dict[str, Any]):
    message = values("mask-letter") | change
    with pytest.raises(WireError, match=r"\w+ .*\w+"):
        decode_mask((b"g1.mask.glasses", msgpack.packb(message)))


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("status-streaming", ["fps"]),
        ("status-streaming", ["kpi", "dnn_ms"]),
        ("status-streaming", ["gaze", "age_ms"]),
        ("calibration-full", ["mount_rotation_deg"]),
        ("calibration-full", ["camera", "matrix", 4]),
        ("calibration-full", ["gaze_map", "matrix", 0]),
        ("gaze-fixation", ["x"]),
    ],
)
def test_a_number_that_is_none_is_refused_wherever_it_stands(
    name: str, path: list[Any], number: float
):
    message = values(name)
    place = message
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = number
    with pytest.raises(WireError, match=r"finite|Expected `float`"):
        decode(frames_of(message))


def test_a_message_has_exactly_two_frames():
    topic, payload = golden("mask-letter")
    for frames in ([], [topic], [topic, payload, b""], [payload]):
        with pytest.raises(WireError, match="two frames"):
            decode(frames)


def test_a_payload_with_more_than_512_bytes_beside_its_data_is_refused():
    message = values("mask-letter") | {"thumbnail": bytes(512)}
    with pytest.raises(WireError, match="512"):
        decode_mask(frames_of(message))


def test_a_payload_cut_anywhere_is_refused():
    topic, payload = golden("mask-letter")
    for end in range(len(payload)):
        with pytest.raises(WireError):
            decode((topic, payload[:end]))


@pytest.mark.parametrize("topic", [b"", b"g1.mask", b"g2.mask.glasses", b"g1.x.glasses", b"\xff"])
def test_an_unknown_topic_is_refused(topic: bytes):
    with pytest.raises(WireError, match="topic"):
        decode((topic, golden("mask-letter")[1]))


def test_padding_bits_mean_nothing():
    message = values("mask-letter")
    data = bytearray(message["data"])
    data[1] |= 0b00111111
    mask = decode_mask(frames_of(message | {"data": bytes(data)}))
    assert np.array_equal(mask.bits, decode_mask(golden("mask-letter")).bits)


def test_a_mask_whose_region_has_no_whole_pixels_is_not_sent():
    with pytest.raises(WireError, match="whole pixels"):
        encode_mask(a_mask(roi=Roi(0.5, 0, 10, 10)), ORIGIN, 1)
    with pytest.raises(WireError, match="negative"):
        encode_mask(a_mask(seq=-1), ORIGIN, 1)
    with pytest.raises(WireError, match="fit"):
        encode_mask(a_mask(seq=2**64), ORIGIN, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "My Glasses"},
        {"device": "d" * 33},
        {"session": "xyz"},
        {"model": "m" * 49},
        {"privacy": "off"},
    ],
)
def test_an_origin_is_as_the_page_says(wrong: dict[str, Any]):
    right = {"device": "a", "session": "0" * 16, "model": "m", "privacy": "fine"}
    assert Origin(**right).topic("mask") == "g1.mask.a"
    with pytest.raises(ValueError):
        Origin(**(right | wrong))


def gaze_input(**changes: Any) -> tuple[bytes, bytes]:
    topic = "g1.in.gaze.mouse"
    message = {"v": 1, "topic": topic, "t_ns": 5, "x": 0.25, "y": 1, "confidence": 1.0}
    return topic.encode(), msgpack.packb(message | changes)


def test_inputs_become_gaze_and_head_poses():
    assert decode_input(gaze_input()) == ("mouse", Gaze(5, 0.25, 1.0, 1.0))
    topic = "g1.in.head.imu"
    head = {"v": 1, "topic": topic, "t_ns": 0, "q": [0, 0, 0, 1], "w": None}
    assert decode_input((topic.encode(), msgpack.packb(head))) == (
        "imu",
        HeadPose(0, (0.0, 0.0, 0.0, 1.0), None),
    )


def test_inputs_are_written_as_they_are_read():
    gaze = Gaze(8, 0.5, 0.125, 0.75)
    assert decode_input(encode_gaze_input("eye", gaze)) == ("eye", gaze)
    pose = HeadPose(9, (0.0, 1.0, 0.0, 0.0), (0.1, 0.2, 0.3))
    assert decode_input(encode_head_input("imu", pose)) == ("imu", pose)


@pytest.mark.parametrize(
    "change",
    [{"x": 1.5}, {"y": -0.1}, {"x": math.nan}, {"confidence": 2}, {"t_ns": -1}, {"v": 3}],
    ids=str,
)
def test_an_input_that_breaks_the_page_is_refused(change: dict[str, Any]):
    with pytest.raises(WireError):
        decode_input(gaze_input(**change))


def test_inputs_are_written_from_numpy_s_numbers():
    gaze = Gaze(np.int64(7), np.float32(0.25), np.float64(0.5), np.float32(1))  # type: ignore[arg-type]
    _, sample = decode_input(encode_gaze_input("eye", gaze))
    assert sample == Gaze(7, 0.25, 0.5, 1.0)
    q, w = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
    _, pose = decode_input(encode_head_input("head", HeadPose(np.int64(7), q, w)))  # type: ignore[arg-type]
    assert pose == HeadPose(7, (0.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0))


def test_a_look_outside_of_the_picture_is_refused_with_what_to_send():
    with pytest.raises(WireError, match=r"lie in 0 to 1.* or the confidence is 0"):
        encode_gaze_input("eye", Gaze(0, 1.02, 0.5))
    encode_gaze_input("eye", Gaze(0, 1.02, 0.5, 0.0))


def test_requests_are_written_as_they_are_read():
    for request in (
        TimeRequest(v=1, id="a", t_client_ns=2**62),
        AimRequest(v=1, id=4, x=2.5, y=3.0, side=40.0),
        AimRequest(v=1, id=None, roi=(0.0, 1.0, 2.0, 3.0)),
    ):
        assert decode_request(encode_request(request)) == request


def test_the_id_of_a_wrong_request_is_read_where_it_can_be():
    assert request_id(msgpack.packb({"id": 2**63, "op": 5})) == 2**63
    assert request_id(msgpack.packb({"id": [1]})) is None
    assert request_id(b"\xc1") is None


def mutated(draw: Any, payload: bytes) -> bytes:
    """Valid bytes with some cut out, changed, doubled or put in."""
    data = bytearray(payload)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["flip", "cut", "insert", "end"])):
            case "flip" if data:
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                del data[at:]
    return bytes(data)


@st.composite
def nearly_messages(draw: Any) -> list[bytes]:
    topic, payload = golden(draw(st.sampled_from([n for n in NAMES if n != "mask-largest"])))
    if draw(st.integers(0, 4)) == 0:
        topic = mutated(draw, topic)
    return [topic, mutated(draw, payload)]


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()


@st.composite
def odd_values(draw: Any) -> list[bytes]:
    message = values(draw(st.sampled_from(["mask-letter", "status-streaming", "gaze-fixation"])))
    for key in draw(st.lists(st.sampled_from(sorted(message)), min_size=1, max_size=3)):
        message[key] = draw(scalars | st.lists(scalars, max_size=4) | st.binary(max_size=20))
    kind = draw(st.sampled_from(["mask", "status", "calibration", "gaze"]))
    return [f"g1.{kind}.glasses".encode(), msgpack.packb(message)]


anything = st.lists(st.binary(max_size=200), max_size=4)
topical = st.tuples(st.sampled_from([golden(n)[0] for n in NAMES]), st.binary(max_size=300))


def is_read_or_refused(frames: Any) -> None:
    with suppress(WireError):
        message = decode(frames)
        assert isinstance(message, StreamedMask | Status | Calibration | GazeMessage)


@given(nearly_messages())
@settings(max_examples=4000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutated_message_is_read_or_refused_and_never_raises_anything_else(frames: list[bytes]):
    is_read_or_refused(frames)


@given(anything | topical | odd_values())
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_that_were_never_a_message_are_refused_and_never_raise_anything_else(frames: Any):
    is_read_or_refused(frames)


@given(st.data())
@settings(max_examples=1000, deadline=None)
def test_a_mutated_input_is_read_or_refused(data: st.DataObject):
    topic, payload = data.draw(
        st.sampled_from(
            [
                encode_gaze_input("eye", Gaze(5, 0.5, 0.5)),
                encode_head_input("imu", HeadPose(5, (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0))),
            ]
        )
    )
    with suppress(WireError):
        _, sample = decode_input((topic, mutated(data.draw, payload)))
        assert isinstance(sample, Gaze | HeadPose)


def test_lists_nested_eight_thousand_deep_are_refused():
    deep = b"\x81\xa1z" + b"\x91" * 8000 + b"\x01"
    with pytest.raises(WireError):
        decode((b"g1.mask.glasses", deep))
