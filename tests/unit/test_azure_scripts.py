"""What the Azure scripts ask of Python: picking from JSON, the registration's manifest, addresses, connectors."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.azure import addresses, connector, manifest
from infra.azure.pick import every, pick, shown

ENTRA = Path(__file__).resolve().parents[2] / "infra" / "entra"
ROLES: list[dict[str, Any]] = json.loads((ENTRA / "app_roles.json").read_text())
API: dict[str, Any] = json.loads((ENTRA / "api.json").read_text())
EMPTY_API: dict[str, Any] = {
    "requestedAccessTokenVersion": 2,
    "oauth2PermissionScopes": [],
    "preAuthorizedApplications": [],
}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a.b", "1"), ("a.c", "true"), ("a.d", "x\ny"), ("a.d.1", "y"), ("a.none", ""), ("a.b.c", ""), ("z", ""),
        ("a.e", '{"f": "g"}'), ("a.d.7", ""),
    ],
)  # fmt: skip
def test_picks_as_a_script_reads(path: str, said: str) -> None:
    document = {"a": {"b": 1, "c": True, "d": ["x", "y"], "none": None, "e": [{"f": "g"}]}}
    assert shown(pick(document, path)) == said


def test_every_value_stands_behind_its_path() -> None:
    document = {
        "url": {"value": "https://x"},
        "names": {"value": ["a", "b"]},
        "ends": {"value": [{"n": 1}]},
        "no": None,
    }
    assert every(document) == 'url.value https://x\nnames.value a\nnames.value b\nends.value {"n": 1}\n'


def test_the_roles_are_those_that_tokens_are_checked_for() -> None:
    from shared.adapters.tokens import ROLES as CHECKED

    assert {role["value"] for role in ROLES} == {*CHECKED, "tenant:*"}
    assert len({role["id"] for role in ROLES}) == len(ROLES)


def test_roles_that_stand_need_no_change_in_whatever_order() -> None:
    existing = [
        role | {"origin": "Application", "allowedMemberTypes": ["Application", "User"]}
        for role in ROLES[::-1]
    ]
    assert manifest.merged_roles(existing, ROLES) is None


def test_a_role_made_by_hand_keeps_its_id() -> None:
    by_hand = ROLES[0] | {"id": "by-hand", "displayName": "old"}
    merged = manifest.merged_roles([by_hand], ROLES)
    assert merged is not None
    assert merged[0] == ROLES[0] | {"id": "by-hand"}


def test_the_scope_comes_first_and_the_client_second() -> None:
    first = manifest.merged_api(EMPTY_API, API, ["cli"])
    assert first == API
    second = manifest.merged_api(EMPTY_API | first, API, ["cli"])
    scope = API["oauth2PermissionScopes"][0]["id"]
    assert second == {"preAuthorizedApplications": [{"appId": "cli", "delegatedPermissionIds": [scope]}]}
    assert manifest.merged_api(EMPTY_API | first | second, API, ["cli"]) is None


def test_a_client_that_was_let_in_by_hand_stays() -> None:
    other = {"appId": "portal", "delegatedPermissionIds": ["x"]}
    merged = manifest.merged_api(EMPTY_API | API | {"preAuthorizedApplications": [other]}, API, ["cli"])
    assert merged is not None and merged["preAuthorizedApplications"][0] == other


def test_addresses_and_networks_become_ranges() -> None:
    first, second = addresses.ranges(["203.0.113.7", "198.51.100.9/30"])
    assert (first["from"], first["to"], first["cidr"]) == ("203.0.113.7", "203.0.113.7", "203.0.113.7/32")
    assert (second["from"], second["to"], second["cidr"]) == (
        "198.51.100.8",
        "198.51.100.11",
        "198.51.100.8/30",
    )


@pytest.mark.parametrize("text", ["home", "::1", "1.2.3.4-1.2.3.9"])
def test_what_is_no_ipv4_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        addresses.ranges([text])


def test_a_connectors_body_is_json_whatever_its_secret_holds() -> None:
    arguments = [
        "name=erp",
        "kind=http",
        "base_url=https://x/?a=b",
        "auth=token",
        "secret_name=erp",
        "tenant=t",
        "time_zone=",
    ]
    body = json.loads(connector.main(arguments, 'a"b\\c\n'))
    assert body["auth"] == {"type": "token", "secret_name": "erp", "secret": 'a"b\\c\n'}
    assert (body["base_url"], body["time_zone"]) == ("https://x/?a=b", None)


def test_a_connector_without_sign_in_names_no_secret() -> None:
    arguments = [
        "name=erp",
        "kind=http",
        "base_url=https://x",
        "auth=none",
        "secret_name=erp",
        "tenant=t",
        "time_zone=",
    ]
    assert json.loads(connector.main(arguments, ""))["auth"] == {"type": "none"}


def test_a_connector_is_found_by_tenant_and_name() -> None:
    items = [{"uid": 1, "tenant": "a", "name": "erp"}, {"uid": 2, "tenant": "b", "name": "erp"}]
    text = "\n".join(map(json.dumps, items))
    assert connector.main(["find", "b", "erp"], text) == "2"
    assert connector.main(["find", "c", "erp"], text) == ""


def test_a_table_that_could_not_be_discovered_says_why() -> None:
    items = [
        {"slug": "orders", "status": "created", "error": None, "warnings": []},
        {"slug": "odd", "status": "failed", "error": {"message": "no key"}, "warnings": []},
    ]
    assert connector.main(["tables"], "\n".join(map(json.dumps, items))).split() == [
        "orders", "created", "odd", "failed", "no", "key",
    ]  # fmt: skip
