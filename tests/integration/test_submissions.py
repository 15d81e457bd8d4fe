"""Submissions land as blobs: the routes over Azurite's real blob service."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from shared.adapters.submissions import Submission, Submissions
from shared.api.datafactory import MAX_SUBMISSION_BYTES
from shared.composition import new_uid
from shared.errors import ConflictError, StorageUnavailableError
from tests.unit.api.fakes import World

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ROUTE = "/api/v1/submissions/field-report"
WHO = "operator,tenant:default"
BODY = b'{"amount": 12.300000000000000001, "note": "as it came"}'


@pytest.fixture
def container(storage_connection_string: str) -> Iterator[ContainerClient]:
    """A container that nobody has made yet."""
    name = f"submissions-{uuid.uuid4().hex[:8]}"
    with ContainerClient.from_connection_string(storage_connection_string, name) as client:
        yield client


@pytest.fixture
def store(storage_connection_string: str, container: ContainerClient) -> Iterator[Submissions]:
    """The adapter over it."""
    made = Submissions(storage_connection_string, container.container_name, new_uid=new_uid, now=lambda: AT)
    yield made
    made.close()


@pytest.fixture
def world(store: Submissions) -> World:
    """The API over the adapter."""
    return World(submissions=lambda: store)


def submit(world: World, body: bytes = BODY, kind: str = "application/json", **headers: str) -> Any:
    told = {"content-type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
    return world.ask("POST", ROUTE, WHO, content=body, headers=told)


def stored(container: ContainerClient) -> list[str]:
    return sorted(str(blob.name) for blob in container.list_blobs())


def test_document_is_kept_as_it_came_under_its_day(world: World, container: ContainerClient) -> None:
    answer = submit(world)
    found = answer.json()
    assert (answer.status_code, found["replayed"]) == (202, False)
    assert found["path"] == f"field-report/2026/03/04/{found['uid']}.json"
    blob = container.get_blob_client(found["path"])
    assert blob.download_blob().readall() == BODY
    properties = blob.get_blob_properties()
    assert properties.content_settings.content_type == "application/json"
    assert properties.metadata == {"subject": "ada"}


def test_form_becomes_an_object(world: World, container: ContainerClient) -> None:
    answer = submit(
        world, b"name=Ada+L&tag=a&tag=b&empty=", "application/x-www-form-urlencoded; charset=utf-8"
    )
    content = container.download_blob(answer.json()["path"]).readall()
    assert json.loads(content) == {"name": "Ada L", "tag": ["a", "b"], "empty": ""}


def test_same_key_and_body_is_one_submission(world: World, container: ContainerClient) -> None:
    first, second = submit(world, idempotency_key="k1"), submit(world, idempotency_key="k1")
    assert (first.json()["replayed"], second.json()["replayed"]) == (False, True)
    assert first.json()["path"] == second.json()["path"]
    assert [name for name in stored(container) if name.startswith("field-report/")] == [first.json()["path"]]


def test_same_key_with_another_body_is_409(world: World, container: ContainerClient) -> None:
    submit(world, idempotency_key="k1")
    assert submit(world, b'{"other": 1}', idempotency_key="k1").status_code == 409
    assert len([name for name in stored(container) if name.startswith("field-report/")]) == 1


def test_key_belongs_to_its_caller_and_form(store: Submissions) -> None:
    paths = {
        store.store(Submission(form, BODY, subject, "k1")).path
        for form, subject in [("a", "ada"), ("a", "bo"), ("b", "ada")]
    }
    assert len(paths) == 3


def test_repetition_after_a_crash_between_the_two_writes_fills_in(
    store: Submissions, container: ContainerClient
) -> None:
    first = store.store(Submission("a", BODY, "ada", "k1"))
    container.delete_blob(first.path)
    again = store.store(Submission("a", BODY, "ada", "k1"))
    assert (again.path, again.replayed) == (first.path, True)
    assert container.download_blob(first.path).readall() == BODY


def test_without_key_the_same_body_is_another_submission(world: World, container: ContainerClient) -> None:
    assert submit(world).json()["path"] != submit(world).json()["path"]
    assert len(stored(container)) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"7", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff\xfe", b'{"a":' * 100_000,
     b'"canary"'],
)  # fmt: skip
def test_what_is_no_json_object_is_422_and_not_kept(
    world: World, container: ContainerClient, body: bytes
) -> None:
    answer = submit(world, body[: MAX_SUBMISSION_BYTES - 1])
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")
    assert "canary" not in answer.text and not container.exists()


def test_too_large_is_413_and_other_kinds_are_415(world: World, container: ContainerClient) -> None:
    large = json.dumps({"a": "x" * MAX_SUBMISSION_BYTES}).encode()
    assert submit(world, large).status_code == 413
    assert submit(world, b"<a/>", "application/xml").status_code == 415
    assert not container.exists()


@pytest.mark.parametrize("form", ["..", "_keys", "A", "a%2fb", "a.b", "x" * 64, "-a", "a%0a"])
def test_form_outside_the_pattern_is_404(world: World, container: ContainerClient, form: str) -> None:
    answer = world.ask("POST", f"/api/v1/submissions/{form}", WHO, json={})
    assert answer.status_code in (404, 405) and not container.exists()


def test_key_that_is_no_plain_text_is_refused(world: World) -> None:
    assert submit(world, idempotency_key="x" * 201).status_code == 422
    assert submit(world, idempotency_key="with space").status_code == 422


def test_reader_may_not_submit_and_a_missing_container_is_named(world: World) -> None:
    assert world.ask("POST", ROUTE, "reader,tenant:*", json={}).status_code == 403
    answer = World().ask("POST", ROUTE, WHO, json={})
    assert (answer.status_code, "SUBMISSIONS_CONTAINER" in answer.json()["detail"]) == (422, True)


def test_storage_that_is_down_is_transient(storage_connection_string: str) -> None:
    nowhere = storage_connection_string.partition("BlobEndpoint=")[0] + "BlobEndpoint=http://127.0.0.1:9/x;"
    down = Submissions(nowhere, "submissions", new_uid=new_uid, now=lambda: AT)
    with pytest.raises(StorageUnavailableError):
        down.store(Submission("a", BODY, "ada"))
    down.close()


def test_conflict_does_not_tell_what_was_sent_before(store: Submissions) -> None:
    store.store(Submission("a", b'{"canary": 1}', "ada", "k"))
    with pytest.raises(ConflictError) as caught:
        store.store(Submission("a", BODY, "ada", "k"))
    assert "canary" not in str(caught.value)
