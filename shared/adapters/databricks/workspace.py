"""One workspace's calls: names are checked, one request (or one list) each, nothing is decided here."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from databricks.sdk.service import catalog, iam, sharing

from shared.adapters.databricks import names, reading, writing
from shared.adapters.databricks.pipelines import Pipelines
from shared.adapters.databricks.wire import Wire
from shared.sharing.errors import MissingError, OutcomeUnknownError, WorkspaceRefusedError
from shared.sharing.model import (
    TABLE_LIKE,
    AllowedIps,
    ObjectType,
    Pipeline,
    PipelineType,
    Recipient,
    RecipientType,
)
from shared.sharing.observed import CatalogObject, ObservedPipeline, ObservedRecipient, ObservedShare
from shared.sharing.ports import GrantChange, IssuedToken, ObjectChange

UPDATES_MAX = 100
LISTED_FROM = 4  # tables of one schema: from here on a list costs fewer calls
# Tables and views first: a name of three parts is most often one of them.
_GUESSES = (ObjectType.TABLE, ObjectType.VOLUME, ObjectType.FUNCTION, ObjectType.MODEL)


class DatabricksWorkspace:
    """Fulfils `shared.sharing.ports.Workspace`. `now`: aware, for the expiry of a first token."""

    def __init__(self, wire: Wire, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._shares, self._recipients = sharing.SharesAPI(wire), sharing.RecipientsAPI(wire)
        self._schemas, self._tables = catalog.SchemasAPI(wire), catalog.TablesAPI(wire)
        self._volumes, self._functions = catalog.VolumesAPI(wire), catalog.FunctionsAPI(wire)
        self._models, self._me = catalog.RegisteredModelsAPI(wire), iam.CurrentUserAPI(wire)
        self._pipelines = Pipelines(wire)

    # observing

    def identity(self) -> str:
        """The user name, or a service principal's application id: what the workspace shows as owner."""
        return self._me.me().user_name or ""

    def share(self, name: str) -> ObservedShare | None:
        """With all objects and every page of grants."""
        name = names.securable(name)
        try:
            info = self._shares.get(name, include_shared_data=True)
            return reading.observed_share(info, reading.observed_grants(self._assignments(name)))
        except MissingError:
            return None

    def recipient(self, name: str) -> ObservedRecipient | None:
        name = names.securable(name)
        try:
            return reading.observed_recipient(self._recipients.get(name))
        except MissingError:
            return None

    def recipient_of_metastore(self, metastore_id: str) -> ObservedRecipient | None:
        found = self._recipients.list(data_recipient_global_metastore_id=metastore_id)
        # The filter is the service's; what it lets through is compared again.
        same = (each for each in found if _same(each.data_recipient_global_metastore_id, metastore_id))
        first = next(same, None)
        return reading.observed_recipient(first) if first else None

    def pipeline(self, type: PipelineType, name: str) -> ObservedPipeline | None:
        return self._pipelines.find(type, name)

    def catalog_object(self, name: str, type: ObjectType | None = None) -> CatalogObject | None:
        """Its actual kind, which may be another table-like one than asked for."""
        name = names.full_name(name)
        if name.count(".") == 1:
            return self._look_up(name, ObjectType.SCHEMA)
        guesses = (type,) if type else _GUESSES
        return next((found for guess in guesses if (found := self._look_up(name, guess))), None)

    def catalog_objects(self, wanted: Mapping[str, ObjectType | None]) -> Mapping[str, CatalogObject]:
        """A schema's tables are listed where several of them are asked for; all else is asked for one by one."""
        found: dict[str, CatalogObject] = {}
        by_schema: dict[str, list[str]] = {}
        for name, kind in wanted.items():
            if name.count(".") == 2 and (kind is None or kind in TABLE_LIKE):
                by_schema.setdefault(name.rpartition(".")[0], []).append(name)
        for schema, tables in by_schema.items():
            if len(tables) >= LISTED_FROM:
                listed = self._tables_of(schema)
                found |= {name: listed[name] for name in tables if name in listed}
        for name, kind in wanted.items():
            if name not in found and (one := self.catalog_object(name, kind)) is not None:
                found[name] = one
        return found

    def _tables_of(self, schema: str) -> dict[str, CatalogObject]:
        catalog_name, _, schema_name = names.full_name(schema, 2).partition(".")
        try:
            tables = self._tables.list(
                catalog_name, schema_name, max_results=0, omit_columns=True, omit_properties=True
            )
            read = [reading.observed_table(each) for each in tables]
        except MissingError:
            return {}
        return {each.name: each for each in read if each is not None}

    # shares

    def create_share(self, name: str, comment: str | None) -> None:
        self._shares.create(names.securable(name), comment=comment)

    def update_share(self, name: str, changes: Sequence[ObjectChange]) -> None:
        if len(changes) > UPDATES_MAX:
            raise ValueError(f"{len(changes)} changes in one update; the platform takes {UPDATES_MAX}")
        for change in changes:
            # What is shared already may be called as it likes: it must still be possible to take it out.
            if change.action == "ADD":
                names.full_name(change.object.name)
        updates = [writing.object_update(change) for change in changes]
        self._shares.update(names.securable(name), updates=updates)

    def comment_share(self, name: str, comment: str) -> None:
        self._shares.update(names.securable(name), comment=comment)

    def own_share(self, name: str, owner: str) -> None:
        self._shares.update(names.securable(name), owner=owner)

    def grant(self, share: str, changes: Sequence[GrantChange]) -> None:
        for change in changes:
            names.securable(change.recipient)
        given = writing.permission_changes(changes)
        self._shares.update_permissions(names.securable(share), changes=given)

    # recipients

    def create_recipient(self, recipient: Recipient) -> IssuedToken | None:
        name = names.securable(recipient.name)
        if recipient.type is RecipientType.D2D:
            self._recipients.create(
                name,
                sharing.AuthenticationType.DATABRICKS,
                comment=recipient.comment,
                data_recipient_global_metastore_id=recipient.metastore_id,
            )
            return None
        created = self._recipients.create(
            name,
            sharing.AuthenticationType.TOKEN,
            comment=recipient.comment,
            expiration_time=writing.first_expiry_ms(recipient, self._now()),
            ip_access_list=writing.first_networks(recipient),
        )
        return _required(reading.issued_token(created), name)

    def update_recipient(self, name: str, *, comment: str | None, allowed_ips: AllowedIps) -> None:
        self._recipients.update(
            names.securable(name), comment=comment, ip_access_list=writing.ip_access_list(allowed_ips)
        )

    def own_recipient(self, name: str, owner: str) -> None:
        self._recipients.update(names.securable(name), owner=owner)

    def rotate_token(self, name: str, *, old_expires_in_s: int) -> IssuedToken:
        name = names.securable(name)
        known = frozenset(each.id or "" for each in self._recipients.get(name).tokens or ())
        rotated = self._recipients.rotate_token(name, old_expires_in_s)
        return _required(reading.issued_token(rotated, known), name)

    def pending_activation(self, name: str) -> IssuedToken | None:
        """Of the newest token, as long as nobody has used its link."""
        return reading.issued_token(self._recipients.get(names.securable(name)))

    # pipelines

    def create_pipeline(self, pipeline: Pipeline) -> str:
        return self._pipelines.create(pipeline)

    def update_pipeline(self, id: str, pipeline: Pipeline) -> None:
        self._pipelines.update(id, pipeline)

    # inside

    def _assignments(self, name: str) -> list[sharing.PrivilegeAssignment]:
        """Every page: only a missing token ends them, an empty page doesn't. 0 leaves the size to the server."""
        page = self._shares.share_permissions(name, max_results=0)
        found = list(page.privilege_assignments or ())
        while page.next_page_token:
            page = self._shares.share_permissions(name, max_results=0, page_token=page.next_page_token)
            found += page.privilege_assignments or ()
        return found

    def _look_up(self, name: str, kind: ObjectType) -> CatalogObject | None:
        try:
            if kind in TABLE_LIKE:
                return reading.observed_table(self._tables.get(name))
            return CatalogObject(name, kind, self._owner(name, kind))
        except MissingError:
            return None

    def _owner(self, name: str, kind: ObjectType) -> str | None:
        match kind:
            case ObjectType.SCHEMA:
                return self._schemas.get(name).owner
            case ObjectType.VOLUME:
                return self._volumes.read(name).owner
            case ObjectType.MODEL:
                return self._models.get(name).owner
            case ObjectType.FUNCTION | ObjectType.FEATURE_SPEC:
                return self._functions.get(name).owner
        raise WorkspaceRefusedError(
            f"{kind.value} {name!r}: not something a catalog holds",
            reason="INVALID_PARAMETER_VALUE",
            hint="share notebooks by hand",
        )


def _same(one: str | None, other: str) -> bool:
    return (one or "").lower() == other.lower()


def _required(token: IssuedToken | None, name: str) -> IssuedToken:
    if token is None:
        raise OutcomeUnknownError(
            f"recipient {name!r}: the workspace answered without the new token",
            hint="it is looked at again before it is repeated",
        )
    return token
