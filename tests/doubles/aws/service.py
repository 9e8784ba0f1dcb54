"""The double over HTTP: read a request, let it fail if a fault says so, and answer it or pass it to moto."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from botocore.model import OperationNotFoundError

from experiments.sagemaker_requests.validation import InvalidRequest, check_request
from tests.doubles.aws.answers import Refused
from tests.doubles.aws.faults import Faults
from tests.doubles.aws.images import Images
from tests.doubles.aws.operations import Operations
from tests.doubles.aws.runtime import OPERATION as INVOCATION
from tests.doubles.aws.runtime import invoke, read_invocation
from tests.doubles.aws.state import State, Transfer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The access key of the double's own requests, which no fault affects.
OWN_ACCESS_KEY = "double"
_ACCESS_KEY = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/")
JSON = "application/x-amz-json-1.1"
SERVER_ERROR = "500 Internal Server Error"
# The names of the same errors in services that answer in XML.
_XML_ERRORS = {
    "ExpiredTokenException": ("ExpiredToken", "400 Bad Request"),
    "AccessDeniedException": ("AccessDenied", "403 Forbidden"),
    "ThrottlingException": ("SlowDown", "503 Slow Down"),
}


@dataclass(frozen=True)
class Call:
    """A request to AWS.

    Attributes:
        service: Such as ``s3``.
        operation: Such as ``PutObject``.
        document: The request of a JSON service; the arguments of an invocation of an endpoint, without the body.
        key: Key of the object, for S3.
        method: The HTTP method.
        own: Whether the double itself sent it.
    """

    service: str
    operation: str
    document: dict[str, Any]
    key: str
    method: str
    own: bool


class Service:
    """The WSGI application."""

    def __init__(
        self, state: State, operations: Operations, images: Images, faults: Faults, moto: WSGIApplication
    ) -> None:
        """Take what is needed.

        Args:
            state: What the double knows.
            operations: Answers what moto does not.
            images: Answers what is about images.
            faults: What is to go wrong.
            moto: Answers the rest.
        """
        self._state = state
        self._operations = operations
        self._images = images
        self._faults = faults
        self._moto = moto

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        call = read_call(environ)
        if call.own:
            return self._store(call, environ, start_response)
        if call.service == "sagemaker":
            with self._state.changed:
                self._state.requests.append((call.operation, call.document))
                self._state.changed.notify_all()
        try:
            answer = self._answer(call)
            if call.operation == INVOCATION:
                return self._invoke(call, environ, start_response)
        except Refused as error:
            return _refuse(call, error, start_response)
        if answer is not None:
            return _respond("200 OK", json.dumps(answer).encode(), JSON, start_response)
        return self._store(call, environ, start_response)

    def _store(self, call: Call, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Let moto answer, and record the bytes of objects that are transferred."""
        size = int(environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH") or environ.get("CONTENT_LENGTH") or 0)
        body = self._moto(environ, start_response)
        if call.operation == "GetObject":
            sent = _part(body, 0.5 if not call.own and self._faults.is_cut(call.key) else 1)
            body, size = [sent], len(sent)
        if call.operation in ("GetObject", "PutObject"):
            with self._state.changed:
                self._state.transfers.append(Transfer(call.operation, call.key, size, call.own))
        return body

    def _invoke(self, call: Call, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        request_id = str(uuid.uuid4())
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        invoked = invoke(self._state, call.document, body, request_id)
        length = ("Content-Length", str(len(invoked.body)))
        start_response("200 OK", [*invoked.headers, length, ("x-amzn-RequestId", request_id)])
        return [invoked.body]

    def _answer(self, call: Call) -> dict[str, Any] | None:
        """Return the double's own answer, or None if moto is to answer.

        Raises:
            Refused: The answer is an error.
        """
        refusal = self._faults.refusal(call.operation)
        if refusal is not None:
            raise Refused(refusal.code, refusal.message)
        if call.key and self._faults.storage_fails(call.method, call.key):
            raise Refused("InternalError", "We encountered an internal error. Please try again.", SERVER_ERROR)
        if call.service == "sagemaker" and call.operation != INVOCATION:
            try:
                check_request(call.operation, call.document, local=False)
            except InvalidRequest as error:
                raise Refused("ValidationException", "; ".join(error.problems)) from error
            except OperationNotFoundError as error:
                raise Refused("UnknownOperationException", str(error)) from error
            if self._operations.answers(call.operation, call.document):
                answer = self._operations.answer(call.operation, call.document)
                field = self._faults.omitted(call.operation)
                return answer if field is None else _without(answer, field)
        if call.service == "ecr":
            return self._images.answer(call.operation, call.document)
        if call.operation == "GetProducts":
            return self._operations.list_prices(call.document)
        if call.operation == "ListServiceQuotas":
            return self._operations.list_quotas(call.document)
        return None


def _without(answer: dict[str, Any], field: str) -> dict[str, Any]:
    """Return an answer without a field, or with an empty list for it."""
    name, _, rest = field.partition(".")
    if rest:
        return {**answer, name: _without(answer[name], rest)}
    if isinstance(answer[name], list):
        return {**answer, name: []}
    return {key: value for key, value in answer.items() if key != name}


def read_call(environ: WSGIEnvironment) -> Call:
    """Parse a request; its body can be read again afterwards."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    signed = _ACCESS_KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = signed[2] if signed else "s3"
    own = signed is not None and signed[1] == OWN_ACCESS_KEY
    method, document, operation = environ["REQUEST_METHOD"], {}, ""
    _, _, key = environ.get("PATH_INFO", "").lstrip("/").partition("/")
    if target or service not in ("s3", "sagemaker"):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if target:
            operation = target.rpartition(".")[2]
            document = json.loads(body or b"{}")
        else:
            operation = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
    elif service == "s3":
        operation = _of_storage(method, key, environ.get("QUERY_STRING", ""))
    elif (invocation := read_invocation(environ)) is not None:
        operation, document = INVOCATION, invocation
    return Call(service, operation, document, key, method, own)


def _of_storage(method: str, key: str, query: str) -> str:
    """Return the name of an S3 operation, if byoe uses it; the upload of a part is one too."""
    if key:
        return f"{method.title()}Object"
    if "location" in query:
        return "GetBucketLocation"
    return {"GET": "ListObjectsV2", "PUT": "CreateBucket", "POST": "DeleteObjects"}.get(
        method, f"{method.title()}Bucket"
    )


def _refuse(call: Call, error: Refused, start_response: StartResponse) -> list[bytes]:
    if call.operation == INVOCATION:
        if not error.code:
            return _respond(error.status, error.message.encode(), "text/plain", start_response)
        body = json.dumps({"Message": error.message, **error.more}).encode()
        return _respond(error.status, body, "application/json", start_response, ("x-amzn-ErrorType", error.code))
    if call.service not in ("s3", "sts", "iam"):
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
        return _respond(error.status, body, JSON, start_response)
    code, status = _XML_ERRORS.get(error.code, (error.code, error.status))
    text = f"<Code>{code}</Code><Message>{escape(error.message)}</Message>"
    wrapped = f"<Error>{text}</Error>"
    if call.service != "s3":
        wrapped = f"<ErrorResponse><Error><Type>Sender</Type>{text}</Error></ErrorResponse>"
    return _respond(status, wrapped.encode(), "application/xml", start_response)


def _respond(
    status: str, body: bytes, content_type: str, start_response: StartResponse, *more: tuple[str, str]
) -> list[bytes]:
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", str(uuid.uuid4())),
        *more,
    ]
    start_response(status, headers)
    return [body]


def _part(body: Iterable[bytes], part: float) -> bytes:
    whole = b"".join(body)
    if close := getattr(body, "close", None):
        close()
    return whole[: int(len(whole) * part)]
