"""What a user declares about columns travels with the channel and the bundle, and requests are read by it."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble.channel import read_channel, write_channel
from ensemble.reading import Roles, read_file
from ensemble.serving.errors import RequestError
from ensemble.serving.formats import decode
from ensemble.serving.predictor import Predictor
from ensemble.wire import decode_roles, encode_roles
from tests.entry.serving.bodies import CSV, JSON, NPY, PARQUET, json_body, npy_body, parquet_body
from tests.support.models import small_bundle

nan = np.nan
ROLES = Roles(
    "price",
    types=(("rent", "decimal_comma"), ("year", "category"), ("size", "number"), ("price", "number")),
    missing=("?",),
)
LINES = [
    '00100,NA,"1.250,5",2020,"$1,250",-,2024-01-01T12:00+02:00,"1,000"',
    '100,ZA,"2,5",2021,$900,1,2024-01-01T12:00Z,"2,000"',
    '00100,?,"3",2020,,2.5,?,"3,000"',
    '7,ZA,?,2021,$7,?,2024-01-03T12:00-05:00,"4,000"',
]
NAMES = "code,country,rent,year,size,gap,when,price"
# As the lines are coded: by name, the values.
EXPECTED = {
    "code": [0, 1, 0, 2],
    "country": [0, 1, nan, 1],
    "rent": [1250.5, 2.5, 3, nan],
    "year": [0, 1, 0, 1],
    "size": [1250, 900, nan, 7],
    "gap": [nan, 1, 2.5, nan],
    "when": [19723 + 10 / 24, 19723.5, nan, 19725 + 17 / 24],
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model that was trained on a channel of these lines."""
    folder = tmp_path_factory.mktemp("declared")
    (folder / "t.csv").write_text("\n".join([NAMES, *LINES]) + "\n")
    assert decode_roles(encode_roles(ROLES)) == ROLES
    table = read_file(folder / "t.csv", ROLES)
    assert table.target.tolist() == [1000, 2000, 3000, 4000]
    (folder / "channel").mkdir()
    write_channel(table, folder / "channel")
    channel = read_channel(folder / "channel")
    assert channel.columns == table.columns
    return Predictor.load(small_bundle(folder / "model", channel), 1)


def features(predictor: Predictor, body: bytes, kind: str) -> dict[str, list[float]]:
    found = predictor.features(decode(body, kind))
    return dict(zip([column.name for column in predictor.columns], found.T.tolist(), strict=True))


def test_requests_are_read_by_the_declaration(predictor: Predictor) -> None:
    body = "\n".join([NAMES, *LINES]).encode()
    found = features(predictor, body, CSV)
    for name, values in EXPECTED.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-15, err_msg=name)


def test_values_that_have_a_type_are_read_as_what_they_are(predictor: Predictor) -> None:
    names = NAMES.split(",")[:-1]
    row = ["00100", "NA", 1250.5, 2020, 900, None, "2024-01-01T12:00Z"]
    expected = [0, 0, 1250.5, 0, 900, nan, 19723.5]
    frame = {name: [value] for name, value in zip(names, row, strict=True)}
    for body, kind in (
        (json_body({"columns": names, "data": [row]}), JSON),
        (json_body([dict(zip(names, row, strict=True))]), JSON),
        (parquet_body(frame), PARQUET),
        (npy_body(np.array([["00100", "NA", "1250,5", "2020", "900", "?", "2024-01-01T12:00Z"]])), NPY),
    ):
        found = features(predictor, body, kind)
        assert np.array_equal([found[name][0] for name in names], expected, equal_nan=True), kind


@pytest.mark.parametrize(
    ("name", "value"),
    [("rent", "1,250.5"), ("size", "1.250,5"), ("gap", "$1"), ("when", "2024-01-01T12:00"), ("when", 1704067200000)],
)
def test_another_notation_than_the_declared_one_is_refused(name: str, value: object, predictor: Predictor) -> None:
    row = dict.fromkeys(NAMES.split(",")[:-1]) | {name: value}
    with pytest.raises(RequestError, match=f"column '{name}' has"):
        features(predictor, json_body([row]), JSON)
