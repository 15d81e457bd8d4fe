"""Fixed SQL, one file a statement, composed with the metadata schema's name; callers pass values as parameters."""

from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, cast

from psycopg import sql


@cache
def _text(folder: str, name: str) -> LiteralString:
    # The files ship with the code, so they are as trustworthy as a literal in it.
    text: Any = (files(__package__) / folder / f"{name}.sql").read_text("utf-8")
    return cast(LiteralString, text)


@cache
def query(name: str, schema: str) -> sql.Composed:
    """The statement in `queries/<name>.sql`; `{schema}` in it stands for the quoted metadata schema."""
    return sql.SQL(_text("queries", name)).format(schema=sql.Identifier(schema))


def sharing_query(name: str) -> LiteralString:
    """The statement in `sharing_queries/<name>.sql`; the schemas of share packs have fixed names."""
    return _text("sharing_queries", name)
