"""What each member is worth to the blend: how much worse the blend of the others is."""

from __future__ import annotations

import numpy as np

from ensemble.blending import Rows, make_blender
from ensemble.evaluation import SCORES, main_score
from ensemble.recipe import Recipe
from experiments.study.predictions import Predictions

# Parts of the rows of classes, each of which is scored with a blend of the others.
PARTS = 5


def leave_one_out_rises(recipe: Recipe, out_of_fold: Predictions) -> dict[str, float]:
    """Return, by member, the rise of the blend's main score when the member is left out.

    The blend of quantities is fitted and scored on the same rows. That of classes is fitted on four fifths of the rows
    and scored on the others, five times, since on the same rows the log loss of few rows can be brought close to 0. A
    blend of fixed weights keeps the proportions of the others. Each division of the rows into folds has its own rises,
    and the result is their mean.
    """
    each = [_rises(recipe, division) for division in out_of_fold.by_division()]
    return {name: float(np.mean([rises[name] for rises in each])) for name in out_of_fold.names}


def _rises(recipe: Recipe, out_of_fold: Predictions) -> dict[str, float]:
    score = SCORES[main_score(out_of_fold.task)]

    def error(columns: list[int]) -> float:
        names = [out_of_fold.names[column] for column in columns]
        weights = recipe.weights and {name: recipe.weights[name] for name in names}
        if weights is not None and not sum(weights.values()):
            return float("nan")
        members = out_of_fold.members[:, columns]
        features = np.empty((len(members), 0))
        rows = Rows(members, out_of_fold.target, features, out_of_fold.weights)
        task = out_of_fold.task
        blender = make_blender(recipe.blend, names, weights, "blend", task, calibrate=recipe.calibrate)
        if out_of_fold.task == "regression":
            blended = blender.fit(rows).predict(members, features)
        else:
            blended, part = np.empty(out_of_fold.blended.shape), np.arange(len(members)) % PARTS
            for number in range(PARTS):
                here = part == number
                blended[here] = blender.fit(rows.take(~here)).predict(members[here], features[here])
        return score(out_of_fold.target, blended, out_of_fold.weights)

    all_columns = list(range(len(out_of_fold.names)))
    whole = error(all_columns)
    rises = {}
    for place, name in enumerate(out_of_fold.names):
        rise = error([other for other in all_columns if other != place]) - whole
        rises[name] = 0.0 if abs(rise) < 1e-9 * whole else rise
    return rises
