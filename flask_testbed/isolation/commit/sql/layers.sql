-- Layers: the rows that the fixtures of a class, module, package or session have written, and that
-- outlive a test. A layer is pushed after the set-up of its fixture and popped after its teardown.

-- The layers that have changed the schema or large objects, which only a clone of another template
-- undoes.
CREATE TABLE flask_testbed.layer_schema (layer integer PRIMARY KEY);

-- Make what was written since the last reset a layer above all others. Return `nothing` if nothing
-- was written, or `rows`; or `schema:…` and do nothing, if the schema was changed or a large object
-- was stored, unless that is accepted. Called after the set-up of a fixture.
CREATE FUNCTION flask_testbed.push_layer(number integer, accept_schema boolean) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    command text := (SELECT command FROM flask_testbed.schema_change LIMIT 1);
    has_copies boolean;
BEGIN
    IF command IS NULL AND EXISTS (SELECT FROM flask_testbed.new_large_object) THEN
        command := 'large objects';
    END IF;
    IF command IS NOT NULL AND NOT accept_schema THEN
        RETURN 'schema:' || command;
    END IF;
    IF command IS NOT NULL THEN
        DELETE FROM flask_testbed.restored_table
        WHERE oid NOT IN (SELECT t.oid FROM flask_testbed.user_table t);
        DELETE FROM flask_testbed.recorded_ddl;
        INSERT INTO flask_testbed.layer_schema VALUES (number);
        INSERT INTO flask_testbed.kept_large_object SELECT oid FROM flask_testbed.new_large_object;
    END IF;
    has_copies := flask_testbed.copy_tables(number);
    IF NOT has_copies AND command IS NULL THEN
        RETURN 'nothing';
    END IF;
    PERFORM flask_testbed.copy_sequences(number);
    IF command IS NOT NULL THEN
        PERFORM flask_testbed.create_empty_tables();
    END IF;
    PERFORM flask_testbed.accept_changes();
    RETURN 'rows';
END
$$;

-- Return a query for the rows of a copy: the place, the row and its key as text, and a number that
-- tells rows with the same key apart. Without a primary key, the whole row is the key. Rows are
-- compared as text, since some types have no equality. Called by undo_in_copy.
CREATE FUNCTION flask_testbed.lines_of(relation oid, columns text, copy text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format(
        'SELECT ctid AS place, ROW(%s)::text COLLATE "C" AS line, ROW(%s)::text COLLATE "C" AS key,'
        ' %s AS number FROM %s',
        columns, coalesce(keys, columns),
        CASE WHEN keys IS NULL
            THEN format('row_number() OVER (PARTITION BY ROW(%s)::text COLLATE "C")', columns)
            ELSE '1' END, copy)
    FROM (
        SELECT string_agg(quote_ident(a.attname), ', ')
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
        WHERE i.indrelid = relation AND i.indisprimary AND a.attnum = ANY (i.indkey)
    ) AS primary_key (keys);
$$;

-- Undo in a copy what a layer below it has done, except to rows that the copy's own layer has
-- changed since. Called for each copy above one of the layer that is popped.
--
-- popped: the copy of the layer that is popped; below: the one below it, if there is one.
CREATE FUNCTION flask_testbed.undo_in_copy(copy text, relation oid, popped text, below text)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT c.columns FROM flask_testbed.column_lists(relation) c);
BEGIN
    EXECUTE format(
        'WITH copied AS (%s), after AS (%s), before AS (%s),'
        ' undone AS ('
        ' SELECT before.place AS restored, copied.place AS removed'
        ' FROM before FULL JOIN after USING (key, number) LEFT JOIN copied USING (key, number)'
        ' WHERE before.line IS DISTINCT FROM after.line'
        ' AND copied.line IS NOT DISTINCT FROM after.line),'
        ' deleted AS (DELETE FROM %4$s WHERE ctid IN (SELECT removed FROM undone))'
        ' %7$s SELECT %5$s FROM %6$s WHERE ctid IN (SELECT restored FROM undone)',
        flask_testbed.lines_of(relation, columns, copy),
        flask_testbed.lines_of(relation, columns, popped),
        -- Where the layers below have no row, there is none to restore.
        flask_testbed.lines_of(relation, columns, coalesce(below, popped || ' WHERE false')),
        copy, columns, coalesce(below, popped), flask_testbed.insert_into(copy, columns));
END
$$;

-- Remove a layer, wherever it is; the next reset restores what is below it. Return NULL, or
-- `schema` and do nothing, if the schema was changed by the layer or since. Called after the
-- teardown of a fixture.
CREATE FUNCTION flask_testbed.pop_layer(number integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    popped record;
BEGIN
    IF EXISTS (SELECT FROM flask_testbed.schema_change)
        OR EXISTS (SELECT FROM flask_testbed.layer_schema WHERE layer = number) THEN
        RETURN 'schema';
    END IF;
    FOR popped IN
        SELECT l.oid, l.copy, (
            SELECT b.copy FROM flask_testbed.layer_table b
            WHERE b.oid = l.oid AND b.layer < number ORDER BY b.layer DESC LIMIT 1) AS below
        FROM flask_testbed.layer_table l WHERE l.layer = number
    LOOP
        PERFORM flask_testbed.undo_in_copy(a.copy, a.oid, popped.copy, popped.below)
        FROM flask_testbed.layer_table a WHERE a.oid = popped.oid AND a.layer > number;
        DELETE FROM flask_testbed.layer_table l WHERE l.layer = number AND l.oid = popped.oid;
        PERFORM flask_testbed.choose_copy(popped.oid);
        EXECUTE 'DROP TABLE ' || popped.copy;
    END LOOP;
    DELETE FROM flask_testbed.layer_sequence l WHERE l.layer = number;
    PERFORM flask_testbed.choose_sequences();
    PERFORM flask_testbed.accept_changes();
    RETURN NULL;
END
$$;

-- Return the name of a foreign key that the rows of the chosen copies violate, or NULL. Called when
-- a layer has been popped from below others.
CREATE FUNCTION flask_testbed.broken_foreign_key() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    key record;
    is_broken boolean;
BEGIN
    FOR key IN
        SELECT c.conname AS name, child.copy AS child, coalesce(parent.copy, '') AS parent,
            string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ') AS matching,
            string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ') AS present
        FROM pg_constraint c
        JOIN flask_testbed.restored_table child ON child.oid = c.conrelid
        LEFT JOIN flask_testbed.restored_table parent ON parent.oid = c.confrelid
        CROSS JOIN unnest(c.conkey, c.confkey) AS pair (referring, referred)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = pair.referring
        JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = pair.referred
        -- The rows of a partitioned table are in its partitions.
        JOIN pg_class target ON target.oid = c.confrelid AND target.relkind = 'r'
        WHERE c.contype = 'f'
        GROUP BY c.oid, c.conname, child.copy, parent.copy
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s c WHERE %s%s)', key.child, key.present,
            CASE WHEN key.parent <> '' THEN format(
                ' AND NOT EXISTS (SELECT FROM %s p WHERE %s)', key.parent, key.matching) END)
        INTO is_broken;
        IF is_broken THEN
            RETURN key.name;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Forget every layer above the template's; the next reset does the rest. A change of the schema counts
-- as one from now on as well, that of a layer too, unless these are accepted. Called when the layers are
-- those of a run that was killed, or of the database that a template is a copy of.
CREATE FUNCTION flask_testbed.forget_layers(accept_schema boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    command text := (SELECT command FROM flask_testbed.schema_change LIMIT 1);
    copy text;
BEGIN
    IF EXISTS (SELECT FROM flask_testbed.layer_schema) THEN
        command := 'a layer';
    END IF;
    FOR copy IN SELECT l.copy FROM flask_testbed.layer_table l WHERE l.layer > 0 LOOP
        EXECUTE 'DROP TABLE ' || copy;
    END LOOP;
    DELETE FROM flask_testbed.layer_table WHERE layer > 0;
    DELETE FROM flask_testbed.layer_sequence WHERE layer > 0;
    PERFORM flask_testbed.choose_copies();
    IF command IS NOT NULL AND NOT accept_schema THEN
        INSERT INTO flask_testbed.recorded_ddl VALUES (command);
    END IF;
END
$$;
