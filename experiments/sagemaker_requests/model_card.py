"""A model card as SageMaker's ``CreateModelCard`` takes it, checked against its schema.

The schema of the content is not in botocore's service model, which has it as text. What byoe writes of it is declared
here, after https://docs.aws.amazon.com/sagemaker/latest/dg/model-cards.html#model-cards-json-schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.sagemaker_requests.validation import InvalidRequest, check_request
from experiments.study.card import Card, not_for

CARD_JSON = "model_card.json"
# The longest texts, and the most entries of a list.
_SHORT, _TEXT, _LONG, _NAME = 1024, 2048, 2096, 255
_MOST_METRICS, _MOST_DATASETS, _MOST_ARTIFACTS = 50, 10, 15
_METRIC = {"name": _NAME, "value": float, "notes": _SHORT}
# By field: the longest text, a type, the allowed values, or the fields of a record or of the records of a list.
CONTENT: Mapping[str, Any] = {
    "model_overview": {
        "model_description": _SHORT,
        "model_creator": _SHORT,
        "model_artifact": [_SHORT, _MOST_ARTIFACTS],
        "algorithm_type": _SHORT,
        "problem_type": _SHORT,
        "model_owner": _SHORT,
    },
    "intended_uses": {
        "purpose_of_model": _TEXT,
        "intended_uses": _TEXT,
        "factors_affecting_model_efficiency": _TEXT,
        "risk_rating": ("High", "Medium", "Low", "Unknown"),
        "explanations_for_risk_rating": _TEXT,
    },
    "training_details": {
        "training_observations": _SHORT,
        "training_job_details": {"user_provided_training_metrics": [_METRIC, _MOST_METRICS]},
    },
    "evaluation_details": [
        {
            "name": 63,
            "evaluation_observation": _LONG,
            "datasets": [_SHORT, _MOST_DATASETS],
            "metric_groups": [
                {
                    "name": 63,
                    "metric_data": [{**_METRIC, "type": ("number", "string", "boolean")}, _MOST_METRICS],
                },
                _MOST_METRICS,
            ],
        },
        _MOST_METRICS,
    ],
    "additional_information": {"ethical_considerations": _TEXT, "caveats_and_recommendations": _TEXT},
}
_REQUIRED = ("name", "value", "metric_data")


def card_request(card: Card, name: str) -> dict[str, Any]:
    """Return the checked arguments of ``CreateModelCard``, as a draft.

    Args:
        card: What is known of the model.
        name: The card's name.

    Raises:
        InvalidRequest: AWS would refuse it.
    """
    content = card_content(card)
    problems = list(content_problems(content, CONTENT, "Content"))
    if problems:
        raise InvalidRequest("CreateModelCard", problems)
    request = {"ModelCardName": name, "Content": json.dumps(content), "ModelCardStatus": "Draft"}
    check_request("CreateModelCard", request, local=False)
    return request


def card_content(card: Card) -> dict[str, Any]:
    """Return the content of a card, without the texts that only its owner can write."""
    manifest, target = card.manifest, str(card.manifest["target"])
    members = ", ".join(f"{member['name']} ({member['kind']})" for member in manifest["members"])
    scores, folds = card.scores(), manifest["folds"]
    found: dict[str, Any] = {
        "model_overview": {
            "model_description": _cut(
                f"{card.name}: predicts {target} from {len(manifest['columns'])} columns.", _SHORT
            ),
            "model_creator": "byoe",
            "algorithm_type": _cut(f"A blend of {members}", _SHORT),
            "problem_type": card.problem,
        },
        "intended_uses": {
            "purpose_of_model": _cut(f"To predict {target}.", _TEXT),
            "factors_affecting_model_efficiency": _cut(not_for(), _TEXT),
            "risk_rating": "Unknown",
        },
        "training_details": {
            "training_observations": _cut(
                f"Learnt from {manifest['rows']} rows, SHA-256 {manifest['data_hash']}; {folds['kind']} folds, "
                f"k={folds['k']}, repeats={folds['repeats']}, seed {manifest['seed']}. Bundle {card.digest}.",
                _SHORT,
            ),
            "training_job_details": {
                "user_provided_training_metrics": [
                    {"name": _cut(f"weight {name}", _NAME), "value": float(weight)}
                    for name, weight in list(manifest["weights"].items())[:_MOST_METRICS]
                ]
            },
        },
        "evaluation_details": [
            {
                "name": {"cv": "cross-validation"}.get(split, split),
                "evaluation_observation": _cut(card.calibration() if split == "cv" else "Rows set aside.", _LONG),
                "metric_groups": [
                    {
                        "name": "blend",
                        "metric_data": [
                            {"name": score, "type": "number", "value": float(value)}
                            for score, value in of_split.items()
                        ],
                    }
                ],
            }
            for split, of_split in scores.items()
        ],
        "additional_information": {
            "caveats_and_recommendations": _cut(
                " ".join(card.parity) or "No other run of the same trials is known.", _TEXT
            )
        },
    }
    return found


def content_problems(value: Any, schema: Any, place: str) -> Iterator[str]:
    """Yield a sentence for each part of a content that its schema does not allow.

    Args:
        value: The content, or a part of it.
        schema: As in ``CONTENT``.
        place: Where the part is.
    """
    if isinstance(schema, Mapping):
        yield from _record_problems(value, schema, place)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield f"{place}: {value!r} must be a list"
            return
        if len(value) > schema[1]:
            yield f"{place}: {len(value)} entries, and AWS allows at most {schema[1]}"
        for number, entry in enumerate(value):
            yield from content_problems(entry, schema[0], f"{place}[{number}]")
    else:
        yield from _value_problems(value, schema, place)


def _record_problems(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{place}: {value!r} must be an object"
        return
    for name, entry in value.items():
        if name not in schema:
            yield f"{place}.{name} is unknown; known fields are {', '.join(sorted(schema))}"
        else:
            yield from content_problems(entry, schema[name], f"{place}.{name}")
    yield from (f"{place}.{name} is missing" for name in _REQUIRED if name in schema and name not in value)


def _value_problems(value: Any, schema: Any, place: str) -> Iterator[str]:
    if isinstance(schema, tuple):
        if value not in schema:
            yield f"{place}: {value!r} must be one of {', '.join(schema)}"
    elif schema is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield f"{place}: {value!r} must be a number"
    elif not isinstance(value, str):
        yield f"{place}: {value!r} must be text"
    elif not 1 <= len(value) <= schema:
        yield f"{place}: {len(value)} characters, and AWS allows at most {schema}"


def _cut(text: str, most: int) -> str:
    """Return a text in one line, at most so long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
