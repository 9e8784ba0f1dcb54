"""Whether a recipe can be trained for a target: for a quantity, for two classes or for more."""

from __future__ import annotations

from ensemble.blending import make_blender
from ensemble.decision import HALF, class_weights
from ensemble.errors import InputError
from ensemble.members import member_class
from ensemble.recipe import Recipe
from ensemble.table import Table
from ensemble.wire import check_objective


def check_task(recipe: Recipe, table: Table, prefix: str = "", objective: str = "objective") -> None:
    """Check that a recipe suits the target of a table.

    Args:
        recipe: The recipe.
        table: The training rows.
        prefix: What stands before ``blend``, ``threshold`` and the other names in messages: ``ensemble.`` for keys.
        objective: The key or parameter that holds the objective, for messages.

    Raises:
        InputError: A part of the recipe is for another target; the message names it.
    """
    count = len(table.classes)
    target = f"the target {table.target_name!r} has {count} classes" if count else "the target is a quantity"
    for member in recipe.members:
        if table.task not in member_class(member.kind, "members").tasks:
            predicted = "classes" if count else "a quantity"
            raise InputError(f"member {member.name!r} does not predict {predicted}, and {target}: leave it out.")
    make_blender(recipe.blend, [member.name for member in recipe.members], recipe.weights, f"{prefix}blend", table.task)
    check_objective(recipe.objective, [member.name for member in recipe.members], objective, table.task)
    if recipe.threshold != HALF and table.task != "binary":
        raise InputError(f"{prefix}threshold is for two classes, and {target}: leave it out.")
    if recipe.class_weight is not None and not count:
        raise InputError(f"{prefix}class_weight is for classes, and {target}: leave it out.")
    if count:
        class_weights(recipe.class_weight, table.classes, table.target, f"{prefix}class_weight")
    if not recipe.calibrate and not count:
        raise InputError(f"{prefix}calibrate is for classes, and {target}: leave it out.")
