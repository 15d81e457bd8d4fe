"""Rotations of tokens that are cut off: between the call and the vault, before the call, by a vault that refuses."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared import failpoints
from shared.adapters.postgres.sharing.leases import PostgresLeases
from shared.composition.sharing import Sharing
from shared.errors import ConfigurationError, FencedError, QueueUnavailableError
from shared.sharing.holdings import facts_of_step
from shared.sharing.plan_actions import Action, Kind, Tokens
from tests.integration.sharing.conftest import WORKSPACE, Store
from tests.integration.sharing.world import MakePacks, PackWorld


@pytest.fixture
def rotating(make_packs: MakePacks) -> Iterator[PackWorld]:
    """A recipient of ours, its first link handed over."""
    world = make_packs(workflow_approval="never")
    world.provisioned()
    yield world
    failpoints.arm("")


def rotate(world: PackWorld, old_expires_in_s: int = 3600) -> httpx.Response:
    return world.ask(
        "POST", "/workflow/recipients/auditor/rotate-token", headers={"X-Workspace-URL": world.workspace.url},
        json={"ExistingTokenExpireInSeconds": old_expires_in_s},
    )  # fmt: skip


def cut_off(world: PackWorld, point: str) -> None:
    """A request whose process dies at this point; its lease is over by the time that anybody looks."""
    failpoints.arm(f"{point}=raise")
    with pytest.raises(failpoints.FailpointError):
        rotate(world)
    failpoints.arm("")


def later(world: PackWorld) -> None:
    world.sql(
        "UPDATE deltashare_state.rotations SET lease_until = clock_timestamp(),"
        " created_at = created_at - interval '1 hour' WHERE finished_at IS NULL"
    )


def rotated(world: PackWorld) -> int:
    return len(
        [e for e in world.workspace.requests if e.route == "recipients.rotate_token" and e.status == 200]
    )


def newest(world: PackWorld) -> Any:
    return world.workspace.state.recipients["auditor"].tokens[-1]


def forgotten(world: PackWorld) -> None:
    """As if the process had died before the vault took the new link."""
    (secret,) = world.vault.iterdir()
    secret.write_text("the old link")


def handed_over(world: PackWorld) -> list[bool]:
    """For each link in the vault, whether it is the newest token's."""
    return [newest(world).activation in path.read_text() for path in world.vault.iterdir()]


def trail(world: PackWorld) -> list[str]:
    rows = world.sql(
        "SELECT action FROM deltashare.audit_trail WHERE target LIKE '%%recipient auditor' ORDER BY at"
    )
    return [row["action"] for row in rows]


def sharing_of(world: PackWorld) -> Sharing:
    assert world.app.sharing is not None
    return world.app.sharing


def test_rotation_that_died_before_its_link_was_noted_is_gone_on_with(rotating: PackWorld) -> None:
    cut_off(rotating, "journal.before_conclude")
    answer = rotate(rotating)
    assert answer.status_code == 409 and "being rotated" in answer.text, "another request may still be at it"
    later(rotating)
    forgotten(rotating)
    answer = rotate(rotating)
    assert answer.status_code == 200, answer.text
    assert rotated(rotating) == 1 and handed_over(rotating) == [True]
    known = rotating.sql("SELECT token_id FROM deltashare.recipients WHERE name = 'auditor' AND is_current")
    assert known == [{"token_id": newest(rotating).id}]
    assert trail(rotating) == ["recipient.rotate_token", "recipient.rotate_token", "recipient.rotation_done"]


def test_rotation_whose_answer_was_lost_after_all_was_done_is_answered_not_repeated(
    rotating: PackWorld,
) -> None:
    cut_off(rotating, "journal.concluded")
    later(rotating)
    assert rotate(rotating).status_code == 200
    assert rotated(rotating) == 1


def test_reminder_hands_over_what_a_request_left_behind(rotating: PackWorld) -> None:
    cut_off(rotating, "journal.before_conclude")
    forgotten(rotating)
    rotating.app.remind_share_packs()
    assert handed_over(rotating) == [False], "the request may still be at it"
    later(rotating)
    rotating.app.remind_share_packs()
    assert rotated(rotating) == 1 and handed_over(rotating) == [True]
    assert trail(rotating)[-1] == "recipient.rotation_done"


def test_reminder_leaves_alone_what_may_still_take_effect(rotating: PackWorld) -> None:
    unfinished = "SELECT 1 AS one FROM deltashare_state.rotations WHERE finished_at IS NULL"
    rotating.workspace.fault("recipients.rotate_token", "429")
    assert rotate(rotating).status_code == 503
    rotating.app.remind_share_packs()
    assert rotating.sql(unfinished) == [{"one": 1}]
    later(rotating)
    rotating.app.remind_share_packs()
    assert rotating.sql(unfinished) == [] and rotated(rotating) == 0


def test_queue_that_is_down_keeps_no_link_back(rotating: PackWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> int:
        raise QueueUnavailableError("no storage for a moment")

    cut_off(rotating, "journal.before_conclude")
    forgotten(rotating)
    later(rotating)
    monkeypatch.setattr(sharing_of(rotating), "send_outbox", down)
    with pytest.raises(QueueUnavailableError):
        rotating.app.remind_share_packs()
    assert handed_over(rotating) == [True]


def test_reminder_makes_up_for_no_call_that_was_never_made(rotating: PackWorld) -> None:
    cut_off(rotating, "journal.intended")
    later(rotating)
    rotating.app.remind_share_packs()
    assert rotated(rotating) == 0 and trail(rotating)[-1] == "recipient.rotation_failed"
    assert rotate(rotating).status_code == 200
    assert rotated(rotating) == 1


def test_link_that_the_vault_refused_is_handed_over_by_the_next_request(
    rotating: PackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, value: str) -> None:
        raise ConfigurationError("the vault refuses", hint="assign the role")

    vault = sharing_of(rotating).vault
    with monkeypatch.context() as patched:
        patched.setattr(vault, "put", refuse)
        answer = rotate(rotating)
    assert answer.status_code == 502 and "put the vault right" in answer.text
    assert rotate(rotating).status_code == 200
    assert rotated(rotating) == 1 and handed_over(rotating) == [True]


def test_rotation_that_the_workspace_refuses_is_over_and_audited(rotating: PackWorld) -> None:
    assert [rotate(rotating).status_code for _ in "ab"] == [200, 502]  # a third living token
    assert trail(rotating)[-1] == "recipient.rotation_failed"
    assert rotating.sql("SELECT 1 FROM deltashare_state.rotations WHERE finished_at IS NULL") == []


def test_request_that_was_overtaken_writes_nothing_more(rotating: PackWorld) -> None:
    rotations = sharing_of(rotating).rotation.rotations
    cut_off(rotating, "journal.intended")
    (row,) = rotating.sql("SELECT rotation_uid FROM deltashare_state.rotations")
    later(rotating)
    stale = rotations.take(row["rotation_uid"])
    assert stale is not None and rotations.take(row["rotation_uid"]) is None
    later(rotating)
    assert rotations.take(row["rotation_uid"]) is not None
    with pytest.raises(FencedError):
        rotations.journal(stale).conclude(0, "done", {})
    rotations.finish(stale, "done", {})
    assert rotating.sql("SELECT step, finished_at FROM deltashare_state.rotations") == [
        {"step": "intended", "finished_at": None}
    ]


def test_holder_that_leaves_late_does_not_loosen_the_one_after_it(store: Store) -> None:
    leases, holder = PostgresLeases(store.database, renews=False), uuid4()
    late = leases.hold(WORKSPACE, ["recipient/a"], holder)
    late.__enter__()
    with pytest.raises(FencedError), leases.hold(WORKSPACE, ["recipient/a"], holder):
        late.__exit__(None, None, None)
        store.sql("UPDATE deltashare_state.leases SET holder = gen_random_uuid()")
        with store.database.connection() as connection:
            leases.require(connection, holder)


def test_token_without_an_end_does_not_inherit_its_predecessors() -> None:
    action = Action(Kind.ROTATE_TOKEN, "auditor", Tokens((), 0), "asked for")
    facts = facts_of_step(action, {"token_id": "t2", "secret_name": "s"})
    assert facts is not None and facts.content["token_expires_at"] is None


def test_no_token_is_made_where_no_vault_could_take_its_link(make_packs: MakePacks) -> None:
    world = make_packs(workflow_approval="never", local_vault_dir=None)
    pack = world.provisioned()
    assert "auditor" not in world.workspace.state.recipients, "nobody could ever activate it"
    assert {"analyst", "q1"} <= {*world.workspace.state.recipients, *world.workspace.state.shares}
    status = world.status(pack)
    assert status["State"] == "PARTIAL" and "no vault" in status["ErrorMessage"]
    answer = rotate(world)
    assert answer.status_code == 422 and "no vault" in answer.text and rotated(world) == 0


def test_rotation_that_another_release_left_is_ended_not_met_for_ever(rotating: PackWorld) -> None:
    cut_off(rotating, "journal.intended")
    rotating.sql("UPDATE deltashare_state.rotations SET document = jsonb_set(document, '{version}', '99')")
    later(rotating)
    assert [rotate(rotating).status_code for _ in "ab"] == [409, 200]
    cut_off(rotating, "journal.intended")
    rotating.sql("UPDATE deltashare_state.rotations SET document = jsonb_set(document, '{version}', '99')")
    later(rotating)
    rotating.app.remind_share_packs()
    assert rotating.sql("SELECT 1 FROM deltashare_state.rotations WHERE finished_at IS NULL") == []


def test_rotation_that_never_began_is_over_and_the_next_is_another(rotating: PackWorld) -> None:
    with sharing_of(rotating).leases.hold(rotating.workspace.url, ["recipient/auditor"], uuid4()):
        assert rotate(rotating).status_code == 503
    ended = "SELECT finished_at IS NOT NULL AS ended FROM deltashare_state.rotations ORDER BY created_at"
    assert rotating.sql(ended) == [{"ended": True}]
    cut_off(rotating, "journal.intended")
    rotating.sql("UPDATE deltashare_state.rotations SET step = NULL WHERE finished_at IS NULL")
    later(rotating)
    assert rotate(rotating).status_code == 200
    assert rotating.sql(ended) == [{"ended": True}] * 3 and rotated(rotating) == 1
