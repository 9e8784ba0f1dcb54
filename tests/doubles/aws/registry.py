"""A real registry for the double's ECR: Debian's ``docker-registry`` on 127.0.0.1, behind a proxy that requires a login."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROGRAM = "docker-registry"
_USER = "AWS"
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
_MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<tag>[^/]+)")
_SECONDS_TO_START = 20
_PIECE = 65_536
OCI_MANIFEST, OCI_INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
)
_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
http: {{addr: "127.0.0.1:0", relativeurls: true, secret: none}}
"""


class Registry:
    """A registry, while its context lasts.

    Attributes:
        host: Its address, ``127.0.0.1:<port>``, which an engine uses without TLS.
        password: The password that clients are given.
        accepted: The password that it accepts; the same unless a test changes it.
        denied: The IAM action that its caller lacks, or None.
        held: Called when the upload of a layer begins; the client then waits until it gives up or ``release`` is called.
            None to hold nothing.
        left: Set when a client that was held has given up.
        containerd: Whether pushed manifests arrive as engines with containerd's image store send them: OCI's, in an
            index with an attestation.
    """

    def __init__(self, folder: Path) -> None:
        """Keep everything in an empty folder."""
        self.host = ""
        self.password = self.accepted = secrets.token_hex(16)
        self.denied: str | None = None
        self.held: Callable[[], None] | None = None
        self.left = threading.Event()
        self.containerd = False
        self._holding: set[socket.socket] = set()
        self._untagged: set[tuple[str, str]] = set()
        self._folder = folder
        self._port = 0

    def __enter__(self) -> Registry:
        self._end = ExitStack()
        try:
            self._start(self._end)
        except BaseException:
            self._end.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    def release(self) -> None:
        """Hold nothing any more, and end the connections that are held."""
        self.held = None
        for connection in list(self._holding):
            with suppress(OSError):  # the client may have left
                connection.shutdown(socket.SHUT_RDWR)

    def hold(self, connection: socket.socket, reached: Callable[[], None]) -> None:
        """Read from a connection until its client leaves or ``release`` is called."""
        self._holding.add(connection)
        reached()
        with suppress(OSError):
            while self.held is not None and connection.recv(_PIECE):
                pass
        self._holding.discard(connection)
        self.left.set()

    @property
    def token(self) -> str:
        """The answer to ``GetAuthorizationToken``."""
        return _pair(self.password)

    def manifest(self, name: str, reference: str) -> tuple[str, str, str] | None:
        """Return an image's manifest, its type and its digest, by tag or digest; None if it does not exist."""
        if (name, reference) in self._untagged:
            return None
        status, headers, body = self._get(f"/v2/{name}/manifests/{reference}", {"Accept": _MANIFESTS})
        return (body.decode(), headers["Content-Type"], headers["Docker-Content-Digest"]) if status == 200 else None

    def put_manifest(self, name: str, reference: str, text: str, kind: str) -> str:
        """Put an image's manifest under a tag or its digest, and return its digest."""
        connection = self.connect()
        try:
            connection.request("PUT", f"/v2/{name}/manifests/{reference}", text.encode(), {"Content-Type": kind})
            answer = connection.getresponse()
            said = answer.read().decode()
            assert answer.status == 201, said
        finally:
            connection.close()
        self._untagged.discard((name, reference))
        return str(answer.headers["Docker-Content-Digest"])

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag."""
        self._untagged.add((name, tag))

    def receive_from_containerd(self, name: str, tag: str, text: str) -> str:
        """Put a manifest in Docker's format as an engine with containerd's image store pushes it; return its digest."""
        manifest = json.loads(text.replace("vnd.docker.container.image.v1+json", "vnd.oci.image.config.v1+json"))
        for layer in manifest["layers"]:
            layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
        manifest["mediaType"] = OCI_MANIFEST
        entries = []
        for platform in ("amd64", "unknown"):  # the second stands for the attestation, which has this platform
            part = json.dumps({**manifest, "annotations": {"platform": platform}})
            digest = f"sha256:{hashlib.sha256(part.encode()).hexdigest()}"
            self.put_manifest(name, digest, part, OCI_MANIFEST)
            of = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(part)}
            entries.append({**of, "platform": {"architecture": platform, "os": "linux"}})
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return self.put_manifest(name, tag, json.dumps(index), OCI_INDEX)

    def blob(self, name: str, digest: str) -> bytes | None:
        """Return a layer or the configuration of an image; None if it does not exist."""
        status, _, body = self._get(f"/v2/{name}/blobs/{digest}", {})
        return body if status == 200 else None

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to the registry behind the proxy."""
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    def _get(self, path: str, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        connection = self.connect()
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _start(self, end: ExitStack) -> None:
        self._folder.mkdir()
        config, log = self._folder / "config.yml", self._folder / "log.txt"
        config.write_text(_CONFIG.format(folder=self._folder / "storage"))
        output = end.enter_context(log.open("wb"))
        program = shutil.which(PROGRAM)
        assert program is not None, f"{PROGRAM} is not installed"
        process = subprocess.Popen(
            [program, "serve", str(config)], stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
        end.callback(process.wait)
        end.callback(process.kill)
        self._port = _port(process, log)
        proxy = _Proxy(("127.0.0.1", 0), _Caller)
        proxy.registry = self
        end.callback(proxy.server_close)
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), name="registry")
        thread.start()
        end.callback(thread.join)
        end.callback(proxy.shutdown)
        self.host = f"127.0.0.1:{proxy.server_port}"


def _pair(password: str) -> str:
    return base64.b64encode(f"{_USER}:{password}".encode()).decode()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + _SECONDS_TO_START
    while (found := _LISTENING.search(log.read_text())) is None:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{PROGRAM} did not start: {log.read_text()}")
        time.sleep(0.02)
    return int(found[1])


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True  # an engine keeps its connections open
    registry: Registry


class _Caller(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as it is called
        """Do not log requests."""

    def do_GET(self) -> None:
        registry = self.server.registry
        given = self.headers.get("Authorization")
        if given is None:
            return self._refuse(401, "UNAUTHORIZED", "authentication required")
        if given != f"Basic {_pair(registry.accepted)}":  # the text is ECR's
            return self._refuse(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
        uploads = self.path.partition("/blobs/uploads/")[1]
        if registry.denied and self.command == "POST" and uploads:
            what = (
                f"User: arn:aws:iam::123456789012:user/u is not authorized to perform: {registry.denied} on resource: r"
            )
            return self._refuse(403, "DENIED", what)
        if registry.held is not None and self.command == "PATCH":
            self.close_connection = True
            return registry.hold(self.connection, registry.held)
        manifest = _MANIFEST.fullmatch(self.path)
        return self._pass_on() if manifest is None else self._answer_manifest(manifest["name"], manifest["tag"])

    do_HEAD = do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815  # as they are called

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # the rest of the request is not read
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def _answer_manifest(self, name: str, tag: str) -> None:
        registry = self.server.registry
        if self.command == "PUT" and registry.containerd:
            text = b"".join(self._body()).decode()
            return self._accept(registry.receive_from_containerd(name, tag, text))
        if self.command in ("GET", "HEAD") and registry.manifest(name, tag) is None:
            return self._refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return self._pass_on()

    def _accept(self, digest: str) -> None:
        self.send_response(201)
        self.send_header("Docker-Content-Digest", digest)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _pass_on(self) -> None:
        connection = self.server.registry.connect()
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "authorization":
                    connection.putheader(name, value)
            connection.endheaders(self._body(), encode_chunked=self._is_chunked)
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "date"):
                    self.send_header(name, value)
            if "Content-Length" not in answer.headers and answer.status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        finally:
            connection.close()

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "")

    def _body(self) -> Iterator[bytes]:
        if self._is_chunked:
            while size := int(self.rfile.readline(), 16):
                yield from self._pieces(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield from self._pieces(int(self.headers.get("Content-Length", 0)))

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, _PIECE))
            if not piece:
                raise ConnectionError("the request ended early")
            size -= len(piece)
            yield piece
