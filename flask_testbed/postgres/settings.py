"""Copy what CREATE DATABASE … TEMPLATE leaves behind: the settings and privileges of a database."""

from __future__ import annotations

import re
from typing import LiteralString

import psycopg
from psycopg import sql

from ..errors import DatabaseError
from .connecting import address, reason
from .server import Server

#: Settings that are lists of names, each quoted where need be. pg_dump has the same list:
#: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/bin/pg_dump/dumputils.c
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}

_NAME_IN_LIST = re.compile(r'"((?:[^"]|"")*)"|([^\s,]+)')

# Without a role it is the owner of the database.
_FIND = """
    SELECT d.datconnlimit,
        ARRAY(SELECT json_build_array(s.setrole <> 0, r.rolname, one.setting)
            FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole,
                unnest(s.setconfig) AS one (setting)
            WHERE s.setdatabase = d.oid),
        d.datacl IS NOT NULL,
        ARRAY(SELECT json_build_array(a.grantee = d.datdba, r.rolname, a.privilege_type,
                a.is_grantable)
            FROM aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee)
    FROM pg_database d WHERE d.datname = %s
"""


def copy_settings(server: Server, source: str, target: str) -> None:
    """Set on a database, which is new, what is set on another one of the server.

    That is what ALTER DATABASE … SET, ALTER ROLE … IN DATABASE … SET, CONNECTION LIMIT, GRANT and
    REVOKE have set. What the owner of the source may do, the owner of the target may do.

    :raises DatabaseError: the role may not set one of them. Nothing was set.
    """
    row = server.execute(_FIND, [source]).fetchone()
    if row is None:
        return
    limit, settings, has_privileges, privileges = row
    database = sql.Identifier(target)
    statements = [_set(database, *one) for one in settings]
    if limit >= 0:
        statements.append(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(database, limit))
    if has_privileges:
        revoke = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC, CURRENT_USER").format(database)
        statements += [revoke, *(_grant(database, *one) for one in privileges)]
    if not statements:
        return
    try:
        # Statements that are sent in one query are one transaction.
        server.execute(sql.SQL("; ").join(statements))
    except psycopg.Error as error:
        raise DatabaseError(
            f"Cannot copy the settings and privileges of the database {source!r} on"
            f" {address(server.url)}: {reason(error)}. Use a role that may set them, or reset"
            " them with ALTER DATABASE … RESET, ALTER ROLE … IN DATABASE … RESET and REVOKE."
        ) from error


def _set(database: sql.Identifier, of_role: bool, role: str | None, setting: str) -> sql.Composed:
    """Return the statement for one setting, ``name=value``."""
    name, _, value = setting.partition("=")
    values = [value]
    if name in _LISTS:
        found = _NAME_IN_LIST.findall(value)
        values = [quoted.replace('""', '"') or plain for quoted, plain in found] or [""]
    subject = sql.SQL("DATABASE {}").format(database)
    if of_role:
        subject = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role or ""), database)
    # An extension's setting has a name in two parts.
    return sql.SQL("ALTER {} SET {} TO {}").format(
        subject, sql.Identifier(*name.split(".")), sql.SQL(", ").join(map(sql.Literal, values))
    )


def _grant(
    database: sql.Identifier,
    to_owner: bool,
    role: str | None,
    privilege: LiteralString,
    is_grantable: bool,
) -> sql.Composed:
    """Return the statement for one privilege."""
    grantee: sql.Composable = sql.SQL("CURRENT_USER") if to_owner else sql.SQL("PUBLIC")
    if role is not None and not to_owner:
        grantee = sql.Identifier(role)
    option = sql.SQL(" WITH GRANT OPTION" if is_grantable else "")
    return sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
        sql.SQL(privilege), database, grantee, option
    )
