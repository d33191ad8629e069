-- What the catalogs say of a database outside the system's schemas and the engine's own, in the
-- application's terms: another clone of the same template says the same.
WITH namespace AS (
    SELECT oid, nspname FROM pg_namespace
    WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'flask_testbed')
        AND nspname NOT LIKE 'pg\_t%'
), relation AS (
    SELECT c.* FROM pg_class c JOIN namespace n ON n.oid = c.relnamespace
)
SELECT 'schema', nspname::text FROM namespace
UNION ALL
SELECT 'relation', concat_ws(' ', relkind, oid::regclass, relacl, relrowsecurity,
    relforcerowsecurity, obj_description(oid, 'pg_class')) FROM relation
UNION ALL
SELECT 'column', concat_ws(' ', r.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
    a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) WHERE a.attnum > 0
UNION ALL
SELECT 'index', pg_get_indexdef(oid) FROM relation WHERE relkind = 'i'
UNION ALL
SELECT 'sequence', concat_ws(' ', r.oid::regclass, s.seqstart, s.seqincrement, s.seqcache)
FROM pg_sequence s JOIN relation r ON r.oid = s.seqrelid
UNION ALL
SELECT 'constraint', concat_ws(' ', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
FROM pg_constraint c JOIN namespace n ON n.oid = c.connamespace
UNION ALL
SELECT 'function', concat_ws(' ', p.oid::regprocedure, p.prosrc)
FROM pg_proc p JOIN namespace n ON n.oid = p.pronamespace
UNION ALL
SELECT 'type', concat_ws(' ', t.oid::regtype, e.enumlabel)
FROM pg_type t JOIN namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_enum e ON e.enumtypid = t.oid
UNION ALL
SELECT 'trigger', concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL
SELECT 'rule', concat_ws(' ', ev_class::regclass, rulename, ev_enabled)
FROM pg_rewrite JOIN relation r ON r.oid = ev_class
UNION ALL
SELECT 'statistics', pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
UNION ALL
SELECT 'extension', extname::text FROM pg_extension
UNION ALL
SELECT 'large object', oid::text FROM pg_largeobject_metadata
UNION ALL
SELECT 'setting', setting
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS setting
-- Rollback mode sets that one, so that another program does not wait for ever.
WHERE d.datname = current_database() AND setting NOT LIKE 'lock_timeout=%'
ORDER BY 1, 2
