"""Checks of answers for the tests of the double."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape

from tests.doubles.aws.double import Double


def code_of(call: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    """Return the code and the message of the error that a call raises."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def raw_answer(double: Double, operation: str, document: Mapping[str, Any]) -> Any:
    """Return the raw answer to a SageMaker request, before boto3 drops the fields that it does not know."""
    headers = {
        "X-Amz-Target": f"SageMaker.{operation}",
        "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20261125/us-east-1/sagemaker/aws4_request",
    }
    with urlopen(Request(double.url, json.dumps(document).encode(), headers)) as answer:
        return json.loads(answer.read() or b"{}")


def wrong(shape: Shape, value: Any, place: str) -> Iterator[str]:
    """Yield the differences between an answer and its shape."""
    kinds = {"string": str, "integer": int, "long": int, "boolean": bool, "float": float, "timestamp": float}
    if shape.type_name == "structure":
        yield from (f"{place}.{name} is missing" for name in shape.required_members if name not in value)
        for name, entry in value.items():
            if name not in shape.members:
                yield f"{place}.{name} is not known"
            else:
                yield from wrong(shape.members[name], entry, f"{place}.{name}")
    elif shape.type_name == "list":
        for entry in value:
            yield from wrong(shape.member, entry, place)
    elif shape.type_name == "map":
        for name, entry in value.items():
            yield from wrong(shape.value, entry, f"{place}.{name}")
    elif type(value) is not kinds[shape.type_name]:
        yield f"{place}: {value!r} is not a {shape.type_name}"
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{place}: {value!r} is not one of {shape.enum}"
