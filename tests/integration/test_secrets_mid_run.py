"""T71: the whole way of a secret, from Key Vault through Azure's SDK and the identity, while a run is at work."""

import pytest
from azure.core.pipeline.transport import RequestsTransport

from infra.local.azure.identity import IdentityEndpoint
from infra.local.azure.key_vault import KeyVault
from infra.local.sample_erp import TableSpec, parse_columns
from shared.adapters.identity import managed_identity
from shared.secrets import AzureKeyVault, CachedVault
from tests.fixtures_azure import CLIENT
from tests.integration.harness import MakeWorld, World

TABLE = TableSpec(slug="t", keys=("id",), columns=parse_columns("id NUMBER(9) NOT NULL"))
ROWS = {"t": [{"id": n} for n in range(30)]}


@pytest.fixture
def world(
    make_world: MakeWorld, identity: IdentityEndpoint, key_vault: KeyVault, to_vault: RequestsTransport
) -> World:
    """A run whose first slice has been worked on, with its connector's secret in the vault."""
    made = make_world([TABLE], ROWS, slice_budget_seconds=0.001)
    key_vault.put("erp-token", made.erp.credentials.static_token)
    vault = AzureKeyVault(key_vault.url, lambda: managed_identity(CLIENT, azure=True), transport=to_vault)
    made.app.secrets = CachedVault(vault)  # type: ignore[assignment]
    made.tick()
    assert made.deliver_one() and made.runs("t")[0]["status"] == "running"
    return made


# Four refusals are one more than the SDK's own patience: then the slice itself is queued again.
@pytest.mark.parametrize("throttled", [0, 2, 4])
def test_rotated_secret_is_read_again_however_the_vault_is_throttled(
    world: World, key_vault: KeyVault, throttled: int
) -> None:
    world.erp.tokens.static_token = "rotated"
    key_vault.put("erp-token", "rotated")
    key_vault.throttled = throttled
    key_vault.served.clear()
    world.pump()
    run = world.runs("t")[0]
    assert (run["status"], run["inserted"], len(world.rows("t"))) == ("success", 30, 30)
    assert len(key_vault.served) <= throttled + 2, "one reload, which the vault's throttling repeats"


def test_throttled_vault_alone_is_not_even_noticed(world: World, key_vault: KeyVault) -> None:
    key_vault.throttled = 1000
    key_vault.served.clear()
    world.pump()
    assert (world.runs("t")[0]["status"], key_vault.served) == ("success", [])
