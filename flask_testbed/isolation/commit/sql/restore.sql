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
        WHERE CASE
            WHEN r.file <> pg_relation_filenode(r.oid) OR r.version = '' THEN true
            WHEN r.watched THEN EXISTS (SELECT FROM flask_testbed.touched t WHERE t.oid = r.oid)
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

-- Return those of some changed tables that are to be truncated before they are restored, or NULL:
-- those that take too many pages, and those whose rows cannot be told by their places. Called by a
-- reset. A copy takes at most half the pages that its table may take.
CREATE FUNCTION flask_testbed.outgrown_tables(tables oid[]) RETURNS oid[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT array_agg(r.oid) FROM flask_testbed.restored_table r
        WHERE r.oid = ANY (tables)
            AND (NOT is_whole AND r.file NOT IN (0, pg_relation_filenode(r.oid))
                OR flask_testbed.has_outgrown(r.oid, 2 * pg_relation_size(r.copy::regclass))));
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
    PERFORM flask_testbed.accept_changes();
END
$$;

-- Note that some tables are equal to their copies. Called when they have been restored, and when
-- they have been copied. A table whose policies hide its rows has the version '', if it is not watched:
-- it counts as changed.
CREATE FUNCTION flask_testbed.note_equal(tables oid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flask_testbed.restored_table SET
        file = pg_relation_filenode(oid),
        version = CASE WHEN watched THEN 'watched' WHEN row_security_active(oid) THEN ''
            ELSE flask_testbed.table_version(name) END
    WHERE oid = ANY (tables);
END
$$;

-- Return the beginning of a statement that inserts rows into a table or a copy, up to SELECT. Called by
-- whatever restores rows.
CREATE FUNCTION flask_testbed.insert_into(name text, columns text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT 'INSERT INTO ' || name || CASE WHEN columns <> '' THEN ' (' || columns || ')' ELSE '' END
        || ' OVERRIDING SYSTEM VALUE ';
$$;

-- Restore the rows of a table that differ from those of its copy. Called by each reset of a superuser's
-- database in which the table is to be restored and is large. The statement with the names of operators
-- runs with the application's search path.
CREATE FUNCTION flask_testbed.restore_large_table(changed flask_testbed.restored_table) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'DELETE FROM ONLY %s AS t WHERE NOT EXISTS (SELECT FROM %s AS c'
        ' WHERE c.testbed_place = t.ctid AND c.testbed_writer = t.xmin)',
        changed.name, changed.copy);
    PERFORM flask_testbed.insert_rows(format(
        'WITH missing AS (DELETE FROM %1$s AS c WHERE NOT EXISTS (SELECT FROM ONLY %2$s AS t'
        ' WHERE t.ctid OPERATOR(pg_catalog.=) c.testbed_place'
        ' AND t.xmin OPERATOR(pg_catalog.=) c.testbed_writer) RETURNING c.*)'
        ' %3$s SELECT %4$s FROM missing',
        changed.copy, changed.name, flask_testbed.insert_into(changed.name, changed.columns),
        changed.restored));
    -- The restored rows have new places. Only this transaction has written them.
    EXECUTE format(
        'INSERT INTO %2$s SELECT ctid, xmin, %3$s FROM ONLY %1$s'
        ' WHERE xmin = pg_current_xact_id()::xid',
        changed.name, changed.copy, changed.copied);
END
$$;

-- Restore the rows of the tables that differ from their copies, with foreign keys and triggers skipped.
-- Called by each reset of a superuser's database in which tables are to be restored.
CREATE FUNCTION flask_testbed.restore_rows() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    changed oid[] := flask_testbed.changed_tables();
    outgrown oid[];
    changed_table flask_testbed.restored_table;
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
        IF changed_table.needs_clone THEN
            RAISE 'there are triggers or rules on %', changed_table.name;
        END IF;
        IF changed_table.is_whole THEN
            EXECUTE 'DELETE FROM ONLY ' || changed_table.name;
            PERFORM flask_testbed.insert_rows(
                flask_testbed.insert_into(changed_table.name, changed_table.columns)
                || format('SELECT %s FROM %s', changed_table.restored, changed_table.copy));
        ELSE
            PERFORM flask_testbed.restore_large_table(changed_table);
        END IF;
    END LOOP;
    PERFORM flask_testbed.note_equal(changed);
END
$$;

-- Empty some tables and restore those that differ from their copies, where foreign keys are
-- checked: at the end of each statement. So the tables to restore, and all that refer to them, are
-- emptied by one statement together with the given ones, and filled by another. Called by each reset of
-- a role that is no superuser.
CREATE FUNCTION flask_testbed.restore_rows_checked(emptied oid[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    changed oid[] := flask_testbed.changed_tables();
    hidden oid[];
BEGIN
    WITH RECURSIVE referring (oid) AS (
        SELECT unnest(changed)
        UNION
        SELECT c.conrelid FROM pg_constraint c JOIN referring r ON c.confrelid = r.oid
        WHERE c.contype = 'f'
    )
    SELECT array_agg(oid) INTO changed FROM flask_testbed.restored_table JOIN referring USING (oid);
    IF changed IS NOT NULL THEN
        IF EXISTS (SELECT FROM flask_testbed.restored_table
                   WHERE oid = ANY (changed) AND needs_clone) THEN
            RAISE 'there are triggers or rules on %', changed::regclass[];
        END IF;
        IF flask_testbed.outgrown_tables(changed) IS NOT NULL THEN
            PERFORM flask_testbed.truncate_tables(changed);
        END IF;
        -- This is cheaper than hidden_tables(), which looks at all tables.
        SELECT array_agg(oid) INTO hidden FROM pg_class
        WHERE oid = ANY (changed) AND relforcerowsecurity AND row_security_active(oid);
        PERFORM flask_testbed.force_policies(hidden, false);
    END IF;
    IF emptied IS NOT NULL OR changed IS NOT NULL THEN
        EXECUTE (
            SELECT 'WITH '
                || string_agg(format('d%s AS (DELETE FROM ONLY %s)', number, name), ', ')
                || ' SELECT'
            FROM flask_testbed.table_names(emptied || changed) WITH ORDINALITY AS t (name, number));
    END IF;
    IF changed IS NOT NULL THEN
        PERFORM flask_testbed.insert_rows(
            (SELECT 'WITH ' || string_agg(format('i%s AS (%s SELECT %s FROM %s)', oid,
                flask_testbed.insert_into(name, columns), restored, copy), ', ') || ' SELECT'
             FROM flask_testbed.restored_table WHERE oid = ANY (changed)));
        IF hidden IS NOT NULL THEN
            PERFORM flask_testbed.force_policies(hidden, true);
            PERFORM flask_testbed.accept_changes();
        END IF;
        PERFORM flask_testbed.note_equal(changed);
    END IF;
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
