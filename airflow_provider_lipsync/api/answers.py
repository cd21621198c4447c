"""What an answer means, by pure functions: no socket and no httpx.

An answer may be anything at all (HTML, nothing, half of something, wrong types): each becomes a job or a typed error.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_lipsync.api.models import Endpoint, Job, JobStatus
from airflow_provider_lipsync.api.retry import parse_retry_after
from airflow_provider_lipsync.api.texts import is_http_url, is_job_id
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncBadInput,
    LipsyncError,
    LipsyncKeyRefused,
    LipsyncMisconfigured,
    LipsyncNoCredits,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
    LipsyncTooLarge,
    LipsyncUnknownJob,
    LipsyncUnreachable,
    LipsyncUnreadableAnswer,
    LipsyncVendorFault,
)

__all__ = [
    "LONGEST_ANSWER",
    "Answer",
    "NoAnswer",
    "parse_job",
    "parse_submit",
    "read_job",
    "scrub",
]

LONGEST_ANSWER = 256 * 1024  # bytes; a job's answer has a few hundred
_LONGEST_WORDS = 300  # characters of the vendor's words that an error repeats
_REFUSED: Mapping[int, type[LipsyncError]] = {
    400: LipsyncBadInput,
    401: LipsyncKeyRefused,
    402: LipsyncNoCredits,
    403: LipsyncKeyRefused,
    413: LipsyncTooLarge,
    422: LipsyncBadInput,
}
_NO_ENDPOINT = (404, 405, 410)  # of a submit: the base URL is not the API's


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    :param headers: names in lower case.
    :param body: at most :data:`LONGEST_ANSWER` bytes.
    :param complete: False where the body was longer than that, or broke off.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """No answer came: ``left`` tells whether the request may have reached the vendor."""

    left: bool
    reason: str


def parse_submit(reply: Answer | NoAnswer, *, endpoint: Endpoint, api_key: str) -> Job:
    """Return the job that a submit bought.

    :raises LipsyncUnreachable: it never left: it may be sent again.
    :raises LipsyncRateLimited: refused with 429: it may be sent again.
    :raises LipsyncBadInput, LipsyncKeyRefused, LipsyncNoCredits, LipsyncTooLarge, LipsyncMisconfigured: refused.
    :raises LipsyncSubmitUncertain: anything else. The job may exist and may have been charged.
    """
    if isinstance(reply, NoAnswer):
        if not reply.left:
            message = f"the submit never reached the vendor: {scrub(reply.reason, api_key)}"
            raise LipsyncUnreachable(message, charged=Charged.NO)
        raise _uncertain(f"the answer to the submit was lost: {scrub(reply.reason, api_key)}")
    status, words = reply.status, _words(reply, api_key)
    if 200 <= status < 300:
        found = _json_object(reply)
        job_id = _job_id(found) or _salvaged_id(reply)
        if job_id is None:
            raise _uncertain(f"the vendor answered {status} without a job id", reply, words)
        told = {**found, "status": found.get("status") or JobStatus.PROCESSING}
        return read_job(job_id, told, api_key=api_key, model=endpoint)
    if 300 <= status < 400:
        raise LipsyncMisconfigured(
            f"the submit was redirected ({status}), which is never followed: the base URL is not the API's",
            status=status,
        )
    if status in _REFUSED:
        raise _REFUSED[status](f"the vendor refused the submit ({status})", status=status, vendor_message=words)
    if status in _NO_ENDPOINT:
        message = f"the server has no endpoint {endpoint} ({status}): the base URL is not the API's"
        raise LipsyncMisconfigured(message, status=status, vendor_message=words)
    if status == 429:
        raise _rate_limited(reply, words, charged=Charged.NO)
    raise _uncertain(f"the vendor answered {status} to the submit", reply, words)


def parse_job(reply: Answer | NoAnswer, *, job_id: str, api_key: str) -> Job:
    """Return the job that a query found.

    :raises LipsyncPollFault: the look did not work (its subclasses say why); it says nothing about the job.
    :raises LipsyncUnknownJob, LipsyncKeyRefused, LipsyncMisconfigured, LipsyncBadInput: the vendor refused to tell.
    """
    known: dict[str, Any] = {"job_id": job_id, "charged": Charged.YES}
    if isinstance(reply, NoAnswer):
        raise LipsyncUnreachable(f"no answer from the vendor: {scrub(reply.reason, api_key)}", **known)
    status, found = reply.status, _json_object(reply)
    if 200 <= status < 300 and (_job_id(found) or "").lower() == job_id.lower():
        return read_job(job_id, found, api_key=api_key)
    words = _words(reply, api_key)
    known |= {"status": status, "vendor_message": words}
    if 200 <= status < 300:
        raise LipsyncUnreadableAnswer("the answer is not the job that was asked for", **known)
    if 300 <= status < 400:
        raise LipsyncMisconfigured(f"the query was redirected ({status}): the base URL is not the API's", **known)
    if status == 404:
        raise LipsyncUnknownJob("the vendor does not know this job (404)", **known | {"charged": Charged.UNKNOWN})
    if status == 429:
        raise _rate_limited(reply, words, job_id=job_id, charged=Charged.YES)
    if status >= 500 or status == 408:
        retry_after = parse_retry_after(reply.headers.get("retry-after"), now=time.time())
        raise LipsyncVendorFault(f"the vendor's server failed ({status})", retry_after=retry_after, **known)
    if status in _REFUSED:
        raise _REFUSED[status](f"the vendor refused the query ({status})", **known)
    raise LipsyncUnreadableAnswer(f"the vendor answered {status} to the query, which it does not document", **known)


def read_job(job_id: str, found: Mapping[str, Any], *, api_key: str = "", model: str | None = None) -> Job:
    """Return the job that an object in the vendor's shape describes; fields of a wrong type count as not given.

    :param api_key: cut out of the vendor's words, should they repeat it.
    :param model: what to take where the object names no model.
    """
    raw_status = _bounded(found.get("status"), api_key)
    seconds = found.get("executionTime")
    named, output = found.get("model"), found.get("output")
    return Job(
        id=job_id,
        status=JobStatus(raw_status) if raw_status in ("processing", "completed", "failed") else JobStatus.UNKNOWN,
        raw_status=raw_status,
        model=_bounded(named, api_key) if isinstance(named, str) and named else model,
        output=output if is_http_url(output) else None,
        error=_bounded(found.get("error") or "", api_key),
        execution_time=seconds if _is_plain_number(seconds) else None,
    )


def _is_plain_number(value: object) -> bool:
    """Whether a value is a number that JSON and every XCom backend can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def _job_id(found: Mapping[str, Any]) -> str | None:
    value = found.get("id")
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if is_job_id(text) else None


def _salvaged_id(answer: Answer) -> str | None:
    """Return the id from an answer that broke off behind it: it was paid for."""
    found = re.match(rb'\s*\{\s*"id"\s*:\s*"([^"\\]+)"', _content(answer))
    text = found.group(1).decode(errors="replace") if found else ""
    return text if is_job_id(text) else None


def _json_object(answer: Answer) -> Mapping[str, Any]:
    """Return the JSON object of an answer; an empty one for whatever else came."""
    try:
        found = json.loads(_content(answer)) if answer.complete else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _content(answer: Answer) -> bytes:
    """Return the body, unpacked where it came packed unasked; never more than :data:`LONGEST_ANSWER` bytes."""
    if answer.headers.get("content-encoding", "identity").lower() not in ("gzip", "deflate"):
        return answer.body
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(answer.body, LONGEST_ANSWER)
    except zlib.error:
        return b""


def _words(answer: Answer, api_key: str) -> str:
    """Return the vendor's own words from a body of any kind: bounded, on one line, without the key."""
    found = _json_object(answer)
    for name in ("error", "message", "detail"):
        if found.get(name):
            return _bounded(found[name], api_key)
    text = scrub(_content(answer).decode(errors="replace"), api_key)[: 16 * _LONGEST_WORDS]
    return _bounded(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE), api_key)


def _bounded(value: Any, api_key: str) -> str:
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        value = value["message"]
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = scrub(text, api_key)[: 16 * _LONGEST_WORDS]  # scrubbed before it is cut: half a key is a leak, too
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_WORDS else text[: _LONGEST_WORDS - 1] + "…"


def scrub(text: str, api_key: str) -> str:
    return text.replace(api_key, "***") if api_key else text


def _rate_limited(reply: Answer, words: str, **known: Any) -> LipsyncRateLimited:
    retry_after = parse_retry_after(reply.headers.get("retry-after"), now=time.time())
    asked = "" if retry_after is None else f", and asks to wait {retry_after:.0f} s"
    message = f"the vendor asks to slow down (429){asked}"
    return LipsyncRateLimited(message, status=429, vendor_message=words, retry_after=retry_after, **known)


def _uncertain(message: str, reply: Answer | None = None, words: str = "") -> LipsyncSubmitUncertain:
    status = None if reply is None else reply.status
    return LipsyncSubmitUncertain(
        f"{message}. The job may exist and may have been charged; it is not sent again by itself.",
        status=status,
        vendor_message=words,
    )
