"""Data Factory over REST: start a pipeline, follow its run. The app signs in with its own identity.

Enter: a pipeline's name and parameters, or a run's id. Leave: plain facts, or an error that says what to do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.errors import (
    AppError,
    ConfigurationError,
    FactoryRefusedError,
    FactoryUnavailableError,
    InvalidError,
    NotFoundError,
)

if TYPE_CHECKING:
    import httpx

    from shared.adapters.identity import BearerTokens

# What Data Factory allows, less the characters that mean something in a path.
PIPELINE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_ -]{0,139}$"
MANAGEMENT = "https://management.azure.com"
_VERSION = {"api-version": "2018-06-01"}
_TIMEOUT_S = 30.0
_LONGEST_WISH_S = 600.0
_FRACTION = re.compile(r"(\.\d{6})\d+")  # seven digits, where Python takes six
_ACTIVITIES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ActivityFailure:
    """An activity of a run that failed, in Data Factory's own words."""

    activity: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A run as Data Factory tells it: Queued, InProgress, Succeeded, Failed, Canceling or Cancelled."""

    run_id: UUID
    pipeline: str
    status: str
    message: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    failures: tuple[ActivityFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Factory:
    """Where a factory is."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def path(self) -> str:
        """Its path under Azure's management interface."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.DataFactory/factories/{self.name}"
        )


def factory_of(subscription_id: str | None, resource_group: str | None, name: str | None) -> Factory:
    """The factory that the settings name; raises ConfigurationError naming each that is missing."""
    told = {
        "AZURE_SUBSCRIPTION_ID": subscription_id,
        "DATA_FACTORY_RESOURCE_GROUP": resource_group,
        "DATA_FACTORY_NAME": name,
    }
    missing = [setting for setting, value in told.items() if not value]
    if missing or not (subscription_id and resource_group and name):
        raise ConfigurationError(
            f"{', '.join(missing)}: not set", hint="Data Factory's routes need all three of its settings"
        )
    return Factory(subscription_id, resource_group, name)


class DataFactory:
    """One factory. Every call may raise FactoryUnavailableError, FactoryRefusedError or IdentityUnavailableError."""

    def __init__(
        self, factory: Factory, tokens: "BearerTokens", *, base_url: str = MANAGEMENT, client: Any = None
    ) -> None:
        self._factory, self._tokens, self._base = factory, tokens, base_url
        self._client: httpx.Client | None = client

    def run(self, pipeline: str, parameters: Mapping[str, Any]) -> UUID:
        """Start the pipeline; the run's id. NotFoundError or InvalidError where the factory knows better.

        Never repeated by itself: Data Factory starts a second run for a second call.
        """
        answer = self._ask("POST", f"/pipelines/{pipeline}/createRun", dict(parameters), "start")
        return _uuid(answer.get("runId"))

    def status(self, run_id: UUID) -> PipelineRun:
        """How the run stands; of a failed one also which activities failed."""
        found = self._ask("GET", f"/pipelineruns/{run_id}", None, "follow")
        run = _run(found)
        return run if run.status != "Failed" else replace(run, failures=self._failures(run))

    def close(self) -> None:
        """Close the connection, if one was made."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _failures(self, run: PipelineRun) -> tuple[ActivityFailure, ...]:
        began, ended = run.started_at or datetime.now(UTC), run.ended_at or datetime.now(UTC)
        window = {
            "lastUpdatedAfter": (began - timedelta(days=1)).isoformat(),
            "lastUpdatedBefore": (ended + timedelta(days=1)).isoformat(),
            "filters": [{"operand": "Status", "operator": "Equals", "values": ["Failed"]}],
        }
        try:
            found = self._ask("POST", f"/pipelineruns/{run.run_id}/queryActivityruns", window, "follow")
        except (FactoryUnavailableError, NotFoundError):
            return ()  # the run itself is known; why it failed may wait for the next look
        return tuple(_failure(each) for each in _list(found.get("value"))[:_ACTIVITIES_SHOWN])

    def _ask(self, method: str, path: str, body: object, act: str) -> Mapping[str, Any]:
        """The answer's object. A token that is refused is replaced once."""
        answer = self._send(method, path, body)
        if answer.status_code == 401:
            self._tokens.forget()
            answer = self._send(method, path, body)
        if answer.status_code >= 300:
            raise self._refusal(answer, act)
        return _object(answer)

    def _send(self, method: str, path: str, body: object) -> "httpx.Response":
        import httpx

        headers = {"Authorization": f"Bearer {self._tokens.text()}"}
        try:
            return self._connected().request(
                method, self._base + self._factory.path + path, params=_VERSION, json=body, headers=headers
            )
        except httpx.HTTPError as error:
            raise FactoryUnavailableError(
                f"{self._name}: {type(error).__name__}",
                hint="a run that was asked for may have begun all the same: look before asking again",
            ) from None

    def _connected(self) -> "httpx.Client":
        if self._client is None:
            import httpx

            self._client = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)
        return self._client

    @property
    def _name(self) -> str:
        return f"Data Factory {self._factory.name}"

    def _refusal(self, answer: "httpx.Response", act: str) -> AppError:
        code, message = _said(answer)
        match answer.status_code:
            case 400:
                text = f"{self._name}: refuses the request ({code})"
                return InvalidError(text, [("parameters", message)], hint="see the pipeline's own parameters")
            case 404:
                return NotFoundError(f"{self._name}: {message or 'nothing is there'}", hint=_NOT_THERE)
            case 401 | 403:
                return FactoryRefusedError(
                    f"{self._name}: the app's identity may not {act} runs ({code})",
                    hint="assign it Data Factory Contributor on the factory; assignments take minutes to hold",
                )
            case 429 | 500 | 502 | 503 | 504:
                return FactoryUnavailableError(
                    f"{self._name}: {code or answer.status_code}",
                    hint="try again later; look before asking for a run a second time",
                    retry_after_s=_wish(answer),
                )
        return FactoryRefusedError(f"{self._name}: {answer.status_code} {code}".rstrip(), hint=_NOT_THERE)


_NOT_THERE = "check the name, and that DATA_FACTORY_NAME and its resource group are right"


def _run(found: Mapping[str, Any]) -> PipelineRun:
    duration = found.get("durationInMs")
    return PipelineRun(
        run_id=_uuid(found.get("runId")),
        pipeline=str(found.get("pipelineName") or ""),
        status=str(found.get("status") or "Queued"),
        message=str(found.get("message") or ""),
        started_at=_moment(found.get("runStart")),
        ended_at=_moment(found.get("runEnd")),
        duration_ms=duration if isinstance(duration, int) else None,
    )


def _failure(found: Mapping[str, Any]) -> ActivityFailure:
    error = found.get("error")
    said = error if isinstance(error, dict) else {}
    return ActivityFailure(
        str(found.get("activityName") or ""), str(said.get("errorCode") or ""), str(said.get("message") or "")
    )


def _said(answer: "httpx.Response") -> tuple[str, str]:
    """Code and message of an error's body; empty where there is none."""
    try:
        error = answer.json().get("error", {})
        return str(error.get("code", "")), str(error.get("message", ""))[:1000]
    except (ValueError, AttributeError):
        return "", ""


def _object(answer: "httpx.Response") -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _not_its_own()
    return found


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise _not_its_own() from None


def _list(value: object) -> Sequence[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(_FRACTION.sub(r"\1", str(value)))
    except ValueError:
        return None


def _wish(answer: "httpx.Response") -> float | None:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_WISH_S) if text.isdecimal() else None


def _not_its_own() -> FactoryRefusedError:
    return FactoryRefusedError(
        "Data Factory: an answer that is not its own", hint="check what stands between the app and Azure"
    )
