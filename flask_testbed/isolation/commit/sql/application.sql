-- What the application has put on its tables and would be run by a reset: triggers, rules, policies of
-- row level security, and the functions of its constraints and indexes.

CREATE SCHEMA flask_testbed;

-- Execute a statement that inserts rows, with the search path that the application's sessions have:
-- functions in constraints, indexes and generated columns may depend on it. Everything else runs with
-- that of prepare(), or a function of the application's could take the place of one of PostgreSQL's.
-- Called by each reset that restores rows.
RESET search_path;
CREATE FUNCTION flask_testbed.insert_rows(statement text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE statement;
END
$$;
SET search_path = pg_catalog, pg_temp;

-- The triggers and rules that a connection for resets would call: those of a superuser skip all but
-- ALWAYS and REPLICA. Read when the template is prepared, and when a layer is pushed or popped.
CREATE VIEW flask_testbed.table_code AS
SELECT oid, on_insert, on_delete, on_truncate
FROM (
    SELECT tgrelid, tgenabled, tgtype & 4 <> 0, tgtype & 8 <> 0, tgtype & 32 <> 0
    FROM pg_trigger WHERE NOT tgisinternal AND tgname <> 'flask_testbed_touch'
    UNION ALL
    SELECT ev_class, ev_enabled, ev_type = '3', ev_type = '4', false
    FROM pg_rewrite WHERE ev_type <> '1'
) AS code (oid, enabled, on_insert, on_delete, on_truncate)
WHERE CASE current_setting('session_replication_role')
    WHEN 'replica' THEN enabled IN ('R', 'A') ELSE enabled IN ('O', 'A') END;

-- The tables with triggers, rules or policies that would interfere with DELETE or TRUNCATE. A table that
-- can be emptied with neither needs a clone.
CREATE TABLE flask_testbed.guarded_table (
    oid oid PRIMARY KEY,
    can_delete boolean NOT NULL,
    can_truncate boolean NOT NULL -- together with the tables that refer to it
);

-- Find these tables. Called when the template is prepared, and when a layer that has changed the schema
-- is pushed.
CREATE FUNCTION flask_testbed.find_guarded_tables() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM flask_testbed.guarded_table;
    INSERT INTO flask_testbed.guarded_table
    WITH RECURSIVE truncated (oid, by) AS (
        SELECT oid, oid FROM flask_testbed.user_table
        UNION
        SELECT t.oid, c.conrelid FROM truncated t
        JOIN pg_constraint c ON c.confrelid = t.by AND c.contype = 'f'
    )
    SELECT * FROM (
        SELECT oid, NOT row_security_active(oid) AND NOT EXISTS (
                SELECT FROM flask_testbed.table_code c WHERE c.oid = u.oid AND c.on_delete),
            NOT EXISTS (
                SELECT FROM truncated t JOIN flask_testbed.table_code c ON c.oid = t.by
                WHERE t.oid = u.oid AND c.on_truncate)
        FROM flask_testbed.user_table u
    ) AS tables (oid, can_delete, can_truncate)
    WHERE NOT can_delete OR NOT can_truncate;
END
$$;

-- Return those tables whose policies hide rows from their own owner (FORCE ROW LEVEL SECURITY), or
-- NULL. Called when tables are copied, and at the end of a run.
CREATE FUNCTION flask_testbed.hidden_tables() RETURNS oid[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT array_agg(c.oid) FROM pg_class c JOIN flask_testbed.user_table t ON t.oid = c.oid
        WHERE relforcerowsecurity AND row_security_active(c.oid) AND pg_has_role(relowner, 'USAGE'));
END
$$;

-- Switch the policies of some tables on or off for their owner. Called around what reads or writes
-- their rows. Both are in one transaction, so no other session is ever without them.
CREATE FUNCTION flask_testbed.force_policies(tables oid[], is_forced boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
BEGIN
    FOREACH relation IN ARRAY coalesce(tables, '{}') LOOP
        EXECUTE format('ALTER TABLE %s %s FORCE ROW LEVEL SECURITY', relation,
                       CASE WHEN NOT is_forced THEN 'NO' END);
    END LOOP;
END
$$;
