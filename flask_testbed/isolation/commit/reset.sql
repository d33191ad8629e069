-- Putting a database back to what its template was, in one round trip.
--
-- Installed into each template, and so into each clone: the object identifiers that are noted
-- here are those of every clone.

CREATE SCHEMA flask_testbed;

-- The tables that hold rows which come back: those of migrations, and of layers on top of them.
CREATE TABLE flask_testbed.filled (
    oid oid PRIMARY KEY,
    name text NOT NULL,
    copy text NOT NULL,
    columns text NOT NULL,
    saved text NOT NULL, -- the columns as they are put into the copy
    restored text NOT NULL, -- and as they are taken from it
    version text NOT NULL,
    noted boolean NOT NULL -- whether a trigger notes who writes, so that no row need be read
);

CREATE TABLE flask_testbed.sequence (
    oid oid PRIMARY KEY,
    last_value bigint, -- NULL: not called yet
    start_value bigint NOT NULL
);

-- Whether the schema is not what it was. A rolled-back change takes its row with it.
CREATE TABLE flask_testbed.change (command text NOT NULL);

-- Which rows a table holds, by place and by who wrote them: two rows are not the same ones if
-- either differs, so equal versions mean an untouched table.
CREATE FUNCTION flask_testbed.table_version(name text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE 'SELECT count(*) || '':'' || coalesce(bit_xor(hashtextextended('
        'ctid::text || xmin::text, 0)), 0) FROM ONLY ' || name INTO found;
    RETURN found;
END
$$;

-- Ordinary and unlogged tables, partitions among them, wherever an application has put them.
CREATE VIEW flask_testbed.user_table AS
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence IN ('p', 'u')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'flask_testbed');

-- The columns of a table that are written, as lists. A type that is not the system's becomes text
-- in a copy, which would otherwise depend on it: a test could not drop it.
CREATE FUNCTION flask_testbed.columns_of(relation oid, OUT columns text, OUT saved text,
                                         OUT restored text)
LANGUAGE sql STABLE AS $$
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
        string_agg(format(CASE WHEN atttypid < 16384 THEN '%1$I' ELSE '%1$I::text AS %1$I' END,
                          attname), ', ' ORDER BY attnum),
        string_agg(format(CASE WHEN atttypid < 16384 THEN '%1$I' ELSE '%1$I::%2$s' END, attname,
                          format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
    FROM pg_attribute
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
$$;

-- A count of everything that the catalogs say of the schema, and the age of its newest word.
-- For those who may not have event triggers: slower, and as sure.
CREATE FUNCTION flask_testbed.catalog_version() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT count(*) || ':' || coalesce(bit_xor(hashtextextended(word, 0)), 0)
    FROM (
        SELECT 'r' || oid || ':' || xmin FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT 'a' || attrelid || ':' || attnum || ':' || xmin FROM pg_attribute
            WHERE attrelid >= 16384 AND attnum > 0
        UNION ALL SELECT 'p' || oid || ':' || xmin FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT 't' || oid || ':' || xmin FROM pg_type WHERE oid >= 16384
        UNION ALL SELECT 'c' || oid || ':' || xmin FROM pg_constraint WHERE oid >= 16384
        UNION ALL SELECT 'e' || oid || ':' || xmin FROM pg_enum WHERE oid >= 16384
        UNION ALL SELECT 'd' || oid || ':' || xmin FROM pg_attrdef
        UNION ALL SELECT 'g' || oid || ':' || xmin FROM pg_trigger
        UNION ALL SELECT 'i' || indexrelid || ':' || xmin FROM pg_index WHERE indexrelid >= 16384
        UNION ALL SELECT 'n' || oid || ':' || xmin FROM pg_namespace WHERE oid >= 16384
        UNION ALL SELECT 'w' || oid || ':' || xmin FROM pg_rewrite WHERE oid >= 16384
        UNION ALL SELECT 'y' || oid || ':' || xmin FROM pg_policy
        UNION ALL SELECT 's' || oid || ':' || xmin FROM pg_statistic_ext
        UNION ALL SELECT 'm' || objoid || ':' || objsubid || ':' || xmin FROM pg_description
            WHERE objoid >= 16384
        UNION ALL SELECT 'x' || oid || ':' || xmin FROM pg_extension WHERE oid >= 16384
    ) AS words (word);
$$;

CREATE TABLE flask_testbed.catalog (version text NOT NULL);

-- Other sessions with an open transaction on this database, as a list of process identifiers.
-- They would write after the reset, or make it wait.
CREATE FUNCTION flask_testbed.open_transactions() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT string_agg(a.pid::text, ',') FROM pg_stat_get_activity(NULL) AS a
    WHERE a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid()
        AND a.backend_type = 'client backend';
$$;

-- Only a superuser may have event triggers.
CREATE FUNCTION flask_testbed.note_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('flask_testbed.own', true) = 'on' THEN
        RETURN; -- the engine's own doing
    END IF;
    IF tg_event = 'sql_drop' THEN
        INSERT INTO flask_testbed.change SELECT tg_tag
        WHERE EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary);
    ELSE
        INSERT INTO flask_testbed.change SELECT tg_tag
        WHERE EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                      WHERE schema_name IS DISTINCT FROM 'pg_temp');
    END IF;
END
$$;

-- Whether there are so many tables that to note each write costs less than to look at each table.
CREATE FUNCTION flask_testbed.notes_all() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT count(*) > 50 AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
    FROM flask_testbed.user_table;
$$;

-- Write the function that empties what was empty. Its statements stand in its text, so that
-- their plans are kept; a size is looked up without reading the table.
--
-- A deleted row keeps its place until it is pruned, so past some pages the table is truncated,
-- or each reset would read the dead rows of all tests before. CASCADE only names tables that are
-- to be emptied too, or that flask_testbed.refill() brings back.
CREATE FUNCTION flask_testbed.write_reset() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    notes_all boolean := flask_testbed.notes_all();
    emptying text := '';
    one record;
BEGIN
    FOR one IN SELECT oid, name FROM flask_testbed.user_table ORDER BY oid LOOP
        IF notes_all THEN
            CONTINUE WHEN flask_testbed.note_writes(one.oid, one.name);
        END IF;
        -- Which tables are filled changes with each layer, and is asked for those with rows alone.
        emptying := emptying || format(
            'IF pg_relation_size(%1$s) > 0 THEN'
            ' IF NOT EXISTS (SELECT FROM flask_testbed.filled f WHERE f.oid = %1$s) THEN'
            ' IF pg_relation_size(%1$s) > 262144 THEN TRUNCATE ONLY %2$s CASCADE;'
            ' ELSE DELETE FROM ONLY %2$s; END IF; END IF; END IF;',
            one.oid, one.name) || E'\n    ';
    END LOOP;

    EXECUTE format($f$
CREATE OR REPLACE FUNCTION flask_testbed.put_back() RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    %s
    IF EXISTS (SELECT FROM flask_testbed.touched) THEN
        PERFORM flask_testbed.empty_touched();
    END IF;
    IF EXISTS (SELECT FROM flask_testbed.filled) THEN
        PERFORM flask_testbed.refill();
    END IF;
    IF EXISTS (SELECT FROM flask_testbed.touched) THEN
        PERFORM flask_testbed.forget_touches();
    END IF;
    PERFORM setval(oid, coalesce(last_value, start_value), last_value IS NOT NULL)
    FROM flask_testbed.sequence
    WHERE pg_sequence_last_value(oid) IS DISTINCT FROM last_value;
    PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
END
$body$
$f$, emptying);
END
$$;

-- For those who may not skip foreign keys: all tables in one statement, at whose end the keys
-- are checked, whatever refers to what.
CREATE FUNCTION flask_testbed.put_back_checked() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    touched oid[];
    stuck text;
BEGIN
    SELECT array_agg(t.oid) INTO touched FROM flask_testbed.user_table t
    WHERE pg_relation_size(t.oid) > 0
        AND NOT EXISTS (SELECT FROM flask_testbed.filled f WHERE f.oid = t.oid);
    IF touched IS NOT NULL AND (flask_testbed.has_triggers(touched) OR EXISTS (
            SELECT FROM unnest(touched) AS oid WHERE pg_relation_size(oid) > 262144)) THEN
        PERFORM flask_testbed.truncate_all(touched);
        touched := NULL;
    END IF;
    stuck := flask_testbed.refill_checked(touched);
    IF stuck IS NOT NULL THEN
        RETURN 'clone:' || stuck;
    END IF;
    PERFORM setval(oid, coalesce(last_value, start_value), last_value IS NOT NULL)
    FROM flask_testbed.sequence
    WHERE pg_sequence_last_value(oid) IS DISTINCT FROM last_value;
    PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
    RETURN NULL;
END
$$;

-- What was done to the schema, in a word; NULL if nothing was.
CREATE FUNCTION flask_testbed.schema_change() RETURNS text
LANGUAGE sql AS $$
    SELECT command FROM flask_testbed.change
    UNION ALL
    SELECT 'the schema' FROM flask_testbed.catalog WHERE version <> flask_testbed.catalog_version()
    LIMIT 1;
$$;

-- NULL: the database is as it was. `busy:1,2`: these processes are in a transaction, and nothing
-- was done. `clone:…`: only a new clone of the template is as it was, for that reason.
CREATE FUNCTION flask_testbed.reset() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    busy text := flask_testbed.open_transactions();
BEGIN
    IF busy IS NOT NULL THEN
        RETURN 'busy:' || busy;
    END IF;
    IF EXISTS (SELECT FROM flask_testbed.change) THEN
        RETURN 'clone:' || flask_testbed.schema_change();
    END IF;
    IF EXISTS (SELECT FROM flask_testbed.catalog) THEN
        IF flask_testbed.schema_change() IS NOT NULL THEN
            RETURN 'clone:the schema';
        END IF;
        RETURN flask_testbed.put_back_checked();
    END IF;
    PERFORM flask_testbed.put_back();
    RETURN NULL;
END
$$;

-- Note how things are now. Called once, when the template is otherwise complete.
CREATE FUNCTION flask_testbed.remember() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    powerful boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
    -- The rows of migrations are the lowest layer.
    PERFORM flask_testbed.keep_tables(0);
    PERFORM flask_testbed.keep_sequences(0);
    IF powerful THEN
        PERFORM flask_testbed.write_reset();
        CREATE EVENT TRIGGER flask_testbed_change ON ddl_command_end
            EXECUTE FUNCTION flask_testbed.note_change();
        CREATE EVENT TRIGGER flask_testbed_drop ON sql_drop
            EXECUTE FUNCTION flask_testbed.note_change();
        ALTER EVENT TRIGGER flask_testbed_change ENABLE ALWAYS;
        ALTER EVENT TRIGGER flask_testbed_drop ENABLE ALWAYS;
    ELSE
        INSERT INTO flask_testbed.catalog VALUES ('');
    END IF;
END
$$;
