"""What a search learns from studies, tuning jobs and Optuna's storages, and what is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from experiments.backends.learning import learned
from experiments.config.compose import compose
from experiments.config.schema import LocalModeConfig
from experiments.config.secrets import masked_value
from experiments.errors import ConfigError, InputError, StudyTaken
from experiments.planning.study import plan_study
from experiments.study.learning import source_name
from experiments.study.ledger import Ledger, peek
from experiments.study.optuna_storage import export
from experiments.study.optuna_view import StudyView
from experiments.study.sampling import make_proposer
from experiments.study.search_space import Choices, Interval, SearchSpace
from experiments.study.spec import Point, StudySpec
from experiments.system.locks import lock_file
from tests.doubles.aws.double import Double
from tests.doubles.aws.jobs import SCORE, tuning
from tests.doubles.aws.resident import Resident
from tests.support.account import in_account
from tests.support.ledgers import SPACE, finished, planned, recorded

URL = "sqlite:///optuna.db"


@pytest.fixture
def source(folder: Path) -> StudySpec:
    """A study of ten trials: six complete, two failed and two pruned."""
    study = planned("source", "search.n_trials=10", "search.seed=3")
    recorded(study, 10)
    return study


def begun(*arguments: str, sources: str = "source", name: str = "mine") -> StudySpec:
    """Return a study that learns as it begins."""
    study = planned(name, *arguments)
    given = sources.split(",")
    names = tuple(source_name(masked_value(text), study.folder.parent) for text in given)
    return learned(replace(study, search=replace(study.search, learn_from=names)), given, LocalModeConfig())


def proposals(study: StudySpec, known: int = 0) -> list[Point]:
    """Ask and tell as the loop does, with a window of four."""
    proposer = make_proposer(study)
    points: list[Point] = []
    for told in range(-study.search.window, study.n_trials):
        if told >= 0:
            proposer.tell(told, finished(study, told, points[told]))
        if len(points) < study.n_trials:
            points.append(proposer.ask(len(points), None))
    return points


def test_the_sampler_is_told_the_trials_with_a_score_before_it_proposes(source: StudySpec) -> None:
    study = begun()
    (found,) = study.learned
    known = peek(source)
    assert known is not None
    scored = [result for result in known.results if result.state != "failed"]
    assert [trial.params for trial in found.trials] == [result.params for result in scored]
    assert [trial.value for trial in found.trials] == [result.value(source.objective) for result in scored]
    assert found.describe() == (
        "search.learn_from=source: the sampler learned 8 of 10 trials of study source. It left out 2 without a score. "
        "It has values of every parameter."
    )
    # With as many scores as startup trials, it proposes what a study that has run them would.
    learns = proposals(begun("search.startup_trials=8", "search.n_trials=5"))
    assert learns != proposals(planned("mine", "search.startup_trials=8", "search.n_trials=5"))
    twin = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    distributions = dict(sorted(study.space.distributions().items()))
    for result in scored:
        value = result.value(source.objective)
        params = dict(result.params)
        twin.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    seed = int(np.random.SeedSequence([study.search.seed, 0]).generate_state(1)[0])
    twin.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=8, constant_liar=True)
    assert twin.ask(distributions).params == learns[0]


def test_what_was_learned_stays_when_the_source_grows_or_is_removed(source: StudySpec) -> None:
    arguments = ("search.n_trials=12", "search.startup_trials=3")
    whole = begun(*arguments, name="whole")
    expected = [result.params for result in recorded(whole, 12)]
    first = begun(*arguments)
    recorded(first, 5)
    recorded(planned("source", "search.n_trials=16", "search.seed=3"), 16)
    shutil.rmtree(source.folder)
    again = plan_study(compose(["study=mine", *SPACE, "search.learn_from=[source]", *arguments]))
    known = peek(again.study)
    assert known is not None
    resumed = again.continuing(known)
    assert resumed.study.learned == first.learned
    assert any(note.startswith("search.learn_from=source: the sampler learned 8 of 10") for note in resumed.notes)
    assert [result.params for result in recorded(resumed.study, 12)] == expected
    # Learned trials are none of the study's own.
    results = peek(again.study)
    assert results is not None
    assert [result.index for result in results.results] == list(range(12))


@pytest.mark.parametrize("names", [(), ("other",), ("source", "other")])
def test_a_study_that_learns_from_others_is_another_study(source: StudySpec, names: tuple[str, ...]) -> None:
    study = begun()
    recorded(study, 1)
    with pytest.raises(StudyTaken, match=r"search\.learn_from: "):
        peek(replace(study, search=replace(study.search, learn_from=names)))


def test_a_study_is_named_by_its_folder_too(source: StudySpec, tmp_path: Path) -> None:
    by_folder = begun(sources=f"{source.folder}/")
    assert by_folder.identity() == begun().identity()
    assert by_folder.learned[0].trials == begun().learned[0].trials
    shutil.move(source.folder, tmp_path / "elsewhere")
    moved = begun(sources=str(tmp_path / "elsewhere"))
    assert moved.learned[0].trials == by_folder.learned[0].trials
    assert moved.identity() != by_folder.identity()


def test_studies_without_the_key_keep_their_identity(folder: Path) -> None:
    assert not any("learn_from" in name for name in planned("mine").recorded_identity())


def test_a_changed_record_of_what_was_learned_is_refused(source: StudySpec) -> None:
    study = begun()
    recorded(study, 1)
    with closing(sqlite3.connect(study.folder / "ledger.sqlite")) as connection, connection:
        (text,) = connection.execute("SELECT value FROM study WHERE key = 'learned'").fetchone()
        value = json.loads(text)[0]["trials"][0][1]
        connection.execute(
            "UPDATE study SET value = ? WHERE key = 'learned'", (text.replace(repr(value), repr(value + 1), 1),)
        )
    with pytest.raises(StudyTaken, match="learned"):
        peek(study)
    with closing(sqlite3.connect(study.folder / "ledger.sqlite")) as connection, connection:
        connection.execute("DELETE FROM study WHERE key = 'learned'")
    plan = plan_study(compose(["study=mine", *SPACE, "search.learn_from=[source]"]))
    known = peek(plan.study)
    assert known is not None
    with pytest.raises(StudyTaken, match="does not have what study 'mine' learned"):
        plan.continuing(known)


# Of each kind: a range that is narrower, other choices, a new parameter; and one is no longer searched.
OTHER_SPACE = SearchSpace(
    {
        "xgboost__eta": Interval(0.01, 0.3, log=True, whole=False),
        "xgboost__max_depth": Interval(2, 5, log=False, whole=True),
        "catboost__depth": Choices((5, 7)),
        "catboost__l2_leaf_reg": Interval(1.0, 9.0, log=False, whole=False),
    }
)


def test_the_overlap_of_two_spaces_is_learned_and_said(source: StudySpec) -> None:
    study = replace(planned("mine"), space=OTHER_SPACE)
    study = learned(study, ["source"], LocalModeConfig())
    (found,) = study.learned
    assert found.used == ("xgboost__eta", "xgboost__max_depth")
    assert found.left_out == ("catboost__learning_rate",)
    assert found.missing["catboost__l2_leaf_reg"] == "not searched there"
    assert found.missing["catboost__depth"].endswith(" there, {5, 7} here")
    known = peek(source)
    assert known is not None
    fits = [r for r in known.results if r.state != "failed" and int(r.params["xgboost__max_depth"] or 0) <= 5]
    assert 0 < len(fits) < 8
    assert [trial.params for trial in found.trials] == [
        {name: result.params[name] for name in found.used} for result in fits
    ]
    assert found.outside == 8 - len(fits)
    assert f"2 without a score, {found.outside} with a value that is not in its range here" in found.describe()
    assert "Not searched here: catboost.learning_rate." in found.describe()
    points = proposals(study)
    assert all(study.space.ranges.keys() == point.keys() for point in points)


def test_a_trial_that_two_sources_have_is_learned_once(source: StudySpec) -> None:
    export(StudyView.of(source.folder), URL, URL)
    first, second = begun(sources=f"source,{URL}").learned
    assert (len(first.trials), len(second.trials), second.repeated) == (8, 0, 8)


def test_an_export_teaches_what_the_study_does(source: StudySpec) -> None:
    recorded(planned("source", "search.n_trials=16", "search.seed=3"), 16)
    export(StudyView.of(source.folder), f"{URL}:kept", URL)
    from_study, from_storage = begun(), begun(sources=f"{URL}:kept", name="other")
    assert from_storage.learned[0].trials == from_study.learned[0].trials
    assert from_storage.learned[0].digest == from_study.learned[0].digest
    assert from_storage.learned[0].remarks == ()
    assert proposals(from_storage) == proposals(from_study)


def foreign(direction: str = "minimize", names: tuple[str, ...] = ("theirs",), url: str = URL) -> None:
    """Write a storage as a user's own script does."""
    for name in names:
        study = optuna.create_study(storage=url, study_name=name, direction=direction)
        distributions = {"xgboost__eta": optuna.distributions.FloatDistribution(0.001, 0.9)}
        for eta, value in ((0.1, 3.0), (0.2, 2.0), (0.8, 1.0)):
            study.add_trial(
                optuna.trial.create_trial(params={"xgboost__eta": eta}, distributions=distributions, value=value)
            )
        study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, value=9.0))
        study._storage.remove_session()
        study._storage._backend.engine.dispose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("address", [URL, f"{URL}:theirs"])
def test_a_storage_of_a_users_own_is_read_and_left_as_it_was(folder: Path, address: str) -> None:
    foreign()
    before = Path("optuna.db").read_bytes()
    (found,) = begun(sources=address).learned
    assert [(dict(trial.params), trial.value) for trial in found.trials] == [
        ({"xgboost__eta": 0.1}, 3.0),
        ({"xgboost__eta": 0.2}, 2.0),
    ]
    assert (found.unscored, found.outside) == (1, 1)
    assert "It does not record its metric: its values are taken as cv_rmse_blended." in found.describe()
    assert Path("optuna.db").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["optuna.db"]


def other_version(folder: Path) -> None:
    foreign()
    with closing(sqlite3.connect(folder / "optuna.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
        connection.execute("UPDATE version_info SET library_version = '2.6.0'")


def another_database(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "optuna.db")) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")


def with_score(folder: Path, *arguments: str, name: str = "source") -> None:
    recorded(planned(name, "search.n_trials=2", *arguments), 2)


def held(folder: Path) -> None:
    with_score(folder)
    held.lock = lock_file(folder / "studies/source/lock")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "sources", "message"),
    [
        (lambda folder: None, "nothing", "there is no study of this name in .* No AWS region is set"),
        (with_score, "sauce", "Did you mean 'source'"),
        (lambda folder: None, "./nothing", "is not a study's folder: it has no ledger.sqlite"),
        (lambda folder: None, "arn:aws:sagemaker:eu-west-1:1:training-job/a", "not the ARN of a tuning job"),
        (lambda folder: None, URL, "there is no file optuna.db"),
        (lambda folder: None, "sqlite://", "names no file"),
        (lambda folder: (folder / "optuna.db").write_text("text"), URL, "not a storage of Optuna .*not a database"),
        (lambda folder: (folder / "optuna.db").write_text("text"), "optuna.db", r"learn_from=\[sqlite:///optuna.db\]"),
        (another_database, URL, "not a storage of Optuna that can be read .*no such table"),
        (other_version, URL, r"version 2\.6\.0 of Optuna wrote this storage, and version 5"),
        (lambda folder: foreign(names=("one", "two")), URL, "the storage has 2 studies: one, two. Name one"),
        (lambda folder: foreign(), f"{URL}:their", "no study 'their'. Did you mean 'theirs'"),
        (
            lambda folder: foreign("maximize"),
            URL,
            "scored by a value that is maximised, and this search by cv_rmse_blended",
        ),
        (
            lambda folder: None,
            "mysql://user:secret@host/db:name",
            r"mysql://\*\*\*@host/db:name: the module MySQLdb, .* pip install 'mysqlclient', or write mysql\+pymysql://",
        ),
        (lambda folder: None, "postgres://user:secret@host/db", "no database 'postgres'. Did you mean 'postgresql'"),
        (held, "source", "study source runs now"),
        (
            lambda folder: with_score(folder, "search.objective=cv_mae_blended"),
            "source",
            "study source is scored by cv_mae_blended, and this search by cv_rmse_blended",
        ),
        (
            lambda folder: recorded(planned("source"), 3, [{}] * 3),
            "source",
            "have no parameter in common. There: none. Here: xgboost.eta .not searched there.",
        ),
        (lambda folder: recorded(planned("source"), 0), "source", "nothing to learn from: it has no trials yet"),
        (lambda folder: (folder / "studies/source").mkdir(parents=True), "source", "has no ledger.sqlite"),
        (
            lambda folder: (with_score(folder), (folder / "studies/source/ledger.sqlite").write_text("damaged")),
            "source",
            r"search.learn_from=source: .*is not a ledger that can be read \(file is not a database\). Leave source out",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_message_and_changes_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], object],
    sources: str,
    message: str,
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    make(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=message) as raised:
        begun(sources=sources)
    assert "secret" not in str(raised.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    if make is held:
        held.lock.release()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mode=remote",), r"search.engine=amt: .*mode\.warm_start"),
        (("search.sampler=random",), "search.sampler=random, which does not learn"),
        (("search.vary=one_member",), "search.vary=one_member"),
        (("action=train",), "is for a search, and action=train is not one"),
        (("search.learn_from=[mine]",), "mine is the study itself"),
        (("search.learn_from=[studies/mine/]",), "mine/ is the study itself"),
        (("search.learn_from=['']",), "has an empty name"),
        (("search.learn_from=[other,./studies/other]",), "names ./studies/other twice"),
    ],
)
def test_a_search_that_cannot_learn_is_refused(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_study(compose(["study=mine", *SPACE, "search.learn_from=[other]", *arguments]))


def test_other_rows_and_another_target_are_told_apart(folder: Path) -> None:
    (folder / "a.csv").write_text("x,y,z\n" + "".join(f"{i},{i % 7},{i % 5}.5\n" for i in range(60)))
    (folder / "b.csv").write_text("x,y,z\n" + "".join(f"{i},{i % 7},{i % 5}.5\n" for i in range(1, 61)))
    with_score(folder, "dataset=file", "dataset.path=a.csv", "dataset.target=y", "dataset.task=regression")
    theirs = ("dataset=file", "dataset.path=b.csv", "dataset.task=regression")
    (found,) = begun(*theirs, "dataset.target=y", "dataset.unit=EUR").learned
    assert found.remarks == ("It is about other rows: scores are compared as they are.",)
    with pytest.raises(
        ConfigError, match="study source predicts 'y', and this study 'z', so cv_rmse_blended is another"
    ):
        begun(*theirs, "dataset.target=z")


@pytest.fixture
def job(folder: Path, tmp_path: Path, resident: Resident, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A tuning job that has ended, of three training jobs of which one has no score."""
    points = [{"xgboost__eta": eta} for eta in ("0.1", "0.25", "0.5", "0.6")]
    with in_account(Double(tmp_path / "aws", points, resident=resident), monkeypatch) as double:
        script = SCORE.replace("given['x']", "given['xgboost__eta']").replace('given["x"]', '"x"')
        script += "\nassert given['xgboost__eta'] != '0.25'\n"
        double.arn = created(double, "tuned", 3, script)  # type: ignore[attr-defined]
        double.wait_for_tuning("tuned")
        yield double


def created(double: Double, name: str, jobs: int, script: str) -> str:
    """Start a tuning job over one parameter of byoe's, and return its ARN."""
    document = tuning(double, name, jobs, script)
    configured = document["HyperParameterTuningJobConfig"]
    configured["ParameterRanges"]["ContinuousParameterRanges"][0]["Name"] = "xgboost__eta"
    configured["HyperParameterTuningJobObjective"]["MetricName"] = "cv_rmse_blended"
    specification = document["TrainingJobDefinition"]["AlgorithmSpecification"]
    specification["MetricDefinitions"][0]["Name"] = "cv_rmse_blended"
    sagemaker = double.client("sagemaker")
    return str(sagemaker.create_hyper_parameter_tuning_job(**document)["HyperParameterTuningJobArn"])


@pytest.mark.slow  # two tuning jobs on the double of AWS
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own
def test_a_tuning_job_is_learned_by_name_and_by_arn(job: Double) -> None:
    for text in ("tuned", job.arn):  # type: ignore[attr-defined]
        (found,) = begun(sources=text).learned
        assert [dict(trial.params) for trial in found.trials] == [{"xgboost__eta": 0.1}]
        assert found.trials[0].value == pytest.approx(0.2)
        assert (found.unscored, found.outside) == (1, 1)
        assert found.describe().endswith("It does not record its rows: scores are compared as if they were the same.")
    with pytest.raises(ConfigError, match=r"no study of this name.* Nor is there such a tuning job in us-east-1"):
        begun(sources="tune")
    with pytest.raises(ConfigError, match="tuning job tuned is scored by cv_rmse_blended, and this search by cv_mae"):
        begun("search.objective=cv_mae_blended", sources="tuned")
    created(job, "running", 1, "import signal; signal.pause()")
    with pytest.raises(
        ConfigError, match="tuning job running is InProgress, and a search learns from jobs that have ended"
    ):
        begun(sources="running")
    job.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="running")
    job.wait_for_tuning("running")


def test_a_ledger_keeps_what_was_learned_when_it_is_opened_again(source: StudySpec) -> None:
    study = begun()
    with Ledger.open(study) as ledger:
        noted = ledger.noted("learned")
    assert noted[0]["source"] == "source"
    assert noted[0]["sha256"] == study.learned[0].digest
    with Ledger.open(begun()) as ledger:
        assert ledger.noted("learned") == noted
