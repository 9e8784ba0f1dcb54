"""The double of AWS: a service on 127.0.0.1 with one account, which runs tuning jobs, training jobs and endpoints.

``python -m tests.doubles.aws.double --folder F`` runs one in its own process (``tests/doubles/aws/command.py``).
"""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.doubles.aws.endpoint_operations import EndpointOperations
from tests.doubles.aws.endpoints import Endpoint
from tests.doubles.aws.faults import Fault, Faults, Selector
from tests.doubles.aws.hosting import Hosting
from tests.doubles.aws.images import LAYERS, Images, put_image
from tests.doubles.aws.operations import Operations
from tests.doubles.aws.points import Point
from tests.doubles.aws.records import ACCOUNT, ENDED, REGION, TrainingJob, TuningJob
from tests.doubles.aws.registry import Registry
from tests.doubles.aws.resident import Resident
from tests.doubles.aws.scheduler import Scheduler
from tests.doubles.aws.service import OWN_ACCESS_KEY, Service
from tests.doubles.aws.state import State, Transfer
from tests.doubles.aws.transfers import Site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BUCKET = "byoe-test"
ROLE = "byoe-test"
QUOTAS = {
    "ml.m5.large for endpoint usage": 2,
    "ml.m5.large for processing job usage": 4,
    "ml.m5.large for spot training job usage": 4,
    "ml.m5.large for training job usage": 4,
    "ml.m5.large for training warm pool usage": 0,
    "ml.m5.xlarge for spot training job usage": 2,
    "ml.m5.xlarge for training job usage": 2,
    "ml.c5.xlarge for spot training job usage": 0,
    "ml.c5.xlarge for training job usage": 8,
    "Memory size in MB per serverless endpoint": 3072,
    "Longest run time for a training job": 432_000,
    "Maximum number of parallel training jobs per hyperparameter tuning job": 10,
    "Number of instances across all training jobs": 20,
}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


# A session is not thread-safe, but its clients are.
_MAKING_CLIENTS = threading.Lock()


class Double:
    """A stand-in for AWS, while its context lasts.

    moto answers for S3, STS, IAM, CloudWatch logs and the repositories of ECR. The double itself answers for tuning jobs,
    training jobs, endpoints, quotas and the images in ECR. byoe's model server serves an endpoint. moto has one state for
    the whole process, so there can be only one double at a time.

    Attributes:
        url: Its address.
        environment: The variables with which AWS's SDKs find it and nothing else.
        bucket: Name of a bucket that exists.
        role: ARN of a role that SageMaker may assume.
        state: Its state; read it while holding ``state.changed``.
    """

    def __init__(
        self,
        folder: Path,
        points: Sequence[Point] | None = None,
        *,
        faults: Iterable[Fault] = (),
        quotas: Mapping[str, float] | None = None,
        image: str | None = None,
        resident: Resident | None = None,
        registry: Registry | None = None,
        cpus: int = 1,
        seed: int = 0,
    ) -> None:
        """Prepare it.

        Args:
            folder: The folder of all of its files.
            points: The tuned hyperparameters of the training jobs of tuning jobs, in the order of the jobs, over all
                tuning jobs. None draws them from the ranges.
            faults: The faults that will happen.
            quotas: Service quotas by name; None for ``QUOTAS``.
            image: The image of the containers of jobs and endpoints; None to run them as processes.
            resident: The process from which jobs are forked; None for new processes, which import everything again.
            registry: The registry of ECR's images; None for moto, which keeps no layers.
            cpus: Number of cores that a job is given, and of workers of an endpoint's server.
            seed: Seed of drawn points.
        """
        self.bucket = BUCKET
        self.state = State()
        self.url, self.role = "", ""
        self.environment: dict[str, str] = {}
        self._folder = folder / "double"
        self._points = None if points is None else list(points)
        self._faults = Faults(faults)
        self._quotas = QUOTAS if quotas is None else quotas
        self._image = image
        self._resident = resident
        self._registry = registry
        self._cpus = cpus
        self._seed = seed

    def __enter__(self) -> Double:
        self._folder.mkdir(parents=True)
        self._end = ExitStack()
        try:
            self._begin(self._end)
        except BaseException:
            self._end.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    @property
    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """Operation and document of every SageMaker call so far, including refused ones."""
        with self.state.changed:
            return list(self.state.requests)

    @property
    def transfers(self) -> list[Transfer]:
        """The uploads to and downloads from S3 so far."""
        with self.state.changed:
            return list(self.state.transfers)

    @property
    def jobs(self) -> list[TrainingJob]:
        """The training jobs, in order of creation."""
        with self.state.changed:
            return list(self.state.training.values())

    @property
    def billable_seconds(self) -> int | None:
        """The billable seconds of each training job that ends from now on; None for its real duration."""
        return self.state.billable_seconds

    @billable_seconds.setter
    def billable_seconds(self, seconds: int | None) -> None:
        self.state.billable_seconds = seconds

    @property
    def training_seconds(self) -> int | None:
        """The training seconds of each training job that ends from now on; None for its billable seconds."""
        return self.state.training_seconds

    @training_seconds.setter
    def training_seconds(self, seconds: int | None) -> None:
        self.state.training_seconds = seconds

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service, with the credentials of ``environment``."""
        return self._client(service, self.environment["AWS_ACCESS_KEY_ID"])

    def put_image(
        self, name: str, tag: str, architecture: str = "amd64", *, oci: bool = False, index: bool = False
    ) -> str:
        """Put an image into moto's ECR, in Docker's format or OCI's, or in an index of OCI; return its address."""
        ecr, storage = (self._client(service, OWN_ACCESS_KEY) for service in ("ecr", "s3"))
        put_image(ecr, storage, name, tag, architecture, oci=oci, index=index)
        return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}:{tag}"

    def inject(self, *faults: Fault) -> None:
        """Add faults."""
        for fault in faults:
            self._faults.add(fault)

    def heal(self) -> None:
        """Remove all faults and renew expired credentials."""
        self._faults.clear()

    def renew(self) -> None:
        """Renew expired credentials."""
        self._faults.renew()

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """Return the documents of every call of an operation so far."""
        return [document for name, document in self.requests if name == operation]

    def hold(self, job: Selector) -> None:
        """Hold a training job in ``Training``, before its script starts, until ``release`` or until it is stopped."""
        with self.state.changed:
            self.state.held.add(job)

    def release(self, job: Selector | None = None) -> None:
        """Release what was held under this number or name; None for all."""
        with self.state.changed:
            self.state.held -= set(self.state.held) if job is None else {job}
            self.state.changed.notify_all()

    def wait_for(self, job: Selector, state: str = "ended", timeout: float = 30) -> TrainingJob:
        """Wait until a training job has ended, or has been in a secondary status such as ``Training``.

        Raises:
            TimeoutError: It did not happen in time.
        """

        def reached() -> bool:
            found = self.state.job(job)
            if found is None:
                return False
            return found.has_ended if state == "ended" else any(at["Status"] == state for at in found.transitions)

        self.state.wait_until(reached, f"training job {job!r} {state}", timeout)
        with self.state.changed:
            found = self.state.job(job)
        assert found is not None
        return found

    def wait_for_tuning(self, name: str, timeout: float = 30) -> TuningJob:
        """Wait until a tuning job has ended.

        Raises:
            TimeoutError: It has not in time.
        """
        tuning = self.state.tuning
        self.state.wait_until(
            lambda: name in tuning and tuning[name].status in ENDED, f"tuning job {name!r} ended", timeout
        )
        return tuning[name]

    def hold_endpoint(self, endpoint: Selector) -> None:
        """Hold an endpoint in ``Creating``, ``Updating`` or ``Deleting`` until ``release_endpoint``."""
        with self.state.changed:
            self.state.held_endpoints.add(endpoint)

    def release_endpoint(self, endpoint: Selector | None = None) -> None:
        """Release what was held under this number or name; None for all."""
        with self.state.changed:
            self.state.held_endpoints -= set(self.state.held_endpoints) if endpoint is None else {endpoint}
            self.state.changed.notify_all()

    def wait_for_endpoint(self, name: str, status: str = "InService", timeout: float = 30) -> Endpoint:
        """Wait until an endpoint has a status.

        Raises:
            TimeoutError: It has not in time.
        """
        endpoints, key = self.state.endpoints, name.lower()
        self.state.wait_until(
            lambda: key in endpoints and endpoints[key].status == status, f"endpoint {name!r} {status}", timeout
        )
        return endpoints[key]

    def set_endpoint_status(self, name: str, status: str) -> None:
        """Give an endpoint a status."""
        with self.state.changed:
            self.state.endpoints[name.lower()].enter(status)

    def _begin(self, end: ExitStack) -> None:
        end.callback(shutil.rmtree, self._folder)
        server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Handler)
        server.daemon_threads = False  # type: ignore[attr-defined]  # so that close joins them
        end.callback(server.server_close)
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.environment |= {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self._folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self._folder / "no-credentials"),
        }
        storage, logs, iam, ecr = (self._client(name, OWN_ACCESS_KEY) for name in ("s3", "logs", "iam", "ecr"))
        site = Site(self._folder / "jobs", storage, logs, self._image, self._cpus, self._resident)
        scheduler = Scheduler(self.state, self._faults, site)
        hosting = Hosting(self.state, self._faults, replace(site, folder=self._folder / "endpoints"))

        def can_assume(role: str) -> bool:
            return _can_assume(iam, role)

        images = Images(ecr, storage, self._registry)
        endpoints = EndpointOperations(self.state, hosting, site, images, can_assume, self._quotas)
        operations = Operations(self.state, scheduler, self._points, self._seed, self._quotas, can_assume, endpoints)
        moto = DomainDispatcherApplication(create_backend_app)
        self._service = Service(self.state, operations, images, self._faults, moto)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="double")
        thread.start()
        end.callback(thread.join)
        end.callback(server.shutdown)
        self._reset()
        end.callback(self._reset)
        end.callback(scheduler.close)
        end.callback(hosting.close)
        for bucket in (self.bucket, LAYERS):
            storage.create_bucket(Bucket=bucket)
        self.role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]["Arn"]

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._service(environ, start_response)

    def _client(self, service: str, access_key: str) -> Any:
        with _MAKING_CLIENTS:
            return _session(access_key).client(service, endpoint_url=self.url, config=Config(max_pool_connections=50))

    def _reset(self) -> None:
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST")):
            pass


class _Handler(MotoRequestHandler):
    # When the double closes, it waits no longer than this for a client that has sent nothing.
    timeout = 20

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do not log requests."""


@functools.cache
def _session(access_key: str) -> Any:
    # Cached with the service models that it has loaded, since loading them takes longer than most tests.
    return boto3.Session(access_key, "testing", region_name=REGION)


def _can_assume(iam: Any, role: str) -> bool:
    """Return whether SageMaker may assume a role."""
    try:
        found = iam.get_role(RoleName=role.rpartition("/")[2])["Role"]
    except iam.exceptions.NoSuchEntityException:
        return False
    return found["Arn"] == role and "sagemaker.amazonaws.com" in json.dumps(found["AssumeRolePolicyDocument"])


if __name__ == "__main__":
    from tests.doubles.aws.command import main

    main()
