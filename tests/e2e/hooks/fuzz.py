"""Requests that no receiver may believe, made of tokens that are good and jobs that have ended: a good one would count.

Each is written down byte by byte; the kinds are told in the test's table.
"""

from __future__ import annotations

import json
import random
import string
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_lipsync.api.callback import LONGEST_TOKEN, Callback, make_token
from tests.support.hooks import RECEIVER, Told
from tests.support.raw_http import write_request

ALPHABET = string.ascii_letters + string.digits + "-_"
MOST_BYTES = 64 * 1024  # of a body that is taken
LOOKED_INTO = 3  # requests for each good one, of each kind that is looked into
METHODS = ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Good:
    """What the vendor sends for a job that has ended."""

    told: Told
    body: bytes
    secret: str

    @property
    def token(self) -> str:
        return self.told.token

    @property
    def parts(self) -> tuple[str, str]:
        payload, _, signature = self.token.partition(".")
        return payload, signature


@dataclass(frozen=True)
class Bad:
    """A request that must be refused."""

    kind: str
    request: bytes


class Forger:
    """Makes bad requests of good ones.

    :param goods: nobody has told of their jobs yet; two at the least.
    :param foreign_secret: of a connection that none of them was bought by.
    """

    def __init__(self, goods: Sequence[Good], *, foreign_secret: str, host: str, seed: int) -> None:
        self._goods, self._foreign, self.host = goods, foreign_secret, host
        self._chance = random.Random(seed)

    def kinds(self) -> dict[str, Callable[[Good], bytes]]:
        """Return what makes a request of each kind."""
        return {**self._tokens(), **self._targets(), **self._bodies(), **self._heads()}

    def make(self, number: int) -> Iterator[Bad]:
        """Make so many requests, all kinds in turn; of those that are looked into, a few for each good one."""
        for good in self._goods:
            for kind, make in self._looked_into().items():
                for _ in range(LOOKED_INTO):
                    yield Bad(kind, make(good))
        kinds = list(self.kinds().items())
        for index in range(number - len(self._goods) * len(self._looked_into()) * LOOKED_INTO):
            kind, make = kinds[index % len(kinds)]
            yield Bad(kind, make(self._chance.choice(self._goods)))

    def good(self, good: Good) -> bytes:
        """Return the request that is to be believed."""
        return self._post(good.token, good.body)

    # Tokens

    def _tokens(self) -> dict[str, Callable[[Good], bytes]]:
        def with_token(make: Callable[[Good], str]) -> Callable[[Good], bytes]:
            return lambda good: self._post(make(good), good.body)

        changes: dict[str, Callable[[Good], str]] = {
            "a character changed": lambda good: self._changed(good.token),
            "some characters changed": lambda good: self._changed(good.token, self._chance.randint(2, 12)),
            "a bit flipped": self._flipped,
            "a signature changed": lambda good: f"{good.parts[0]}.{self._changed(good.parts[1])}",
            "a last bit changed that base64 leaves out": self._with_loose_bits,
            "cut off": lambda good: good.token[: self._chance.randint(0, len(good.token) - 1)],
            "its beginning cut off": lambda good: good.token[self._chance.randint(1, len(good.token) - 1) :],
            "a character left out": self._without_one,
            "extended": lambda good: good.token + self._noise(self._chance.randint(1, 40)),
            "extended at the front": lambda good: self._noise(self._chance.randint(1, 40)) + good.token,
            "padded": lambda good: good.token + self._chance.choice(["=", "==", ".", "..", ".=", "=."]),
            "parts swapped": lambda good: ".".join(reversed(good.parts)),
            "another's signature": lambda good: f"{good.parts[0]}.{self._other(good).parts[1]}",
            "three parts": lambda good: f"{good.token}.{self._other(good).parts[1]}",
            "no signature": lambda good: self._chance.choice([good.parts[0], good.parts[0] + "."]),
            "no payload": lambda good: self._chance.choice([good.parts[1], "." + good.parts[1]]),
            "two tokens": lambda good: good.token + self._other(good).token,
            "case changed": self._with_other_case,
            "all case changed": lambda good: good.token.swapcase(),
            "signed by another connection": lambda good: make_token(good.told.callback, secret=self._foreign),
            "signed by its own id": lambda good: make_token(good.told.callback, secret="lipsync_default" * 2),
            "signed by noise": lambda good: make_token(good.told.callback, secret=self._noise(32)),
            "expired": lambda good: make_token(self._expired(good.told.callback), secret=good.secret),
            "noise": lambda good: self._noise(len(good.parts[0])) + "." + self._noise(43),
            "short noise": lambda good: self._noise(self._chance.randint(1, 8)),
            "too long": lambda good: good.token + "A" * (LONGEST_TOKEN + self._chance.randint(1, 900)),
        }
        return {f"token: {kind}": with_token(make) for kind, make in changes.items()}

    def _changed(self, text: str, times: int = 1) -> str:
        letters = list(text)
        places = self._chance.sample([at for at, letter in enumerate(letters) if letter != "."], times)
        for at in places:
            letters[at] = self._chance.choice([letter for letter in ALPHABET if letter != letters[at]])
        return "".join(letters)

    def _flipped(self, good: Good) -> str:
        """Flip a bit of a character, so that what comes out can stand in the first line of a request."""
        while True:
            at, bit = self._chance.randrange(len(good.token)), 1 << self._chance.randrange(7)
            letter = chr(ord(good.token[at]) ^ bit)
            if letter.isprintable() and letter not in " #?%/":
                return good.token[:at] + letter + good.token[at + 1 :]

    def _with_loose_bits(self, good: Good) -> str:
        """Change bits of the signature's last character that stand for nothing: it means the same bytes."""
        value = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return good.token[:-1] + value[value.index(good.token[-1]) ^ self._chance.randint(1, 3)]

    def _without_one(self, good: Good) -> str:
        at = self._chance.randrange(len(good.token))
        return good.token[:at] + good.token[at + 1 :]

    def _with_other_case(self, good: Good) -> str:
        at = self._chance.choice([at for at, letter in enumerate(good.token) if letter.isalpha()])
        return good.token[:at] + good.token[at].swapcase() + good.token[at + 1 :]

    def _expired(self, callback: Callback) -> Callback:
        return replace(
            callback, expires_at=self._chance.choice([0, 1, int(time.time()) - 1, int(time.time()) - 86_400])
        )

    def _other(self, good: Good) -> Good:
        return self._chance.choice([other for other in self._goods if other is not good])

    def _noise(self, length: int) -> str:
        return "".join(self._chance.choices(ALPHABET, k=length))

    # The rest of the first line

    def _targets(self) -> dict[str, Callable[[Good], bytes]]:
        def at(make: Callable[[str], str]) -> Callable[[Good], bytes]:
            return lambda good: write_request("POST", make(good.token), good.body, host=self.host, headers=JSON)

        encoded = self._encoded
        return {
            "path: a character percent-encoded": at(lambda token: RECEIVER + encoded(token)),
            "path: the dot percent-encoded": at(lambda token: RECEIVER + token.replace(".", "%2e")),
            "path: encoded twice": at(lambda token: RECEIVER + encoded(token).replace("%", "%25")),
            "path: a null byte": at(lambda token: f"{RECEIVER}{token}%00"),
            "path: an overlong dot": at(lambda token: RECEIVER + token.replace(".", "%c0%ae")),
            "path: a broken escape": at(lambda token: f"{RECEIVER}{token}%zz"),
            "path: a line break": at(lambda token: f"{RECEIVER}{token}%0d%0aX-Lipsync:%20yes"),
            "path: a slash behind it": at(lambda token: f"{RECEIVER}{token}/"),
            "path: more behind it": at(lambda token: f"{RECEIVER}{token}/{self._noise(5)}"),
            "path: a slash in it": at(lambda token: RECEIVER + token.replace(".", "/")),
            "path: two slashes": at(lambda token: f"{RECEIVER}/{token}"),
            "path: in capitals": at(lambda token: f"{RECEIVER.upper()}{token}"),
            "path: no token": at(lambda token: self._chance.choice([RECEIVER, RECEIVER.rstrip("/")])),
            "path: in the query": at(lambda token: f"{RECEIVER}?token={token}"),
        }

    def _encoded(self, token: str) -> str:
        at = self._chance.randrange(len(token))
        return f"{token[:at]}%{ord(token[at]):02X}{token[at + 1 :]}"

    # Bodies, under a good token

    def _looked_into(self) -> dict[str, Callable[[Good], bytes]]:
        """Return the kinds that only the ledger shows to be wrong: the receiver takes ten of a purchase at once."""
        return {
            "body: the id of another job": lambda good: self._post(good.token, self._of_another(good)),
            "body: an unknown id": lambda good: self._post(good.token, with_job(id=self._noise(36))(good)),
        }

    def _of_another(self, good: Good) -> bytes:
        return with_job(id=self._other(good).told.job_id)(good)

    def _bodies(self) -> dict[str, Callable[[Good], bytes]]:
        def with_body(make: Callable[[Good], bytes]) -> Callable[[Good], bytes]:
            return lambda good: self._post(good.token, make(good))

        bodies: dict[str, Callable[[Good], bytes]] = {
            "too large": lambda good: good.body + b" " * (MOST_BYTES + self._chance.randint(0, 9000)),
            "too large a field": with_job(error="A" * MOST_BYTES),
            "deep array": lambda _: b"[" * self._chance.choice([60, 2000, 30_000]),
            "deep and closed": lambda _: self._deep(self._chance.choice([60, 900, 9000])),
            "deep in a field": lambda good: good.body[:-1] + b',"x":' + self._deep(900) + b"}",
            "deep objects": lambda _: b'{"id":' * 3000 + b"1" + b"}" * 3000,
            "empty": lambda _: b"",
            "cut off": lambda good: good.body[: self._chance.randint(1, len(good.body) - 1)],
            "more behind it": lambda good: good.body + self._chance.choice([b"{}", b"x", b"\x00", good.body]),
            "no UTF-8": lambda good: good.body.replace(b'"id"', b'"id\xff"'),
            "UTF-16": lambda good: good.body.decode().encode("utf-16"),
            "an array": lambda good: b"[" + good.body + b"]",
            "a text": lambda good: json.dumps(good.body.decode()).encode(),
            "a number": lambda _: self._chance.choice([b"0", b"1e999", b"-1", b"NaN", b"true", b"null"]),
            "a form": lambda good: f"id={good.told.job_id}&status=completed".encode(),
            "an id with a blank": lambda good: with_job(id=good.told.job_id + " ")(good),
            "an id that is a path": lambda good: with_job(id=f"../jobs/{good.told.job_id}")(good),
            "no id": lambda good: _without(good, "id"),
            "no status": lambda good: _without(good, "status"),
        }
        for mistyped in (None, 7, 1.5, True, [], {}, ["x"]):
            bodies[f"id {mistyped!r}"] = with_job(id=mistyped)
            bodies[f"status {mistyped!r}"] = with_job(status=mistyped)
        return {f"body: {kind}": with_body(make) for kind, make in bodies.items()}

    def _deep(self, levels: int) -> bytes:
        return b"[" * levels + b"]" * levels

    # Methods and headers, under a good token

    def _heads(self) -> dict[str, Callable[[Good], bytes]]:
        def headed(method: str = "POST", **headers: str) -> Callable[[Good], bytes]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return lambda good: write_request(
                method, RECEIVER + good.token, good.body, host=self.host, headers=JSON | named
            )

        types = ("text/plain", "text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
        return {
            **{f"method {method}": headed(method) for method in METHODS},
            **{f"content type {kind}": headed(Content_Type=kind) for kind in (*types, "", "application/jsonp")},
            "no content type": lambda good: write_request(
                "POST", RECEIVER + good.token, good.body, host=self.host, headers={}
            ),
            "method overridden": headed("GET", X_HTTP_Method_Override="POST"),
            "chunked and too large": lambda good: self._chunked(good, MOST_BYTES + 1),
        }

    def _chunked(self, good: Good, size: int) -> bytes:
        head = write_request(
            "POST",
            RECEIVER + good.token,
            host=self.host,
            headers={**JSON, "Content-Length": None, "Transfer-Encoding": "chunked"},
        )
        body = good.body + b" " * size
        return head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"

    def _post(self, token: str, body: bytes) -> bytes:
        return write_request("POST", RECEIVER + token, body, host=self.host, headers=JSON)


def with_job(**changed: Any) -> Callable[[Good], bytes]:
    """Return what changes the fields of a body."""
    return lambda good: json.dumps({**json.loads(good.body), **changed}).encode()


def _without(good: Good, name: str) -> bytes:
    job = json.loads(good.body)
    del job[name]
    return json.dumps(job).encode()
