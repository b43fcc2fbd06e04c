-- +goose Up

-- A row beyond two kilobytes has its longest texts compressed, which by PostgreSQL's first method takes longer than all else
-- that is done to store the row. LZ4 takes a tenth of that. A server built without it keeps the first method; what is stored
-- already stays as it is.
-- +goose StatementBegin
do $$
declare
  c record;
begin
  for c in
    select a.attrelid::regclass as tab, a.attname as col
    from pg_attribute a
    join pg_class r on r.oid = a.attrelid
    where r.relnamespace = current_schema()::regnamespace
      and r.relname in ('directory_records', 'groups', 'audit', 'scim_requests')
      and r.relkind in ('r', 'p')
      and a.attnum > 0
      and not a.attisdropped
      and a.atttypid in ('json'::regtype, 'text'::regtype)
  loop
    execute format('alter table %s alter column %I set compression lz4', c.tab, c.col);
  end loop;
exception
  when feature_not_supported or invalid_parameter_value or syntax_error then
    null;
end
$$;
-- +goose StatementEnd

update schema_info set schema_version = 22 where id = 1;
