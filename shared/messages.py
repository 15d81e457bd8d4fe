"""Queue messages: ids only, versioned, and read as untrusted bytes."""

import json
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import MessageError


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    v: int = Field(ge=1, le=1)
    id: str
    traceparent: str = Field(default="", max_length=128)


class _Envelope(_Named):
    slice: int = Field(ge=0, le=100_000)


@dataclass(frozen=True, slots=True)
class SliceMessage:
    """One slice of one run is ready to be worked on. Losing or doubling it does no harm."""

    run_uid: UUID
    slice: int
    traceparent: str = ""

    def to_json(self) -> str:
        """The body as it goes into the queue (the queue adapter adds base64)."""
        body = {"v": 1, "id": str(self.run_uid), "slice": self.slice, "traceparent": self.traceparent}
        return json.dumps(body, separators=(",", ":"))


def parse_slice_message(body: bytes) -> SliceMessage:
    """The message in `body`; raises MessageError for anything that is not one of ours."""
    try:
        envelope = _Envelope.model_validate_json(body)
        return SliceMessage(UUID(envelope.id), envelope.slice, envelope.traceparent)
    except (ValidationError, ValueError) as error:
        raise MessageError(
            "queue message: not a version 1 slice message; it is recorded and left alone",
            hint='a message looks like {"v":1,"id":"<run uid>","slice":0,"traceparent":""}',
        ) from error


@dataclass(frozen=True, slots=True)
class NamedMessage:
    """Something with an id is ready to be worked on: a share pack's application, a directory sync."""

    uid: UUID
    traceparent: str = ""

    def to_json(self) -> str:
        """The body as it goes into the queue (the queue adapter adds base64)."""
        body = {"v": 1, "id": str(self.uid), "traceparent": self.traceparent}
        return json.dumps(body, separators=(",", ":"))


def parse_named_message(body: bytes) -> NamedMessage:
    """The message in `body`; raises MessageError for anything that is not one of ours."""
    try:
        envelope = _Named.model_validate_json(body)
        return NamedMessage(UUID(envelope.id), envelope.traceparent)
    except (ValidationError, ValueError) as error:
        raise MessageError(
            "queue message: not a version 1 message; it is left alone",
            hint='a message looks like {"v":1,"id":"<uuid>","traceparent":""}',
        ) from error


def traceparent_of(body: bytes) -> str:
    """The trace that a message carries, of whichever queue; empty for anything that is not one of ours."""
    for parse in (parse_slice_message, parse_named_message):
        try:
            return parse(body).traceparent
        except MessageError:
            continue
    return ""
