"""Microsoft Graph: who is in the directory, and what changed since a delta link.

Fulfils `Directory` of shared.sharing.ports and `ChangeFeed` of directory_ports. Needs the application permissions
User.Read.All and Group.Read.All.
"""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from shared.adapters.azure_rest import AzureRest, Reply
from shared.sharing.directory_errors import DirectoryProtocolError, DirectoryRefusedError, LinkExpiredError
from shared.sharing.directory_ports import DeltaItem, DeltaPage

SCOPE = "https://graph.microsoft.com/.default"
_SELECT: Mapping[str, tuple[str, ...]] = {
    "users": ("id", "userPrincipalName", "displayName", "mail", "accountEnabled"),
    "groups": ("id", "displayName", "mail", "securityEnabled"),
}
# Of links that can no longer be followed; services spell the codes in either case, with 400 or with 410.
_EXPIRED = ("syncstatenotfound", "syncstateinvalid", "resyncrequired", "invaliddeltatoken")
_PAGE = {"Prefer": "odata.maxpagesize=999"}
_COUNTED = {"ConsistencyLevel": "eventual"}


class Graph:
    """The directory over one `AzureRest`."""

    def __init__(self, rest: AzureRest) -> None:
        self._rest = rest

    def user(self, principal_name: str) -> bool:
        """Whether such a user exists and is enabled."""
        if not principal_name.strip() or principal_name.strip(".") == "":
            return False
        # A name that begins with $ is read as a function unless it is quoted as a key.
        key = f"/v1.0/users('{_literal(principal_name)}')?$select=accountEnabled"
        reply = self._rest.send("GET", key)
        if reply.status == 404:
            return False
        # A name that no user can bear is refused as malformed, which is an answer too.
        if reply.status == 400 and reply.reason in ("Request_BadRequest", "BadRequest"):
            return False
        return self._read(reply).get("accountEnabled") is True

    def group(self, name: str) -> bool:
        """Whether a group of exactly this display name exists, whatever its case."""
        if not name.strip():
            return False
        query = f"/v1.0/groups?$filter=displayName eq '{_literal(name)}'&$select=id,displayName&$top=1"
        reply = self._rest.send("GET", query.replace(" ", "%20"), headers=_COUNTED)
        return reply.status != 404 and bool(self._values(self._read(reply)))

    def delta(self, kind: Literal["users", "groups"], link: str) -> DeltaPage:
        """The page at `link`, or the first of everything for an empty one; LinkExpiredError for one too old."""
        start = f"/v1.0/{kind}/delta?$select={','.join(_SELECT[kind])}"
        reply = self._rest.send("GET", link or start, headers=_PAGE)
        if reply.status == 410 or (reply.status == 400 and reply.reason.lower() in _EXPIRED):
            raise LinkExpiredError(
                f"Microsoft Graph: the delta link of {kind} has expired", hint="everything is listed again"
            )
        body = self._read(reply)
        items = tuple(_item(entry, _SELECT[kind]) for entry in self._values(body))
        following, final = self._link(body, "@odata.nextLink"), self._link(body, "@odata.deltaLink")
        if (following is None) == (final is None):
            raise DirectoryProtocolError("Microsoft Graph: a delta page needs a next link or a delta link")
        return DeltaPage(items, following, final)

    def _read(self, reply: Reply) -> Mapping[str, Any]:
        if reply.status == 200:
            return reply.body
        raise DirectoryRefusedError(
            f"Microsoft Graph: refused with {reply.status}{f' ({reply.reason})' if reply.reason else ''}",
            reason=reply.reason,
            hint="check the app registration's permissions",
        )

    def _values(self, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        values = body.get("value")
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise DirectoryProtocolError("Microsoft Graph: an answer has no list of values")
        return values

    def _link(self, body: Mapping[str, Any], name: str) -> str | None:
        link = body.get(name)
        if link is None:
            return None
        if not isinstance(link, str) or not link:
            raise DirectoryProtocolError(f"Microsoft Graph: {name} is not a link")
        return self._rest.own(link)


def _literal(text: str) -> str:
    """The text inside an OData string: quotes doubled, then everything escaped for the URL."""
    return quote(text.replace("'", "''"), safe="")


def _item(entry: Mapping[str, Any], wanted: tuple[str, ...]) -> DeltaItem:
    id = entry.get("id")
    if not isinstance(id, str) or not id:
        raise DirectoryProtocolError("Microsoft Graph: an entry of a delta page has no id")
    if "@removed" in entry:
        return DeltaItem(id, removed=True)
    said = {name: entry[name] for name in wanted if name in entry and name != "id"}
    return DeltaItem(
        id, {name: value for name, value in said.items() if value is None or isinstance(value, str | bool)}
    )
