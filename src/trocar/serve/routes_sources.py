"""Addresses of projects, uploads and sources, and of what one looks at."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from trocar.serve.asking import HIGHEST, PROBLEMS, Client, Number, Serving
from trocar.serve.opening import locate
from trocar.serve.pictures import PictureFormat, encoded, npy_bytes
from trocar.serve.safety import below
from trocar.wire import (
    FileMessage,
    Grey,
    Located,
    NewProject,
    NewSource,
    NewUpload,
    Places,
    ProjectMessage,
    SourceMessage,
    UploadMessage,
)

Plane = Literal["axial", "coronal", "sagittal"]

MOST_LISTED = 5000
LOOKED_AT = {"cache-control": "private, max-age=600"}
BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": BYTES, "image/png": BYTES, "application/x-npy": BYTES}}
}

router = APIRouter(prefix="/api", responses=PROBLEMS)


@router.get("/roots/{root}/files", tags=["sources"])
def list_files(
    service: Serving, root: str, folder: Annotated[str, Query(max_length=4000)] = ""
) -> list[dict[str, Any]]:
    """The files of a folder below an offered one; hidden ones and links that lead out are left out."""
    home = service.opener.root(root)
    place = below(home, folder)
    if not place.is_dir():
        raise FileNotFoundError("that is a file, not a folder: open it as a source")
    found = []
    for path in sorted(place.iterdir())[:MOST_LISTED]:
        if not path.name.startswith(".") and path.resolve().is_relative_to(home.resolve()) and path.exists():
            found.append({"name": path.name, "folder": path.is_dir(), "size": path.stat().st_size})
    return found


@router.get("/projects", tags=["projects"])
def list_projects(service: Serving) -> list[ProjectMessage]:
    """All projects."""
    return service.projects.all()


@router.post("/projects", status_code=201, tags=["projects"])
def create_project(service: Serving, asked: NewProject) -> ProjectMessage:
    """A new project."""
    return service.projects.create(asked.name)


@router.get("/projects/{project}/sources", tags=["projects"])
def list_sources(service: Serving, project: Number) -> list[SourceMessage]:
    """The sources of a project."""
    return service.projects.sources(project)


@router.post("/projects/{project}/sources", status_code=201, tags=["sources"])
def open_source(service: Serving, project: Number, asked: NewSource) -> SourceMessage:
    """Open a file under an offered folder, or an upload; what is open already is given again."""
    return service.open(project, asked)


@router.post("/projects/{project}/uploads", status_code=201, tags=["uploads"])
def announce_upload(service: Serving, project: Number, asked: NewUpload) -> UploadMessage:
    """Say what is going to be uploaded."""
    return service.uploads.announce(project, asked.files)


@router.get("/uploads/{upload}", tags=["uploads"])
def upload_state(service: Serving, upload: str) -> UploadMessage:
    """How much of an upload has arrived."""
    return service.uploads.state(upload)


@router.put("/uploads/{upload}/{file}", tags=["uploads"])
async def receive_chunk(
    service: Serving,
    upload: str,
    file: Number,
    chunk: Annotated[bytes, Body(media_type="application/octet-stream")],
    offset: Annotated[int, Query(ge=0, le=2**62)],
) -> FileMessage:
    """The next bytes of a file; on disk when this is answered."""
    return await run_in_threadpool(service.uploads.receive, upload, file, offset, chunk)


@router.get("/sources/{source}", tags=["sources"])
def source_info(service: Serving, source: Number) -> SourceMessage:
    """What a source is."""
    return service.told(source)


@router.get("/sources/{source}/frames/{frame}", tags=["pictures"], response_class=Response, responses=PICTURE)
def frame_picture(
    service: Serving,
    source: Number,
    frame: Number,
    format: PictureFormat = "jpeg",
    width: Annotated[int | None, Query(ge=1, le=HIGHEST)] = None,
) -> Response:
    """A frame as a picture, full size or scaled down for scrubbing."""
    asked, told, _ = service.projects.source(source)
    data, kind = encoded(service.pictures.frame(told, asked, frame, width), format)
    return Response(data, media_type=kind, headers=LOOKED_AT)


@router.post("/sources/{source}/frames/{frame}/prepare", status_code=202, tags=["pictures"], response_class=Response)
def prepare_frame(service: Serving, client: Client, source: Number, frame: Number) -> Response:
    """Have the network look at a frame when it has time, so that the first click on it is answered at once."""
    service.prepare(source, client, frame)
    return Response(status_code=202)


@router.get("/sources/{source}/slices/{plane}/{index}", tags=["pictures"], response_class=Response, responses=PICTURE)
def slice_picture(
    service: Serving,
    source: Number,
    plane: Plane,
    index: Number,
    format: PictureFormat = "png",
    window: Annotated[str, Query(max_length=60)] = "auto",
) -> Response:
    """A slice of a volume in any plane."""
    asked, told, _ = service.projects.source(source)
    data, kind = encoded(service.pictures.slice(told, asked, plane, index, window), format)
    return Response(data, media_type=kind, headers=LOOKED_AT)


NPY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-npy": BYTES}}}


@router.get(
    "/sources/{source}/slices/{plane}/{index}/values", tags=["pictures"], response_class=Response, responses=NPY
)
def slice_values(service: Serving, source: Number, plane: Plane, index: Number) -> Response:
    """The measured values of a slice, so that a page can change the window at once."""
    asked, told, _ = service.projects.source(source)
    values = service.pictures.values(told, asked, plane, index)
    return Response(npy_bytes(values), media_type="application/x-npy", headers=LOOKED_AT)


@router.get("/sources/{source}/window", tags=["pictures"])
def shown_window(service: Serving, source: Number) -> Grey:
    """Which values of a volume the model sees as black and white."""
    asked, told, _ = service.projects.source(source)
    return service.pictures.grey(told, asked)


NIFTI: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": BYTES}}}


@router.get("/sources/{source}/volume.nii.gz", tags=["pictures"], response_class=FileResponse, responses=NIFTI)
def volume_file(service: Serving, source: Number) -> FileResponse:
    """A volume as NIfTI."""
    asked, told, _ = service.projects.source(source)
    path = service.pictures.volume(told, asked)
    return FileResponse(path, media_type="application/octet-stream", headers=LOOKED_AT)


@router.get("/sources/{source}/masks.nii.gz", tags=["masks"], response_class=FileResponse, responses=NIFTI)
def masks_file(service: Serving, source: Number) -> FileResponse:
    """All masks of a volume as a label volume on its voxels."""
    path = service.exports.label_volume(service.ledger(source))
    return FileResponse(path, media_type="application/octet-stream", headers={"cache-control": "no-store"})


@router.post("/sources/{source}/locate", tags=["pictures"])
def locate_points(service: Serving, source: Number, asked: Places) -> list[Located]:
    """Points in RAS+ mm as frames and pixels."""
    return locate(service.told(source), asked.mm)


@router.post("/login", status_code=204, tags=["server"], response_class=Response)
def login(request: Request, service: Serving, token: Annotated[str, Body(embed=True)]) -> Response:
    """Get a cookie for the token, for pictures and event streams of a page."""
    import hmac

    from trocar.serve.errors import Refusal
    from trocar.serve.gate import COOKIE

    if service.settings.token and not hmac.compare_digest(
        token.encode("utf-8", "replace"), service.settings.token.encode()
    ):
        raise Refusal("unauthorised", "the token is wrong: use the one that the server was started with")
    response = Response(status_code=204)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, service.settings.token, httponly=True, samesite="strict", secure=secure)
    return response
