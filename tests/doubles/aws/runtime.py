"""``InvokeEndpoint``: pass a request to the server of an endpoint, and return its answer as SageMaker does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.doubles.aws.answers import Refused
from tests.doubles.aws.records import ACCOUNT, REGION
from tests.doubles.aws.serving import LOG_GROUP, ModelServer, Reply, Unanswered
from tests.doubles.aws.state import State

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

OPERATION = "InvokeEndpoint"
# The longest bodies for endpoints on instances and for serverless endpoints.
BODY_BYTES, SERVERLESS_BODY_BYTES = 6 * 2**20, 4 * 2**20
LONGEST_MESSAGE = 2048
# The headers that SageMaker passes on, by the names of boto3's arguments.
_PASSED_ON = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "TargetVariant": "X-Amzn-SageMaker-Target-Variant",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}
_PASSED_BACK = ("content-type", "x-amzn-sagemaker-custom-attributes")
_IN_SERVICE = ("InService", "Updating")


@dataclass(frozen=True)
class Invoked:
    """An answer of an endpoint.

    Attributes:
        body: The bytes.
        headers: Its headers.
    """

    body: bytes
    headers: list[tuple[str, str]]


def read_invocation(environ: WSGIEnvironment) -> dict[str, str] | None:
    """Return boto3's arguments of a call of ``InvokeEndpoint``, without the body; None for any other request."""
    path = environ.get("PATH_INFO", "").strip("/").split("/")
    if environ["REQUEST_METHOD"] != "POST" or len(path) != 3 or (path[0], path[2]) != ("endpoints", "invocations"):
        return None
    document = {"EndpointName": path[1]}
    for argument, header in _PASSED_ON.items():
        name = header.upper().replace("-", "_")
        text = environ.get(name if header == "Content-Type" else f"HTTP_{name}")
        if text:
            document[argument] = text
    return document


def invoke(state: State, document: Mapping[str, str], body: bytes, request_id: str) -> Invoked:
    """Send a request to an endpoint.

    Args:
        state: The state of the double.
        document: What ``read_invocation`` returned.
        body: The request's body.
        request_id: The id that AWS gives this request.

    Raises:
        Refused: There is no such endpoint, the body is too long, or the model's server answered with an error.
    """
    name = document["EndpointName"]
    server = _server(state, name)
    _check_size(server, len(body), request_id)
    headers = {header: document[argument] for argument, header in _PASSED_ON.items() if argument in document}
    while True:
        try:
            reply = server.send("POST", "/invocations", body, headers)
            break
        except Unanswered as error:
            before, server = server, _server(state, name)
            if server is before:
                raise _model_error(name, 0, f"{_TIMED_OUT} ({error})") from error
    if not 200 <= reply.status < 300:
        raise _model_error(name, reply.status, reply.body.decode(errors="replace"))
    return Invoked(reply.body, _headers(server, reply))


_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


def _server(state: State, name: str) -> ModelServer:
    with state.changed:
        endpoint = state.endpoints.get(name.lower())
        # Only here the case of a name matters.
        if endpoint is None or endpoint.name != name or endpoint.status not in _IN_SERVICE or endpoint.server is None:
            raise Refused("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        return endpoint.server


def _check_size(server: ModelServer, size: int, request_id: str) -> None:
    if server.deployment.config.is_serverless:
        if size > SERVERLESS_BODY_BYTES:
            raise Refused("ValidationError", f"Request {request_id} has oversize body.")
    elif size > BODY_BYTES:
        # AWS's front end answers this, with a text and without an error name.
        raise Refused("", f"HTTP content length exceeded {BODY_BYTES} bytes.", "413 Request Entity Too Large")


def _model_error(endpoint: str, status: int, message: str) -> Refused:
    group, side = f"{LOG_GROUP}/{endpoint}", "client" if 400 <= status < 500 else "server"
    text = (
        f'Received {side} error ({status}) from primary with message "{message}". See https://{REGION}.console.aws.'
        f"amazon.com/cloudwatch/home?region={REGION}#logEventViewer:group={quote(group)} in account {ACCOUNT} for "
        "more information."
    )
    more = {
        "OriginalStatusCode": status,
        "OriginalMessage": message[:LONGEST_MESSAGE],
        "LogStreamArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}",
    }
    return Refused("ModelError", text[:LONGEST_MESSAGE], "424 Failed Dependency", more)


def _headers(server: ModelServer, reply: Reply) -> list[tuple[str, str]]:
    passed = [(name, reply.headers[name]) for name in _PASSED_BACK if name in reply.headers]
    return [*passed, ("x-Amzn-Invoked-Production-Variant", str(server.deployment.config.variant["VariantName"]))]
