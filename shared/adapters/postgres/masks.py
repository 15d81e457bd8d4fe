"""The mask key at work: read by name, settled for a table's generation, and sealing what cursors tell of masked keys.

A source's cursor may spell the key it stands at. Where columns are masked by hash, cursors are stored encrypted under a
key made from the mask key, since a row's key must not be read from the metadata either.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from blake3 import blake3

from shared.adapters.postgres.database import Database
from shared.errors import ConfigurationError
from shared.sql import query
from shared.sync import masking
from shared.sync.model import RunConfig
from shared.sync.ports import Claim

MINIMUM_BYTES = 16
_SEAL_CONTEXT = "tributary 2026 seal of cursors"
_SEALED = "sealed"
_REMEMBERED = 10_000  # tables under hash masks whose key a process knows


Seal = Callable[[Mapping[str, Any], RunConfig], Mapping[str, Any]]


def as_it_is(cursor: Mapping[str, Any], _config: RunConfig) -> Mapping[str, Any]:
    """No seal: for where nothing is masked."""
    return cursor


class Masks:
    """The installation's mask key. `read` gives the secret called `name`, or raises ConfigurationError."""

    def __init__(self, database: Database, name: str, read: Callable[[str], str]) -> None:
        self._database, self._name, self._read = database, name, read
        # By entity and generation: the key a slice began with is the key it ends with, in whichever thread.
        self._settled: dict[tuple[str, int], bytes] = {}

    def key(self, config: RunConfig) -> bytes | None:
        """The key that the configuration's slices were opened with; None where it needs none."""
        return self._settled.get((config.entity_uid, config.generation))

    def key_of(self, config: RunConfig) -> bytes | None:
        """The key as it is now, for looking without writing; None where the configuration needs none."""
        return self._fresh(config) if masking.needs_key(config) else None

    def opened(self, claim: Claim) -> Claim:
        """The claim, its cursors readable; first of all its generation's masks must be this key's.

        Raises ConfigurationError: no key, or (`mask_key_changed`) another than the table was masked with.
        """
        if not masking.needs_key(claim.config):
            return claim
        key = self._fresh(claim.config)
        self._settle(claim.config, masking.key_name(key))
        if len(self._settled) >= _REMEMBERED:
            self._settled.pop(next(iter(self._settled)), None)
        self._settled[claim.config.entity_uid, claim.config.generation] = key
        walked = [_opened(cursor, key) for cursor in claim.walked]
        return replace(claim, cursor=claim.cursor and _opened(claim.cursor, key), walked=walked)

    def sealed(self, cursor: Mapping[str, Any], config: RunConfig) -> Mapping[str, Any]:
        """The cursor as it may be stored."""
        if not masking.needs_key(config):
            return cursor
        key = self.key(config) or self._fresh(config)
        return {_SEALED: _fernet(key).encrypt(json.dumps(cursor).encode()).decode()}

    def _fresh(self, config: RunConfig) -> bytes:
        try:
            key = self._read(self._name).encode()
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{config.slug}: masks columns by hash, and the mask key cannot be read: {error.message}",
                hint=f"store a random text of 32 characters or more as secret {self._name}, then sync again",
            ) from None
        if len(key) < MINIMUM_BYTES:
            raise ConfigurationError(
                f"secret {self._name}: shorter than {MINIMUM_BYTES} bytes, too short for a mask key",
                hint="store a random text of 32 characters or more, then sync again",
            )
        return key

    def _settle(self, config: RunConfig, name: str) -> None:
        values = {"entity": config.entity_uid, "generation": config.generation, "key_name": name}
        with self._database.connection() as connection:
            row = connection.execute(query("mask_key_settle", self._database.schema), values).fetchone()
        if row is not None and row["key_name"] != name:
            raise ConfigurationError(
                f"{config.slug}: secret {self._name} holds another key than the one this table was masked with",
                hint="POST /api/v1/entities/{uid}/full-refresh masks the table anew; or put the old key back",
                code="mask_key_changed",
            )


def _opened(cursor: Mapping[str, Any], key: bytes) -> Mapping[str, Any]:
    if _SEALED not in cursor:
        return cursor
    opened: dict[str, Any] = json.loads(_fernet(key).decrypt(cursor[_SEALED].encode()))
    # What stands beside the seal was put there later.
    return opened | {name: value for name, value in cursor.items() if name != _SEALED}


def _fernet(mask_key: bytes) -> Any:
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(blake3(mask_key, derive_key_context=_SEAL_CONTEXT).digest()))
