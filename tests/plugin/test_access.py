"""Nobody sees anything that Airflow does not let them see: every route, by every way in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from tests.plugin.conftest import Server, Task, new_run, new_task
from tests.plugin.facts_support import VENDORS, card, result

PAGES = ("/player", "/run", "/jobs")
FOR_ANY_USER = ("/jobs", "/api/jobs", "/assets/{name}")  # each DAG is asked for in /api/jobs itself
HTML = {"accept": "text/html,*/*"}
EVERY = {
    *(("/player", "GET"), ("/run", "GET"), ("/jobs", "GET"), ("/assets/{name}", "GET")),
    *(("/api/task", "GET"), ("/api/run", "GET"), ("/api/jobs", "GET")),
    *(("/video", "GET"), ("/video", "HEAD"), ("/poster", "GET"), ("/poster", "HEAD")),
}


@pytest.fixture(scope="module")
def routes(server: Server) -> list[tuple[str, str]]:
    return [(path, method) for path, method in server.call("routes")]


@pytest.fixture(scope="module")
def hidden(server: Server) -> Task:
    task = new_task(server, dag_id="hidden").set(state="success", try_number=1)
    return task.push("lipsync_job", card(labels={"client": "hush"})).push("return_value", result())


def asked(client: httpx.Client, path: str, method: str, task: Task, **headers: str) -> httpx.Response:
    address = path.replace("{name}", "player.js")
    return client.request(method, address, params=task.key, headers=headers)


def test_these_are_all_routes(routes: list[tuple[str, str]]) -> None:
    assert set(routes) == EVERY


def test_no_route_answers_without_a_login(routes: list[tuple[str, str]], nobody: httpx.Client, hidden: Task) -> None:
    for path, method in routes:
        for accept in ("*/*", "text/html"):
            answer = asked(nobody, path, method, hidden, accept=accept)
            is_sent_on = accept == "text/html" and path in PAGES
            assert answer.status_code == (307 if is_sent_on else 401), (path, method, accept)
            assert VENDORS not in answer.text


def test_no_route_answers_without_a_login_even_where_the_parameters_are_odd(
    routes: list[tuple[str, str]], nobody: httpx.Client
) -> None:
    for path, method in routes:
        for query in ("", "dag_id=", "dag_id=~", "dag_id=show&run_id=x&task_id=y&map_index=z", "limit=-1&before=x"):
            answer = nobody.request(method, f"{path.replace('{name}', 'none')}?{query}")
            assert answer.status_code == 401, (path, method, query)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_no_route_takes_another_method(
    routes: list[tuple[str, str]], nobody: httpx.Client, ann: httpx.Client, hidden: Task, method: str
) -> None:
    for path, _ in routes:
        for client in (nobody, ann):
            answer = asked(client, path, method, hidden)
            assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"}), path


@pytest.mark.parametrize("path", ["", "docs", "redoc", "openapi.json", "player/", "assets", "assets/", "api", "PLAYER"])
def test_beside_the_routes_there_is_nothing(nobody: httpx.Client, ann: httpx.Client, path: str) -> None:
    for client in (nobody, ann):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_who_may_not_read_the_xcoms_of_a_dag_sees_nothing_of_it(
    routes: list[tuple[str, str]], ann: httpx.Client, ben: httpx.Client, hidden: Task
) -> None:
    for path, method in routes:
        refused, allowed = asked(ben, path, method, hidden), asked(ann, path, method, hidden)
        expected = 200 if path in FOR_ANY_USER else 403
        assert refused.status_code == expected, (path, method)
        assert allowed.status_code != 403, (path, method)
        assert "hush" not in refused.text
        assert VENDORS not in refused.text


def test_the_page_of_jobs_leaves_out_what_one_may_not_read(
    server: Server, ann: httpx.Client, ben: httpx.Client, hidden: Task
) -> None:
    lost = new_task(server, dag_id="hidden").set(state="failed")
    lost.push("lipsync_job", card(conn_id="of_hidden"))
    new_task(server).set(state="failed").push("lipsync_job", card())
    seen, kept_from = (client.get("api/jobs", params={"limit": 200}).json() for client in (ann, ben))
    for client_sees, found in ((True, seen), (False, kept_from)):
        dags = {view["dag_id"] for view in [*found["jobs"], *found["undelivered"]]}
        assert ("hidden" in dags) is client_sees
        assert "show" in dags
        assert ("of_hidden" in found["choices"]["conn_id"]) is client_sees
        assert ("client=hush" in found["choices"]["label"]) is client_sees
    assert sum(day["jobs"] for day in seen["per_day"]) >= sum(day["jobs"] for day in kept_from["per_day"])


def test_what_is_authorized_is_what_is_shown(ben: httpx.Client, server: Server, hidden: Task) -> None:
    """Two DAGs in one address: whichever counts, it counts for both."""
    allowed = new_task(server)
    for first, second in ((allowed, hidden), (hidden, allowed)):
        query = [*first.key.items(), ("dag_id", second.key["dag_id"])]
        answer = ben.get("api/task", params=query)
        assert answer.status_code in (403, 404)
        answer = ben.get("api/task", params=[*query, *second.key.items()])
        if answer.status_code == 200:
            assert answer.json()["dag_id"] == allowed.key["dag_id"]


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "null"])
def test_a_token_that_is_none_opens_nothing(server: Server, token: str, hidden: Task) -> None:
    with httpx.Client(base_url=f"{server.url}/lipsync", cookies={"_token": token}, trust_env=False) as client:
        assert client.get("api/task", params=hidden.key).status_code in (401, 403)
        assert client.get("player", params=hidden.key, headers=HTML).status_code == 307


def test_an_airflow_that_answers_in_a_way_that_is_not_known_shows_nothing(server: Server) -> None:
    """An answer that is not awaited yet looks true."""
    said = server.call("asks_an_airflow_that_answers_later", dag_id="show")
    assert all("nothing is shown" in one for one in said)
    assert len(said) == 2


# Logging in.


def back_from(location: str) -> str:
    """Return where a login leads back to; Airflow 3.1 is told it quoted twice, for it forgets to quote."""
    told = parse_qs(urlsplit(location).query)["next"][0]
    return unquote(told) if told.startswith("%2F") else told


def test_who_opens_a_page_is_sent_to_the_login_and_back(nobody: httpx.Client, server: Server) -> None:
    task = new_task(server)
    sent = nobody.get("player", params=task.key, headers=HTML)
    login = urlsplit(sent.headers["location"])
    assert (login.scheme, login.netloc, login.path) == ("", "", "/api/v2/auth/login")
    taken = httpx.get(f"{server.url}{sent.headers['location']}", trust_env=False)
    assert taken.status_code == 307, taken.text  # Airflow takes the address for a safe one
    back = parse_qs(urlsplit(taken.headers["location"]).query)["next"][0]  # as the form of the login reads it
    assert urlsplit(back).path == "/lipsync/player"
    with server.client("ann") as ann:
        found = ann.get(f"{server.url}{back}")
        assert found.status_code == 200
        assert dict(found.request.url.params) == {name: str(value) for name, value in task.key.items()}


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"next": "https://evil.example"}, id="next"),
        pytest.param({"dag_id": "https://evil.example/"}, id="a parameter that is an address"),
        pytest.param({"dag_id": "x\r\nSet-Cookie: a=b"}, id="a header in a parameter"),
        pytest.param({"dag_id": "x" * 5000}, id="a long one"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"host": "evil.example"}, {"x-forwarded-host": "evil.example"}])
def test_the_login_leads_to_this_airflow_alone(
    nobody: httpx.Client, query: dict[str, str], headers: dict[str, str]
) -> None:
    sent = nobody.get("player", params=query, headers={**HTML, **headers})
    assert sent.status_code == 307
    location = sent.headers["location"]
    assert location.startswith("/api/v2/auth/login?next=%2")
    assert back_from(location).startswith("/lipsync/player")
    assert "next=https" not in location
    assert len(location) < 5000
    assert "set-cookie" not in sent.headers


def test_below_a_path_of_a_proxy_the_login_is_below_it_too(server: Server) -> None:
    found = server.call("login_address", base_url="https://host/team/airflow", path="/run", query="dag_id=a&run_id=b")
    assert found.startswith("/team/airflow/api/v2/auth/login?next=%2")
    assert back_from(found) == "/team/airflow/lipsync/run?dag_id=a&run_id=b"


# Odd requests.


@pytest.mark.parametrize("path", ["api/task", "video", "poster"])
@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"dag_id": None}, 422, id="no DAG"),
        pytest.param({"dag_id": ""}, 422, id="empty DAG"),
        pytest.param({"dag_id": "nosuch"}, 404, id="a DAG that is not there"),
        pytest.param({"dag_id": "~"}, 404, id="all DAGs"),
        pytest.param({"run_id": None}, 422, id="no run"),
        pytest.param({"run_id": "nosuch"}, 404, id="a run that is not there"),
        pytest.param({"run_id": "~"}, 404, id="all runs"),
        pytest.param({"task_id": None}, 422, id="no task"),
        pytest.param({"task_id": "<script>alert(1)</script>"}, 404, id="a script"),
        pytest.param({"task_id": "x" * 1000}, 422, id="far too long"),
        pytest.param({"map_index": "7"}, 404, id="an index that is not there"),
        pytest.param({"map_index": "x"}, 422, id="an index that is none"),
        pytest.param({"map_index": "-2"}, 422, id="an index below all"),
        pytest.param({"map_index": "9" * 11}, 422, id="an index without end"),
        pytest.param({"map_index": "٣"}, 422, id="a digit of another script"),
    ],
)
def test_odd_parameters_are_refused_in_a_sentence(
    server: Server, ann: httpx.Client, path: str, change: dict[str, Any], status: int
) -> None:
    query = {name: value for name, value in {**_render(server), **change}.items() if value is not None}
    answer = ann.get(path, params=query)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"detail"}
    assert "Traceback" not in answer.text
    assert "script" not in answer.text


@pytest.mark.parametrize("index", [None, "", "-1", "{MAP_INDEX}"])
def test_an_unmapped_task_is_found_by_every_way_to_name_it(
    server: Server, ann: httpx.Client, index: str | None
) -> None:
    query = {**_render(server), "map_index": index}
    found = ann.get("api/task", params={name: value for name, value in query.items() if value is not None})
    assert found.json()["map_index"] == -1


def test_a_run_whose_plus_signs_became_spaces_is_found(server: Server, ann: httpx.Client) -> None:
    """Airflow 3.1 puts run ids into addresses as they are."""
    key = _render(server)
    assert "+" in key["run_id"]
    query = "&".join(f"{name}={value}" for name, value in key.items())
    assert ann.get(f"api/task?{query}").json()["run_id"] == key["run_id"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "before=nan", "before=inf", "before=-1", "before=1e300", f"label={'x' * 1001}"],
)
def test_odd_parameters_of_the_jobs_are_refused(ann: httpx.Client, query: str) -> None:
    answer = ann.get(f"api/jobs?{query}")
    assert answer.status_code == 422
    assert set(answer.json()) == {"detail"}


def test_a_page_says_what_is_wrong_in_plain_text(ben: httpx.Client, hidden: Task) -> None:
    answer = ben.get("player", params=hidden.key, headers=HTML)
    assert (answer.status_code, answer.text) == (403, "Forbidden")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "name",
    [
        "nosuch.js",
        "player.html",
        "..%2Flipsync.py",
        "%2e%2e%2flipsync.py",
        "..%5Clipsync.py",
        ".js",
        "player.js%00",
        "a/b.js",
    ],
)
def test_only_assets_are_assets(ann: httpx.Client, name: str) -> None:
    assert ann.get(f"assets/{name}").status_code == 404


def test_every_answer_keeps_browsers_from_guessing(ann: httpx.Client, nobody: httpx.Client, server: Server) -> None:
    key = _render(server)
    for client in (ann, nobody):
        for path in ("player", "api/task", "video", "assets/player.js", "api/jobs", "nosuch"):
            answer = client.get(path, params=key)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert "no-store" in answer.headers["cache-control"] or "private" in answer.headers["cache-control"], path


def test_pages_load_nothing_of_strangers(ann: httpx.Client, server: Server) -> None:
    run = new_run(server)
    for path in ("player", "run", "jobs"):
        answer = ann.get(path, params={"dag_id": "show", "run_id": run, "task_id": "render"})
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert (
            policy["script-src"]
            == policy["style-src"]
            == policy["connect-src"]
            == policy["frame-ancestors"]
            == "'self'"
        )


def _render(server: Server) -> dict[str, Any]:
    if not hasattr(server, "render"):
        server.render = new_task(server).key  # type: ignore[attr-defined]
    return dict(server.render)  # type: ignore[attr-defined]
