from __future__ import annotations

import subprocess

import pytest

from experiments.cli import ACTIONS
from experiments.config.completion import SHELLS, completion
from experiments.config.schema import known_values


def completed(typed: str) -> list[str]:
    """Return what Bash offers after ``typed``: what replaces the part after the last equals sign."""
    script = f"{completion('bash', ACTIONS)}\nCOMP_LINE={typed!r}\nCOMP_POINT={len(typed)}\n_byoe\n"
    done = subprocess.run(
        ["bash", "-c", script + 'printf "%s\\n" "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True
    )
    assert "command not found" not in done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("byoe dep", ["deploy"]),
        ("byoe mode=", ["local", "remote", "sagemaker"]),
        ("byoe mode=local ensemble=w", ["wide"]),
        ("byoe action=de", ["deploy", "delete"]),
        ("byoe search.n_tr", ["search.n_trials="]),
        ("byoe mode.budget", ["mode.budget_usd="]),
        ("byoe search.baseline=", ["true", "false"]),
        ("byoe detail=", ["blended", "probabilities", "members", "interval", "explanation"]),
        ("byoe serving.inference_output=[pro", ["[probability]", "[probabilities]"]),
        ("byoe --comp", ["--completion"]),
        ("byoe dataset.path=/etc/hostn", ["/etc/hostname"]),
        ("byoe nothing.of.this", []),
    ],
)
def test_bash_offers_keys_values_and_files(typed: str, offered: list[str]) -> None:
    assert completed(typed) == offered


def test_every_shell_knows_every_action_and_every_value() -> None:
    known = known_values()
    values = {f"{key}={value}" for key in known for value in known[key] if key != "serving.inference_output"}
    for shell in SHELLS:
        script = completion(shell, ACTIONS).replace("'", " ").replace("(", " ").replace(")", " ").split()
        assert {*ACTIONS, *values} <= set(script)
