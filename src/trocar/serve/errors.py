"""What a server refuses, and the one shape in which it says so."""

from __future__ import annotations

import errno

from sqlalchemy.exc import OperationalError

from trocar.wire import Problem

STATUS = {
    "invalid": 400,
    "unauthorised": 401,
    "forbidden": 403,
    "missing": 404,
    "method": 405,
    "busy": 409,
    "conflict": 409,
    "not_available": 409,
    "too_large": 413,
    "media_type": 415,
    "leased": 423,
    "internal": 500,
    "overloaded": 503,
    "storage": 507,
}
"""HTTP status of each kind of problem."""

FULL = (errno.ENOSPC, errno.EDQUOT)


class Refusal(Exception):
    """Something that is refused, with its kind (a key of STATUS) and what to do, after the message's last colon."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def problem_of(error: BaseException) -> Problem:
    """What is said of an error: input errors in their own words, faults of ours without their inside."""
    if isinstance(error, Refusal):
        return _said(error.kind, str(error))
    if isinstance(error, FileNotFoundError):
        return _said("missing", str(error))
    if (isinstance(error, OSError) and error.errno in FULL) or "disk is full" in str(error):
        return _said("storage", "the server's disk is full, nothing of this request was stored: free some space there")
    if isinstance(error, OperationalError):
        return _said("storage", "the server's project store cannot be written: look at its disk and its database")
    if isinstance(error, MemoryError):
        return _said("too_large", "the server ran out of memory: open something smaller, or use a smaller model")
    if isinstance(error, ValueError | IndexError):
        return _said("invalid", str(error))
    return _said("internal", "the server failed at this request: look into its log, nothing stored was lost")


def _said(kind: str, message: str) -> Problem:
    line = " ".join(message.split())
    return Problem(kind, line, line.rpartition(": ")[2] if ": " in line else "")
