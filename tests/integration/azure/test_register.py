"""infra/register.sh: the app registration alone, for directories that somebody else looks after."""

from tests.integration.azure.scripts import Scripts


def test_it_prints_the_client_id_alone(scripts: Scripts) -> None:
    done = scripts.run("register.sh", "--env", "prod")
    (app,) = scripts.cloud["apps"]
    assert (done.code, done.out) == (0, f"{app['appId']}\n")
    assert app["displayName"] == "tributary-prod"


def test_a_second_run_writes_nothing(scripts: Scripts) -> None:
    first = scripts.run("register.sh", "--env", "prod")
    again = scripts.run("register.sh", "--env", "prod")
    assert (again.out, scripts.writes()) == (first.out, [])


def test_a_registration_of_a_longer_name_is_another(scripts: Scripts) -> None:
    scripts.run("register.sh", "--env", "prod")
    scripts.cloud["apps"][0]["displayName"] = "tributary-prod-old"
    scripts.run("register.sh", "--env", "prod")
    assert [app["displayName"] for app in scripts.cloud["apps"]] == ["tributary-prod-old", "tributary-prod"]


def test_roles_are_assigned_by_name_and_once(scripts: Scripts) -> None:
    ask = ("--env", "prod", "--assign", "reader=ada", "--assign", "tenant:*=ada")
    for _ in range(2):
        assert scripts.run("register.sh", *ask).code == 0
    assert [one["principalId"] for one in scripts.cloud["assignments"]] == ["ada", "ada"]


def test_a_role_that_is_not_there_is_named(scripts: Scripts) -> None:
    done = scripts.run("register.sh", "--env", "prod", "--assign", "owner=ada")
    assert done.code == 1 and "no app role owner" in done.err
