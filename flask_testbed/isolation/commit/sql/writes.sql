-- Which tables have been written since the last reset.
--
-- A table whose size is zero has not been written. Whether another one has been is told by its rows
-- (table_version) or, where reading them would take longer, by a trigger that notes each write: on
-- large tables that get rows back, and on every table if there are many.

-- The tables that were written since the last reset, of those that are watched. Its key is
-- random, so no transaction ever waits for another one here.
CREATE TABLE flask_testbed.touched (
    oid oid NOT NULL,
    id uuid PRIMARY KEY DEFAULT gen_random_uuid()
);

-- Note that a table is written. Called by the trigger of a watched table, for each statement that
-- writes: a SET clause would double the cost. Nothing in it depends on the search path.
CREATE FUNCTION flask_testbed.note_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO flask_testbed.touched VALUES (tg_relid);
    RETURN NULL;
END
$$;

-- Return whether a table has the trigger that notes writes. Called when the trigger is created or
-- dropped.
CREATE FUNCTION flask_testbed.is_watched(relation oid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'flask_testbed_touch');
$$;

-- Note the writes to a table from now on. Return false, and do nothing, if another session is
-- writing to it, if it is another role's, or if it is a partition or a child: a statement on its parent
-- does not call its trigger. Called when the template is prepared and when a copy is chosen.
CREATE FUNCTION flask_testbed.watch_writes(relation oid, relation_name text) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '20ms' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = relation) THEN
        RETURN false;
    END IF;
    IF NOT flask_testbed.is_watched(relation) THEN
        EXECUTE format(
            'CREATE TRIGGER flask_testbed_touch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE'
            ' ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION flask_testbed.note_write();'
            ' ALTER TABLE %1$s ENABLE ALWAYS TRIGGER flask_testbed_touch', relation_name);
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
    RETURN false;
END
$$;

-- Note the writes to a table no longer. Called when another copy of it is chosen, or none.
CREATE FUNCTION flask_testbed.unwatch_writes(relation oid, relation_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF flask_testbed.is_watched(relation) THEN
        EXECUTE format('DROP TRIGGER flask_testbed_touch ON %s', relation_name);
    END IF;
END
$$;

-- Return whether every table is to be watched: there are so many that noting each write costs less
-- than looking at each table. Called when the template is prepared and when a copy is chosen.
CREATE FUNCTION flask_testbed.watches_every_table() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT flask_testbed.is_superuser() AND count(*) > 50 FROM flask_testbed.user_table;
$$;

-- Return whether a table has any rows, or may have some that policies hide. Called when tables are
-- copied, and for the log of a reset.
CREATE FUNCTION flask_testbed.has_rows(relation oid, relation_name text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    has_some boolean := pg_relation_size(relation) > 0;
BEGIN
    IF has_some AND NOT row_security_active(relation) THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM ONLY ' || relation_name || ')' INTO has_some;
    END IF;
    RETURN has_some;
END
$$;

-- Return the number and a hash of the rows of a table. Each row counts with its place and the
-- transaction that wrote it, so equal versions mean an untouched table. Called by each reset, for
-- the tables that get rows back and are not watched.
CREATE FUNCTION flask_testbed.table_version(name text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    version text;
BEGIN
    EXECUTE 'SELECT count(*) || '':'' || coalesce(bit_xor(hashtextextended('
        'ctid::text || xmin::text, 0)), 0) FROM ONLY ' || name INTO version;
    RETURN version;
END
$$;

-- Forget which tables were written. Called when they are as they should be: at the end of a reset,
-- and when a layer has been pushed. Every reset reads this table, so it is truncated early.
CREATE FUNCTION flask_testbed.forget_touched() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_relation_size('flask_testbed.touched') > 65536 THEN
        TRUNCATE flask_testbed.touched;
        PERFORM flask_testbed.accept_changes();
    ELSE
        DELETE FROM flask_testbed.touched;
    END IF;
END
$$;
