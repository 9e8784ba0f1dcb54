"""SageMaker's managed MLflow on 127.0.0.1: MLflow's own server, behind a check of AWS's signatures."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ACCESS_KEY = SECRET_KEY = "testing"
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[^,]+), Signature=(?P<signature>[0-9a-f]+)"
)


class ManagedMlflow:
    """A managed server, while its context lasts; the plugin finds it by a variable of its own.

    Attributes:
        url: Its address.
        services: The service names for which the accepted requests were signed.
        arns: The ARNs that they named.
        refused: Requests without a valid signature.
    """

    def __init__(self, folder: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Prepare it.

        Args:
            folder: Gets its store and its artifacts.
            empty_store: A store with its tables, which is copied.
            monkeypatch: Sets the variables of the server, which runs in this process, and of its client.
        """
        self.url = ""
        self.services: set[str] = set()
        self.arns: set[str] = set()
        self.refused: list[str] = []
        self._folder = folder
        self._empty_store = empty_store
        self._monkeypatch = monkeypatch

    def __enter__(self) -> ManagedMlflow:
        self._folder.mkdir()
        shutil.copy(self._empty_store, self._folder / "mlflow.db")
        self._monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{self._folder}/mlflow.db")
        self._monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", (self._folder / "artifacts").as_uri())
        from mlflow.server import app, handlers

        # The server makes its store the process's, which is the client's process too.
        self._monkeypatch.setattr(handlers.utils, "set_tracking_uri", lambda uri: None)
        for store in ("_tracking_store", "_model_registry_store"):  # of another test
            self._monkeypatch.setattr(handlers, store, None)
        self._app = app.wsgi_app
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mlflow")
        self._thread.start()
        self.url = address = f"http://127.0.0.1:{self._server.server_port}"
        self._monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", address)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        service = _verified_service(environ, body)
        if service is None:
            self.refused.append(f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}")
            start_response("403 Forbidden", [("Content-Type", "application/json")])
            return [b'{"message": "The request signature we calculated does not match the signature you provided."}']
        self.services.add(service)
        named = (environ.get("HTTP_X_MLFLOW_SM_TRACKING_SERVER_ARN"), environ.get("HTTP_X_SM_MLFLOW_APP_ARN"))
        self.arns |= {arn for arn in named if arn}
        return self._app(environ, start_response)


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do not log requests."""


def _verified_service(environ: WSGIEnvironment, body: bytes) -> str | None:
    """Return the service for which a request is signed, or None if its signature or the hash of its body is wrong."""
    found = _SIGNED.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None or found["key"] != ACCESS_KEY:
        return None
    headers = {}
    for name in found["names"].split(";"):
        key = name.upper().replace("-", "_")
        headers[name] = environ.get(f"HTTP_{key}", environ.get(key, ""))
    if headers.get("x-amz-content-sha256") != hashlib.sha256(body).hexdigest():
        return None
    raw = urlsplit(environ["RAW_URI"])
    url = f"http://{environ['HTTP_HOST']}{raw.path}" + (f"?{raw.query}" if raw.query else "")
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, data=body, headers=headers)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), found["service"], found["region"])
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return found["service"] if hmac.compare_digest(signature, found["signature"]) else None
