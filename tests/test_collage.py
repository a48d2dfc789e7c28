"""Collages, and the regions that a network's own masks lead to."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra: train")

from glasses_sdk.crop import crop
from glasses_sdk.geometry import alike, mask_box, padded
from glasses_sdk.network import Segmentation
from glasses_sdk.training.collage import Piece, lay
from glasses_sdk.training.regions import led
from glasses_sdk.types import Roi, Size

GREY = np.full((270, 480, 3), 40, np.uint8)
COLOURS = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 20)]


def piece(colour: tuple[int, int, int]) -> Piece:
    """A flat ellipse in a picture of its own."""
    mask = np.zeros((200, 300), np.uint8)
    cv2.ellipse(mask, (150, 100), (90, 60), 0, 0, 360, 1, -1)
    picture = np.full((200, 300, 3), 128, np.uint8)
    picture[mask > 0] = colour
    return Piece(picture, mask, Roi(60, 40, 181, 121))


PIECES = [piece(colour) for colour in COLOURS]


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_mask_is_what_can_be_seen_of_the_piece_that_is_meant() -> None:
    hidden, meant = 0, set()
    wide = np.ones((13, 13), np.uint8)  # edges are soft
    for seed in range(40):
        laid = lay(GREY, PIECES, draw(seed))
        assert laid is not None
        assert laid.picture.shape == (540, 960, 3)
        meant.add(laid.meant)
        colour = np.array(COLOURS[laid.meant])
        shown = np.abs(laid.picture.astype(int) - colour).max(2) < 60
        inner = cv2.erode(laid.mask, wide, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
        outer = cv2.dilate(laid.mask, wide) > 0
        assert shown[inner].all()
        assert not shown[~outer].any()
        assert laid.box == mask_box(laid.mask > 0, Roi(0, 0, 960, 540))
        others = np.abs(laid.picture[outer].astype(int)[:, None] - np.array(COLOURS)).max(2) < 60
        hidden += bool(np.delete(others, laid.meant, 1).any())
    assert hidden > 5, "they lie before one another"
    assert meant == {0, 1, 2, 3}


def test_the_same_generator_lays_the_same() -> None:
    one, same, other = (lay(GREY, PIECES, draw(seed)) for seed in (1, 1, 2))
    assert one
    assert same
    assert other
    assert (one.picture == same.picture).all()
    assert one.box == same.box
    assert (one.picture != other.picture).any()


def test_squeezed_pieces_are_slender_and_the_others_as_they_were() -> None:
    alone, still = piece(COLOURS[0]), 0
    for seed in range(60):
        plain, slim = (lay(GREY, [alone], draw(seed), share) for share in (0.0, 1.0))
        if plain is None or slim is None:
            continue
        inside = 1 < plain.box.left and plain.box.right < 959 and plain.box.bottom < 539
        if inside and 1 < plain.box.top:
            assert 1.3 < plain.box.width / plain.box.height < 1.7
            still += 1
        if 1 < slim.box.left and slim.box.right < 959 and 1 < slim.box.top < slim.box.bottom < 539:
            assert not 1.15 < slim.box.width / slim.box.height < 1.9
    assert still > 10


def test_what_is_a_speck_or_hidden_is_not_meant() -> None:
    dot = np.zeros((50, 50), np.uint8)
    dot[20, 20] = 1
    speck = Piece(np.zeros((50, 50, 3), np.uint8), dot, Roi(20, 20, 1, 1))
    assert all(lay(GREY, [speck], draw(seed)) is None for seed in range(10))
    laid = [lay(GREY, [*PIECES, speck], draw(seed)) for seed in range(20)]
    assert all(one and one.meant < len(PIECES) for one in laid)


class Answers:
    """In a network's place: what it answers is a function of the region's picture."""

    input = Size(96, 96)

    def __init__(self, answer: Callable[[np.ndarray], np.ndarray]) -> None:
        self.answer = answer

    def segment(self, rgb: np.ndarray) -> Segmentation:
        return Segmentation(self.answer(rgb), 0.9)


def scene() -> tuple[np.ndarray, np.ndarray, Roi]:
    """A small bright thing before a large one that is less so."""
    picture = np.full((540, 960, 3), 20, np.uint8)
    cv2.circle(picture, (480, 270), 200, (120, 120, 120), -1)
    mask = np.zeros((540, 960), np.uint8)
    cv2.rectangle(mask, (500, 250), (579, 289), 1, -1)
    picture[mask > 0] = 240
    return picture, mask, Roi(500, 250, 80, 40)


def test_a_network_that_sees_the_object_leads_to_it() -> None:
    picture, mask, box = scene()
    sees = Answers(lambda rgb: rgb.mean(2) > 200)
    close = [alike(led(picture, mask, box, sees, draw(n)), padded(box, 0.15)) for n in range(200)]
    assert np.median(close) > 0.6
    assert np.mean(np.array(close) < 0.2) > 0.02, "some are first regions, of other sizes"


def test_first_looks_stay_where_they_began() -> None:
    picture, mask, box = scene()
    asked: list[int] = []

    def answer(rgb: np.ndarray) -> np.ndarray:
        asked.append(1)
        return rgb.mean(2) > 200

    for share, led_on in ((1.0, False), (0.0, True)):
        asked.clear()
        for n in range(20):
            led(picture, mask, box, Answers(answer), draw(n), share)
        assert bool(asked) == led_on


def test_a_network_that_flows_over_leads_to_regions_that_hold_both() -> None:
    picture, mask, box = scene()
    blurs = Answers(lambda rgb: rgb.mean(2) > 70)
    regions = [led(picture, mask, box, blurs, draw(n)) for n in range(60)]
    assert sum(region.width > 350 for region in regions) > 5
    for region in regions:
        assert crop(mask, region, Size(96, 96), nearest=True).any()


def test_a_network_that_sees_nothing_leads_nowhere() -> None:
    picture, mask, box = scene()
    blind = Answers(lambda rgb: np.zeros(rgb.shape[:2], bool))
    for n in range(20):
        region = led(picture, mask, box, blind, draw(n))
        x, y = region.centre
        assert box.left - 20 <= x <= box.right + 20
        assert box.top - 20 <= y <= box.bottom + 20
