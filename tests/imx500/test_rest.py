"""When the region is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasses_sdk.sensors.imx500.rest import Rest, is_elsewhere, jumps
from glasses_sdk.types import Roi

THERE = Roi(1000, 1000, 400, 400)
FRAME_NS = 33_333_333


@pytest.mark.parametrize(
    ("wanted", "does"),
    [
        (THERE, True),
        (Roi(1020, 1000, 400, 400), True),  # a twentieth to the right
        (Roi(1080, 1000, 400, 400), False),
        (Roi(1030, 1030, 340, 340), True),  # it shows a little more on each side
        (Roi(1100, 1100, 200, 200), False),
        (Roi(985, 985, 430, 430), True),  # it lacks a little
        (Roi(920, 920, 560, 560), False),
    ],
)
def test_a_region_holds_what_is_nearly_where_it_is(wanted: Roi, does: bool):
    assert Rest(cost=4).holds(THERE, wanted) == does


def test_the_dearer_a_move_the_longer_a_region_is_left_alone():
    wanted = Roi(1050, 1000, 400, 400)
    assert [Rest(cost).holds(THERE, wanted) for cost in (1, 4, 9)] == [False, False, True]


def test_what_leaves_the_region_is_not_kept_waiting():
    rest = Rest(cost=4)
    assert not rest.hurries(THERE, Roi(1030, 1000, 400, 400))
    assert rest.hurries(THERE, Roi(1080, 1000, 400, 400))
    assert rest.hurries(THERE, Roi(3000, 1000, 400, 400))
    assert not rest.hurries(THERE, Roi(1045, 1045, 310, 310))  # only too much is shown


@given(st.floats(-30, 30), st.floats(-30, 30))
@settings(deadline=None)
def test_a_region_is_set_ahead_of_what_moves_and_holds_there(dx: float, dy: float):
    rest = Rest(cost=6)
    wanted = [Roi(1000 + k * dx, 1000 + k * dy, 400, 400) for k in range(8)]
    for k, one in enumerate(wanted):
        rest.note(one, k * FRAME_NS)
    ahead = rest.ahead()
    assert rest.holds(ahead, wanted[-1])
    (x, y), (u, v) = ahead.centre, wanted[-1].centre
    assert (x - u) * dx >= -1e-6
    assert (y - v) * dy >= -1e-6


def test_after_a_jump_the_region_is_the_one_wanted():
    rest = Rest(cost=4)
    for k in range(5):
        rest.note(Roi(1000 + 10 * k, 1000, 400, 400), k * FRAME_NS)
    elsewhere = Roi(3000, 500, 300, 200)
    rest.note(elsewhere, 5 * FRAME_NS)
    assert rest.ahead() == elsewhere


@pytest.mark.parametrize(
    ("wanted", "other", "elsewhere"),
    [
        (THERE, False, False),
        (Roi(1100, 1000, 400, 400), False, False),
        (Roi(1300, 1000, 400, 400), True, True),
        (Roi(1100, 1100, 200, 200), True, False),  # a smaller one of the same place
        (Roi(2000, 2000, 400, 400), True, True),
    ],
)
def test_a_region_of_another_size_shows_something_else_in_the_same_place(
    wanted: Roi, other: bool, elsewhere: bool
):
    assert jumps(THERE, wanted) == other
    assert is_elsewhere(THERE, wanted) == elsewhere
