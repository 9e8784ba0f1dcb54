"""A loaded bundle answers several requests as it does each alone, and a bundle that predicts differently is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble.bundle import EXAMPLE_TOLERANCE
from ensemble.errors import BundleError
from ensemble.serving.errors import RequestError
from ensemble.serving.formats import decode
from ensemble.serving.prediction import Prediction
from ensemble.serving.predictor import Predictor
from ensemble.serving.rows import Matrix, Records, Rows, Values
from tests.entry.serving.bodies import COLUMNS, CSV, JSON, ROWS, WHOLE, json_body, records

FITS: dict[str, Rows] = {name: decode(*whole) for name, whole in WHOLE.items()}
ONE = Records(records(ROWS[:1]))
MISFITS: dict[str, Rows] = {
    "a missing column": Records([{"price": 1}]),
    "a wrong cell": decode(b"size,garden,built,town\n1,maybe,,", CSV),
    "too wide": Matrix(np.zeros((2, 7))),
    "too large": decode(b"[[1, true, null, null], [1e31, true, null, null]]", JSON),
    "infinite": Matrix(np.array([[np.inf, 0, 0, 1]])),
    "no rows": Records([]),
    "twice": Values(["size", "size", "garden", "built", "town"], [[1]] * 5),
}


@pytest.fixture(scope="module")
def model(bundle: Path) -> Predictor:
    return Predictor.load(bundle, threads=1)


@pytest.fixture
def edited(bundle: Path, tmp_path: Path) -> Callable[..., Predictor]:
    """Load a copy of the bundle with another example."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Predictor:
        folder = tmp_path / "copy"
        shutil.copytree(bundle, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest["example"])
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return Predictor.load(folder, threads=1)

    return edit


def alone(model: Predictor, rows: Rows) -> Prediction | str:
    """Return the answer to one request, or the text of its error."""
    try:
        return model.predict(model.features(rows))
    except RequestError as error:
        return str(error)


def assert_same(found: Prediction | RequestError, expected: Prediction | str) -> None:
    """Compare two answers to the bit."""
    if isinstance(found, RequestError):
        assert str(found) == expected
        return
    assert isinstance(expected, Prediction)
    assert found.blended.shape == expected.blended.shape
    assert found.members.shape == expected.members.shape
    assert found.blended.tobytes() == expected.blended.tobytes()
    assert np.ascontiguousarray(found.members).tobytes() == np.ascontiguousarray(expected.members).tobytes()
    assert list(found.names) == list(expected.names)


def test_the_columns_and_members_are_the_bundles(model: Predictor) -> None:
    assert model.columns == tuple(replace(column, optional=True) for column in COLUMNS)
    assert model.columns is model.columns
    found = model.predict(model.features(FITS["csv"]))
    assert list(found.names) == ["xgboost", "catboost", "random_forest", "ridge"]
    assert found.members.shape == (3, 4)
    assert np.array_equal(found.members, model.bundle.ensemble.predict_members(model.features(FITS["csv"])))
    assert np.array_equal(found.blended, model.bundle.ensemble.predict(model.features(FITS["csv"])))


def test_every_form_of_the_same_rows_is_predicted_to_the_same_bits(model: Predictor) -> None:
    expected = alone(model, FITS["json lists"])
    assert isinstance(expected, Prediction)
    assert len(set(expected.blended)) == 3
    for name, rows in FITS.items():
        found = alone(model, rows)
        assert isinstance(found, Prediction), (name, found)
        assert_same(found, expected)


@pytest.mark.parametrize("bad", MISFITS)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_request_that_does_not_fit_fails_alone(bad: str, place: int, model: Predictor) -> None:
    requests: list[Rows] = [FITS["csv"], ONE, FITS["json columns"]]
    requests.insert(place, MISFITS[bad])
    found = model.predict_many(requests)
    assert len(found) == 4
    assert [number for number, answer in enumerate(found) if isinstance(answer, RequestError)] == [place]
    for answer, rows in zip(found, requests, strict=True):
        assert_same(answer, alone(model, rows))


def test_many_requests_of_every_kind_are_answered_in_order(model: Predictor) -> None:
    requests = [
        rows for pair in zip(FITS.values(), [*MISFITS.values(), ONE, ONE, ONE, ONE], strict=True) for rows in pair
    ]
    found = model.predict_many(requests)
    assert len(found) == len(requests)
    for answer, rows in zip(found, requests, strict=True):
        assert_same(answer, alone(model, rows))


def test_requests_of_a_row_each_are_the_rows_of_one_request(model: Predictor) -> None:
    random = np.random.RandomState(1)
    rows = [
        [float(size), bool(garden), f"19{year}-03-01", town] if gap else [None, None, None, town]
        for size, garden, year, town, gap in zip(
            random.uniform(10, 300, 100),
            random.randint(0, 2, 100),
            random.randint(60, 99, 100),
            random.choice(["1", "Oslo", "true", "Rome"], 100),
            random.uniform(size=100) < 0.9,
            strict=True,
        )
    ]
    together = alone(model, decode(json_body(rows), JSON))
    assert isinstance(together, Prediction)
    found = model.predict_many([decode(json_body([row]), JSON) for row in rows])
    answers = [answer for answer in found if isinstance(answer, Prediction)]
    assert len(answers) == 100
    assert np.concatenate([answer.blended for answer in answers]).tobytes() == together.blended.tobytes()
    assert np.concatenate([answer.members for answer in answers]).tobytes() == together.members.tobytes()


def test_no_requests_and_no_request_that_fits(model: Predictor) -> None:
    assert model.predict_many([]) == []
    found = model.predict_many(list(MISFITS.values()))
    assert [str(answer) for answer in found] == [alone(model, rows) for rows in MISFITS.values()]
    assert all(isinstance(answer, RequestError) for answer in found)


def test_categories_that_are_not_known_are_counted_for_each_request(model: Predictor) -> None:
    place = [column.type for column in COLUMNS].index("category")
    rows = [[*row] for row in ROWS]
    rows[0][place], rows[2][place] = "Rome", "oslo"
    requests = [decode(json_body(part), JSON) for part in (rows, ROWS, rows[:1])]
    found = model.predict_many(requests)
    assert [answer.unseen for answer in found if isinstance(answer, Prediction)] == [{"town": 2}, {}, {"town": 1}]
    assert model.answer(requests[0]).unseen == {"town": 2}


def test_columns_that_are_lacking_are_counted_for_each_request(model: Predictor) -> None:
    requests = [decode(json_body(part), JSON) for part in ([{"size": 1}, {"size": 2, "town": "1"}], records(ROWS))]
    found = model.predict_many(requests)
    expected = {"garden": 2, "built": 2, "town": 1}
    assert [answer.absent for answer in found if isinstance(answer, Prediction)] == [expected, {}]
    assert model.answer(requests[0]).absent == expected
    filled = [
        {"garden": None, "built": None, "town": None} | record for record in ({"size": 1}, {"size": 2, "town": "1"})
    ]
    assert_same(found[0], alone(model, Records(filled)))


def test_an_error_that_is_not_a_clients_mistake_is_raised(model: Predictor) -> None:
    class Broken(Rows):
        def features(self, columns: Any, unseen: Any = None) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.predict_many([ONE, Broken()])


def test_a_bundle_that_predicts_its_example_is_fine(model: Predictor) -> None:
    model.check()
    features, expected = model.bundle.example()
    assert model.predict(features).blended.tobytes() == expected.tobytes()


@pytest.mark.parametrize("row", [0, 2, 4])
def test_a_bundle_that_predicts_its_example_otherwise_is_refused_by_row(
    row: int, edited: Callable[..., Predictor]
) -> None:
    def change(example: dict[str, Any]) -> None:
        example["predictions"][row] *= 1 + 10 * EXAMPLE_TOLERANCE

    with pytest.raises(
        BundleError, match=rf"for row {row + 1} of its example, but predicted [0-9.]+ when .* Train it again here"
    ):
        edited(change).check()


@pytest.mark.parametrize("value", [1e300, 0.0, -1.0])
def test_what_no_training_predicted_is_refused(value: float, edited: Callable[..., Predictor]) -> None:
    def change(example: dict[str, Any]) -> None:
        example["predictions"][1] = value

    with pytest.raises(BundleError, match="for row 2 of its example"):
        edited(change).check()


def test_an_example_of_other_features_is_refused(edited: Callable[..., Predictor]) -> None:
    def change(example: dict[str, Any]) -> None:
        example["features"][3][0] = 20.0 if example["features"][3][0] != 20.0 else 200.0

    with pytest.raises(BundleError, match="for row 4 of its example"):
        edited(change).check()


def test_the_last_bits_may_differ_on_another_machine(edited: Callable[..., Predictor]) -> None:
    def change(example: dict[str, Any]) -> None:
        example["predictions"] = [float(np.nextafter(value, np.inf)) for value in example["predictions"]]

    edited(change).check()


def test_a_folder_that_is_not_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        Predictor.load(tmp_path, threads=1)
