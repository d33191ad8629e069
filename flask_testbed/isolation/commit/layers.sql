-- Rows that live longer than a test, in layers: what each fixture of a class, module, package or
-- session has written. Layer 0 is what migrations put into the template.
--
-- Of each table that a layer has changed there is a copy. A copy holds beside each row where its
-- original stood and which transaction wrote it, so a table is restored by what differs.

-- The tables of each layer.
CREATE TABLE flask_testbed.layer_table (
    layer integer,
    oid oid,
    name text NOT NULL,
    copy text NOT NULL,
    PRIMARY KEY (layer, oid)
);

-- How far each layer has moved the sequences.
CREATE TABLE flask_testbed.layer_sequence (
    layer integer,
    oid oid,
    last_value bigint, -- NULL: not called yet
    PRIMARY KEY (layer, oid)
);

-- Layers that have changed the schema: only a clone of another template undoes them.
CREATE TABLE flask_testbed.layer_schema (layer integer PRIMARY KEY);

-- The tables that were written since the last reset, of those that have it noted: the large
-- ones, or all where there are many. Without a key, so that no transaction ever waits for another
-- one here.
CREATE TABLE flask_testbed.touched (oid oid NOT NULL);

-- What follows in this transaction is the engine's own doing, and no change of the schema.
CREATE FUNCTION flask_testbed.own_doing() RETURNS void
LANGUAGE sql AS $$
    SELECT set_config('flask_testbed.own', 'on', true);
$$;

-- It is called for each statement that writes: a SET clause would cost as much again as the rest.
-- Nothing in it depends on the search path.
CREATE FUNCTION flask_testbed.note_touch() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO flask_testbed.touched VALUES (tg_relid);
    RETURN NULL;
END
$$;

-- Have writes to a table noted. False if somebody is writing just now, or where a write is not
-- told to the table: a partition's is told to its parent.
CREATE FUNCTION flask_testbed.note_writes(relation oid, relation_name text) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '20ms' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = relation) THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'flask_testbed_touch')
    THEN
        RETURN true;
    END IF;
    EXECUTE format(
        'CREATE TRIGGER flask_testbed_touch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %1$s'
        ' FOR EACH STATEMENT EXECUTE FUNCTION flask_testbed.note_touch();'
        ' ALTER TABLE %1$s ENABLE ALWAYS TRIGGER flask_testbed_touch', relation_name);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

CREATE FUNCTION flask_testbed.stop_noting(relation oid, relation_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'flask_testbed_touch')
    THEN
        EXECUTE format('DROP TRIGGER flask_testbed_touch ON %s', relation_name);
    END IF;
END
$$;

CREATE FUNCTION flask_testbed.has_triggers(tables oid[]) RETURNS boolean
LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY (tables)
                   AND tgname <> 'flask_testbed_touch');
$$;

CREATE FUNCTION flask_testbed.names(tables oid[]) RETURNS SETOF text
LANGUAGE sql AS $$
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (tables);
$$;

-- Truncating counts as a change of the catalogs.
CREATE FUNCTION flask_testbed.truncate_all(tables oid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'TRUNCATE ONLY ' || (SELECT string_agg(name, ', ONLY ') FROM flask_testbed.names(tables)
                                 AS name) || ' CASCADE';
    UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version();
END
$$;

-- The tables whose rows are not those of their copy; NULL if there are none.
CREATE FUNCTION flask_testbed.changed_tables() RETURNS oid[]
LANGUAGE sql AS $$
    SELECT array_agg(f.oid) FROM flask_testbed.filled f
    WHERE CASE WHEN f.noted THEN EXISTS (SELECT FROM flask_testbed.touched t WHERE t.oid = f.oid)
        ELSE flask_testbed.table_version(f.name) <> f.version END;
$$;

-- The tables of a list whose pages are mostly those of dead rows.
CREATE FUNCTION flask_testbed.bloated(tables oid[]) RETURNS oid[]
LANGUAGE sql AS $$
    SELECT array_agg(f.oid) FROM flask_testbed.filled f WHERE f.oid = ANY (tables)
        AND pg_relation_size(f.oid) > 262144 + 2 * pg_relation_size(f.copy::regclass);
$$;

CREATE FUNCTION flask_testbed.forget_touches() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_relation_size('flask_testbed.touched') > 65536 THEN
        TRUNCATE flask_testbed.touched;
        UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version();
    ELSE
        DELETE FROM flask_testbed.touched;
    END IF;
END
$$;

-- Empty those of them that are to be empty.
CREATE FUNCTION flask_testbed.empty_touched() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one oid;
BEGIN
    FOR one IN
        SELECT DISTINCT oid FROM flask_testbed.touched t
        WHERE NOT EXISTS (SELECT FROM flask_testbed.filled f WHERE f.oid = t.oid)
    LOOP
        IF pg_relation_size(one) > 262144 THEN
            EXECUTE format('TRUNCATE ONLY %s CASCADE', one::regclass);
        ELSE
            EXECUTE format('DELETE FROM ONLY %s', one::regclass);
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION flask_testbed.note_restored(tables oid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flask_testbed.filled SET version = flask_testbed.table_version(name)
    WHERE oid = ANY (tables) AND NOT noted;
    PERFORM flask_testbed.forget_touches();
END
$$;

-- Bring back what differs, row by row. Foreign keys must not be checked meanwhile.
CREATE FUNCTION flask_testbed.refill() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    changed oid[] := flask_testbed.changed_tables();
    one record;
BEGIN
    IF changed IS NULL THEN
        RETURN;
    END IF;
    IF flask_testbed.bloated(changed) IS NOT NULL THEN
        PERFORM flask_testbed.truncate_all(flask_testbed.bloated(changed));
        changed := flask_testbed.changed_tables(); -- those that refer to them, too
    END IF;
    FOR one IN SELECT * FROM flask_testbed.filled f WHERE f.oid = ANY (changed) LOOP
        EXECUTE format(
            'DELETE FROM ONLY %s AS t WHERE NOT EXISTS (SELECT FROM %s AS c'
            ' WHERE c.testbed_place = t.ctid AND c.testbed_writer = t.xmin)', one.name, one.copy);
        EXECUTE format(
            'WITH missing AS (DELETE FROM %2$s AS c WHERE NOT EXISTS (SELECT FROM ONLY %1$s AS t'
            ' WHERE t.ctid = c.testbed_place AND t.xmin = c.testbed_writer) RETURNING c.*)'
            ' INSERT INTO %1$s (%3$s) OVERRIDING SYSTEM VALUE SELECT %4$s FROM missing',
            one.name, one.copy, one.columns, one.restored);
        -- They have a new place. Nobody but this transaction has written them.
        EXECUTE format(
            'INSERT INTO %2$s SELECT ctid, xmin, %3$s FROM ONLY %1$s'
            ' WHERE xmin = pg_current_xact_id()::xid', one.name, one.copy, one.saved);
    END LOOP;
    PERFORM flask_testbed.note_restored(changed);
END
$$;

-- The same where foreign keys are checked: all tables that refer to a changed one are emptied in
-- one statement, with some more, and filled in another. Says what stands in the way.
CREATE FUNCTION flask_testbed.refill_checked(emptied oid[]) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    changed oid[] := flask_testbed.changed_tables();
    doomed text[];
BEGIN
    WITH RECURSIVE referring (oid) AS (
        SELECT unnest(changed)
        UNION
        SELECT c.conrelid FROM pg_constraint c JOIN referring r ON c.confrelid = r.oid
        WHERE c.contype = 'f'
    )
    SELECT array_agg(f.oid) INTO changed FROM flask_testbed.filled f JOIN referring USING (oid);
    IF flask_testbed.has_triggers(changed) THEN
        RETURN (SELECT name FROM flask_testbed.filled WHERE oid = ANY (changed)
                AND flask_testbed.has_triggers(ARRAY[oid]) LIMIT 1);
    END IF;
    IF flask_testbed.bloated(changed) IS NOT NULL THEN
        PERFORM flask_testbed.truncate_all(changed);
    END IF;
    SELECT array_agg(name) INTO doomed FROM flask_testbed.names(emptied || changed) AS name;
    IF doomed IS NOT NULL THEN
        EXECUTE (SELECT 'WITH ' || string_agg(format('d%s AS (DELETE FROM ONLY %s)', i, name), ', ')
                     || ' SELECT'
                 FROM unnest(doomed) WITH ORDINALITY AS u (name, i));
    END IF;
    IF changed IS NOT NULL THEN
        EXECUTE (SELECT 'WITH ' || string_agg(format(
                     'i%s AS (INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s)',
                     f.oid, name, columns, restored, copy), ', ') || ' SELECT'
                 FROM flask_testbed.filled f WHERE f.oid = ANY (changed));
        PERFORM flask_testbed.note_restored(changed);
    END IF;
    RETURN NULL;
END
$$;

-- Make the highest copy of a table the one that comes back; none, and it is one to empty.
CREATE FUNCTION flask_testbed.choose_copy(relation oid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    top record;
    noted boolean := flask_testbed.notes_all();
BEGIN
    DELETE FROM flask_testbed.filled f WHERE f.oid = relation;
    SELECT l.copy, t.name INTO top
    FROM flask_testbed.user_table t LEFT JOIN flask_testbed.layer_table l USING (oid)
    WHERE t.oid = relation ORDER BY l.layer DESC LIMIT 1;
    IF top.copy IS NOT NULL THEN
        IF NOT noted THEN
            EXECUTE format('SELECT count(*) > 1000 FROM (SELECT FROM %s LIMIT 1001) AS first',
                           top.copy) INTO noted;
        END IF;
        IF noted THEN
            noted := flask_testbed.note_writes(relation, top.name);
        END IF;
        -- A version that no table has: it differs.
        INSERT INTO flask_testbed.filled
        SELECT relation, top.name, top.copy, c.columns, c.saved, c.restored, '', noted
        FROM flask_testbed.columns_of(relation) c;
    END IF;
    INSERT INTO flask_testbed.touched SELECT relation WHERE top.name IS NOT NULL;
    IF top.name IS NOT NULL AND NOT noted THEN
        PERFORM flask_testbed.stop_noting(relation, top.name);
    END IF;
END
$$;

CREATE FUNCTION flask_testbed.name_of_copy(relation oid, layer integer) RETURNS text
LANGUAGE sql AS $$
    SELECT 'flask_testbed.rows_' || relation || CASE WHEN layer > 0 THEN '_' || layer ELSE '' END;
$$;

-- Make the tables of a layer those that are not as the layers below it say.
CREATE FUNCTION flask_testbed.keep_tables(number integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    changed oid[] := flask_testbed.changed_tables();
    has_rows boolean;
    found oid[];
BEGIN
    FOR one IN
        SELECT t.oid, t.name, c.saved, f.oid IS NOT NULL AS filled,
            (f.columns, f.saved, f.restored) IS DISTINCT FROM (c.columns, c.saved, c.restored)
            AS altered
        FROM flask_testbed.user_table t CROSS JOIN flask_testbed.columns_of(t.oid) c
        LEFT JOIN flask_testbed.filled f USING (oid)
        WHERE f.oid IS NOT NULL OR pg_relation_size(t.oid) > 0
    LOOP
        IF one.filled THEN
            CONTINUE WHEN NOT one.altered AND one.oid <> ALL (coalesce(changed, '{}'));
        ELSE
            EXECUTE 'SELECT EXISTS (SELECT FROM ONLY ' || one.name || ')' INTO has_rows;
            CONTINUE WHEN NOT has_rows;
        END IF;
        EXECUTE format('CREATE TABLE %s AS SELECT ctid AS testbed_place, xmin AS testbed_writer, %s'
                       ' FROM ONLY %s',
                       flask_testbed.name_of_copy(one.oid, number), one.saved, one.name);
        INSERT INTO flask_testbed.layer_table
        VALUES (number, one.oid, one.name, flask_testbed.name_of_copy(one.oid, number));
        PERFORM flask_testbed.choose_copy(one.oid);
        found := found || one.oid;
    END LOOP;
    IF found IS NOT NULL THEN
        PERFORM flask_testbed.note_restored(found);
    END IF;
    RETURN found IS NOT NULL;
END
$$;

CREATE FUNCTION flask_testbed.keep_sequences(number integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flask_testbed.layer_sequence
    SELECT number, c.oid, pg_sequence_last_value(c.oid)
    FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid
    LEFT JOIN flask_testbed.sequence known ON known.oid = c.oid
    WHERE c.relpersistence <> 't' AND (known.oid IS NULL
        OR pg_sequence_last_value(c.oid) IS DISTINCT FROM known.last_value);
    PERFORM flask_testbed.choose_sequences();
END
$$;

CREATE FUNCTION flask_testbed.choose_sequences() RETURNS void
LANGUAGE sql AS $$
    DELETE FROM flask_testbed.sequence;
    INSERT INTO flask_testbed.sequence
    SELECT DISTINCT ON (oid) oid, last_value, seqstart
    FROM flask_testbed.layer_sequence JOIN pg_sequence ON seqrelid = oid ORDER BY oid, layer DESC;
$$;

-- Lay what was written since the last reset over the layers that there are. `nothing` was;
-- `rows` were; `schema:…`: the schema was changed, too, and nothing was done, unless that is
-- welcome.
CREATE FUNCTION flask_testbed.push_layer(number integer, any_schema boolean) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    command text := flask_testbed.schema_change();
    kept boolean;
BEGIN
    PERFORM flask_testbed.own_doing();
    IF command IS NOT NULL AND NOT any_schema THEN
        RETURN 'schema:' || command;
    END IF;
    IF command IS NOT NULL THEN
        DELETE FROM flask_testbed.filled f
        WHERE f.oid NOT IN (SELECT t.oid FROM flask_testbed.user_table t);
        DELETE FROM flask_testbed.change;
        INSERT INTO flask_testbed.layer_schema VALUES (number);
    END IF;
    kept := flask_testbed.keep_tables(number);
    IF NOT kept AND command IS NULL THEN
        RETURN 'nothing';
    END IF;
    PERFORM flask_testbed.keep_sequences(number);
    IF command IS NOT NULL AND NOT EXISTS (SELECT FROM flask_testbed.catalog) THEN
        PERFORM flask_testbed.write_reset();
    END IF;
    UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version();
    RETURN 'rows';
END
$$;

-- Take from a copy what a layer below it had added, and give it what that layer had removed.
-- Rows are compared as text: some types have no equality.
CREATE FUNCTION flask_testbed.subtract(relation oid, below text, gone text, above text)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT c.columns FROM flask_testbed.columns_of(relation) c);
    keys text := (SELECT string_agg(quote_ident(a.attname), ', ')
                  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
                  WHERE i.indrelid = relation AND i.indisprimary AND a.attnum = ANY (i.indkey));
    rows text := '(SELECT ROW(' || columns || ')::text AS line, ROW(' || coalesce(keys, columns)
                 || ')::text AS key FROM ' || gone || ')';
BEGIN
    -- A row whose key the layer above has changed since is that layer's own.
    IF below IS NOT NULL THEN
        EXECUTE format(
            'INSERT INTO %3$s (%4$s) SELECT %4$s FROM (SELECT *, ROW(%4$s)::text AS testbed_line,'
            ' ROW(%5$s)::text AS testbed_key FROM %1$s) AS b'
            ' WHERE testbed_line NOT IN (SELECT line FROM %2$s AS g)'
            ' AND (SELECT g.line FROM %2$s AS g WHERE g.key = b.testbed_key LIMIT 1)'
            ' IS NOT DISTINCT FROM (SELECT ROW(%4$s)::text FROM %3$s'
            ' WHERE ROW(%5$s)::text = b.testbed_key LIMIT 1)',
            below, rows, above, columns, coalesce(keys, columns));
    END IF;
    EXECUTE format(
        'DELETE FROM %2$s WHERE ROW(%3$s)::text IN (SELECT line FROM %1$s AS g', rows, above,
        columns) || CASE WHEN below IS NULL THEN ')' ELSE format(
        ' EXCEPT SELECT ROW(%2$s)::text FROM %1$s)', below, columns) END;
END
$$;

-- Take a layer away, wherever it lies. The next reset brings the rows below it back. NULL: done.
-- Otherwise the schema was changed, by it or after it, and nothing was done.
CREATE FUNCTION flask_testbed.pop_layer(number integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    above record;
BEGIN
    PERFORM flask_testbed.own_doing();
    IF flask_testbed.schema_change() IS NOT NULL
        OR EXISTS (SELECT FROM flask_testbed.layer_schema WHERE layer = number) THEN
        RETURN 'schema';
    END IF;
    FOR one IN
        SELECT l.oid, l.copy, (
            SELECT b.copy FROM flask_testbed.layer_table b
            WHERE b.oid = l.oid AND b.layer < number ORDER BY b.layer DESC LIMIT 1) AS below
        FROM flask_testbed.layer_table l WHERE l.layer = number
    LOOP
        FOR above IN SELECT a.copy FROM flask_testbed.layer_table a
            WHERE a.oid = one.oid AND a.layer > number ORDER BY a.layer
        LOOP
            PERFORM flask_testbed.subtract(one.oid, one.below, one.copy, above.copy);
        END LOOP;
        DELETE FROM flask_testbed.layer_table l WHERE l.layer = number AND l.oid = one.oid;
        PERFORM flask_testbed.choose_copy(one.oid);
        EXECUTE 'DROP TABLE ' || one.copy;
    END LOOP;
    DELETE FROM flask_testbed.layer_sequence l WHERE l.layer = number;
    PERFORM flask_testbed.choose_sequences();
    UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version();
    RETURN NULL;
END
$$;

-- A foreign key that the copies do not keep, since a layer was taken from under others.
CREATE FUNCTION flask_testbed.broken_key() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    key record;
    broken boolean;
BEGIN
    FOR key IN
        SELECT c.conname, here.copy AS here, there.copy AS there,
            string_agg(format('h.%I = t.%I', a.attname, b.attname), ' AND ') AS matching,
            string_agg(format('h.%I IS NOT NULL', a.attname), ' AND ') AS present
        FROM pg_constraint c
        JOIN flask_testbed.filled here ON here.oid = c.conrelid
        LEFT JOIN flask_testbed.filled there ON there.oid = c.confrelid
        CROSS JOIN unnest(c.conkey, c.confkey) AS pair (mine, its)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = pair.mine
        JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = pair.its
        -- The rows of a partitioned table are in others.
        JOIN pg_class target ON target.oid = c.confrelid AND target.relkind = 'r'
        WHERE c.contype = 'f'
        GROUP BY c.oid, c.conname, here.copy, there.copy
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s h WHERE %s', key.here, key.present)
            || CASE WHEN key.there IS NULL THEN ')' ELSE format(
               ' AND NOT EXISTS (SELECT FROM %s t WHERE %s))', key.there, key.matching) END
        INTO broken;
        IF broken THEN
            RETURN key.conname;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Lay down a copy of a table, of these columns, that is empty for now: its rows come from another
-- database. NULL: this one has no such table.
CREATE FUNCTION flask_testbed.lay_table(number integer, relation oid, wanted text, columns text)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    copy text := flask_testbed.name_of_copy(relation, number);
BEGIN
    PERFORM flask_testbed.own_doing();
    IF NOT EXISTS (SELECT FROM flask_testbed.user_table WHERE oid = relation AND name = wanted) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE %s (testbed_place tid, testbed_writer xid, %s)', copy, columns);
    INSERT INTO flask_testbed.layer_table VALUES (number, relation, wanted, copy);
    RETURN copy;
END
$$;

-- Forget every layer that is there: a run that was killed has left it, or a template was a copy
-- of a database that had it. The next reset does the rest.
CREATE FUNCTION flask_testbed.forget_layers(any_schema boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    PERFORM flask_testbed.own_doing();
    IF NOT any_schema AND EXISTS (SELECT FROM flask_testbed.layer_schema) THEN
        INSERT INTO flask_testbed.change VALUES ('a layer');
    END IF;
    FOR one IN SELECT copy FROM flask_testbed.layer_table WHERE layer > 0 LOOP
        EXECUTE 'DROP TABLE ' || one.copy;
    END LOOP;
    DELETE FROM flask_testbed.layer_table WHERE layer > 0;
    DELETE FROM flask_testbed.layer_sequence WHERE layer > 0;
    PERFORM flask_testbed.choose_layers();
END
$$;

-- Have each table and sequence come back as its highest layer says.
CREATE FUNCTION flask_testbed.choose_layers() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flask_testbed.own_doing();
    PERFORM flask_testbed.choose_copy(oid) FROM (
        SELECT oid FROM flask_testbed.filled UNION SELECT oid FROM flask_testbed.layer_table
    ) AS tables;
    PERFORM flask_testbed.choose_sequences();
    UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version();
END
$$;
