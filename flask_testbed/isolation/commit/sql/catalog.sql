-- What PostgreSQL's catalogs say of the application's schema, and whether the schema has changed.
--
-- All files of this folder are installed into each template, in the order of install.py, and each
-- clone is a copy of its template. So the object identifiers that are stored here hold in every
-- clone.

CREATE SCHEMA flask_testbed;

-- The tables whose rows are reset: ordinary and unlogged ones and partitions, in every schema of
-- the application. Partitioned tables are left out, since their rows are in their partitions.
CREATE VIEW flask_testbed.user_table AS
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence IN ('p', 'u')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'flask_testbed');

-- Return the columns of a table that can be written, as three lists: their names, the expressions
-- that copy them, and the expressions that restore them from a copy. A type that the application
-- has created becomes text in a copy, for a copy that used the type would prevent DROP TYPE.
-- Called when a copy is created or chosen, and by the Python code that copies rows.
CREATE FUNCTION flask_testbed.column_lists(
    relation oid, OUT columns text, OUT copied text, OUT restored text)
LANGUAGE sql STABLE AS $$
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
        string_agg(format(CASE WHEN atttypid < 16384 THEN '%1$I' ELSE '%1$I::text AS %1$I' END,
                          attname), ', ' ORDER BY attnum),
        string_agg(format(CASE WHEN atttypid < 16384 THEN '%1$I' ELSE '%1$I::%2$s' END, attname,
                          format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
    FROM pg_attribute
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
$$;

-- Return whether the current role is a superuser, who may create event triggers and skip foreign
-- keys. Called when the template is prepared and when a copy is chosen.
CREATE FUNCTION flask_testbed.is_superuser() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT rolsuper FROM pg_roles WHERE rolname = current_user;
$$;

-- The statements that have changed the schema, as the event triggers of a superuser's database
-- record them. A change that is rolled back takes its row with it.
CREATE TABLE flask_testbed.recorded_ddl (command text NOT NULL);

-- The version of the catalogs, in one row, in a database without event triggers; elsewhere the
-- table is empty.
CREATE TABLE flask_testbed.catalog (version text NOT NULL);

-- Do not record the DDL that follows in this transaction: it is the testbed's own. Called by each
-- function that creates or drops copies of tables.
CREATE FUNCTION flask_testbed.begin_own_ddl() RETURNS void
LANGUAGE sql AS $$
    SELECT set_config('flask_testbed.own_ddl', 'on', true);
$$;

-- Record a statement that has changed the schema. Called by the two event triggers.
CREATE FUNCTION flask_testbed.record_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('flask_testbed.own_ddl', true) = 'on' THEN
        RETURN;
    END IF;
    IF tg_event = 'sql_drop' THEN
        INSERT INTO flask_testbed.recorded_ddl SELECT tg_tag
        WHERE EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary);
    ELSE
        INSERT INTO flask_testbed.recorded_ddl SELECT tg_tag
        WHERE EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                      WHERE schema_name IS DISTINCT FROM 'pg_temp');
    END IF;
END
$$;

-- Return the number and a hash of the catalog rows that describe the schema. Each row counts with
-- its identity and the transaction that wrote it, so every change gives another version. Called by
-- each reset of a role that may not create event triggers. It is not STABLE, or the planner would
-- call it in the other databases too.
CREATE FUNCTION flask_testbed.catalog_version() RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT count(*) || ':' || coalesce(bit_xor(hashtextextended(entry, 0)), 0)
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
            UNION ALL SELECT 'i' || indexrelid || ':' || xmin FROM pg_index
                WHERE indexrelid >= 16384
            UNION ALL SELECT 'n' || oid || ':' || xmin FROM pg_namespace WHERE oid >= 16384
            UNION ALL SELECT 'w' || oid || ':' || xmin FROM pg_rewrite WHERE oid >= 16384
            UNION ALL SELECT 'y' || oid || ':' || xmin FROM pg_policy
            UNION ALL SELECT 's' || oid || ':' || xmin FROM pg_statistic_ext
            UNION ALL SELECT 'm' || objoid || ':' || objsubid || ':' || xmin FROM pg_description
                WHERE objoid >= 16384
            UNION ALL SELECT 'x' || oid || ':' || xmin FROM pg_extension WHERE oid >= 16384
        ) AS entries (entry));
END
$$;

-- Store the version that the catalogs have now, in a database without event triggers. Called after
-- each change of the catalogs that is the testbed's own: DDL and TRUNCATE.
CREATE FUNCTION flask_testbed.remember_catalog() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version();
END
$$;

-- The commands that have changed the schema; no row if nothing has. Read by each reset, and before a
-- layer is pushed or popped.
CREATE VIEW flask_testbed.schema_change AS
SELECT command FROM flask_testbed.recorded_ddl
UNION ALL
SELECT 'the schema' FROM flask_testbed.catalog WHERE version <> flask_testbed.catalog_version();

-- Begin to notice changes of the schema: with event triggers, or by comparing the catalogs. Called
-- once, when the template is otherwise complete.
CREATE FUNCTION flask_testbed.watch_schema() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT flask_testbed.is_superuser() THEN
        INSERT INTO flask_testbed.catalog VALUES (flask_testbed.catalog_version());
        RETURN;
    END IF;
    CREATE EVENT TRIGGER flask_testbed_change ON ddl_command_end
        EXECUTE FUNCTION flask_testbed.record_ddl();
    CREATE EVENT TRIGGER flask_testbed_drop ON sql_drop
        EXECUTE FUNCTION flask_testbed.record_ddl();
    ALTER EVENT TRIGGER flask_testbed_change ENABLE ALWAYS;
    ALTER EVENT TRIGGER flask_testbed_drop ENABLE ALWAYS;
END
$$;
