"""The model server's ASGI application: ``/ping`` and ``/invocations``, on the functions of ``inference.py``.

Requests that wait at the same time are predicted together. Short predictions run on the event loop itself, since to
hand them to a thread takes longer than the prediction. Long predictions run in one thread, and ``/ping`` in another, so
that it need not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

# A body longer than this is long work, and so is any body if the model takes longer than LONG_SECONDS for a row.
LONG_BODY_BYTES = 32_768
# Content types whose bodies may hold any number of rows in a few bytes.
_COMPRESSED = re.compile("parquet", re.IGNORECASE)
# What an answer may hold that takes longer than the prediction.
_LONG_ANSWER = "explanation"
LONG_SECONDS = 0.004
# How long to wait for further requests: a share of the time of a prediction, within a limit.
WAIT_SHARE, LONGEST_WAIT_SECONDS = 0.25, 0.002
MOST_REQUESTS_A_BATCH = 256
LOG_EVERY_SECONDS = 0.2
# How long a body is received that was refused already, in all and without a byte; nginx has the same limits.
LINGER_SECONDS, LINGER_IDLE_SECONDS = 30, 5
# What a prediction counts by column: categories that are not known, and rows that lack the column.
_GAPS = ("unseen", "absent")
# The only header of an answer that SageMaker passes on, and how long it may be.
_ATTRIBUTES, _LONGEST_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes", 1024
_SAFE_ID = re.compile(rb"[\w.:-]{1,128}")
_BODY_HEADERS = {b"content-length", b"transfer-encoding"}
_ID_HEADERS = (b"x-request-id", b"x-amzn-requestid", b"x-amzn-sagemaker-inference-id")


@dataclass(frozen=True)
class Limits:
    """The limits on requests.

    Attributes:
        body_bytes: Length of the longest body, in bytes.
        concurrency: Number of requests that this process works on at a time; None for no limit.
        seconds: Timeout to receive a body, and to compute an answer.
    """

    body_bytes: int
    concurrency: int | None
    seconds: float


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
        details: The JSON object of the answer.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, error: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.details: dict[str, Any] = {"error": error, "message": message}


class Batcher:
    """Predicts for all requests that wait at the same time with one call.

    A single request is predicted at once. If the last batch had several requests, the batcher waits for as many again,
    but for at most a quarter of the time of a prediction.
    """

    def __init__(self, module: Any, model: Any, thread: ThreadPoolExecutor) -> None:
        self._module = module
        self._model = model
        self._thread = thread
        self._many = getattr(module, "predict_many_fn", None)
        self._waiting: deque[tuple[Any, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.Handle | None = None
        self._work: asyncio.Future[Any] | None = None
        self._predicting: set[asyncio.Future[Any]] = set()
        self._seconds = 0.0
        self._last = 1

    async def predict(self, data: Any) -> Any:
        """Return the prediction for the data of one request, as ``predict_fn`` returns it.

        If it is cancelled while its batch is being predicted, it ends when the batch has ended.

        Raises:
            Exception: What the functions of ``inference.py`` raised for this request.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((data, future))
        if self._work is not None:
            pass  # its end starts the next batch
        elif len(self._waiting) >= self._last:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_soon(self._run)
        elif self._timer is None:
            wait = min(WAIT_SHARE * self._seconds, LONGEST_WAIT_SECONDS)
            self._timer = loop.call_later(wait, self._run)
        try:
            return await future
        except asyncio.CancelledError:
            if self._work is not None and future in self._predicting:
                await asyncio.wait({self._work})
            raise

    def _run(self) -> None:
        self._timer = None
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_REQUESTS_A_BATCH))]
        batch = [(data, future) for data, future in batch if not future.done()]  # leave out clients that have gone away
        loop = asyncio.get_running_loop()
        if batch:
            self._last = len(batch)
        if not batch or self._seconds <= LONG_SECONDS:
            self._deliver(batch, self._answers([data for data, _ in batch]) if batch else [])
            if self._waiting:  # more than fits into one batch
                self._timer = loop.call_soon(self._run)
            return
        self._predicting = {future for _, future in batch}
        self._work = loop.run_in_executor(self._thread, self._answers, [data for data, _ in batch])
        self._work.add_done_callback(lambda done: self._delivered(batch, done))

    def _delivered(self, batch: list[Any], done: asyncio.Future[Any]) -> None:
        self._work = None
        with contextlib.suppress(asyncio.CancelledError):
            self._deliver(batch, done.result())
        if self._waiting:
            self._run()

    def _deliver(self, batch: list[Any], answers: list[Any]) -> None:
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _answers(self, batch: list[Any]) -> list[Any]:
        started = time.perf_counter()
        try:
            if self._many is not None:
                return list(self._many(batch, self._model))
            return [self._answer(data) for data in batch]
        except Exception as error:  # one request caused it, but not known which
            if len(batch) == 1:
                return [error]
            return [answer for data in batch for answer in self._answers([data])]
        finally:
            taken = time.perf_counter() - started
            self._seconds = taken if not self._seconds else 0.9 * self._seconds + 0.1 * taken

    def _answer(self, data: Any) -> Any:
        try:
            return self._module.predict_fn(data, self._model)
        except Exception as error:
            return error


class Log:
    """A log with one line of JSON per request on standard output, written a few times a second."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._timer: asyncio.Handle | None = None

    def write(self, entry: dict[str, Any]) -> None:
        """Add a line, which is written soon."""
        self._lines.append(json.dumps(entry).encode() + b"\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOG_EVERY_SECONDS, self.flush)

    def flush(self) -> None:
        """Write the lines that were added."""
        self._timer = None
        lines, self._lines = self._lines, []
        with contextlib.suppress(OSError):  # the reader has closed the pipe
            data = memoryview(b"".join(lines))
            while data:
                data = data[os.write(1, data) :]


class Application:
    """The ASGI application of one worker process."""

    def __init__(self, module: Any, model: Any, identity: dict[str, Any], limits: Limits) -> None:
        """Keep what the parent process has loaded.

        Args:
            module: The inference script.
            model: What its ``model_fn`` returned.
            identity: Name and content hash of the model, for ``/ping``.
            limits: The limits on requests.
        """
        self._module = module
        self._model = model
        self._identity = identity
        self._limits = limits
        self._count = 0
        self._running = 0
        self._errors = 0
        self._last = 0.0

    def begin(self) -> None:
        """Create the threads and the log of this worker process; call it after the fork."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="long")
        self._ping_thread = ThreadPoolExecutor(1, thread_name_prefix="ping")
        self._batcher = Batcher(self._module, self._model, self._thread)
        self._log = Log()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Handle one request, or the start and end of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self._log.flush()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        started = time.perf_counter()
        headers = _joined(scope["headers"])
        request_id = self._request_id(headers)
        entry: dict[str, Any] = {"request_id": request_id, "path": scope["path"]}
        more: list[tuple[bytes, bytes]] = []
        unread = False
        try:
            status, body, kind = await self._route(scope, headers, receive, entry)
        except Exception as error:
            status, details = self._refusal(error, request_id)
            entry["error"] = details["error"]
            more.extend(getattr(error, "headers", ()))
            body, kind = json.dumps({**details, "request_id": request_id}).encode(), "application/json"
            unread = "bytes" not in entry and not _BODY_HEADERS.isdisjoint(headers)
            if unread:
                more.append((b"connection", b"close"))
        gaps = {name: entry[name] for name in _GAPS if name in entry}
        if gaps:
            more.append((_ATTRIBUTES, _gaps_header(gaps)))
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", kind.encode()),
                    (b"content-length", str(len(body)).encode()),
                    (b"x-request-id", request_id.encode()),
                    *more,
                ],
            }
        )
        content = b"" if scope["method"] == "HEAD" else body
        if unread:
            await send({"type": "http.response.body", "body": content, "more_body": True})
            await self._discard(receive)
            content = b""
        await send({"type": "http.response.body", "body": content})
        if scope["path"] != "/ping":
            self._last = time.time()
            self._errors += status >= 400
            taken = round((time.perf_counter() - started) * 1000, 3)
            self._log.write({"time": round(self._last, 3), "status": status, "ms": taken, **entry})

    async def _route(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], receive: Any, entry: dict[str, Any]
    ) -> tuple[int, bytes, str]:
        path, method = scope["path"], scope["method"]
        methods = {"/ping": ("GET", "HEAD"), "/invocations": ("POST",)}.get(path)
        if methods is None:
            raise Refused(404, "no_such_path", f"there is no {path} here: POST /invocations or GET /ping.")
        if method not in methods:
            message = f"{path} takes {' or '.join(methods)}, not {method}."
            raise Refused(405, "wrong_method", message, ((b"allow", ", ".join(methods).encode()),))
        if path == "/ping":
            return await self._ping()
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            coding = headers[b"content-encoding"].decode("latin-1")
            message = f"Content-Encoding {coding!r} is not supported: send the body as it is."
            raise Refused(415, "unsupported_content_encoding", message, ((b"accept-encoding", b"identity"),))
        body = await self._read(headers, receive)
        entry["bytes"] = len(body)
        # Bodies that are still being received do not count, or a client could occupy every place without work.
        limit = self._limits.concurrency
        if limit is not None and self._running >= limit:
            raise Refused(429, "too_many_requests", f"more than {limit} requests at a time: try again.")
        self._running += 1
        work = asyncio.create_task(self._invoke(body, headers, entry))
        work.add_done_callback(self._ended)
        if (await asyncio.wait({work}, timeout=self._limits.seconds))[0]:
            return work.result()
        work.cancel()  # which leaves out what has not begun; what has begun keeps its place until it ends
        message = f"the answer took longer than {self._limits.seconds:g} s: send fewer rows at a time."
        raise Refused(504, "too_slow", message)

    def _ended(self, work: asyncio.Task[Any]) -> None:
        self._running -= 1
        if not work.cancelled():
            work.exception()  # otherwise asyncio logs the errors of requests that timed out

    async def _invoke(self, body: bytes, headers: dict[bytes, bytes], entry: dict[str, Any]) -> tuple[int, bytes, str]:
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        accept = headers.get(b"accept", b"").decode("latin-1")
        if len(body) > LONG_BODY_BYTES or _COMPRESSED.search(content_type) or _LONG_ANSWER in accept.lower():
            answer, kind, facts = await self._in_thread(self._invoke_long, body, content_type, accept)
        else:
            prediction = await self._batcher.predict(self._module.input_fn(body, content_type))
            answer, kind = self._module.output_fn(prediction, accept)
            facts = _facts(prediction)
        entry |= facts
        return 200, answer, kind

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        """Return a function's result; if this is cancelled once the function has begun, it ends with the function."""
        work = self._thread.submit(function, *arguments)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            if not work.cancelled():
                await asyncio.wait({asyncio.wrap_future(work)})
            raise

    def _invoke_long(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str, dict[str, Any]]:
        prediction = self._module.predict_fn(self._module.input_fn(body, content_type), self._model)
        answer, kind = self._module.output_fn(prediction, accept)
        return answer, kind, _facts(prediction)

    async def _ping(self) -> tuple[int, bytes, str]:
        check = getattr(self._model, "check", None)
        if check is not None:
            await asyncio.get_running_loop().run_in_executor(self._ping_thread, check)
        document = {
            "status": "ok",
            **self._identity,
            "worker": {
                "pid": os.getpid(),
                "requests": self._count,
                "errors": self._errors,
                "last_request": self._last or None,
            },
        }
        return 200, json.dumps(document).encode(), "application/json"

    async def _read(self, headers: dict[bytes, bytes], receive: Any) -> bytes:
        self._count += 1
        limit = self._limits.body_bytes
        refusal = Refused(413, "too_large", f"the body is longer than {limit:,} bytes: send fewer rows at a time.")
        declared = headers.get(b"content-length", b"0").strip()
        if not declared.isdigit() or int(declared) > limit:
            raise refusal
        parts, size, seconds = [], 0, self._limits.seconds
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "gone", "the connection was closed before the body was complete.")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise refusal
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(408, "body_too_slow", f"the body was not complete after {seconds:g} s.") from None

    async def _discard(self, receive: Any) -> None:
        """Receive the rest of a body after the answer, within limits.

        A connection that is closed while its client sends is reset, and the client may lose the answer.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while True:
                    async with asyncio.timeout(LINGER_IDLE_SECONDS):
                        message = await receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        return

    def _request_id(self, headers: dict[bytes, bytes]) -> str:
        for name in _ID_HEADERS:
            given = headers.get(name)
            if given is not None and _SAFE_ID.fullmatch(given):
                return given.decode()
        return f"{os.getpid():x}-{time.time_ns():x}"

    @staticmethod
    def _refusal(error: Exception, request_id: str) -> tuple[int, dict[str, Any]]:
        status, details = getattr(error, "status", None), getattr(error, "details", None)
        if isinstance(status, int) and isinstance(details, dict):
            return status, details
        print(f"request {request_id} failed:", file=sys.stderr)
        traceback.print_exception(error)
        return 500, {
            "error": "internal",
            "message": "the model server failed; its log has the reason under this request_id.",
        }


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name. Of several with one name, the values are one list, as HTTP has it, and equal ones one."""
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        known = found.get(name, value)
        found[name] = value if known == value else known + b", " + value
    return found


def _facts(prediction: Any) -> dict[str, Any]:
    """Return what the log says of an answer: rows, the members' disagreement, and what ``_GAPS`` counts, by column."""
    blended = getattr(prediction, "blended", None)
    facts: dict[str, Any] = {} if blended is None else {"rows": len(blended)}
    apart = getattr(prediction, "disagreement", None)
    if apart is not None:
        facts["disagreement"] = apart
    return facts | {name: dict(found) for name in _GAPS if (found := getattr(prediction, name, None))}


def _gaps_header(gaps: Mapping[str, Mapping[str, int]]) -> bytes:
    """Return as many counts as fit, such as ``unseen=town:4,street:1;absent=size:2``, with names as in a URL."""
    text = ""
    for kind, counts in gaps.items():
        start = f"{';' if text else ''}{kind}="
        for name, count in counts.items():
            more = f"{start}{quote(name, safe='')}:{count}"
            if len(text) + len(more) > _LONGEST_ATTRIBUTES:
                return text.encode()
            text += more
            start = ","
    return text.encode()
