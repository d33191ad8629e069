-- Copies of tables and sequences, from which a reset restores them.
--
-- Layer 0 is what migrations have put into the template, and each layer above it is what a fixture
-- has written. A layer has a copy of each table that it has changed. The highest copy of a table is
-- the chosen one, which is restored; a table without a copy is emptied.
--
-- A small table is restored as a whole: it is emptied and filled from its copy, so its rows come back
-- in their order. The copy of a large one holds, beside each row, its place (ctid) and the transaction
-- that wrote it (xmin). Together they identify a version of a row, as long as the file of the table is
-- the same (VACUUM FULL and CLUSTER write another one), so only the rows that differ are restored.

-- The copies, by layer.
CREATE TABLE flask_testbed.layer_table (
    layer integer,
    oid oid,
    name text NOT NULL,
    copy text NOT NULL,
    is_whole boolean NOT NULL, -- without places and writers of rows
    PRIMARY KEY (layer, oid)
);

-- The last value of each sequence that a layer has moved; NULL if it has not been called.
CREATE TABLE flask_testbed.layer_sequence (
    layer integer,
    oid oid,
    last_value bigint,
    PRIMARY KEY (layer, oid)
);

-- The chosen copies.
CREATE TABLE flask_testbed.restored_table (
    oid oid PRIMARY KEY,
    name text NOT NULL,
    copy text NOT NULL,
    is_whole boolean NOT NULL,
    columns text NOT NULL, -- these three are those of column_lists
    copied text NOT NULL,
    restored text NOT NULL,
    needs_clone boolean NOT NULL, -- since triggers or rules would be called
    file oid NOT NULL, -- and version: those of the table when it was last equal to its copy
    version text NOT NULL,
    watched boolean NOT NULL -- whether a trigger notes who writes, so no row need be read
);

-- The chosen values of sequences.
CREATE TABLE flask_testbed.restored_sequence (
    oid oid PRIMARY KEY,
    last_value bigint, -- NULL: it has not been called
    start_value bigint NOT NULL
);

-- Choose the highest copy of a table, or none. The next reset restores or empties the table. Called
-- when a copy is created or dropped.
CREATE FUNCTION flask_testbed.choose_copy(relation oid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    chosen record;
    watched boolean := flask_testbed.watches_every_table();
BEGIN
    DELETE FROM flask_testbed.restored_table r WHERE r.oid = relation;
    SELECT t.name, l.copy, l.is_whole INTO chosen
    FROM flask_testbed.user_table t LEFT JOIN flask_testbed.layer_table l USING (oid)
    WHERE t.oid = relation ORDER BY l.layer DESC LIMIT 1;
    IF chosen.name IS NULL THEN
        RETURN; -- the table has been dropped
    END IF;
    IF chosen.copy IS NOT NULL THEN
        watched := watched OR row_security_active(relation)
            OR flask_testbed.has_more_rows(chosen.copy, 1000);
        IF watched THEN
            watched := flask_testbed.watch_writes(relation, chosen.name);
        END IF;
        -- No table has the file 0, so this one counts as changed.
        INSERT INTO flask_testbed.restored_table
        SELECT relation, chosen.name, chosen.copy, chosen.is_whole, c.columns, c.copied, c.restored,
            EXISTS (SELECT FROM flask_testbed.table_code t
                    WHERE t.oid = relation AND (t.on_delete OR t.on_insert)), 0, '', watched
        FROM flask_testbed.column_lists(relation) c;
    END IF;
    INSERT INTO flask_testbed.touched VALUES (relation);
    IF NOT watched THEN
        PERFORM flask_testbed.unwatch_writes(relation, chosen.name);
    END IF;
END
$$;

-- Choose the highest value of each sequence. Called when a layer is pushed, popped or forgotten.
CREATE FUNCTION flask_testbed.choose_sequences() RETURNS void
LANGUAGE sql AS $$
    DELETE FROM flask_testbed.restored_sequence;
    INSERT INTO flask_testbed.restored_sequence
    SELECT DISTINCT ON (oid) oid, last_value, seqstart
    FROM flask_testbed.layer_sequence JOIN pg_sequence ON seqrelid = oid ORDER BY oid, layer DESC;
$$;

-- Choose the highest copy of each table and value of each sequence. Called when layers are
-- forgotten, and when they have been copied from another database.
CREATE FUNCTION flask_testbed.choose_copies() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flask_testbed.choose_copy(oid) FROM (
        SELECT oid FROM flask_testbed.restored_table
        UNION SELECT oid FROM flask_testbed.layer_table
    ) AS tables;
    PERFORM flask_testbed.choose_sequences();
    PERFORM flask_testbed.accept_changes();
END
$$;

-- Return the name of a layer's copy of a table. Called when a copy is created.
CREATE FUNCTION flask_testbed.copy_name(relation oid, layer integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT 'flask_testbed.rows_' || relation || CASE WHEN layer > 0 THEN '_' || layer ELSE '' END;
$$;

-- Create an empty copy of a table for a layer whose rows come from another database, and return its
-- name, or NULL if this database has no such table. Called when a layer is carried into a clone.
CREATE FUNCTION flask_testbed.create_copy(
    number integer, relation oid, relation_name text, is_whole boolean, definition text)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    copy_name text := flask_testbed.copy_name(relation, number);
BEGIN
    IF NOT EXISTS (SELECT FROM flask_testbed.user_table
                   WHERE oid = relation AND name = relation_name) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE %s (%s %s)', copy_name,
                   CASE WHEN NOT is_whole THEN 'testbed_place tid, testbed_writer xid,' END,
                   definition);
    PERFORM flask_testbed.protect(copy_name, 'INSERT OR UPDATE OR DELETE OR TRUNCATE');
    INSERT INTO flask_testbed.layer_table
    VALUES (number, relation, relation_name, copy_name, is_whole);
    PERFORM flask_testbed.accept_changes();
    RETURN copy_name;
END
$$;

-- Return whether a table or a copy has more than so many rows. Called when a copy is created or
-- chosen.
CREATE FUNCTION flask_testbed.has_more_rows(name text, number integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    has_more boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s OFFSET %s)', name, number) INTO has_more;
    RETURN has_more;
END
$$;

-- Return whether a table is restored as a whole. Called when a copy is created.
CREATE FUNCTION flask_testbed.is_restored_whole(relation oid, name text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    -- Where foreign keys are checked, all rows are replaced in any case. A table has at most 1,600
    -- columns, and its copy might have two more.
    RETURN current_setting('session_replication_role') <> 'replica'
        OR (SELECT relnatts NOT BETWEEN 1 AND 1500 FROM pg_class WHERE oid = relation)
        OR NOT flask_testbed.has_more_rows(name, 50);
END
$$;

-- Copy the tables that differ from their chosen copies, as those of a layer; choose the new copies,
-- and return whether there are any. Called when the template is prepared and when a layer is pushed.
CREATE FUNCTION flask_testbed.copy_tables(number integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    user_table record;
    changed oid[] := coalesce(flask_testbed.changed_tables(), '{}');
    is_whole boolean;
    copy_name text;
    copied_tables oid[];
    hidden oid[] := flask_testbed.hidden_tables();
BEGIN
    PERFORM flask_testbed.force_policies(hidden, false);
    FOR user_table IN
        SELECT t.oid, t.name, c.copied, r.oid IS NOT NULL AS is_restored,
            (r.columns, r.copied, r.restored) IS DISTINCT FROM (c.columns, c.copied, c.restored)
            AS is_altered
        FROM flask_testbed.user_table t CROSS JOIN flask_testbed.column_lists(t.oid) c
        LEFT JOIN flask_testbed.restored_table r USING (oid)
    LOOP
        CONTINUE WHEN CASE WHEN user_table.is_restored
            THEN NOT user_table.is_altered AND user_table.oid <> ALL (changed)
            ELSE NOT flask_testbed.has_rows(user_table.oid, user_table.name) END;
        copy_name := flask_testbed.copy_name(user_table.oid, number);
        is_whole := flask_testbed.is_restored_whole(user_table.oid, user_table.name);
        EXECUTE format('CREATE TABLE %s AS SELECT %s %s FROM ONLY %s', copy_name,
                       CASE WHEN NOT is_whole THEN 'ctid AS testbed_place, xmin AS testbed_writer,'
                       END, user_table.copied, user_table.name);
        PERFORM flask_testbed.protect(copy_name, 'INSERT OR UPDATE OR DELETE OR TRUNCATE');
        INSERT INTO flask_testbed.layer_table
        VALUES (number, user_table.oid, user_table.name, copy_name, is_whole);
        copied_tables := copied_tables || user_table.oid;
    END LOOP;
    PERFORM flask_testbed.force_policies(hidden, true);
    PERFORM flask_testbed.choose_copy(oid) FROM unnest(copied_tables) AS oid;
    PERFORM flask_testbed.note_equal(copied_tables);
    PERFORM flask_testbed.forget_touched();
    RETURN copied_tables IS NOT NULL;
END
$$;

-- Store the values of the sequences that have moved, as those of a layer, and choose them. Called
-- when the template is prepared and when a layer is pushed.
CREATE FUNCTION flask_testbed.copy_sequences(number integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flask_testbed.layer_sequence
    SELECT number, c.oid, pg_sequence_last_value(c.oid)
    FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid
    LEFT JOIN flask_testbed.restored_sequence known ON known.oid = c.oid
    WHERE c.relpersistence <> 't' AND (known.oid IS NULL
        OR pg_sequence_last_value(c.oid) IS DISTINCT FROM known.last_value);
    PERFORM flask_testbed.choose_sequences();
END
$$;
