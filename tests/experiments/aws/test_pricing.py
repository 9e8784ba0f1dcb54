"""Prices of instances: AWS's own price list, as the double answers it, or the user's own price; else unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.aws import pricing
from experiments.aws.account import Account
from experiments.aws.pricing import SOURCE, Price, find_price
from tests.doubles.aws.double import Double
from tests.doubles.aws.operations import PRICES
from tests.doubles.aws.records import REGION


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    pricing._listed.cache_clear()
    yield
    pricing._listed.cache_clear()


def listed(*prices: float, unit: str = "Hrs") -> str:
    dimensions = {str(place): {"unit": unit, "pricePerUnit": {"USD": str(usd)}} for place, usd in enumerate(prices)}
    return json.dumps({"terms": {"OnDemand": {"a": {"priceDimensions": dimensions}}}})


def answering(monkeypatch: pytest.MonkeyPatch, *products: str) -> list[dict[str, Any]]:
    """Let the price list answer this; return the requests that it gets."""
    from botocore.stub import Stubber

    requests: list[dict[str, Any]] = []
    account = Account("us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client = account.client("pricing")
    client.meta.events.register("provide-client-params.*", lambda params, **_: requests.append(params))
    stub = Stubber(client)
    stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": list(products)})
    stub.activate()
    monkeypatch.setattr(Account, "client", lambda self, service: client)
    return requests


def test_a_price_of_the_list_is_for_the_region_and_the_use(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = answering(monkeypatch, listed(0.0, 0.115))
    price = find_price("ml.m5.large", Account("eu-west-1"), None, "Hosting")
    assert price == Price(0.115, SOURCE)
    assert price.cost(7200) == 0.23
    assert requests[0]["ServiceCode"] == "AmazonSageMaker"
    assert {one["Field"]: one["Value"] for one in requests[0]["Filters"]} == {
        "instanceName": "ml.m5.large",
        "regionCode": "eu-west-1",
        "component": "Hosting",
    }
    assert find_price("ml.m5.large", Account("eu-west-1"), None, "Hosting") == price  # the stub answers once


@pytest.mark.parametrize("products", [(), (listed(1.0), listed(2.0)), (listed(1.0, unit="GB"),), ("{}",)])
def test_a_price_that_the_list_does_not_decide_is_unknown(
    products: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, *products)
    assert find_price("ml.m5.large", Account("us-east-1"), None) is None


def test_the_users_own_price_is_used_without_asking() -> None:
    assert find_price("ml.other", Account("eu-west-1"), 0.5) == Price(0.5, "mode.price_usd_per_hour")


def test_the_price_is_unknown_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert find_price("ml.m5.large", Account("us-east-1"), None) is None


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # moto's own
def test_the_accounts_price_list_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Double(tmp_path) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        for (instance, use), usd in PRICES.items():
            assert find_price(instance, Account(REGION), None, use) == Price(usd, SOURCE)
        assert find_price("ml.other", Account(REGION), None) is None
        assert find_price("ml.m5.large", Account("eu-north-1"), None) is None
