"""SageMaker's managed MLflow, addressed by the ARN of a tracking server or of an app: its version and its state."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.aws.account import Account, aws_errors

_TRACKING_SERVER = "mlflow-tracking-server"


@dataclass(frozen=True)
class ManagedServer:
    """A managed server.

    Attributes:
        version: Its version of MLflow.
        status: SageMaker's status, such as ``Created``.
    """

    version: str
    status: str


def find_server(arn: str) -> ManagedServer:
    """Return the managed server of an ARN, in the ARN's region, with the user's default credentials.

    Raises:
        BackendUnavailable: There is no such server, or AWS refused.
    """
    region, kind, name = arn.split(":")[3], *arn.split(":")[5].split("/", 1)
    client = Account(region).client("sagemaker")
    if kind == _TRACKING_SERVER:
        with aws_errors("sagemaker:DescribeMlflowTrackingServer", f"look at {arn}"):
            found = client.describe_mlflow_tracking_server(TrackingServerName=name)
        return ManagedServer(found["MlflowVersion"], found["TrackingServerStatus"])
    with aws_errors("sagemaker:DescribeMlflowApp", f"look at {arn}"):
        found = client.describe_mlflow_app(Arn=arn)
    return ManagedServer(found["MlflowVersion"], found["Status"])
