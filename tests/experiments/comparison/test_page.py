"""The page in a real browser: it draws, fits the window, prints no errors and requests nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
import pytest

from experiments.comparison.measures import measure
from experiments.comparison.page import make_report
from experiments.comparison.parity import compare_trials
from experiments.comparison.table import comparison_rows
from tests.experiments.comparison.builder import POINTS, add_study, edit_facts, scored, scored_classes
from tests.support.browser import Browser, Tab

pytestmark = [pytest.mark.browser]

DRAWN = "document.documentElement?.dataset.drawn === 'true'"
EVIL = "<b>cloud</b><img src=x onerror=\"document.title='run'\">"
SIZES = {"desk": (1280, 900, False), "phone": (390, 844, True)}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a study in each mode; the one on SageMaker is a search with a hostile name and label."""
    folder = tmp_path_factory.mktemp("page")
    random = np.random.RandomState(0)
    points = [
        {"xgboost__eta": float(random.uniform(0.02, 0.9)), "ridge__alpha": float(random.uniform(1, 8))}
        for _ in range(20)
    ]
    trials = [scored(index, point) for index, point in enumerate(points)]
    billed = {"cloud": {"job": "job", "billable_seconds": 60, "cost_usd": 0.02}}
    cloud = [dataclasses.replace(scored(i, points[i + 10]), info=billed) for i in range(10)]
    nearly = dict(trials[1].metrics)
    nearly["cv_rmse_ridge_fold_1"] *= 1 + 1e-15
    containers = [trials[0], dataclasses.replace(trials[1], metrics=nearly), *trials[2:5]]
    studies = [
        add_study(folder, "laptop", trials[:10]),
        add_study(folder, "containers", containers, mode="sagemaker", given=True),
        dataclasses.replace(add_study(folder, "cloud", cloud, mode="remote"), name=EVIL, dataset=EVIL),
    ]
    edit_facts(studies[0], dataset=EVIL)
    measures, parity = measure(studies), compare_trials(studies, 1e-9)
    path = folder / "report.html"
    path.write_text(make_report(measures, parity, comparison_rows(measures)).html)
    return path


@pytest.fixture(scope="module")
def page_of_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two studies that predict one of two classes."""
    folder = tmp_path_factory.mktemp("classes")
    studies = [
        add_study(
            folder,
            name,
            [scored_classes(index, point) for index, point in enumerate(points)],
            objective="cv_logloss_blended",
            mode=mode,
        )
        for name, mode, points in (("laptop", "local", POINTS), ("containers", "sagemaker", POINTS[:2]))
    ]
    measures, parity = measure(studies), compare_trials(studies, 1e-9)
    path = folder / "report.html"
    path.write_text(make_report(measures, parity, comparison_rows(measures)).html)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def tab(page: Path, browser: Browser) -> Iterator[Tab]:
    """The page in a desktop window, for tests that do not change it."""
    with browser.open(page.as_uri(), 1280, 900) as found:
        found.until(DRAWN)
        yield found


def check_quiet(tab: Tab) -> None:
    """Check that the page printed no errors and requested nothing that is not in it."""
    assert tab.errors == []
    assert [request for request in tab.requests if not request.startswith("data:")] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_figure_is_drawn_in_the_readers_width_and_colours(
    page: Path, browser: Browser, size: str, dark: bool, tmp_path: Path
) -> None:
    width, height, phone = SIZES[size]
    with browser.open(page.as_uri(), width, height, dark=dark, phone=phone) as tab:
        tab.until(DRAWN)
        figures = tab.evaluate("[...document.querySelectorAll('figure')].map((figure) => figure.id)")
        assert figures == [
            "rmse",
            "coverage",
            "differences",
            "history-trials",
            "history-time",
            "history-dollars",
            "trials",
            "importance",
            "parts",
            "dependence",
            "errors",
            "actual",
        ]
        marks = "[...document.querySelectorAll('.plot')].map((plot) => plot.querySelectorAll('.trace').length)"
        assert len(tab.evaluate(marks)) == 9 + 9 + 3
        assert min(tab.evaluate(marks)) > 0
        assert tab.evaluate("document.querySelectorAll('.heat').length") == 3
        cells = "[...document.querySelectorAll('.heat td, .heat th')].map((cell) => cell.innerText.length * cell.offsetWidth)"
        assert min(tab.evaluate(cells)) > 0
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        outside = (
            "[...document.querySelectorAll('.plot')].filter((plot) => plot.scrollWidth > plot.clientWidth + 1).length"
        )
        assert tab.evaluate(outside) == 0
        paper = tab.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")
        assert paper == ("rgb(25, 28, 35)" if dark else "rgb(255, 255, 255)")
        mark = "getComputedStyle(document.querySelector('#rmse .points path')).fill"
        assert tab.evaluate(mark) == ("rgb(86, 180, 233)" if dark else "rgb(0, 114, 178)")
        trials = tab.evaluate(
            "document.getElementById('trials-0').layout.height ?? document.getElementById('trials-0').clientHeight"
        )
        assert trials == (70 + 3 * (38 + 22) + (3 * 20 if phone else 0))
        tab.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 50_000
        check_quiet(tab)


def test_a_page_of_classes_has_log_loss_auc_and_confusion_matrices(page_of_classes: Path, browser: Browser) -> None:
    with browser.open(page_of_classes.as_uri(), 1280, 900) as tab:
        tab.until(DRAWN)
        figures = tab.evaluate("[...document.querySelectorAll('figure')].map((figure) => figure.id)")
        assert figures[:2] == ["logloss", "auc"]
        assert figures[-1] == "confusion"
        assert not {"rmse", "actual"} & set(figures)
        cells = "[...document.querySelectorAll('#confusion .heat tbody td')].map((cell) => cell.textContent)"
        counts = [int(count) for count in tab.evaluate(cells)]
        assert len(counts) == 2 * 4  # two classes in each of two studies
        assert sum(counts) == 2 * 7
        table = tab.evaluate("document.querySelector('table').innerText")
        for row in ("CV log loss (95%)", "CV AUC (95%)", "CV accuracy"):
            assert row in table
        marks = "[...document.querySelectorAll('.plot')].map((plot) => plot.querySelectorAll('.trace').length)"
        assert min(tab.evaluate(marks)) > 0
        check_quiet(tab)


def test_the_answers_come_first_and_their_details_are_folded(tab: Tab, page: Path, browser: Browser) -> None:
    first, second = tab.evaluate("['h1', '.second'].map((name) => document.querySelector(name).innerText)")
    assert first == "remote is better than local: its CV RMSE is 0.021 below."
    assert second == "The same trials gave the same numbers."
    assert tab.evaluate("document.querySelectorAll('.pays li').length") == 3
    details = "document.querySelector('.verdict details')"
    assert "parity: PASS (5 of 5 trials equal)." in tab.evaluate(f"{details}.textContent")
    assert tab.evaluate(f"{details}.open") is False
    tops = "['h1', '.pays', 'table', 'figure'].map((name) => document.querySelector(name).offsetTop)"
    assert tab.evaluate(tops) == sorted(tab.evaluate(tops))
    with browser.open(page.as_uri(), 390, 844, phone=True) as phone:
        phone.until(DRAWN)
        assert phone.evaluate("document.querySelector('.pays').getBoundingClientRect().bottom") < 844


def test_on_a_phone_the_label_stays_and_the_edge_of_a_table_that_goes_on_is_faded(page: Path, browser: Browser) -> None:
    with browser.open(page.as_uri(), 390, 844, phone=True) as tab:
        tab.until(DRAWN)
        box, left = (
            "document.querySelector('.scroll')",
            "document.querySelector('.measures tbody th').getBoundingClientRect().left",
        )
        interval = "document.querySelector('.measures .interval')"
        assert tab.evaluate(f"getComputedStyle({interval}).display") == "block"
        tab.until(f"{box}.classList.contains('more')")
        before = tab.evaluate(left)
        tab.evaluate(f"{box}.scrollTo(9999, 0)")
        tab.until(f"!{box}.classList.contains('more')")
        assert tab.evaluate(left) == pytest.approx(before, abs=1)
        check_quiet(tab)


def test_the_page_is_small_and_has_no_empty_rows_or_figures(page: Path, tab: Tab) -> None:
    assert page.stat().st_size < 1_500_000
    rows = "[...document.querySelectorAll('.measures tbody tr:not(.group)')].map((row) => [...row.cells].slice(1).map((cell) => cell.innerText))"
    assert all(set(row) != {"-"} for row in tab.evaluate(rows))
    assert tab.evaluate("[...document.querySelectorAll('figure')].every((one) => one.querySelector('.plot, .heat'))")


def test_names_from_users_are_shown_as_text(tab: Tab) -> None:
    assert tab.evaluate("document.images.length") == 0
    assert tab.evaluate("document.title") != "run"
    assert escape(EVIL, quote=False) in tab.evaluate("document.querySelector('table').innerHTML")
    assert EVIL in tab.evaluate("document.querySelector('main').textContent")
    check_quiet(tab)


def test_the_legend_hides_and_shows_a_study_in_every_figure(tab: Tab) -> None:
    button = "document.querySelectorAll('.legend button')[1]"
    own = (
        "[...document.querySelectorAll('.plot')].flatMap((plot) => plot.data).filter((one) => one.legendgroup === '1')"
    )
    shown = f"{own}.filter((trace) => trace.visible !== false).length"
    panels = "document.querySelectorAll('.panel[data-series=\"1\"]:not([hidden])').length"
    before = tab.evaluate(shown)
    assert before > 5
    tab.evaluate(f"{button}.click()")
    assert (tab.evaluate(shown), tab.evaluate(panels)) == (0, 0)
    assert tab.evaluate(f"{button}.getAttribute('aria-pressed')") == "false"
    tab.evaluate(f"{button}.click()")
    assert (tab.evaluate(shown), tab.evaluate(panels)) == (before, 2 + 3)
    check_quiet(tab)


def test_a_trial_is_highlighted_when_hovered_or_brushed(tab: Tab) -> None:
    axes = 3
    area = "document.querySelector('#trials-0 .nsewdrag')"
    over = "document.getElementById('trials-0').data.at(-1).x.filter((x) => x !== null).length"
    tab.evaluate("document.getElementById('trials-0').scrollIntoView({ block: 'center' })")
    tab.until("document.getElementById('trials-0').getBoundingClientRect().bottom < innerHeight")
    x, y = tab.middle("#trials-0 .points path")
    tab.mouse("mouseMoved", x - 40, y)
    tab.mouse("mouseMoved", x, y)
    tab.until(f"{over} === {axes}")
    tab.mouse("mouseMoved", x - 40, y - 40)
    tab.until(f"{over} === 0")
    left, right = tab.evaluate(f"(({{ left, right }}) => [left, right])({area}.getBoundingClientRect())")
    tab.drag((left + 5, y - 20), (right - 5, y + 20))
    tab.until(f"{over} === {10 + 5 + 10} * {axes}")
    check_quiet(tab)


def test_a_change_to_dark_draws_again(page: Path, browser: Browser) -> None:
    with browser.open(page.as_uri(), 1280, 900) as tab:
        tab.until(DRAWN)
        mark = "getComputedStyle(document.querySelector('#rmse .points path')).fill"
        assert tab.evaluate(mark) == "rgb(0, 114, 178)"
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        tab.until(f"{mark} === 'rgb(86, 180, 233)'")
        check_quiet(tab)


def test_it_draws_in_a_sandboxed_frame_as_mlflow_shows_it(page: Path, browser: Browser) -> None:
    """MLflow's artifact view shows a page in a frame with ``sandbox="allow-scripts"``."""
    frame = page.with_name("frame.html")
    frame.write_text(
        f"""<!doctype html><script type="text/plain" id="page">{page.read_text().replace("</script", "<%script")}</script>
        <iframe id="html" sandbox="allow-scripts" width="900" height="600"></iframe><script>
        const text = document.getElementById("page").textContent.replaceAll("<%script", "</script")
            .replace("drawAll();\\n}})();", "drawAll().then(() => parent.postMessage(document.querySelectorAll('.plot .main-svg').length, '*'));\\n}})();");
        addEventListener("message", (event) => {{ document.title = `drawn ${{event.data}}`; }});
        document.getElementById("html").src = URL.createObjectURL(new Blob([text], {{ type: "text/html" }}));
        </script>"""
    )
    with browser.open(frame.as_uri(), 1280, 900) as tab:
        tab.until("document.title.startsWith('drawn ')")
        assert int(tab.evaluate("document.title.split(' ')[1]")) >= 10
        check_quiet(tab)
