"""What nobody has proven about the real service: each switch is a way it may behave, so that tests run both ways."""

from __future__ import annotations

import msgspec


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How this workspace behaves where the documentation is silent; the defaults are the harsher guesses.

    `atomic_updates`: a refused PATCH of a share undoes what it had applied. `stale_reads`: so many reads after
    each write still show what was there before it. `ip_lists_replace`: a recipient's new IP list takes the old
    one's place instead of joining it. `empty_list_clears_ips`: `{}` switches the list off instead of doing
    nothing. `empty_pages`: a paged list begins with an empty page and a token. `page_size`: entries in a page
    whose size is left to the server. `sharing`, `external_sharing`: the metastore shares at all, or with
    recipients outside Databricks.
    """

    atomic_updates: bool = False
    stale_reads: int = 0
    ip_lists_replace: bool = True
    empty_list_clears_ips: bool = True
    empty_pages: bool = True
    page_size: int = 50
    sharing: bool = True
    external_sharing: bool = True
