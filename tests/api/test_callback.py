"""Tokens of callback URLs: what was signed is read again, and nothing else is."""

from __future__ import annotations

import base64
import json
import string
import zlib
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lipsync.api import callback as module
from airflow_provider_lipsync.api.callback import (
    LONGEST_TOKEN,
    SHORTEST_SECRET,
    Callback,
    CallbackRefused,
    make_token,
    read_token,
)

NOW = 1_800_000_000.0
SECRET, OTHER = "5f1c8e2a9b7d4063" * 2, "0123456789abcdef" * 2
CALLBACK = Callback(
    conn_id="lipsync_default",
    dag_id="show",
    run_id="scheduled__2026-01-05T00:00:00+00:00",
    task_id="group.render",
    map_index=-1,
    nonce="7c9e6679f7f14b4c8f3d0d9c3a1b2c4d",
    expires_at=int(NOW) + 5400,
)
SECRETS = {"lipsync_default": (SECRET,)}
ALPHABET = string.ascii_letters + string.digits + "-_."

names = st.text(st.characters(categories=("L", "N"), include_characters="_.-~:+"), min_size=1, max_size=250)


def signed(content: object, *, secret: str = SECRET) -> str:
    """Sign anything, as a holder of the secret could."""
    raw = content if isinstance(content, bytes) else zlib.compress(json.dumps(content).encode())
    payload = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return f"{payload}.{module._encoded(module._signature(payload, secret))}"


def refused(token: str, *, secrets: Any = SECRETS, now: float = NOW) -> str:
    with pytest.raises(CallbackRefused) as error:
        read_token(token, secrets=secrets, now=now)
    return error.value.reason


@given(conn_id=names, dag_id=names, run_id=names, task_id=names, map_index=st.integers(-1, 2**31 - 1))
def test_what_was_signed_is_read_again_and_can_stand_in_a_path(
    conn_id: str, dag_id: str, run_id: str, task_id: str, map_index: int
) -> None:
    made = replace(CALLBACK, conn_id=conn_id, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    token = make_token(made, secret=SECRET)
    assert quote(token, safe="") == token
    assert read_token(token, secrets={conn_id: (SECRET,)}, now=NOW) == made


@pytest.mark.parametrize(
    ("letters", "longest"),
    [
        pytest.param(string.ascii_letters + string.digits + "_.-", 1250, id="ASCII"),
        pytest.param("".join(map(chr, range(0x20000, 0x2A6D0))), 4000, id="letters of four bytes"),
    ],
)
def test_the_longest_names_fit(letters: str, longest: int) -> None:
    name = "".join(letters[(7919 * index) % len(letters)] for index in range(1000))
    parts = {key: name[250 * at : 250 * at + 250] for at, key in enumerate(("conn_id", "dag_id", "run_id", "task_id"))}
    made = replace(CALLBACK, map_index=2**31 - 1, **parts)
    token = make_token(made, secret=SECRET)
    assert len(token) <= longest <= LONGEST_TOKEN
    assert read_token(token, secrets={parts["conn_id"]: (SECRET,)}, now=NOW) == made


@given(data=st.data())
def test_a_token_that_was_altered_anywhere_is_not_believed(data: st.DataObject) -> None:
    token = make_token(CALLBACK, secret=SECRET)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from([letter for letter in ALPHABET if letter != token[at]]))
    altered = data.draw(
        st.sampled_from(
            [
                token[:at] + letter + token[at + 1 :],
                token[:at],
                token[at + 1 :],
                token[:at] + letter + token[at:],
                token + letter,
                token.swapcase(),
                ".".join(reversed(token.split("."))),
            ]
        )
    )
    assert refused(altered) in ("forged", "malformed")


@pytest.mark.parametrize(
    "token",
    ["", ".", "a.", ".a", "a", "é.é", "a" * LONGEST_TOKEN + ".a"],
    ids=["empty", "a dot", "no signature", "no payload", "no dot", "letters", "too long"],
)
def test_what_has_not_the_form_of_a_token_is_malformed(token: str) -> None:
    assert refused(token) == "malformed"


def test_it_expires() -> None:
    token = make_token(CALLBACK, secret=SECRET)
    assert read_token(token, secrets=SECRETS, now=CALLBACK.expires_at - 1) == CALLBACK
    assert refused(token, now=CALLBACK.expires_at) == "expired"


def test_the_secret_before_is_believed_for_as_long_as_it_is_given() -> None:
    token = make_token(CALLBACK, secret=OTHER)
    assert refused(token) == "forged"
    assert read_token(token, secrets={"lipsync_default": (SECRET, OTHER)}, now=NOW) == CALLBACK


def test_the_secret_of_one_connection_signs_for_no_other() -> None:
    token = make_token(CALLBACK, secret=OTHER)
    assert refused(token, secrets={"lipsync_default": (SECRET,), "brand": (OTHER,)}) == "forged"
    assert refused(token, secrets={}) == "forged"


def test_connections_may_share_a_secret() -> None:
    token = make_token(CALLBACK, secret=SECRET)
    assert read_token(token, secrets={"brand": (SECRET,), "lipsync_default": (SECRET,)}, now=NOW) == CALLBACK


def test_the_same_secret_used_for_something_else_signs_nothing_of_ours() -> None:
    import hmac

    payload = make_token(CALLBACK, secret=SECRET).split(".")[0]
    plain = hmac.digest(SECRET.encode(), payload.encode(), "sha256")
    assert refused(f"{payload}.{module._encoded(plain)}") == "forged"


def test_nothing_is_unpacked_before_the_signature_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(payload: str) -> None:
        raise AssertionError(payload)

    monkeypatch.setattr(module, "_unpacked", unpack)
    assert refused(signed(["lipsync_default"], secret=OTHER)) == "forged"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no zlib", id="not packed"),
        pytest.param(zlib.compress(b"0" * 50_000_000), id="a bomb"),
        pytest.param(zlib.compress(b"[" * 15_000), id="deep"),
        pytest.param(["a", "d", "r", "t", -1, "n"], id="too few"),
        pytest.param({"conn_id": "a"}, id="no list"),
        pytest.param(["lipsync_default", "d", "r", "t", True, "n", int(NOW) + 9], id="an index that is a truth"),
        pytest.param(["lipsync_default", "d", "r", "t", -2, "n", int(NOW) + 9], id="an index below -1"),
        pytest.param(["lipsync_default", "d", "r", "", -1, "n", int(NOW) + 9], id="no task"),
        pytest.param(["lipsync_default", "d", "r", ["t"], -1, "n", int(NOW) + 9], id="a task that is a list"),
        pytest.param(["lipsync_default", "d", "r", "t", -1, "n", 1e400], id="never"),
    ],
)
def test_what_a_holder_of_the_secret_signed_and_is_nothing_of_ours_is_malformed(content: object) -> None:
    assert refused(signed(content)) == "malformed"


def test_a_refusal_repeats_nothing() -> None:
    with pytest.raises(CallbackRefused) as error:
        read_token("attack.attack", secrets=SECRETS, now=NOW)
    assert "attack" not in f"{error.value!r}{error.value}"


def test_a_secret_is_long_enough_not_to_be_guessed() -> None:
    assert SHORTEST_SECRET >= 16
