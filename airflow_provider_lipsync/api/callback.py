"""Tokens of callback URLs: which purchase a webhook delivery is of, signed, so that nobody else can make one. Pure.

The vendor signs nothing, so the URL itself has to be unguessable. A token is no proof of what its delivery says.
"""

from __future__ import annotations

import base64
import hmac
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

__all__ = ["LONGEST_TOKEN", "SHORTEST_SECRET", "Callback", "CallbackRefused", "make_token", "read_token"]

# Ids have up to 250 characters each: four of them make some 1,150 characters of a token where they are random ASCII,
# and 3,700 where each letter takes four bytes. nginx takes 8 KB for the first line of a request.
LONGEST_TOKEN = 6000
SHORTEST_SECRET = 16  # characters; it takes some 2**80 guesses from there on if they are random

_PURPOSE = b"airflow-provider-lipsync webhook 1\n"  # a secret that is used for something else signs none of ours
_MOST_BYTES = 20_000  # of a token that is unpacked; only what was signed is
_LATEST = 253_402_300_799  # seconds since the epoch: the year 9999

Reason = Literal["malformed", "forged", "expired"]


class CallbackRefused(ValueError):
    """A token is not believed. It holds nothing of the token.

    :param reason: a fixed word.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, kw_only=True)
class Callback:
    """The purchase that a delivery is of.

    :param conn_id: the connection it was bought by.
    :param nonce: the ledger's name of this one purchase.
    :param expires_at: seconds since the epoch.
    """

    conn_id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    nonce: str
    expires_at: int


def make_token(callback: Callback, *, secret: str) -> str:
    """Return the token: two words of ``A-Z a-z 0-9 _ -`` and a dot between them.

    :param secret: of the connection; at least :data:`SHORTEST_SECRET` characters.
    """
    packed = zlib.compress(json.dumps(astuple(callback), separators=(",", ":"), ensure_ascii=False).encode(), 9)
    payload = _encoded(packed)
    return f"{payload}.{_encoded(_signature(payload, secret))}"


def read_token(token: str, *, secrets: Mapping[str, Sequence[str]], now: float) -> Callback:
    """Return what a token stands for. Nothing of it is unpacked before its signature is right.

    It takes as long whichever secret signed it, or none.

    :param secrets: those that are believed, by connection: the present one, and those before it.
    :param now: seconds since the epoch.
    :raises CallbackRefused: it is not believed.
    """
    payload, dot, signature = token.partition(".")
    if not (0 < len(token) <= LONGEST_TOKEN and token.isascii() and dot and payload and signature):
        raise CallbackRefused("malformed")
    given = signature.encode()
    compared = [  # every one, whatever the ones before it said
        (conn_id, hmac.compare_digest(_encoded(_signature(payload, secret)).encode(), given))
        for conn_id, known in secrets.items()
        for secret in known
    ]
    signers = {conn_id for conn_id, is_signer in compared if is_signer}
    if not signers:
        raise CallbackRefused("forged")
    callback = _unpacked(payload)
    if callback.conn_id not in signers:  # signed by the secret of another connection
        raise CallbackRefused("forged")
    if callback.expires_at <= now:
        raise CallbackRefused("expired")
    return callback


def _signature(payload: str, secret: str) -> bytes:
    return hmac.digest(secret.encode(), _PURPOSE + payload.encode(), "sha256")


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpacked(payload: str) -> Callback:
    """Return what was signed.

    :raises CallbackRefused: it is nothing of ours: a holder of the secret signed something else.
    """
    try:
        unpacker = zlib.decompressobj()
        packed = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
        raw = unpacker.decompress(packed, _MOST_BYTES)
        conn_id, dag_id, run_id, task_id, map_index, nonce, expires_at = json.loads(raw)
    except (ValueError, TypeError, RecursionError, zlib.error):
        raise CallbackRefused("malformed") from None
    texts = (conn_id, dag_id, run_id, task_id, nonce)
    if not all(isinstance(text, str) and text for text in texts):
        raise CallbackRefused("malformed")
    if not (_is_whole(map_index, -1, 2**31) and _is_whole(expires_at, 0, _LATEST)):
        raise CallbackRefused("malformed")
    return Callback(
        conn_id=conn_id,
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        nonce=nonce,
        expires_at=expires_at,
    )


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
