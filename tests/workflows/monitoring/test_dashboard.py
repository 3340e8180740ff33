"""The dashboard and the alert rules query only metrics that exist, with labels that they have."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from aiworkstation import BASE_DIR
from workflows.monitoring.counters import OUTCOMES, RUN_ENDS
from workflows.monitoring.metrics import PREFIX, metric_names

FOLDER = BASE_DIR / "docs" / "monitoring"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
DOCS = (BASE_DIR / "docs" / "monitoring.md").read_text()


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


def used(text: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}\w+", text))


@pytest.mark.django_db
def test_every_metric_that_they_query_exists() -> None:
    found = {name for query in queries() for name in used(query)}
    assert len(found) > 10
    assert found - metric_names() == set()


@pytest.mark.django_db
def test_every_metric_is_on_the_dashboard_and_in_the_docs() -> None:
    shown = {name for panel in DASHBOARD["panels"] for target in panel["targets"] for name in used(target["expr"])}
    parts = {f"{PREFIX}step_duration_seconds_{part}" for part in ("sum", "count")}
    assert metric_names() - parts - shown == {f"{PREFIX}info"}
    documented = used(DOCS) | {f"{PREFIX}step_duration_seconds_bucket"}
    assert metric_names() - parts - documented == set()
    assert documented - metric_names() == {f"{PREFIX}step_duration_seconds"}


def test_the_values_of_labels_exist() -> None:
    known = {*OUTCOMES, *RUN_ENDS.values(), "high", "normal", "low", "model"}
    for query in queries():
        for values in re.findall(r'\w+(?:=~?|!=)"([^"]*)"', query):
            assert set(values.split("|")) <= known, query


def test_each_rule_says_what_is_wrong() -> None:
    for rule in RULES:
        assert rule["annotations"]["summary"].endswith((".", ".'")), rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_panels_do_not_overlap() -> None:
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
