"""The wire format: a training job gets hyperparameters as flat strings, and gives metrics back as log lines.

Hyperparameters are flat strings, as SageMaker delivers them:

===================  =======================================================================================
``members``          ``xgboost,deep:xgboost``: name, or name:kind
``blend``            name of the blender
``weights``          JSON object, fixed weights by member
``final``            ``bag`` or ``refit``
``folds_kind``       fold scheme
``folds_k``          number of folds
``folds_repeats``    number of divisions, for ``folds_kind`` ``repeated``
``seed``             integer
``objective``        metric name; its line is printed last; without it, the log loss or the RMSE of the blend
``class_weight``     ``balanced``, or JSON object, weights of the rows of each class by label
``calibrate``        ``true`` or ``false``: whether blended probabilities get a temperature
``threshold``        of two classes: a number, ``accuracy``, ``f1``, or JSON list of costs by true class and label
``target``           target column of CSV or Parquet files; read before the others, as are the next three
``weights_column``   column of row weights in these files
``folds_column``     column that divides their rows, for ``folds_kind`` ``group`` and ``time``
``drop``             JSON list of their columns to leave out
``columns``          JSON object, what some of their columns hold by name (``ensemble.column_types.DeclaredType``)
``missing``          JSON list of the texts in them that mean a missing value
``task``             what their target is: ``auto``, ``regression``, ``binary`` or ``multiclass``
``positive``         label of the positive class of two
``rival``            JSON object, the training to beat, an ``ensemble.racing.Rival``; read before the others
``final_rows``       ``train``, ``train_and_validation`` or ``all``: rows that the bundle's models are fitted on; read
                     before the others
``folds_seconds``    number above 0, the time that the folds may take; read before the others
``growing_seconds``  as ``folds_seconds``, but no member is left out: boosters grow fewer rounds; read before the others
``found_rounds``     JSON object, numbers of boosting rounds that are known, by member; read before the others
``final_seconds``    number above 0, the time in which the bundle must be written; read before the others
``fitted_members``   JSON object, members that a finished training has fitted: by name, the folder of that training,
                     laid out as ``/opt/ml``, and the member's name there; read before the others
``shared``           JSON object, shared name -> list of ``member__parameter``
``member__param``    one member's parameter, read as its declaration says
``member``           JSON object, several of one member's parameters by name, each as text: a recipe with many members
                     has more parameters than a job's 100 hyperparameters
any shared name      sets every parameter that ``shared`` lists for it
===================  =======================================================================================
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from ensemble.blending import make_blender
from ensemble.classes import DeclaredTask, Task
from ensemble.decision import HALF, read_class_weight, read_threshold
from ensemble.errors import InputError, did_you_mean, listed
from ensemble.evaluation import SCORES, scores_of
from ensemble.members import member_class
from ensemble.parameters import Parameter, ParamValue, boolean, encode, integer, real
from ensemble.racing import Rival
from ensemble.reading import Roles
from ensemble.recipe import BLENDED, Final, FinalRows, FoldKind, FoldSpec, MemberSpec, Recipe

RUN_PARAMETERS = (
    "members",
    "blend",
    "weights",
    "final",
    "folds_kind",
    "folds_k",
    "folds_repeats",
    "seed",
    "objective",
    "class_weight",
    "calibrate",
    "threshold",
    "shared",
)
# The roles of the columns of table files; they are not part of a recipe.
DATA_PARAMETERS = ("target", "weights_column", "folds_column", "drop", "columns", "missing", "task", "positive")
# What a job does besides training a recipe; and the names that a shared parameter cannot have.
JOB_PARAMETERS = (
    "rival",
    "final_rows",
    "folds_seconds",
    "growing_seconds",
    "final_seconds",
    "found_rounds",
    "fitted_members",
)
SECONDS = real(0, low_open=True)
ROUNDS = integer(1)
RESERVED_NAMES = (*RUN_PARAMETERS, *DATA_PARAMETERS, *JOB_PARAMETERS)
RESERVED = re.compile(r"sagemaker_.*|_tuning_objective_metric")
SEPARATOR = "__"
MEMBER_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*")
# Metrics of folds end so.
_LIKE_A_FOLD = re.compile(r".*_fold(_\d+)?")
SEED = integer(0, 2**31 - 1)
FOLDS = integer(2, 1000)
REPEATS = integer(1, 100)
CALIBRATE = boolean()


def check_member_name(name: str, place: str) -> str:
    """Return ``name`` if it is a valid name for a member.

    Raises:
        InputError: It is not; the message says what a valid name is.
    """
    if not MEMBER_NAME.fullmatch(name) or name == BLENDED:
        raise InputError(
            f"{name!r} in {place} cannot name a member: use lower-case letters, digits and single underscores, "
            f"starting with a letter, and not {BLENDED!r}."
        )
    taken = "of a hyperparameter" if name in RESERVED_NAMES or RESERVED.fullmatch(name) else None
    taken = "of a metric of folds" if _LIKE_A_FOLD.fullmatch(name) else taken
    if taken is not None:
        raise InputError(f"{name!r} in {place} cannot name a member, because it is the name {taken}: choose another.")
    return name


def wire_name(member: str, param: str) -> str:
    """Return the hyperparameter name of one member's parameter."""
    return f"{member}{SEPARATOR}{param}"


def encode_recipe(
    recipe: Recipe, shared: Mapping[str, Iterable[str]] | None = None, *, packed: bool = False
) -> dict[str, str]:
    """Write a recipe as hyperparameters.

    Args:
        recipe: What to train, without the parameters that a search will set.
        shared: The ``member__parameter`` names that each shared parameter sets, by its name.
        packed: Whether to write one hyperparameter for each member instead of one for each of its parameters.
    """
    text = {
        "members": ",".join(m.name if m.name == m.kind else f"{m.name}:{m.kind}" for m in recipe.members),
        "blend": recipe.blend,
        "final": recipe.final,
        "folds_kind": recipe.folds.kind,
        "folds_k": encode(recipe.folds.k),
        "folds_repeats": encode(recipe.folds.repeats),
        "seed": encode(recipe.seed),
        "objective": recipe.objective,
    }
    if recipe.class_weight is not None:
        rule = recipe.class_weight
        text["class_weight"] = rule if isinstance(rule, str) else _to_json(dict(sorted(rule.items())))
    if not recipe.calibrate:
        text["calibrate"] = encode(recipe.calibrate)
    if recipe.threshold != HALF:
        text["threshold"] = recipe.threshold if isinstance(recipe.threshold, str) else _to_json(recipe.threshold)
    if recipe.weights is not None:
        text["weights"] = _to_json({name: float(weight) for name, weight in recipe.weights.items()})
    if shared:
        text["shared"] = _to_json({name: list(targets) for name, targets in shared.items()})
    for member in recipe.members:
        params = {param: encode(value) for param, value in member.params.items()}
        if packed:
            text[member.name] = _to_json(params)
        else:
            text |= {wire_name(member.name, param): value for param, value in params.items()}
    return text


def decode_recipe(hyperparameters: Mapping[str, str]) -> Recipe:
    """Read hyperparameters as a recipe; names that SageMaker adds and ``JOB_PARAMETERS`` are ignored.

    Raises:
        InputError: A name or a value is not valid; the message names it and says what is valid.
    """
    ignored = {name for name in hyperparameters if RESERVED.fullmatch(name)} | set(JOB_PARAMETERS)
    given = {name: text for name, text in hyperparameters.items() if name not in ignored}
    kinds = _decode_members(given.get("members", "xgboost,catboost"))
    shared = _decode_shared(given.get("shared"), kinds)
    params: dict[str, dict[str, ParamValue]] = {name: {} for name in kinds}
    for name, text in given.items():
        if name in RUN_PARAMETERS:
            continue
        targets = dict.fromkeys(shared.get(name, (name,)), text)
        if name in kinds and name not in shared:
            targets = {wire_name(name, param): value for param, value in _unpacked(name, text).items()}
        for target, value in targets.items():
            member, param = _split(target, kinds, shared)
            if param in params[member]:
                raise InputError(f"hyperparameter {name!r}: {target!r} is set twice: leave one out.")
            params[member][param] = decode_value(declaration(kinds, target), name, value)
    recipe = Recipe(
        members=tuple(MemberSpec(name, kind, params[name]) for name, kind in kinds.items()),
        blend=given.get("blend", "mean"),
        weights=_decode_weights(given.get("weights")),
        final=_one_of("final", given.get("final", "bag"), get_args(Final)),
        folds=FoldSpec(
            _one_of("folds_kind", given.get("folds_kind", "kfold"), get_args(FoldKind)),
            int(str(decode_value(FOLDS, "folds_k", given.get("folds_k", "5")))),
            int(str(decode_value(REPEATS, "folds_repeats", given.get("folds_repeats", "1")))),
        ),
        seed=int(str(decode_value(SEED, "seed", given.get("seed", "0")))),
        objective=given.get("objective", f"cv_rmse_{BLENDED}"),
        class_weight=read_class_weight(given.get("class_weight"), "class_weight"),
        calibrate=bool(decode_value(CALIBRATE, "calibrate", given.get("calibrate", encode(True)))),
        threshold=read_threshold(given.get("threshold", HALF), "threshold"),
    )
    make_blender(recipe.blend, list(kinds), recipe.weights, "blend")
    check_objective(recipe.objective, kinds, "objective")
    return recipe


def without_members(hyperparameters: Mapping[str, str], left_out: Collection[str]) -> dict[str, str]:
    """Return the hyperparameters of a recipe without some of its members, and without what only they use."""
    if not left_out:
        return dict(hyperparameters)
    kept = dict(hyperparameters)
    items = (item.strip() for item in kept["members"].split(","))
    kept["members"] = ",".join(item for item in items if item.partition(":")[0] not in left_out)
    kept = {name: text for name, text in kept.items() if name.partition(SEPARATOR)[0] not in left_out}
    for name, targets in (_from_json("shared", kept["shared"]) if "shared" in kept else {}).items():
        used = [target for target in targets if target.partition(SEPARATOR)[0] not in left_out]
        shared = _from_json("shared", kept["shared"])
        if not used:
            kept.pop(name, None)
            del shared[name]
        else:
            shared[name] = used
        kept["shared"] = _to_json(shared)
    return kept


def encode_rival(rival: Rival) -> str:
    """Write a training to beat as the hyperparameter ``rival``."""
    return _to_json(rival.as_dict())


def decode_rival(text: str | None) -> Rival | None:
    """Read the hyperparameter ``rival``; None if it is not set.

    Raises:
        InputError: It is not the JSON object that ``encode_rival`` writes.
    """
    if text is None:
        return None
    try:
        return Rival.from_dict(_from_json("rival", text))
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"hyperparameter 'rival' needs an objective's 'value' and 'standings', got {text!r}."
        ) from None


def decode_final_rows(text: str | None) -> FinalRows:
    """Read the hyperparameter ``final_rows``; ``train`` if it is not set.

    Raises:
        InputError: It is not one of ``FinalRows``.
    """
    found: FinalRows = _one_of("final_rows", "train" if text is None else text, get_args(FinalRows))
    return found


def decode_seconds(name: str, text: str | None) -> float | None:
    """Read a hyperparameter of seconds, such as ``folds_seconds``; None if it is not set.

    Raises:
        InputError: It is not a number above 0.
    """
    return None if text is None else float(str(decode_value(SECONDS, name, text)))


def encode_fitted(fitted: Mapping[str, tuple[Path, str]]) -> str:
    """Write where members have been fitted, as the hyperparameter ``fitted_members``.

    Args:
        fitted: By name of a member, the folder of a training and the member's name there.
    """
    return _to_json({name: [str(folder), member] for name, (folder, member) in fitted.items()})


def decode_fitted(text: str | None) -> dict[str, tuple[Path, str]]:
    """Read the hyperparameter ``fitted_members``; empty if it is not set.

    Raises:
        InputError: It is not the JSON object that ``encode_fitted`` writes.
    """
    found = {} if text is None else _from_json("fitted_members", text)
    try:
        return {name: (Path(folder), str(member)) for name, (folder, member) in found.items()}
    except (TypeError, ValueError):
        raise InputError(
            f"hyperparameter 'fitted_members' needs a folder and a name for each member, got {text!r}."
        ) from None


def encode_rounds(rounds: Mapping[str, int]) -> str:
    """Write numbers of boosting rounds, by member, as the hyperparameter ``found_rounds``."""
    return _to_json(dict(rounds))


def decode_rounds(text: str | None) -> dict[str, int]:
    """Read the hyperparameter ``found_rounds``; empty if it is not set.

    Raises:
        InputError: It is not a JSON object of whole numbers of at least 1.
    """
    found = {} if text is None else _from_json("found_rounds", text)
    return {name: int(str(decode_value(ROUNDS, "found_rounds", str(number)))) for name, number in found.items()}


def encode_roles(roles: Roles) -> dict[str, str]:
    """Write roles of columns as hyperparameters, without ``fold_kind``, which a recipe has as ``folds_kind``."""
    text = {"target": roles.target}
    if roles.weights is not None:
        text["weights_column"] = roles.weights
    if roles.fold_key is not None:
        text["folds_column"] = roles.fold_key
    if roles.drop:
        text["drop"] = _to_json(list(roles.drop))
    if roles.types:
        text["columns"] = _to_json(dict(roles.types))
    if roles.missing is not None:
        text["missing"] = _to_json(list(roles.missing))
    if roles.task != "auto":
        text["task"] = roles.task
    if roles.positive is not None:
        text["positive"] = roles.positive
    return text


def decode_roles(hyperparameters: Mapping[str, str]) -> Roles | None:
    """Read roles of columns from hyperparameters; None if they do not name a target.

    Raises:
        InputError: ``drop`` or ``missing`` is not a JSON list of texts, ``columns`` not a JSON object of texts, or
            ``task`` not one of ``DeclaredTask``.
    """
    if "target" not in hyperparameters:
        return None
    types = _from_json("columns", hyperparameters.get("columns", "{}"))
    if not all(isinstance(declared, str) for declared in types.values()):
        raise InputError(f"hyperparameter 'columns' must name a type for each column, not {types!r}.")
    return Roles(
        target=hyperparameters["target"],
        weights=hyperparameters.get("weights_column"),
        fold_key=hyperparameters.get("folds_column"),
        fold_kind="time" if hyperparameters.get("folds_kind") == "time" else "group",
        drop=_texts("drop", hyperparameters.get("drop", "[]")),
        types=tuple(types.items()),
        missing=None if "missing" not in hyperparameters else _texts("missing", hyperparameters["missing"]),
        task=_one_of("task", hyperparameters.get("task", "auto"), get_args(DeclaredTask)),
        positive=hyperparameters.get("positive"),
    )


def _texts(name: str, text: str) -> tuple[str, ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise InputError(f'hyperparameter {name!r} must be a JSON list of texts, such as ["id"], not {text!r}.')
    return tuple(found)


def declaration(kinds: Mapping[str, str], target: str) -> Parameter:
    """Return the declaration of ``member__parameter`` in an ensemble.

    Args:
        kinds: The kind of each member, by its name.
        target: The name, such as ``xgboost__eta``.

    Raises:
        InputError: The member has no such parameter.
    """
    member, _, param = target.partition(SEPARATOR)
    return member_class(kinds[member], "members").parameter(param, f"hyperparameter {member}{SEPARATOR}{{}}")


def decode_value(parameter: Parameter, name: str, text: str) -> ParamValue:
    """Read one value.

    Raises:
        InputError: The text is not a value of ``parameter``; the message names the hyperparameter ``name``.
    """
    try:
        return parameter.decode(text)
    except ValueError as error:
        raise InputError(f"hyperparameter {name!r}: {error}.") from None


def check_objective(objective: str, members: Iterable[str], place: str, task: Task | None = None) -> None:
    """Check that a trial of these members reports the metric ``objective``.

    Args:
        objective: The metric.
        members: The members' names.
        place: The key or parameter that holds it, for messages.
        task: What is predicted; None if that is not known yet.

    Raises:
        InputError: It does not.
    """
    names = [*members, BLENDED]
    of_task = list(SCORES) if task is None else list(scores_of(task))
    valid = [f"{split}_{score}_{name}" for split in ("cv", "validation") for score in of_task for name in names]
    if objective not in valid:
        raise InputError(
            f"{place}: {objective!r} is not a metric of a trial.{did_you_mean(objective, valid)} "
            f"A metric is cv_ or validation_, then {listed(of_task)}, then _{BLENDED} or a member's name."
        )


def metric_line(name: str, value: float) -> str:
    """Return the log line of a metric, from which ``metric_regex(name)`` reads back exactly the same value.

    Raises:
        ValueError: The value is not finite. Such a value must not be printed, since a tuner would use it.
    """
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return f"[metric] {name}={float(value)!r};"


def metric_regex(name: str) -> str:
    """Return the regular expression for the log line of a metric; its first group is the value."""
    return rf"\[metric\] {re.escape(name)}=([-+]?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?);"


def read_metric(regex: str, log: str) -> float | None:
    """Return the last value that ``regex`` finds in a log, which SageMaker's tuner would use; None if there is none."""
    found = re.findall(regex, log)
    return float(found[-1]) if found else None


def _decode_members(text: str) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for item in text.split(","):
        name, _, kind = item.strip().partition(":")
        check_member_name(name, "hyperparameter 'members'")
        if name in kinds:
            raise InputError(f"hyperparameter 'members': {name!r} is given twice; write name:kind to name each one.")
        member_class(kind or name, "hyperparameter 'members'")
        kinds[name] = kind or name
    return kinds


def _decode_weights(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    weights = _from_json("weights", text)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InputError(f"hyperparameter 'weights': {weight!r} of {name!r} is not a number.")
    return {name: float(weight) for name, weight in weights.items()}


def _unpacked(name: str, text: str) -> dict[str, str]:
    params = _from_json(name, text)
    for param, value in params.items():
        if not isinstance(value, str):
            raise InputError(f"hyperparameter {name!r}: the value of {param!r} must be text, not {value!r}.")
    return params


def _decode_shared(text: str | None, kinds: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    shared = {} if text is None else _from_json("shared", text)
    for name, targets in shared.items():
        if name in RESERVED_NAMES:
            raise InputError(f"hyperparameter 'shared': {name!r} is a reserved name: choose another.")
        if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
            raise InputError(f"hyperparameter 'shared': {name!r} needs a list of member{SEPARATOR}parameter names.")
        for target in targets:
            _split(target, kinds, {})
    return {name: tuple(targets) for name, targets in shared.items()}


def _split(target: str, kinds: Mapping[str, str], shared: Iterable[str]) -> tuple[str, str]:
    member, separator, param = target.partition(SEPARATOR)
    if not separator or member not in kinds:
        valid = [*RUN_PARAMETERS, *shared, *(wire_name(name, "...") for name in kinds)]
        raise InputError(
            f"hyperparameter {target!r} is not known.{did_you_mean(target, valid)} Known: {listed(valid)}."
        )
    return member, param


def _one_of(name: str, text: str, valid: tuple[Any, ...]) -> Any:
    if text not in valid:
        raise InputError(f"hyperparameter {name!r}: {text!r} is not one of {listed(valid)}.{did_you_mean(text, valid)}")
    return text


def _to_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _from_json(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"hyperparameter {name!r} is not JSON ({error}): {text!r}.") from None
    if not isinstance(value, dict):
        raise InputError(f"hyperparameter {name!r} is not a JSON object: {text!r}.")
    return value
