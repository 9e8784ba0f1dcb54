"""optuna-dashboard over the ledgers: live, read-only, on this machine."""

from __future__ import annotations

import http.client
import importlib.util
import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from experiments.errors import BackendUnavailable, ConfigError
from experiments.reporting.dashboard import open_dashboard
from experiments.study.ledger import Ledger
from experiments.study.ledger_storage import LedgerStorage, ReadOnly
from tests.conftest import running, until
from tests.support.browser import Browser, require_chromium
from tests.support.ledgers import finished, planned, recorded

needs_dashboard = pytest.mark.skipif(
    importlib.util.find_spec("optuna_dashboard") is None,
    reason="optuna-dashboard is not installed: pip install 'byoe[dashboard]'",
)


@contextmanager
def served(studies: Path) -> Iterator[int]:
    """Serve the dashboard in a thread; yield its port."""
    server, _ = open_dashboard(studies, None)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, headers={"Accept-Encoding": "", "Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body) if body.startswith((b"{", b"[")) else body


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_storage_of_ledgers_is_what_optuna_reads_and_cannot_be_written(folder: Path) -> None:
    study = planned("one", "search.n_trials=6")
    results = recorded(study, 3)
    with Ledger.open(study) as ledger:
        ledger.record_asked({3: results[0].params, 4: results[1].params})
        storage = LedgerStorage(folder / "studies")
        found = optuna.load_study(study_name="one", storage=storage)
        running = [TrialState.RUNNING] * 2
        assert [trial.state for trial in found.trials][3:] == running
        ledger.record(finished(study, 4, results[1].params))  # which finishes before trial 3, and is pruned
        assert [trial.state for trial in found.trials][3:] == [TrialState.RUNNING, TrialState.PRUNED]
    assert [trial.state for trial in found.trials][3:] == [TrialState.WAITING, TrialState.PRUNED]
    assert [trial.number for trial in found.trials] == list(range(5))
    assert found.best_value == min(r.metrics["cv_rmse_blended"] for r in results if r.state == "complete")
    assert storage.get_trial(found.trials[2]._trial_id).user_attrs["reason"] == "no luck"
    recorded(planned("two", "search.seed=1"), 1)
    (folder / "studies/damaged").mkdir()
    (folder / "studies/damaged/ledger.sqlite").write_text("text")
    assert [study.study_name for study in storage.get_all_studies()] == ["one", "two"]
    assert [text for text in storage.unreadable() if "damaged" in text]
    before = contents(folder)
    for write in (
        found.ask,
        lambda: storage.set_trial_state_values(found.trials[3]._trial_id, TrialState.COMPLETE, [1.0]),
        lambda: found.set_user_attr("a", 1),
        lambda: found.enqueue_trial({"xgboost__eta": 0.1}),
        lambda: optuna.delete_study(study_name="one", storage=storage),
        lambda: optuna.create_study(study_name="three", storage=storage),
    ):
        with pytest.raises(ReadOnly):
            write()
    assert contents(folder) == before


@needs_dashboard
def test_the_page_shows_new_trials_and_refuses_to_write(folder: Path) -> None:
    study = planned("one", "search.n_trials=5")
    recorded(study, 2)
    with served(folder / "studies") as port:
        assert asked(port, "/dashboard")[0] == 200
        (summary,) = asked(port, "/api/studies")[1]["study_summaries"]
        assert (summary["study_name"], summary["directions"]) == ("one", ["minimize"])
        detail = f"/api/studies/{summary['study_id']}?after=0"
        assert [trial["state"] for trial in asked(port, detail)[1]["trials"]] == ["Complete"] * 2
        recorded(planned("one", "search.n_trials=5"), 5)
        states = ["Complete", "Complete", "Fail", "Complete", "Pruned"]
        assert until(lambda: [trial["state"] for trial in asked(port, detail)[1]["trials"]] == states)
        before = contents(folder)
        for method, path in (
            ("DELETE", "/api/studies/1"),
            ("POST", "/api/studies/1/rename"),
            ("POST", "/api/studies"),
            ("PUT", "/api/studies/1/note"),
            ("POST", "/api/trials/1000003/tell"),
        ):
            status, answer = asked(port, path, method)
            assert status == 403
            assert answer["reason"].startswith("byoe's ledgers are shown here and not changed")
        status, answer = asked(port, "/api/studies", Host="elsewhere.example")
        assert (status, answer) == (403, {"reason": "This is served to 127.0.0.1 only."})
        assert contents(folder) == before
        with pytest.raises(ConfigError, match=f"dashboard.port={port} cannot be used: Address already in use"):
            open_dashboard(folder / "studies", port)
    with pytest.raises(ConfigError, match=r"dashboard\.port=70000 is not a port"):
        open_dashboard(folder / "studies", 70000)


def test_a_missing_package_is_named_with_its_pip_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'optuna-dashboard>=0\.21,<0\.22'"):
        open_dashboard(folder, None)


@needs_dashboard
def test_ctrl_c_ends_the_command_with_code_0_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    recorded(planned("one", "search.n_trials=2"), 2)
    before = contents(folder)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = running("action=dashboard", TMPDIR=str(temporary))
    assert command.stdout is not None
    lines = [command.stdout.readline().decode() for _ in range(2)]
    found = re.search(r"http://127\.0\.0\.1:(\d+)/dashboard", lines[0])
    assert found is not None, lines
    assert asked(int(found[1]), "/api/studies")[0] == 200
    command.send_signal(signal.SIGINT)
    out, err = command.communicate()
    assert (command.returncode, err, out) == (0, b"", b"the dashboard has ended.\n")
    assert contents(folder) == before
    assert list(temporary.iterdir()) == []


@needs_dashboard
@pytest.mark.browser
@pytest.mark.slow
def test_the_page_is_drawn_without_other_hosts(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    require_chromium()
    recorded(planned("one", "search.n_trials=20"), 20)
    with served(folder / "studies") as port, Browser(tmp_path_factory.mktemp("browser")) as browser:
        address = f"http://127.0.0.1:{port}/dashboard"
        with browser.open(address, 1200, 900) as tab:
            tab.until("document.body && document.body.innerText.includes('one')")
        with browser.open(f"{address}/studies/1", 1400, 1000) as tab:
            tab.until("document.querySelectorAll('.plotly svg').length > 0")
            assert all(request.startswith((f"http://127.0.0.1:{port}/", "data:", "blob:")) for request in tab.requests)
