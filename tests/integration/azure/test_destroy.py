"""infra/destroy.sh: asks first, and deletes only what infra/deploy.sh made."""

import pytest

from tests.integration.azure.scripts import GROUP, Scripts
from tests.integration.azure.test_deploy import DEV

ASKED = ("--resource-group", GROUP)


@pytest.fixture(autouse=True)
def _something_deployed(scripts: Scripts) -> None:
    done = scripts.run("deploy.sh", *DEV)
    assert done.code == 0, done.err


@pytest.mark.parametrize("answer", ["", "\n", "yes\n", "tributary-prod\n"])
def test_without_the_groups_name_nothing_is_deleted(scripts: Scripts, answer: str) -> None:
    done = scripts.run("destroy.sh", *ASKED, given=answer)
    assert done.code == 1 and "nothing was deleted" in done.err
    assert scripts.writes() == [] and GROUP in scripts.cloud["groups"]


def test_the_groups_name_confirms(scripts: Scripts) -> None:
    assert scripts.run("destroy.sh", *ASKED, given=f"{GROUP}\n").code == 0
    assert scripts.writes() == ["group delete"] and scripts.cloud["groups"] == {}


def test_yes_asks_nothing(scripts: Scripts) -> None:
    assert scripts.run("destroy.sh", *ASKED, "--yes").code == 0
    assert scripts.cloud["groups"] == {}


@pytest.mark.parametrize("more", [(), ("--yes",)])
def test_a_group_that_deploy_did_not_make_is_never_deleted(scripts: Scripts, more: tuple[str, ...]) -> None:
    scripts.cloud["groups"]["payroll"] = {"location": "norwayeast", "tags": None}
    done = scripts.run("destroy.sh", "--resource-group", "payroll", *more, given="payroll\n")
    assert done.code == 1 and "no tag application=tributary" in done.err
    assert scripts.writes() == []


def test_the_registration_goes_only_when_asked(scripts: Scripts) -> None:
    assert scripts.run("destroy.sh", *ASKED, "--yes").code == 0
    assert len(scripts.cloud["apps"]) == 1
    scripts.run("deploy.sh", *DEV)
    assert scripts.run("destroy.sh", *ASKED, "--yes", "--registration").code == 0
    assert scripts.cloud["apps"] == []


def test_a_group_that_is_not_there(scripts: Scripts) -> None:
    done = scripts.run("destroy.sh", "--resource-group", "elsewhere", "--yes")
    assert done.code == 1 and "next: " in done.err


def test_a_lock_is_explained(scripts: Scripts) -> None:
    scripts.cloud["faults"] = {"group delete": {"says": "ERROR: (ScopeLocked) The scope is locked"}}
    assert "az lock delete" in scripts.run("destroy.sh", *ASKED, "--yes").err


def test_another_subscription_is_refused(scripts: Scripts) -> None:
    assert scripts.run("destroy.sh", *ASKED, "--yes", "--subscription", "production").code == 1
    assert scripts.writes() == []
