"""Addresses of objects, prompts, masks, long work and leases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from trocar.serve.asking import PROBLEMS, Client, Frame, Number, Serving
from trocar.serve.errors import Refusal
from trocar.serve.jobs import UNDER_WAY
from trocar.serve.routes_sources import BYTES
from trocar.serve.service import Service
from trocar.wire import (
    Answer,
    ClassesWanted,
    Confidence,
    History,
    JobMessage,
    Known,
    LeaseMessage,
    LeaseWanted,
    MaskMessage,
    NewExport,
    NewObject,
    ObjectChange,
    ObjectMessage,
    Prompting,
    Propagating,
    to_json,
)

MOST_FRAMES = 5000
LOOK_EVERY_S = 0.03
ALIVE_EVERY_S = 15.0

router = APIRouter(prefix="/api", responses=PROBLEMS)


@router.get("/sources/{source}/objects", tags=["objects"])
def list_objects(service: Serving, source: Number) -> list[ObjectMessage]:
    """The objects of a source."""
    return service.ledger(source).objects.all()


@router.post("/sources/{source}/objects", status_code=201, tags=["objects"])
def add_object(service: Serving, client: Client, source: Number, asked: NewObject) -> ObjectMessage:
    """A new object."""
    ledger = service.ledger(source)
    service.jobs.check_idle(source, "classes")  # which gives out ids itself
    service.leases.take(source, client)
    return ledger.objects.add(asked.name, asked.colour)


@router.patch("/sources/{source}/objects/{object}", tags=["objects"])
def change_object(
    service: Serving, client: Client, source: Number, object: Number, asked: ObjectChange
) -> ObjectMessage:
    """Another name or colour."""
    ledger = service.ledger(source)
    service.leases.take(source, client)
    return ledger.objects.change(object, asked.name, asked.colour)


@router.delete("/sources/{source}/objects/{object}", tags=["objects"])
async def remove_object(service: Serving, client: Client, source: Number, object: Number) -> Answer:
    """Remove an object; undo brings it back."""
    future = await run_in_threadpool(service.edit, source, client, lambda one: one.remove(object))
    return await asyncio.wrap_future(future)


@router.post("/sources/{source}/prompts", tags=["prompts"])
async def prompt(service: Serving, client: Client, source: Number, asked: Prompting) -> Answer:
    """Prompt an object on a frame, or correct it there; answered when the mask is stored."""
    future = await run_in_threadpool(service.prompt, source, client, asked)
    return await asyncio.wrap_future(future)


@router.post("/sources/{source}/undo", tags=["prompts"])
async def undo(service: Serving, client: Client, source: Number, asked: Known) -> Answer:
    """Take the last prompt or removal back."""
    future = await run_in_threadpool(service.edit, source, client, lambda one: one.flip(True, asked.known))
    return await asyncio.wrap_future(future)


@router.post("/sources/{source}/redo", tags=["prompts"])
async def redo(service: Serving, client: Client, source: Number, asked: Known) -> Answer:
    """Bring back what was undone."""
    future = await run_in_threadpool(service.edit, source, client, lambda one: one.flip(False, asked.known))
    return await asyncio.wrap_future(future)


@router.get("/sources/{source}/history", tags=["prompts"])
def history(service: Serving, source: Number) -> History:
    """The edits that count, and those that redo would bring back."""
    return service.ledger(source).history()


@router.post("/sources/{source}/classes", status_code=202, tags=["prompts"])
def find_classes(service: Serving, client: Client, source: Number, asked: ClassesWanted) -> JobMessage:
    """Look for objects by the names of their classes, from the first frame to the last, and track them."""
    return service.find(source, client, asked)


@router.get("/sources/{source}/masks", tags=["masks"])
def masks(service: Serving, source: Number, first: Frame = 0, last: Frame | None = None) -> list[MaskMessage]:
    """The masks of a range of frames, last included; at most 5000 frames at once."""
    end = first + MOST_FRAMES - 1 if last is None else last
    if not 0 <= end - first < MOST_FRAMES:
        raise Refusal("invalid", f"frames {first} to {end} are no range of 1 to {MOST_FRAMES}: ask for them in parts")
    return service.ledger(source).masks(first, end)


@router.get("/sources/{source}/confidence", tags=["masks"])
def confidence(service: Serving, source: Number) -> list[Confidence]:
    """The score of every mask, by object."""
    return service.ledger(source).confidence()


@router.post("/sources/{source}/propagate", status_code=202, tags=["jobs"])
def propagate(service: Serving, client: Client, source: Number, asked: Propagating) -> JobMessage:
    """Track all objects."""
    return service.propagate(source, client, asked)


@router.post("/sources/{source}/exports", status_code=202, tags=["jobs"])
def begin_export(service: Serving, source: Number, asked: NewExport) -> JobMessage:
    """Write the masks in a format, for download."""
    return service.exports.begin(service.ledger(source), asked.format)


@router.get("/sources/{source}/jobs", tags=["jobs"])
def list_jobs(service: Serving, source: Number) -> list[JobMessage]:
    """The jobs of a source, newest first."""
    service.told(source)
    return service.jobs.of_source(source)


@router.get("/jobs/{job}", tags=["jobs"])
def job_state(service: Serving, job: Number) -> JobMessage:
    """How far a job is."""
    return service.jobs.state(job)


@router.post("/jobs/{job}/cancel", tags=["jobs"])
def cancel_job(service: Serving, job: Number) -> JobMessage:
    """Stop a job within one frame; what it made stays."""
    return service.jobs.cancel(job)


@router.post("/jobs/{job}/resume", status_code=202, tags=["jobs"])
def resume_job(service: Serving, client: Client, job: Number) -> JobMessage:
    """Go on with a propagation that was interrupted or cancelled."""
    return service.resume(job, client)


FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": BYTES}}}


@router.get("/jobs/{job}/file", tags=["jobs"], response_class=FileResponse, responses=FILE)
def download(service: Serving, job: Number) -> FileResponse:
    """What an export made."""
    path, name = service.exports.finished(job)
    return FileResponse(path, media_type="application/octet-stream", filename=name)


EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


@router.get("/jobs/{job}/events", tags=["jobs"], response_class=StreamingResponse, responses=EVENTS)
def job_events(
    request: Request, service: Serving, job: Number, last_event_id: Annotated[str, Header()] = ""
) -> StreamingResponse:
    """Masks as they are made, progress, and the end, as server-sent events."""
    service.jobs.state(job)
    seen = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else 0
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(service, job, seen), media_type="text/event-stream", headers=headers)


async def _events(service: Service, number: int, seen: int) -> AsyncIterator[str]:
    """The id of an event is how many frames have been told of."""
    job, quiet, before = service.jobs.running(number), 0.0, None
    while True:
        told = service.jobs.state(number) if job is None else job.told
        frames = [] if job is None else job.frames[seen : seen + 64]
        for frame in frames:
            ledger = service.ledger(told.source)
            found = await run_in_threadpool(ledger.masks, frame, frame)
            seen += 1
            yield _event("masks", {"frame": frame, "masks": [to_json(one) for one in found]}, seen)
        if frames:
            continue
        if told.state not in UNDER_WAY:
            yield _event("done", to_json(told), seen)
            return
        if told != before:
            yield _event("progress", to_json(told), seen)
            before, quiet = told, 0.0
        elif quiet > ALIVE_EVERY_S:
            yield ": still here\n\n"
            quiet = 0.0
        await asyncio.sleep(LOOK_EVERY_S)
        quiet += LOOK_EVERY_S


def _event(name: str, data: dict[str, Any], number: int) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


@router.get("/sources/{source}/lease", tags=["leases"])
def lease_state(service: Serving, client: Client, source: Number) -> LeaseMessage:
    """Who may edit a source."""
    service.told(source)
    return service.leases.state(source, client)


@router.put("/sources/{source}/lease", tags=["leases"])
def take_lease(service: Serving, client: Client, source: Number, asked: LeaseWanted) -> LeaseMessage:
    """Take or renew the lease."""
    service.told(source)
    return service.leases.take(source, client, asked.holder.strip()[:100])


@router.delete("/sources/{source}/lease", tags=["leases"])
def give_lease_up(service: Serving, client: Client, source: Number) -> LeaseMessage:
    """Let others edit."""
    service.told(source)
    return service.leases.release(source, client)
