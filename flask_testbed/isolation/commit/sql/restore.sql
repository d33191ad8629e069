-- Restoring tables and sequences from their chosen copies.

-- Return whether a table is to be restored; otherwise it is to be emptied. Called by each reset for
-- the tables that are not empty.
CREATE FUNCTION flask_testbed.is_restored(relation oid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT FROM flask_testbed.restored_table r WHERE r.oid = relation);
END
$$;

-- Return the tables whose rows are not those of their copies, or NULL if there are none. Called by
-- each reset and when a layer is pushed.
CREATE FUNCTION flask_testbed.changed_tables() RETURNS oid[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT array_agg(r.oid) FROM flask_testbed.restored_table r
        WHERE CASE WHEN r.watched
            THEN EXISTS (SELECT FROM flask_testbed.touched t WHERE t.oid = r.oid)
            ELSE flask_testbed.table_version(r.name) <> r.version END);
END
$$;

-- Return whether a table is to be truncated rather than deleted from: whether it takes 256 kB more
-- than its rows are expected to need. Deleted rows keep their pages, which each later reset would
-- read; but truncating takes longer than deleting a few rows. Called by each reset.
CREATE FUNCTION flask_testbed.has_outgrown(relation oid, expected bigint DEFAULT 0)
RETURNS boolean
LANGUAGE sql AS $$
    SELECT pg_relation_size(relation) > 262144 + expected;
$$;

-- Return those of some changed tables that are to be truncated before they are restored, or NULL.
-- Called by a reset. A copy takes at most half the pages that its table may take.
CREATE FUNCTION flask_testbed.outgrown_tables(tables oid[]) RETURNS oid[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT array_agg(r.oid) FROM flask_testbed.restored_table r
        WHERE r.oid = ANY (tables)
            AND flask_testbed.has_outgrown(r.oid, 2 * pg_relation_size(r.copy::regclass)));
END
$$;

-- Return the quoted names of some tables. Called by a reset that truncates or checks foreign keys.
CREATE FUNCTION flask_testbed.table_names(tables oid[]) RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT name FROM flask_testbed.user_table WHERE oid = ANY (tables);
$$;

-- Truncate some tables and those that refer to them: these are to be emptied too, or are restored
-- afterwards. Called by each reset that finds an outgrown table.
CREATE FUNCTION flask_testbed.truncate_tables(tables oid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE (SELECT 'TRUNCATE ONLY ' || string_agg(name, ', ONLY ') || ' CASCADE'
             FROM flask_testbed.table_names(tables) AS name);
    PERFORM flask_testbed.remember_catalog();
END
$$;

-- Note that some tables are equal to their copies. Called when they have been restored, and when
-- they have been copied.
CREATE FUNCTION flask_testbed.note_equal(tables oid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flask_testbed.restored_table SET version = flask_testbed.table_version(name)
    WHERE oid = ANY (tables) AND NOT watched;
END
$$;

-- Restore the rows that differ from the copies, with foreign keys and triggers skipped. Called by
-- each reset of a superuser's database in which tables are to be restored.
CREATE FUNCTION flask_testbed.restore_rows() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    changed oid[] := flask_testbed.changed_tables();
    outgrown oid[];
    changed_table record;
BEGIN
    IF changed IS NULL THEN
        RETURN;
    END IF;
    outgrown := flask_testbed.outgrown_tables(changed);
    IF outgrown IS NOT NULL THEN
        PERFORM flask_testbed.truncate_tables(outgrown);
        changed := flask_testbed.changed_tables(); -- with those that refer to them
    END IF;
    FOR changed_table IN SELECT * FROM flask_testbed.restored_table WHERE oid = ANY (changed) LOOP
        EXECUTE format(
            'DELETE FROM ONLY %s AS t WHERE NOT EXISTS (SELECT FROM %s AS c'
            ' WHERE c.testbed_place = t.ctid AND c.testbed_writer = t.xmin)',
            changed_table.name, changed_table.copy);
        EXECUTE format(
            'WITH missing AS (DELETE FROM %2$s AS c WHERE NOT EXISTS (SELECT FROM ONLY %1$s AS t'
            ' WHERE t.ctid = c.testbed_place AND t.xmin = c.testbed_writer) RETURNING c.*)'
            ' INSERT INTO %1$s (%3$s) OVERRIDING SYSTEM VALUE SELECT %4$s FROM missing',
            changed_table.name, changed_table.copy, changed_table.columns, changed_table.restored);
        -- The restored rows have new places. Only this transaction has written them.
        EXECUTE format(
            'INSERT INTO %2$s SELECT ctid, xmin, %3$s FROM ONLY %1$s'
            ' WHERE xmin = pg_current_xact_id()::xid',
            changed_table.name, changed_table.copy, changed_table.copied);
    END LOOP;
    PERFORM flask_testbed.note_equal(changed);
END
$$;

-- Empty some tables and restore those that differ from their copies, where foreign keys are
-- checked: at the end of each statement. So the tables to restore, and all that refer to them, are
-- emptied by one statement together with the given ones, and filled by another. Return NULL, or do
-- nothing and return the name of a table whose triggers would be called. Called by each reset of a
-- role that is no superuser.
CREATE FUNCTION flask_testbed.restore_rows_checked(emptied oid[]) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    changed oid[] := flask_testbed.changed_tables();
    blocking text;
BEGIN
    WITH RECURSIVE referring (oid) AS (
        SELECT unnest(changed)
        UNION
        SELECT c.conrelid FROM pg_constraint c JOIN referring r ON c.confrelid = r.oid
        WHERE c.contype = 'f'
    )
    SELECT array_agg(oid) INTO changed FROM flask_testbed.restored_table JOIN referring USING (oid);
    IF flask_testbed.has_triggers(changed) THEN
        SELECT name INTO blocking FROM flask_testbed.restored_table
        WHERE oid = ANY (changed) AND flask_testbed.has_triggers(ARRAY[oid]) LIMIT 1;
        RETURN blocking;
    END IF;
    IF flask_testbed.outgrown_tables(changed) IS NOT NULL THEN
        PERFORM flask_testbed.truncate_tables(changed);
    END IF;
    IF emptied IS NOT NULL OR changed IS NOT NULL THEN
        EXECUTE (
            SELECT 'WITH '
                || string_agg(format('d%s AS (DELETE FROM ONLY %s)', number, name), ', ')
                || ' SELECT'
            FROM flask_testbed.table_names(emptied || changed) WITH ORDINALITY AS t (name, number));
    END IF;
    IF changed IS NOT NULL THEN
        EXECUTE (
            SELECT 'WITH ' || string_agg(format(
                'i%s AS (INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s)',
                oid, name, columns, restored, copy), ', ') || ' SELECT'
            FROM flask_testbed.restored_table WHERE oid = ANY (changed));
        PERFORM flask_testbed.note_equal(changed);
    END IF;
    RETURN NULL;
END
$$;

-- Set the sequences that have moved back to their chosen values. Called by each reset, and in
-- rollback mode, since a rollback does not undo nextval.
CREATE FUNCTION flask_testbed.reset_sequences() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setval(oid, coalesce(last_value, start_value), last_value IS NOT NULL)
    FROM flask_testbed.restored_sequence
    WHERE pg_sequence_last_value(oid) IS DISTINCT FROM last_value;
END
$$;
