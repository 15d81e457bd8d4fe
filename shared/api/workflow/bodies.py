"""Bodies of the share packs' routes; PascalCase outside."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_pascal

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
Names = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,255}$")]], Field(max_length=1000)
]


class Body(BaseModel):
    """Unknown fields are refused: a misspelt one must not be taken for left out."""

    model_config = ConfigDict(alias_generator=to_pascal, extra="forbid")


class ApproveBody(Body):
    """The hash of the plan that is approved."""

    plan_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-z:]{16,160}$")]


class ReasonBody(Body):
    """Why."""

    reason: Reason


class RollbackBody(ReasonBody):
    """To which version, and why."""

    version: Annotated[int, Field(ge=1)]


class AdoptBody(Body):
    """What to take into ownership."""

    shares: Names = []
    recipients: Names = []


class RotateBody(Body):
    """How long the old token lives on."""

    existing_token_expire_in_seconds: Annotated[int, Field(ge=0, le=365 * 86_400)] = 0


class SyncBody(Body):
    """How many removals this one sync may make at most, where the guard refused."""

    allow_removals: Annotated[int, Field(ge=0)] | None = None
