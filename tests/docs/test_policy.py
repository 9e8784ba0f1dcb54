"""The policies of ``docs/aws.md`` permit every action that the code needs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

from tests.conftest import PROJECT
from tests.docs.markdown import blocks

PAGE = PROJECT / "docs" / "aws.md"
HARNESS = PROJECT / "experiments"
# Modules that call AWS: those in aws/, and those that use a client from there.
ACCOUNT = tuple(
    path for path in HARNESS.rglob("*.py") if "experiments.aws." in path.read_text() or path.parent.name == "aws"
)
# Services whose operations are IAM actions of the same name, by botocore's name and IAM's; S3's have other names.
SERVICES = {
    "sagemaker": "sagemaker",
    "ecr": "ecr",
    "iam": "iam",
    "logs": "logs",
    "service-quotas": "servicequotas",
}
NAMED = re.compile(r"\b(?:s3|sagemaker|ecr|iam|logs|servicequotas|kms):[A-Z]\w+(?![\w*])")


def policies() -> list[Any]:
    """Return the page's policies and statements, in order."""
    return [json.loads("\n".join(block.lines)) for block in blocks(PAGE) if block.language == "json"]


def permitted(policy: Any) -> set[str]:
    found: set[str] = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        found |= {actions} if isinstance(actions, str) else {*actions}
    return found


def named(file: Path) -> Iterator[str]:
    """Yield the actions that a module names in its strings."""
    tree = ast.parse(file.read_text())
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield from NAMED.findall(node.value)


def called(file: Path, actions: dict[str, str]) -> Iterator[str]:
    """Yield the actions of the operations whose methods a module calls, or names for a paginator.

    A method of a single word, such as ``search``, may belong to another class.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
        if isinstance(name, str) and "_" in name and name in actions:
            yield actions[name]


def test_every_action_of_the_code_is_in_the_policy() -> None:
    session, actions = botocore.session.Session(), {}
    for service, prefix in SERVICES.items():
        for operation in session.get_service_model(service).operation_names:
            actions[xform_name(operation)] = f"{prefix}:{operation}"
    wanted = {action for file in HARNESS.rglob("*.py") for action in named(file)}
    wanted |= {action for file in ACCOUNT for action in called(file, actions)}
    assert {"sagemaker:CreateTrainingJob", "sagemaker:ListModels", "s3:PutObject", "iam:GetRole"} <= wanted
    yours = permitted(policies()[1])
    assert wanted - yours == set()
    assert {"iam:PassRole", "s3:AbortMultipartUpload", "sagemaker:AddTags"} <= yours
    # The engine pushes the image, so no module calls these operations.
    assert {"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"} <= yours


def test_a_job_may_do_what_it_needs() -> None:
    role, _, keys, subnets = policies()
    assert {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "logs:PutLogEvents"} <= permitted(role)
    assert all(action.startswith("kms:") for action in permitted({"Statement": keys}))
    assert all(action.startswith("ec2:") for action in permitted({"Statement": [subnets]}))


def test_the_policies_are_for_one_partition_and_the_page_names_the_others() -> None:
    arns = {text for policy in policies() for text in re.findall(r"arn:[a-z-]+:", json.dumps(policy))}
    assert arns == {"arn:aws:"}
    page = PAGE.read_text()
    assert "`arn:aws-cn:`" in page
    assert "`arn:aws-us-gov:`" in page
