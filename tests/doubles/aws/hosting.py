"""The threads that start the servers of endpoints, switch endpoints to them, and end them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.doubles.aws.endpoints import Deployment, Endpoint
from tests.doubles.aws.faults import Faults
from tests.doubles.aws.serving import ModelServer, NotServed
from tests.doubles.aws.state import State
from tests.doubles.aws.transfers import Site

# As on AWS, an endpoint that is being deleted exists for a while.
SECONDS_TO_DELETE = 0.3
_LONGEST_STOP = 30


class Hosting:
    """Starts and ends the servers of endpoints, and joins its threads when it closes."""

    def __init__(self, state: State, faults: Faults, site: Site) -> None:
        """Keep the state; nothing is started yet.

        Args:
            state: What the double knows.
            faults: What is to go wrong.
            site: Where servers run.
        """
        self._state = state
        self._faults = faults
        self._site = site
        self._threads: list[threading.Thread] = []
        self._servers: list[ModelServer] = []

    def deploy(self, endpoint: Endpoint, status: str, deployment: Deployment) -> None:
        """Switch an endpoint to a deployment once that answers; called with the state's lock held."""
        endpoint.begin(status, deployment)
        self._start(lambda: self._deploy(endpoint, deployment), endpoint.name)

    def delete(self, endpoint: Endpoint) -> None:
        """End an endpoint and remove it; called with the state's lock held."""
        endpoint.enter("Deleting")
        self._start(lambda: self._delete(endpoint), endpoint.name)

    def close(self) -> None:
        """Kill all servers and wait for all threads."""
        with self._state.changed:
            self._state.closing = True
            for server in self._servers:
                server.kill()
            self._state.changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _deploy(self, endpoint: Endpoint, deployment: Deployment) -> None:
        server = ModelServer(endpoint.name, deployment, self._site)
        with self._state.changed:
            if not self._passes(endpoint):
                return
            self._servers.append(server)
        fault = self._faults.endpoint_failure(endpoint.number, endpoint.name)
        reason = None if fault is None else fault.reason
        try:
            if fault is None:
                server.start()
        except NotServed as error:
            reason = str(error)
        if reason is not None:
            server.kill()
            server.follow()  # so that the log is complete as soon as the endpoint has failed
        with self._state.changed:
            before = None
            if reason is None:
                before = endpoint.switch(server)
            else:
                endpoint.fail(reason)
            self._state.changed.notify_all()
        if before is not None:
            before.stop()
        if reason is None:
            server.follow()

    def _delete(self, endpoint: Endpoint) -> None:
        with self._state.changed:
            self._state.changed.wait_for(lambda: self._state.closing, SECONDS_TO_DELETE)
            if not self._passes(endpoint):
                return
        if endpoint.server is not None:
            endpoint.server.stop()
            endpoint.server.ended.wait(_LONGEST_STOP)
        with self._state.changed:
            del self._state.endpoints[endpoint.name.lower()], self._state.tags[endpoint.arn]
            self._state.changed.notify_all()

    def _passes(self, endpoint: Endpoint) -> bool:
        """Wait while an endpoint is held; return False if the double closes."""
        self._state.changed.wait_for(lambda: self._state.closing or not self._state.is_endpoint_held(endpoint))
        return not self._state.closing

    def _start(self, run: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=run, name=name)
        self._threads.append(thread)
        thread.start()
