"""What AWS shows late: a new role, a new object on S3, new tags.

IAM's changes and SageMaker's tags are eventually consistent: a new role cannot be assumed for seconds, rarely minutes
(https://github.com/aws/aws-cli/issues/7700, https://github.com/hashicorp/terraform-provider-aws/issues/6566).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from experiments.system import clock

# How long something new may be invisible, and the time between two attempts.
SECONDS = 300.0
_PAUSE = 10.0
# The refusals of a role, or of its policies, that SageMaker does not see yet; and of an object on S3.
_UNSEEN = re.compile(
    r"could not assume role|could not access model data|could not find model data|no s3 objects found"
    r"|trust relationship policy|the role .* is invalid or cannot be assumed",
    re.IGNORECASE,
)

T = TypeVar("T")


def created_when_visible(call: Callable[[], T], report: Callable[[str], None]) -> T:
    """Call SageMaker, again while it refuses because it does not see a role or an object yet, for five minutes.

    Args:
        call: The call.
        report: Called once with a sentence, before the first wait.

    Raises:
        ClientError: The last refusal.
    """
    from botocore.exceptions import ClientError

    deadline, waited = clock.now() + SECONDS, False
    while True:
        try:
            return call()
        except ClientError as error:
            message = str(error.response["Error"].get("Message", ""))
            if not _UNSEEN.search(message) or clock.now() >= deadline:
                raise
            if not waited:
                report(
                    f"SageMaker refuses: {message} A new role, policy or object may not be visible yet: byoe tries "
                    f"again for {SECONDS / 60:g} minutes."
                )
            waited = True
        clock.sleep(_PAUSE)


def visible_tags(read: Callable[[], dict[str, str]], created: datetime) -> dict[str, str]:
    """Read the tags of a resource, again while it has none and is new.

    Args:
        read: Returns its tags.
        created: When it was created.
    """
    age = (datetime.now(UTC) - created).total_seconds()
    deadline = clock.now() + SECONDS - age
    while not (tags := read()) and clock.now() < deadline:
        clock.sleep(_PAUSE)
    return tags
