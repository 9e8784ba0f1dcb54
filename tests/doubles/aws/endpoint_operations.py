"""The operations of SageMaker on models, endpoint configurations and endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tests.doubles.aws.answers import Answer, Document, Refused, is_wanted, page
from tests.doubles.aws.endpoints import IN_PROGRESS, Deployment, Endpoint, EndpointConfig, Model, arn_of
from tests.doubles.aws.hosting import Hosting
from tests.doubles.aws.images import Images
from tests.doubles.aws.state import State
from tests.doubles.aws.transfers import Site

Record = TypeVar("Record", Model, EndpointConfig, Endpoint)
_WORDS = {"model": "model", "endpoint-config": "endpoint configuration", "endpoint": "endpoint"}


class EndpointOperations:
    """Answers requests from the state of the double, and starts and ends endpoints.

    Attributes:
        by_name: The method that answers each operation; call it with the state's lock held.
    """

    def __init__(
        self,
        state: State,
        hosting: Hosting,
        site: Site,
        images: Images,
        can_assume: Callable[[str], bool],
        quotas: Mapping[str, float],
    ) -> None:
        """Take what is needed.

        Args:
            state: What the double knows.
            hosting: Runs endpoints.
            site: Where models are.
            images: Where images are.
            can_assume: Whether SageMaker may take on a role.
            quotas: Service quotas by name.
        """
        self._quotas = quotas
        self._state = state
        self._hosting = hosting
        self._site = site
        self._images = images
        self._can_assume = can_assume
        models, configs, endpoints = state.models, state.endpoint_configs, state.endpoints
        self.by_name: dict[str, Callable[[Document], Answer]] = {
            "CreateModel": self._create_model,
            "DescribeModel": lambda document: _found(models, "model", document["ModelName"]).describe(),
            "DeleteModel": lambda document: self._delete(models, "model", document["ModelName"]),
            "ListModels": lambda document: _listed(document, models.values(), "Models"),
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": lambda document: self._config(document).describe(),
            "DeleteEndpointConfig": lambda document: self._delete(
                configs, "endpoint-config", document["EndpointConfigName"]
            ),
            "ListEndpointConfigs": lambda document: _listed(document, configs.values(), "EndpointConfigs"),
            "CreateEndpoint": self._create_endpoint,
            "UpdateEndpoint": self._update_endpoint,
            "DescribeEndpoint": lambda document: self._endpoint(document).describe(),
            "DeleteEndpoint": self._delete_endpoint,
            "ListEndpoints": lambda document: _listed(document, endpoints.values(), "Endpoints"),
        }

    def check(self, operation: str, document: Document) -> None:
        """Check the parts of a request that concern other services; call it without the state's lock.

        Raises:
            Refused: A model's role, its data or its image is not there.
        """
        if operation != "CreateModel":
            return
        role, location = document.get("ExecutionRoleArn"), document.get("PrimaryContainer", {}).get("ModelDataUrl")
        if role is not None and not self._can_assume(role):
            raise Refused(
                "ValidationException",
                f'Could not access model data at {location}. Please ensure that the role "{role}" exists and that its '
                'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
                '"sagemaker.amazonaws.com".',
            )
        if location is not None and not self._site.has(location):
            raise Refused("ValidationException", f"Could not find model data at {location}.")
        image = document.get("PrimaryContainer", {}).get("Image")
        if image is not None:
            self._images.check(image)

    def _create_model(self, document: Document) -> Answer:
        name = document["ModelName"]
        _check_new(self._state.models, "model", name)
        model = self._state.models[name.lower()] = Model(document, self._state.next_index())
        self._state.tag(model.arn, document.get("Tags", ()))
        return {"ModelArn": model.arn}

    def _create_config(self, document: Document) -> Answer:
        name = document["EndpointConfigName"]
        _check_new(self._state.endpoint_configs, "endpoint-config", name)
        for variant in document["ProductionVariants"]:
            if "ModelName" not in variant:
                raise _beyond("a production variant without ModelName")
            model = _found(self._state.models, "model", variant["ModelName"])
            if "ServerlessConfig" in variant and model.document.get("EnableNetworkIsolation"):
                raise Refused("ValidationException", "Network isolation is not supported for serverless variants.")
            if "ServerlessConfig" in variant and model.document.get("VpcConfig"):
                raise Refused("ValidationException", "VPC configuration is not supported for serverless variants.")
        config = EndpointConfig(document, self._state.next_index())
        self._state.endpoint_configs[name.lower()] = config
        self._state.tag(config.arn, document.get("Tags", ()))
        return {"EndpointConfigArn": config.arn}

    def _create_endpoint(self, document: Document) -> Answer:
        name = document["EndpointName"]
        _check_new(self._state.endpoints, "endpoint", name)
        deployment = self._deployment(document)
        self._check_quotas(deployment.config)
        endpoint = Endpoint(name, self._state.next_index(), self._state.endpoints_made, deployment.config)
        self._state.endpoints_made += 1
        self._state.endpoints[name.lower()] = endpoint
        self._state.tag(endpoint.arn, document.get("Tags", ()))
        self._hosting.deploy(endpoint, "Creating", deployment)
        return {"EndpointArn": endpoint.arn}

    def _update_endpoint(self, document: Document) -> Answer:
        endpoint = self._settled(document)
        # AWS also reads the current configuration, which may have been deleted.
        _found(self._state.endpoint_configs, "endpoint-config", endpoint.config.name)
        deployment = self._deployment(document)
        if endpoint.status != "InService":
            raise Refused(
                "ValidationException", f'Cannot update endpoint "{endpoint.arn}" in status {endpoint.status}.'
            )
        if deployment.config.name == endpoint.config.name:
            raise Refused(
                "ValidationException", f'Endpoint "{endpoint.arn}" has the configuration "{deployment.config.arn}".'
            )
        # "You cannot convert your instance-based, real-time endpoint to a serverless endpoint" (AWS's guide).
        if deployment.config.is_serverless and not endpoint.config.is_serverless:
            raise Refused(
                "ValidationException",
                f'Cannot update endpoint "{endpoint.arn}" with instances to a serverless variant.',
            )
        self._check_quotas(deployment.config)
        self._hosting.deploy(endpoint, "Updating", deployment)
        return {"EndpointArn": endpoint.arn}

    def _delete_endpoint(self, document: Document) -> Answer:
        self._hosting.delete(self._settled(document))
        return {}

    def _check_quotas(self, config: EndpointConfig) -> None:
        """Refuse what exceeds the account's quotas; the old instances of an endpoint run until the new ones serve."""
        if config.is_serverless:
            name, unit = "Memory size in MB per serverless endpoint", "MBs"
            used, new = 0, config.variant["ServerlessConfig"]["MemorySizeInMB"]
        else:
            kind, unit = config.variant["InstanceType"], "Instances"
            name, new = f"{kind} for endpoint usage", config.variant.get("InitialInstanceCount", 1)
            variants = [endpoint.config.variant for endpoint in self._state.endpoints.values()]
            used = sum(
                variant.get("InitialInstanceCount", 1) for variant in variants if variant.get("InstanceType") == kind
            )
        quota = self._quotas.get(name)
        if quota is not None and used + new > quota:
            raise Refused(
                "ResourceLimitExceeded",
                f"The account-level service limit '{name}' is {quota:g} {unit}, with current utilization of {used} {unit} "
                f"and a request delta of {new} {unit}. Please use AWS Service Quotas to request an increase for this "
                "quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota.",
            )

    def _deployment(self, document: Document) -> Deployment:
        config = self._config(document)
        if len(config.document["ProductionVariants"]) > 1:
            raise _beyond("an endpoint of several production variants")
        model = _found(self._state.models, "model", config.variant["ModelName"])
        container = model.document.get("PrimaryContainer", {})
        if "ModelDataUrl" not in container or "Image" not in container:
            raise _beyond("a model without Image and ModelDataUrl in its PrimaryContainer")
        return Deployment(config, container, self._state.next_index())

    def _config(self, document: Document) -> EndpointConfig:
        return _found(self._state.endpoint_configs, "endpoint-config", document["EndpointConfigName"])

    def _endpoint(self, document: Document) -> Endpoint:
        return _found(self._state.endpoints, "endpoint", document["EndpointName"])

    def _settled(self, document: Document) -> Endpoint:
        endpoint = self._endpoint(document)
        if endpoint.status in IN_PROGRESS:
            raise Refused("ValidationException", f'Cannot update in-progress endpoint "{endpoint.arn}".')
        return endpoint

    def _delete(self, records: dict[str, Any], kind: str, name: str) -> Answer:
        record = _found(records, kind, name)
        del records[name.lower()], self._state.tags[record.arn]
        return {}


def _found(records: Mapping[str, Record], kind: str, name: str) -> Record:
    if name.lower() not in records:
        raise Refused("ValidationException", f'Could not find {_WORDS[kind]} "{arn_of(kind, name)}".')
    return records[name.lower()]


def _check_new(records: Mapping[str, Any], kind: str, name: str) -> None:
    if name.lower() in records:
        raise Refused("ValidationException", f'Cannot create already existing {_WORDS[kind]} "{arn_of(kind, name)}".')


def _beyond(what: str) -> Refused:
    return Refused("BeyondTheDouble", f"the double does not serve {what}")


def _listed(document: Document, records: Iterable[Model | EndpointConfig | Endpoint], key: str) -> Answer:
    keys: dict[str, Callable[[Model | EndpointConfig | Endpoint], Any]] = {
        "Name": lambda record: record.name,
        "Status": lambda record: record.status,
        "CreationTime": lambda record: record.index,
    }
    found = [record for record in records if is_wanted(document, record)]
    descending = document.get("SortOrder", "Descending") == "Descending"
    found.sort(key=keys[document.get("SortBy", "CreationTime")], reverse=descending)
    return page(document, [record.summarise() for record in found], key)
