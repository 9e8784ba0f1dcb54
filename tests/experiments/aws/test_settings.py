"""Settings of ``mode=remote``; ``tests/experiments/actions/test_remote_plan.py`` has each value that is refused."""

from __future__ import annotations

import pytest

from experiments.aws.settings import check_prefix, planned_settings, remote_settings, user_tags
from experiments.config.compose import compose
from experiments.config.schema import RemoteModeConfig
from experiments.errors import ConfigError

IMAGE = "mode.image.uri=123456789012.dkr.ecr.eu-west-1.amazonaws.com/byoe:1"
SET = ("mode.region=eu-west-1", "mode.role=arn:aws:iam::123456789012:role/jobs", "mode.bucket=rows", IMAGE)


def remote(*arguments: str) -> RemoteModeConfig:
    mode = compose(["mode=remote", *arguments]).config.mode
    assert isinstance(mode, RemoteModeConfig)
    return mode


def test_a_launch_needs_role_and_bucket() -> None:
    role = "arn:aws:iam::<account>:role/<name>"
    with pytest.raises(ConfigError, match=rf"mode\.role is not set: add mode\.role={role}, once for all"):
        remote_settings(remote("mode.region=eu-west-1", "mode.bucket=rows", IMAGE), "python run.py")
    with pytest.raises(ConfigError, match=r"mode\.bucket is not set"):
        remote_settings(remote(*SET[:2], IMAGE), "python run.py")


def test_all_settings_that_are_missing_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    both = r"mode\.role and mode\.bucket are not set: add mode\.role=\S+ mode\.bucket=<name>, once for all in configs/local"
    with pytest.raises(ConfigError, match=both):
        remote_settings(remote("mode.region=eu-west-1", IMAGE), "python run.py")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    three = r"mode\.region and mode\.role and mode\.bucket are not set: add mode\.region=us-east-1 mode\.role="
    with pytest.raises(ConfigError, match=three):
        remote_settings(remote(IMAGE), "python run.py")


def test_a_plan_has_placeholders_for_what_a_launch_needs() -> None:
    planned = planned_settings(remote("mode.region=eu-west-1", IMAGE), "python run.py")
    assert set(planned.missing) == {"mode.role", "mode.bucket"}
    assert planned.settings.bucket == planned.missing["mode.bucket"]


def test_settings_are_those_of_the_configuration() -> None:
    settings = remote_settings(remote(*SET, "mode.prefix=team/byoe", "mode.price_usd_per_hour=2"), "python run.py")
    assert settings.location("data", "x") == "s3://rows/team/byoe/data/x"
    assert not settings.requirements
    assert settings.price is not None
    assert settings.price.usd_per_hour == 2
    assert settings.options.spot_wait_seconds is None


def test_a_spot_job_waits_twice_its_runtime_unless_it_is_set() -> None:
    arguments = (*SET, "mode.spot=true", "mode.max_runtime_seconds=100")
    assert remote_settings(remote(*arguments), "").options.spot_wait_seconds == 200
    assert remote_settings(remote(*arguments, "mode.max_wait_seconds=150"), "").options.spot_wait_seconds == 150


@pytest.mark.parametrize("prefix", ["", "/byoe", "byoe/", "a//b", "a b"])
def test_a_prefix_that_cannot_be_used_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"mode\.prefix"):
        check_prefix(prefix)


def test_tags_are_strings() -> None:
    assert user_tags(remote("mode.tags={team: risk, cost: 7}")) == {"team": "risk", "cost": "7"}
