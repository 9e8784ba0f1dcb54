"""The endpoint that ``--endpoint`` selects, and fixtures for tests that start their own servers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ensemble.bundle import save_bundle
from ensemble.reading import Roles, read_file
from ensemble.recipe import FoldSpec, MemberSpec, Recipe
from ensemble.training import fit_ensemble
from tests.doubles.aws.resident import Resident
from tests.endpoint.bridge import bridged
from tests.endpoint.choice import PROCESS, Choice, choose
from tests.endpoint.server import Server, serving
from tests.endpoint.target import Target

MEMBERS = (
    MemberSpec("xgboost", "xgboost", {"num_round": 20, "max_depth": 4}),
    MemberSpec("catboost", "catboost", {"iterations": 20, "depth": 4}),
    MemberSpec("forest", "random_forest", {"n_estimators": 10}),
    MemberSpec("ridge", "ridge", {"alpha": 2.0}),
)
CLASS_MEMBERS = MEMBERS[:3]
DISTRICTS = ("Łódź", "north, by the sea", "old town", "south")
BANDS = ("cheap", "dear, by far", 'so "so"')
# The modules whose tests run for a model of numbers and one of classes.
BOTH_TASKS = ("tests.endpoint.test_answers", "tests.endpoint.test_columns")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of ``BOTH_TASKS`` for both of the tests' own models."""
    own = metafunc.config.getoption("--endpoint") == PROCESS
    if own and "target" in metafunc.fixturenames and metafunc.module.__name__ in BOTH_TASKS:
        metafunc.parametrize("target", ["numbers", "classes"], indirect=True, scope="session")


# Quick tests are skipped once another one as long as the longest so far would end after these seconds, so that all end
# within a minute whatever the model.
QUICK_SECONDS = 45
_BEGAN = time.monotonic()
_LONGEST = [0.0]
_SUITE = ("test_answers.py", "test_columns.py", "test_server.py")


def is_quick(config: pytest.Config) -> bool:
    """Return whether only the quick tests run, as against a user's endpoint by default."""
    return config.getoption("--endpoint") != PROCESS and config.getoption("--endpoint-tests") == "quick"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for ``--endpoint-tests=full``; the user's own tests come first."""
    if not is_quick(config):
        return
    own = [item for item in items if Path(__file__).parent in item.path.parents]
    left_out = [item for item in own if item.get_closest_marker("full") is not None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.path.name in _SUITE)


@pytest.fixture(autouse=True)
def within_a_minute(request: pytest.FixtureRequest) -> Iterator[None]:
    """Skip the suite's quick tests once they have taken their time; the user's own tests are not skipped."""
    began = time.monotonic()
    counts = is_quick(request.config) and request.path.name in _SUITE
    if counts and began - _BEGAN + _LONGEST[0] > QUICK_SECONDS:
        pytest.skip(f"the quick tests have taken their {QUICK_SECONDS} s; to run it: --endpoint-tests=full")
    yield
    _LONGEST[0] = max(_LONGEST[0], time.monotonic() - began)


def write_table(path: Path, rows: int = 160) -> None:
    """Write a table that has columns of every type, each with gaps, and the targets ``price`` and ``band``."""
    random = np.random.RandomState(0)
    area = random.uniform(20, 200, rows)
    garden = random.uniform(size=rows) < 0.4
    built = np.datetime64("1950-01-01") + random.randint(0, 25_000, rows)
    district = random.randint(0, len(DISTRICTS), rows)
    distance = random.uniform(-3, 30, rows)
    price = 3 * area + 40 * garden + 25 * district - 2 * distance + random.normal(size=rows) * 5
    cells = [
        [repr(float(value)) for value in area],
        ["true" if value else "false" for value in garden],
        [str(value) for value in built],
        [f'"{DISTRICTS[value]}"' for value in district],
        [repr(float(value)) for value in distance],
    ]
    gaps = random.uniform(size=(rows, len(cells))) < 0.1
    bands = [f'"{label.replace(chr(34), chr(34) * 2)}"' for label in BANDS]
    band = np.digitize(price, np.quantile(price, [1 / 3, 2 / 3]))
    lines = ["area,garden,built,district,distance,price,band"]
    for row in range(rows):
        values = ["" if gaps[row, place] else column[row] for place, column in enumerate(cells)]
        lines.append(",".join([*values, repr(float(price[row])), bands[band[row]]]))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ensemble, as a training run saves it."""
    return _trained(tmp_path_factory.mktemp("ensemble"), Roles("price", drop=("band",)), MEMBERS)


@pytest.fixture(scope="session")
def bundle_of_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ensemble that predicts one of three labels."""
    return _trained(tmp_path_factory.mktemp("classes"), Roles("band", drop=("price",)), CLASS_MEMBERS)


def _trained(folder: Path, roles: Roles, members: tuple[MemberSpec, ...]) -> Path:
    write_table(folder / "houses.csv")
    table = read_file(folder / "houses.csv", roles)
    objective = f"cv_{'logloss' if table.classes else 'rmse'}_blended"
    recipe = Recipe(members, blend="weighted", folds=FoldSpec(k=2), objective=objective)
    training = fit_ensemble(recipe, table, None, threads=1)
    save_bundle(folder / "model", recipe, training, table, table.content_hash())
    return folder / "model"


@pytest.fixture(scope="session")
def choice(pytestconfig: pytest.Config) -> Choice:
    """The endpoint that the command names."""
    return choose(pytestconfig.getoption("--endpoint"))


@pytest.fixture(scope="session")
def served(
    choice: Choice, bundle: Path, resident: Resident, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """The tests' own model of numbers, in a server of their own."""
    with serving(resident, bundle, tmp_path_factory.mktemp("server"), choice.name) as server:
        yield server.target


@pytest.fixture(scope="session")
def served_classes(
    choice: Choice, bundle_of_classes: Path, resident: Resident, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """The tests' own model of classes, in a server of their own."""
    with serving(resident, bundle_of_classes, tmp_path_factory.mktemp("server"), choice.name) as server:
        yield server.target


@pytest.fixture(scope="session")
def target(choice: Choice, request: pytest.FixtureRequest) -> Iterator[Target]:
    """The endpoint under test."""
    if choice.sagemaker is not None and choice.model_dir is not None:
        with bridged(choice.sagemaker) as url:
            yield Target(choice.name, url, choice.model_dir)
    elif choice.url is None or choice.model_dir is None:
        name = "served_classes" if getattr(request, "param", None) == "classes" else "served"
        yield request.getfixturevalue(name)
    else:
        found = Target(choice.name, choice.url, choice.model_dir)
        check_form(found)
        yield found


def check_form(target: Target) -> None:
    """End the tests if the endpoint does not answer in byoe's form."""
    answer = target.post(json.dumps(target.example.rows), "application/json")
    if answer.status == 200 and any(isinstance(entry, dict) for entry in answer.json.get("predictions", ())):
        pytest.exit(
            f"--endpoint={target.name} answers as SAGEMAKER_INFERENCE_OUTPUT selects, and these tests expect byoe's "
            "form: deploy the model without serving.inference_output.",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


@pytest.fixture
def still_right(target: Target) -> Iterator[None]:
    """Check after a test that the endpoint predicts its example correctly."""
    yield
    target.check_example()


@pytest.fixture
def own_http(choice: Choice) -> None:
    """Skip tests of HTTP itself if SageMaker's front end is in between."""
    if choice.sagemaker is not None:
        pytest.skip("about HTTP itself, and SageMaker's front end is in between: --endpoint=process or local runs it")


@pytest.fixture
def process_only(choice: Choice) -> None:
    """Skip tests that may break the server, unless they start it themselves."""
    if choice.name != PROCESS:
        pytest.skip("starts and ends its own servers: --endpoint=process runs it")


Serve = Callable[..., Server]


@pytest.fixture
def serve(process_only: None, resident: Resident, tmp_path: Path) -> Iterator[Serve]:
    """Start servers that end with the test."""
    with contextlib.ExitStack() as stack:
        count = 0

        def start(folder: Path, **env: str) -> Server:
            nonlocal count
            count += 1
            place = tmp_path / f"server_{count}"
            place.mkdir()
            return stack.enter_context(serving(resident, folder, place, **env))

        yield start
