"""Whether a recipe can be trained for a target: for a quantity, for two classes or for more."""

from __future__ import annotations

from ensemble.blending import make_blender
from ensemble.decision import HALF, class_weights
from ensemble.errors import InputError
from ensemble.evaluation import SCORES, default_objective, scores_of
from ensemble.members import member_class
from ensemble.recipe import Recipe
from ensemble.table import Table
from ensemble.wire import check_objective


def check_task(
    recipe: Recipe, table: Table, prefix: str = "", objective: str = "objective", target: str | None = None
) -> None:
    """Check that a recipe suits the target of a table.

    Args:
        recipe: The recipe.
        table: The training rows.
        prefix: What stands before ``blend``, ``threshold`` and the other names in messages: ``ensemble.`` for keys.
        objective: The key or parameter that holds the objective, for messages.
        target: A clause that says what the target is, for messages.

    Raises:
        InputError: A part of the recipe is for another target; the message names it.
    """
    count = len(table.classes)
    if target is None:
        target = f"the target {table.target_name!r} " + (f"has {count} classes" if count else "is a quantity")
    for member in recipe.members:
        if table.task not in member_class(member.kind, "members").tasks:
            predicted = "classes" if count else "a quantity"
            raise InputError(f"member {member.name!r} does not predict {predicted}, and {target}: leave it out.")
    make_blender(recipe.blend, [member.name for member in recipe.members], recipe.weights, f"{prefix}blend", table.task)
    split, _, rest = recipe.objective.partition("_")
    other = next((score for score in SCORES if rest.startswith(f"{score}_")), None)
    if split in ("cv", "validation") and other is not None and other not in scores_of(table.task):
        raise InputError(
            f"{objective}={recipe.objective} is a score of {'quantities' if count else 'classes'}, and {target}. Leave "
            f"it out, or use another, such as {default_objective(table.task)}."
        )
    check_objective(recipe.objective, [member.name for member in recipe.members], objective, table.task)
    if recipe.threshold != HALF and table.task != "binary":
        raise InputError(f"{prefix}threshold is for two classes, and {target}: leave it out.")
    if recipe.class_weight is not None and not count:
        raise InputError(f"{prefix}class_weight is for classes, and {target}: leave it out.")
    if count:
        class_weights(recipe.class_weight, table.classes, table.target, f"{prefix}class_weight")
    if not recipe.calibrate and not count:
        raise InputError(f"{prefix}calibrate is for classes, and {target}: leave it out.")
