"""The address of a task's player: whole where Airflow knows its own, and the same however often it is asked for."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_lipsync.links import LipsyncPlayerLink, player_url
from airflow_provider_lipsync.media.task_key import TaskKey

KEY = TaskKey(dag_id="show", run_id="manual__2026-01-05T00:00:00+00:00", task_id="group.render")


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        pytest.param("https://airflow.example", "https://airflow.example/lipsync/player", id="a host"),
        pytest.param("https://host.example/team/", "https://host.example/team/lipsync/player", id="below a path"),
        pytest.param("", "/lipsync/player", id="not set: for Airflow's own pages alone"),
    ],
)
def test_it_stands_below_airflows_own_address(monkeypatch: pytest.MonkeyPatch, base_url: str, expected: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert player_url(KEY).partition("?")[0] == expected


@pytest.mark.parametrize("index", [-1, 0, 7])
def test_a_mapped_task_is_named_with_its_index(index: int) -> None:
    told = dict(parse_qsl(urlsplit(player_url(TaskKey(**{**vars(KEY), "map_index": index}))).query))
    assert told.pop("map_index", "-1") == str(index)
    assert told == {"dag_id": KEY.dag_id, "run_id": KEY.run_id, "task_id": KEY.task_id}


def test_odd_ids_come_back_as_they_were() -> None:
    odd = TaskKey(dag_id="a&b=c", run_id="x y+z/%2F?#", task_id="ä <b>", map_index=3)
    address = player_url(odd)
    assert dict(parse_qsl(urlsplit(address).query)) == {name: str(value) for name, value in vars(odd).items()}
    assert address.isascii()
    assert not set(address) & set(' <>"#')  # it stands in mails and in Markdown


def test_the_button_leads_there() -> None:
    assert LipsyncPlayerLink().get_link(None, ti_key=KEY) == player_url(KEY)
