-- The reset: it makes a database what its template was, with the rows of the layers, in one call.

-- The sessions on this database, except the current one, and whether they are in a transaction. These
-- would write after the reset, or make it wait.
CREATE VIEW flask_testbed.other_session AS
SELECT pid, xact_start IS NOT NULL AS is_open FROM pg_stat_get_activity(NULL)
WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND pid <> pg_backend_pid() AND backend_type = 'client backend';

-- The transactions of this database that were prepared for a commit in two phases. They hold their
-- locks until they are committed or rolled back.
CREATE VIEW flask_testbed.prepared_transaction AS
SELECT gid, pg_get_userbyid(ownerid) AS owner FROM pg_prepared_xact()
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database());

-- The large objects that neither the template nor a layer has.
CREATE VIEW flask_testbed.new_large_object AS
SELECT oid FROM pg_largeobject_metadata m
WHERE NOT EXISTS (SELECT FROM flask_testbed.kept_large_object k WHERE k.oid = m.oid);

-- Return the PL/pgSQL that empties a table if it is neither empty nor restored. Called by
-- create_empty_tables.
CREATE FUNCTION flask_testbed.emptying_code(relation oid, relation_name text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format('
    IF pg_relation_size(%1$s) > 0 THEN
        IF NOT EXISTS (SELECT FROM flask_testbed.restored_table r WHERE r.oid = %1$s) THEN
            %2$s
        END IF;
    END IF;', relation, CASE
        WHEN NOT can_delete AND NOT can_truncate THEN
            format('RAISE %L;', 'there are triggers or rules on ' || replace(relation_name, '%', '%%'))
        WHEN NOT can_delete THEN format('TRUNCATE ONLY %s CASCADE;', relation_name)
        WHEN NOT can_truncate THEN format('DELETE FROM ONLY %s;', relation_name)
        ELSE format('
            IF flask_testbed.has_outgrown(%1$s) THEN
                TRUNCATE ONLY %2$s CASCADE;
            ELSE
                DELETE FROM ONLY %2$s;
            END IF;', relation, relation_name) END)
    FROM (SELECT relation) AS one (oid) LEFT JOIN flask_testbed.guarded_table USING (oid);
$$;

-- Create empty_tables(), which empties the tables that are neither restored nor watched, and watch
-- the others. It names each table, so the server keeps the plans of its statements; and it looks up
-- the size of a table without reading it. Called when the template is prepared, and when a layer
-- that has changed the schema is pushed.
CREATE FUNCTION flask_testbed.create_empty_tables() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    watches_every_table boolean := flask_testbed.watches_every_table();
    user_table record;
    code text := '';
BEGIN
    PERFORM flask_testbed.find_guarded_tables();
    FOR user_table IN SELECT oid, name FROM flask_testbed.user_table ORDER BY oid LOOP
        IF watches_every_table THEN
            CONTINUE WHEN flask_testbed.watch_writes(user_table.oid, user_table.name);
        END IF;
        code := code || flask_testbed.emptying_code(user_table.oid, user_table.name);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION flask_testbed.empty_tables() RETURNS void'
                   ' LANGUAGE plpgsql AS %L', 'BEGIN' || code || E'\nEND');
END
$$;

-- Truncate those of some tables that are to be empty which are outgrown, or which DELETE does not empty,
-- and return the others, or NULL. Called by each reset that empties tables which empty_tables() does not
-- name.
CREATE FUNCTION flask_testbed.truncate_some(tables oid[]) RETURNS oid[]
LANGUAGE plpgsql AS $$
DECLARE
    blocking regclass := (
        SELECT oid FROM flask_testbed.guarded_table
        WHERE oid = ANY (tables) AND NOT can_delete AND NOT can_truncate LIMIT 1);
    truncated oid[];
BEGIN
    IF blocking IS NOT NULL THEN
        RAISE 'there are triggers or rules on %', blocking;
    END IF;
    SELECT array_agg(oid) INTO truncated
    FROM unnest(tables) AS oid LEFT JOIN flask_testbed.guarded_table g USING (oid)
    WHERE NOT can_delete
        OR can_truncate IS DISTINCT FROM false AND flask_testbed.has_outgrown(oid);
    IF truncated IS NULL THEN
        RETURN tables;
    END IF;
    PERFORM flask_testbed.truncate_tables(truncated);
    RETURN (SELECT array_agg(oid) FROM unnest(tables) AS oid WHERE oid <> ALL (truncated));
END
$$;

-- Empty the tables that are watched and not restored, and have been written. Called by each reset
-- that finds writes noted.
CREATE FUNCTION flask_testbed.empty_touched_tables() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    relation oid;
BEGIN
    FOR relation IN SELECT DISTINCT oid FROM flask_testbed.touched LOOP
        CONTINUE WHEN flask_testbed.is_restored(relation);
        CONTINUE WHEN flask_testbed.truncate_some(ARRAY[relation]) IS NULL;
        EXECUTE format('DELETE FROM ONLY %s', relation::regclass);
    END LOOP;
END
$$;

-- Empty and restore tables, where foreign keys are checked and triggers are called. Called by each
-- reset of a role that is no superuser, who may not skip them.
CREATE FUNCTION flask_testbed.reset_tables_checked() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    emptied oid[];
BEGIN
    SELECT array_agg(oid) INTO emptied FROM flask_testbed.user_table
    WHERE pg_relation_size(oid) > 0 AND NOT flask_testbed.is_restored(oid);
    IF emptied IS NOT NULL THEN
        emptied := flask_testbed.truncate_some(emptied);
    END IF;
    PERFORM flask_testbed.restore_rows_checked(emptied);
END
$$;

-- Reset the database. Return `done:1,2`, with the process identifiers of the other sessions; or
-- `busy:1,2`, and do nothing, if the sessions with these are in a transaction; or `prepared:…` and the identifier of a prepared
-- transaction; or `clone:…` and why only a new clone of the template is as the database was. Called
-- after each test that has connected. Each function that it calls costs some microseconds, so short
-- steps stand here. An error, too, ends in a new clone.
CREATE FUNCTION flask_testbed.reset() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    sessions text;
    reason text;
BEGIN
    SELECT string_agg(pid::text, ','), string_agg(pid::text, ',') FILTER (WHERE is_open)
    INTO sessions, reason FROM flask_testbed.other_session;
    IF reason IS NOT NULL THEN
        RETURN 'busy:' || reason;
    END IF;
    IF current_setting('max_prepared_transactions') <> '0' THEN
        SELECT gid INTO reason FROM flask_testbed.prepared_transaction LIMIT 1;
        IF reason IS NOT NULL THEN
            RETURN 'prepared:' || reason;
        END IF;
    END IF;
    SELECT command INTO reason FROM flask_testbed.schema_change LIMIT 1;
    IF reason IS NOT NULL THEN
        RETURN 'clone:' || reason;
    END IF;
    IF current_setting('session_replication_role') = 'replica' THEN
        -- Foreign keys and triggers are skipped.
        PERFORM flask_testbed.empty_tables();
        IF EXISTS (SELECT FROM flask_testbed.touched) THEN
            PERFORM flask_testbed.empty_touched_tables();
        END IF;
        IF EXISTS (SELECT FROM flask_testbed.restored_table) THEN
            PERFORM flask_testbed.restore_rows();
        END IF;
    ELSE
        PERFORM flask_testbed.reset_tables_checked();
    END IF;
    IF EXISTS (SELECT FROM flask_testbed.touched) THEN
        PERFORM flask_testbed.forget_touched();
    END IF;
    PERFORM flask_testbed.reset_sequences();
    IF EXISTS (SELECT FROM pg_largeobject_metadata) THEN
        PERFORM lo_unlink(oid) FROM flask_testbed.new_large_object;
    END IF;
    RETURN 'done:' || coalesce(sessions, '');
END
$$;

-- Return the names of the tables and sequences that the next reset has to reset, or NULL. Called
-- before a reset whose log is wanted, and after one if a test has left a thread or a session.
CREATE FUNCTION flask_testbed.pending_changes() RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    -- Another session may hold a lock on a table.
    IF EXISTS (SELECT FROM flask_testbed.other_session WHERE is_open)
        OR EXISTS (SELECT FROM flask_testbed.prepared_transaction) THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT string_agg(name, ', ' ORDER BY name) FROM (
            SELECT name FROM flask_testbed.restored_table
            WHERE oid = ANY (flask_testbed.changed_tables()) AND version <> ''
            UNION ALL
            SELECT name FROM flask_testbed.user_table
            WHERE NOT flask_testbed.is_restored(oid) AND flask_testbed.has_rows(oid, name)
            UNION ALL
            SELECT oid::regclass::text FROM flask_testbed.restored_sequence
            WHERE pg_sequence_last_value(oid) IS DISTINCT FROM last_value
        ) AS changes);
END
$$;

-- Note how the database is now, which a reset makes it again: its rows are layer 0. Called once,
-- when the template is otherwise complete.
CREATE FUNCTION flask_testbed.prepare_template() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flask_testbed.copy_tables(0);
    PERFORM flask_testbed.copy_sequences(0);
    PERFORM flask_testbed.create_empty_tables();
    PERFORM flask_testbed.protect(c.oid::regclass::text, CASE
        WHEN relname IN ('touched', 'recorded_ddl') THEN 'UPDATE OR DELETE OR TRUNCATE'
        ELSE 'INSERT OR UPDATE OR DELETE OR TRUNCATE' END)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname = 'flask_testbed' AND relkind = 'r' AND relname NOT LIKE 'rows\_%';
    -- Last, since the above changes the catalogs.
    PERFORM flask_testbed.watch_schema();
END
$$;
