"""The vendor's four calls, as strict as its page: who asks, what is asked, what is answered."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_lipsync.api.models import Endpoint, JobStatus
from airflow_provider_lipsync.sandbox.fault_plan import FaultPlan
from airflow_provider_lipsync.sandbox.faults import On, Rule
from airflow_provider_lipsync.sandbox.job_faults import JobFaults
from airflow_provider_lipsync.sandbox.mishaps import describe_status, spoil
from airflow_provider_lipsync.sandbox.replies import json_reply, read_json
from airflow_provider_lipsync.sandbox.settings import Settings
from airflow_provider_lipsync.sandbox.store import Record, Store
from airflow_provider_lipsync.sandbox.validate import Refused, Submit, validate_body

__all__ = ["API_ROUTES"]

log = logging.getLogger(__name__)


def _submit_to(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def submit(request: Request) -> Response:
        key_id, body = None, None
        try:
            key_id = _authenticate(request)
            body = await read_json(request)
            asked = validate_body(endpoint, body)
        except Refused as refusal:
            return _refuse(request, endpoint, key_id, body, refusal)
        plan: FaultPlan = request.app.state.faults
        rule = plan.deal_submit(endpoint)
        if rule is not None and not rule.accepts:
            return _refuse_as_planned(request, endpoint, key_id, body, rule)
        record = _accept(request, asked, key_id, body, rule)
        await request.app.state.workshop.start(record)
        return spoil(json_reply({"id": record.id, "status": JobStatus.PROCESSING.value}), rule)

    return submit


async def _query(request: Request) -> Response:
    try:
        key_id = _authenticate(request)
    except Refused as refusal:
        raise HTTPException(refusal.status, refusal.message, headers=_challenge(refusal)) from None
    record = request.app.state.store.find(request.path_params["job_id"], key_id)
    if record is None:
        raise HTTPException(404, "Job not found")
    plan: FaultPlan = request.app.state.faults
    rule = plan.deal_look(On.QUERY, record.id)
    if rule is not None:
        record.note_fault(rule.fault)
    job = record.look()
    answer = json_reply(job) if job is not None else json_reply({"error": "Job not found"}, status=404)
    return spoil(answer, rule)


def _authenticate(request: Request) -> str:
    settings: Settings = request.app.state.settings
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused(401, "Authorization: Bearer <API key> is missing")
    given = key.strip().encode("latin-1", "replace")
    known = next((known for known in settings.keys if secrets.compare_digest(known.encode(), given)), None)
    key_id = None if known is None else settings.key_id(known)
    if key_id is None:
        raise Refused(401, "The API key is not valid")
    return key_id


def _accept(request: Request, submit: Submit, key_id: str, body: Any, rule: Rule | None) -> Record:
    settings: Settings = request.app.state.settings
    plan: FaultPlan = request.app.state.faults
    record = Record(
        submit=submit,
        body=_redacted(settings, body),
        key_id=key_id,
        origin=f"{request.url.scheme}://{request.url.netloc}",
        job_faults=JobFaults(plan.deal_job(submit.endpoint, has_webhook=submit.webhook is not None)),
    )
    if rule is not None:
        record.note_fault(rule.fault)
    store: Store = request.app.state.store
    store.records[record.id] = record
    for warning in submit.warnings:
        log.warning("job %s: accepted with a doubt: %s", record.id, settings.redact(warning))
    return record


def _refuse(request: Request, endpoint: Endpoint, key_id: str | None, body: Any, refusal: Refused) -> Response:
    settings: Settings = request.app.state.settings
    message = settings.redact(refusal.message)
    log.info("%s refused with %d: %s", endpoint, refusal.status, message)
    _note_refusal(request, endpoint, Refused(refusal.status, message), key_id=key_id, body=body)
    return json_reply({"error": message}, status=refusal.status, headers=_challenge(refusal))


def _refuse_as_planned(request: Request, endpoint: Endpoint, key_id: str, body: Any, rule: Rule) -> Response:
    status = rule.options["status"]
    log.info("%s refused with %d: as the fault plan has it", endpoint, status)
    refusal = Refused(status, describe_status(status))
    _note_refusal(request, endpoint, refusal, key_id=key_id, body=body, faults=[rule.fault.value])
    return spoil(Response(), rule)


def _note_refusal(
    request: Request,
    endpoint: Endpoint,
    refusal: Refused,
    *,
    key_id: str | None,
    body: Any,
    faults: Sequence[str] = (),
) -> None:
    store: Store = request.app.state.store
    store.refuse(
        endpoint=endpoint.value,
        key_id=key_id,
        status=refusal.status,
        error=refusal.message,
        body=_redacted(request.app.state.settings, body),
        faults=list(faults),
    )


def _challenge(refusal: Refused) -> dict[str, str]:
    match refusal.status:
        case 401:
            return {"WWW-Authenticate": "Bearer"}
        case 413:
            return {"Connection": "close"}
        case _:
            return {}


def _redacted(settings: Settings, value: Any) -> Any:
    match value:
        case str():
            return settings.redact(value)
        case list():
            return [_redacted(settings, item) for item in value]
        case dict():
            return {settings.redact(name): _redacted(settings, item) for name, item in value.items()}
        case _:
            return value


API_ROUTES = [
    *(Route(f"/api/v1/{endpoint}", _submit_to(endpoint), methods=["POST"]) for endpoint in Endpoint),
    Route("/api/v1/jobs/{job_id}", _query, methods=["GET"]),
]
