"""A training races the best one so far and stops when it has lost (``racing``)."""

from __future__ import annotations

import pytest

from ensemble.errors import InputError
from ensemble.racing import Rival, is_lost, mean_difference
from ensemble.wire import decode_rival, encode_rival

FOLDS = (8.0, 12.0, 9.0, 11.0, 10.0)
RIVAL = Rival(10.0, tuple(FOLDS[:n] for n in range(1, 5)))


@pytest.mark.parametrize(
    ("folds", "lost"),
    [
        ([20.0], False),  # one fold decides nothing
        ([13.0, 17.1], True),  # far worse on both
        ([8.1, 13.0], False),  # worse on both, by amounts that differ much
        ([8.1, 13.0, 9.2], False),  # three folds are too few for a rank test
        ([8.1, 13.0, 9.2, 11.9], True),  # all four are worse, by any amount: Wilcoxon's p is 1/16
        ([8.1, 13.0, 9.2, 10.9], False),  # one is better
        ([7.0, 11.0, 8.0, 10.0], False),  # better on all
        ([8.0, 12.0, 9.0, 11.0], False),  # the same on all
        ([8.1, float("nan"), 20.0], False),  # not a score
    ],
)
def test_who_is_worse_on_every_fold_has_lost(folds: list[float], lost: bool) -> None:
    assert is_lost(RIVAL, folds, 5, maximise=False) is lost


def test_it_is_compared_with_what_the_rival_was_after_as_many_folds() -> None:
    slow = Rival(10.0, ((), (20.0, 20.0), (20.0, 20.0, 20.0), (10.0, 10.0, 10.0, 10.0)))
    assert not is_lost(slow, [15.0, 15.1], 5, maximise=False)
    assert is_lost(slow, [15.0, 15.1, 15.2, 15.1], 5, maximise=False)
    assert not is_lost(Rival(), [15.0, 15.1], 5, maximise=False)


def test_where_more_is_better_less_has_lost() -> None:
    assert is_lost(RIVAL, [4.0, 7.9], 5, maximise=True)
    assert not is_lost(RIVAL, [13.0, 17.1], 5, maximise=True)


def test_folds_that_share_most_of_their_rows_are_believed_less() -> None:
    # Differences 1 and 2: t of 1.5 / (0.707 s) = 3 against 6.31 at one degree of freedom; it takes more to lose.
    rival = Rival(0.0, ((), (0.0, 0.0)))
    assert not is_lost(rival, [1.0, 1.3], 2, maximise=False)
    assert is_lost(rival, [1.0, 1.3], 1000, maximise=False)


def test_mean_difference_is_from_the_rival_as_it_stood_then() -> None:
    assert mean_difference(RIVAL, [9.0, 14.0]) == 1.5


def test_rival_is_read_back_from_the_wire_exactly() -> None:
    rival = Rival(0.1 + 0.2, ((), (1 / 3, 1e-300), (5e20, -0.0, 2.0)))
    assert decode_rival(encode_rival(rival)) == rival
    assert decode_rival(encode_rival(Rival())) == Rival()
    assert decode_rival(None) is None


@pytest.mark.parametrize(
    "text", ["no", "[]", "{}", '{"value": 1}', '{"value": "a", "standings": []}', '{"value": 1, "standings": [3]}']
)
def test_text_that_is_not_a_rival_is_named(text: str) -> None:
    with pytest.raises(InputError, match="rival"):
        decode_rival(text)
