-- What PostgreSQL's catalogs say of the application's schema, and whether the schema has changed.
--
-- All files of this folder are installed into each template, in the order of install.py, and each
-- clone is a copy of its template. So the object identifiers that are stored here hold in every
-- clone.

-- The tables whose rows are reset: ordinary and unlogged ones and partitions, in every schema of
-- the application. Partitioned tables are left out, since their rows are in their partitions; and so
-- are tables of other roles that this role may not write to, which an administrator has put there.
CREATE VIEW flask_testbed.user_table AS
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence IN ('p', 'u')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'flask_testbed')
    AND (pg_has_role(c.relowner, 'USAGE')
        OR has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'));

-- Return the columns of a table that can be written, as three lists: their names, the expressions
-- that copy them, and the expressions that restore them from a copy. A type that the application
-- has created becomes text in a copy, for a copy that used the type would prevent DROP TYPE. A table
-- without columns has empty lists.
-- Called when a copy is created or chosen, and by the Python code that copies rows.
CREATE FUNCTION flask_testbed.column_lists(
    relation oid, OUT columns text, OUT copied text, OUT restored text)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attnum), ''),
        coalesce(string_agg(format(
            CASE WHEN atttypid < 16384 THEN '%1$I' ELSE '%1$I::text AS %1$I' END, attname),
            ', ' ORDER BY attnum), ''),
        coalesce(string_agg(format(
            CASE WHEN atttypid < 16384 THEN '%1$I' ELSE '%1$I::%2$s' END, attname,
            format_type(atttypid, atttypmod)), ', ' ORDER BY attnum), '')
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
CREATE TABLE flask_testbed.recorded_ddl (
    command text NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id uuid PRIMARY KEY DEFAULT gen_random_uuid() -- for tests that look for a key of each table
);

-- What was compared last, in one row. `schema` is NULL where event triggers record the changes.
CREATE TABLE flask_testbed.compared (
    schema text,
    database oid PRIMARY KEY, -- a new clone has the number of its template here
    outside text NOT NULL -- see outside_version
);

-- The large objects that the template has, or a layer.
CREATE TABLE flask_testbed.kept_large_object (oid oid PRIMARY KEY);

-- Record a statement that has changed the schema. Called by the two event triggers.
CREATE FUNCTION flask_testbed.record_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
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

-- Record that a session of the application's has written to a table of this schema, as a fixture does
-- that empties every table. Nothing in it depends on the search path.
CREATE FUNCTION flask_testbed.record_interference() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF pg_catalog.current_setting('flask_testbed.is_resetter', true) IS NULL THEN
        INSERT INTO flask_testbed.recorded_ddl VALUES ('the schema flask_testbed');
    END IF;
    RETURN NULL;
END
$$;

-- Notice what sessions of the application do to a table of this schema. Called for each when the template
-- is prepared, and for each copy.
CREATE FUNCTION flask_testbed.protect(name text, events text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER flask_testbed_touch AFTER %s ON %s FOR EACH STATEMENT'
                   ' EXECUTE FUNCTION flask_testbed.record_interference()', events, name);
END
$$;

-- Return the number and a hash of the catalog rows that describe the schema. Each row counts with
-- its identity and the transaction that wrote it, so every change gives another version. Called by
-- each reset of a role that may not create event triggers. It is not STABLE, or the planner would
-- call it in the other databases too.
--
-- Objects with a number below 16384 are the server's own, except the schema public (2200). What only
-- a superuser may change, is left out.
CREATE FUNCTION flask_testbed.schema_version() RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT count(*) || ':' || coalesce(bit_xor(entry), 0)
        FROM (
            SELECT hash_record_extended(ROW(oid, xmin), 1) FROM pg_class WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(attrelid, attnum, xmin), 2)
                FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 3) FROM pg_proc
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 4) FROM pg_type
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 5) FROM pg_constraint
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 6) FROM pg_enum
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 7) FROM pg_attrdef
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 8) FROM pg_trigger
            UNION ALL SELECT hash_record_extended(ROW(indexrelid, xmin), 9) FROM pg_index
                WHERE indexrelid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 10) FROM pg_namespace
                WHERE oid >= 16384 OR oid = 2200
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 11) FROM pg_rewrite
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 12) FROM pg_policy
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 13) FROM pg_statistic_ext
            UNION ALL SELECT hash_record_extended(ROW(objoid, classoid, objsubid, xmin), 14)
                FROM pg_description WHERE objoid >= 16384 OR objoid = 2200
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 15) FROM pg_extension
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 16) FROM pg_default_acl
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 17) FROM pg_collation
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 18) FROM pg_ts_config
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(mapcfg, maptokentype, mapseqno, xmin), 19)
                FROM pg_ts_config_map WHERE mapcfg >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 20) FROM pg_ts_dict
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 21) FROM pg_cast
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 22) FROM pg_conversion
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 23) FROM pg_operator
                WHERE oid >= 16384
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 24) FROM pg_transform
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 25) FROM pg_publication
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 26) FROM pg_publication_rel
            UNION ALL SELECT hash_record_extended(ROW(oid, xmin), 27) FROM pg_foreign_server
            UNION ALL SELECT hash_record_extended(ROW(ftrelid, xmin), 28) FROM pg_foreign_table
            -- OWNED BY. Without the subquery, all of pg_depend would be read.
            UNION ALL SELECT hash_record_extended(ROW(seqrelid, xmin, (
                SELECT (refobjid, refobjsubid) FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype = 'a'
                LIMIT 1)::text), 29) FROM pg_sequence
        ) AS entries (entry));
END
$$;

-- Return a hash of the large objects that are kept, with what only a role that may not read
-- pg_largeobject cannot see otherwise: their data. Called by outside_version where there are any.
CREATE FUNCTION flask_testbed.large_object_version() RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF has_table_privilege('pg_largeobject', 'SELECT') THEN
        RETURN (
            SELECT count(*) || ':' || coalesce(bit_xor(entry), 0)
            FROM (
                SELECT hash_record_extended(ROW(oid, m.xmin), 1)
                FROM pg_largeobject_metadata m JOIN flask_testbed.kept_large_object USING (oid)
                UNION ALL SELECT hash_record_extended(ROW(loid, pageno, l.xmin), 2)
                FROM pg_largeobject l JOIN flask_testbed.kept_large_object k ON k.oid = loid
            ) AS entries (entry));
    END IF;
    RETURN (
        SELECT count(*) || ':' || coalesce(bit_xor(hash_record_extended(ROW(oid, m.xmin, CASE
            WHEN pg_has_role(lomowner, 'USAGE') THEN md5(lo_get(oid)) END), 1)), 0)
        FROM pg_largeobject_metadata m JOIN flask_testbed.kept_large_object USING (oid));
END
$$;

-- What no event trigger is called for, and no transaction of a test should change: the database's
-- own row (owner, privileges, connection limit), its label, its settings, event triggers, and the
-- large objects that are kept. Read by each reset.
CREATE VIEW flask_testbed.outside AS
SELECT d.oid AS database, concat_ws(' ', d.xmin,
    (SELECT starts_with(description, 'flask-testbed:') FROM pg_shdescription
     WHERE objoid = d.oid AND classoid = 'pg_database'::regclass),
    ARRAY(SELECT xmin FROM pg_db_role_setting WHERE setdatabase = d.oid),
    ARRAY(SELECT xmin FROM pg_event_trigger),
    CASE WHEN EXISTS (SELECT FROM flask_testbed.kept_large_object)
        THEN flask_testbed.large_object_version() END) AS version
FROM pg_database d WHERE datname = current_database();

-- Take the schema and what is outside of it for unchanged. Called after each change that is the
-- testbed's own, DDL and TRUNCATE, and when a database has been created.
CREATE FUNCTION flask_testbed.accept_changes() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE flask_testbed.compared c SET
        schema = CASE WHEN c.schema IS NOT NULL THEN flask_testbed.schema_version() END,
        database = o.database,
        outside = o.version
    FROM flask_testbed.outside o;
    DELETE FROM flask_testbed.recorded_ddl WHERE transaction = pg_current_xact_id();
END
$$;

-- The changes that no transaction of a test can have rolled back; no row if there are none. Read at the
-- end of a run.
CREATE VIEW flask_testbed.recorded_change AS
SELECT command FROM flask_testbed.recorded_ddl
UNION ALL
SELECT 'settings of the database, an event trigger or a large object'
FROM flask_testbed.compared c JOIN flask_testbed.outside o USING (database)
WHERE c.outside <> o.version;

-- All changes of the schema, and of what is outside of it. Temporary tables count, where catalogs are
-- compared. Read by each reset, and before a layer is pushed or popped.
CREATE VIEW flask_testbed.schema_change AS
SELECT command FROM flask_testbed.recorded_change
UNION ALL
SELECT 'the schema' FROM flask_testbed.compared
WHERE CASE WHEN schema IS NOT NULL THEN schema <> flask_testbed.schema_version() END;

-- Bound how long sessions that begin from now on wait for a lock. Return false, and do nothing, if the
-- application has set a bound for this database. NULL removes the bound. Called in rollback mode.
CREATE FUNCTION flask_testbed.bound_waits(bound text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    is_changed boolean := EXISTS (SELECT FROM flask_testbed.schema_change);
BEGIN
    IF bound IS NULL THEN
        EXECUTE format('ALTER DATABASE %I RESET lock_timeout', current_database());
    ELSIF EXISTS (
            SELECT FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
            CROSS JOIN unnest(setconfig) AS setting
            WHERE datname = current_database() AND setting LIKE 'lock_timeout=%') THEN
        RETURN false;
    ELSE
        EXECUTE format('ALTER DATABASE %I SET lock_timeout = %L', current_database(), bound);
    END IF;
    IF NOT is_changed THEN
        PERFORM flask_testbed.accept_changes();
    END IF;
    RETURN true;
END
$$;

-- Begin to notice changes of the schema: with event triggers, or by comparing the catalogs. Called
-- once, when the template is otherwise complete.
CREATE FUNCTION flask_testbed.watch_schema() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    is_superuser boolean := flask_testbed.is_superuser();
BEGIN
    IF is_superuser THEN
        CREATE EVENT TRIGGER flask_testbed_change ON ddl_command_end
            EXECUTE FUNCTION flask_testbed.record_ddl();
        CREATE EVENT TRIGGER flask_testbed_drop ON sql_drop
            EXECUTE FUNCTION flask_testbed.record_ddl();
        ALTER EVENT TRIGGER flask_testbed_change ENABLE ALWAYS;
        ALTER EVENT TRIGGER flask_testbed_drop ENABLE ALWAYS;
    END IF;
    INSERT INTO flask_testbed.kept_large_object SELECT oid FROM pg_largeobject_metadata;
    INSERT INTO flask_testbed.compared
    SELECT CASE WHEN NOT is_superuser THEN flask_testbed.schema_version() END, database, version
    FROM flask_testbed.outside;
END
$$;
