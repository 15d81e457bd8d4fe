"""Errors the sample ERP answers with; each knows the HTTP status it becomes."""

from __future__ import annotations


class ErpError(Exception):
    """Root: the request cannot be served; `status` is the answer's."""

    status = 400


class UnknownSlugError(ErpError):
    """No such table, row or route."""

    status = 404


class UnauthorizedError(ErpError):
    """The bearer token is missing, unknown or expired."""

    status = 401


class ConflictError(ErpError):
    """The write meets another: a key that exists, or a row held by an open transaction."""

    status = 409


class ScriptedFailureError(ErpError):
    """A failure a test asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"scripted failure with status {status}")
        self.status = status
