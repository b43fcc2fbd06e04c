-- +goose Up

-- Until autovacuum first looks at a table, a minute or more after its first rows, PostgreSQL guesses that any one column of
-- an index finds a single row. It then keeps plans that read a whole organization for each key, just while the first sync
-- fills the tables. So a new store learns beforehand what its columns are like: a row each of a made-up organization, a look,
-- and away with them. The statistics stay until there are real ones.
-- +goose StatementBegin
do $$
declare
  t text;
  names text;
  kinds text;
begin
  -- First of all: without it row-level security shows this role an empty table, and a store in use would look like a new one.
  perform set_config('vestibule.system', 'on', true);
  if exists (select 1 from organizations) or exists (select 1 from audit) then
    return;
  end if;
  insert into organizations (organization, name, settings, flags, version, created) values ('o', '', '{}', '{}', 1, 1);
  insert into directories (organization, id, name, dialect, match_key, document, version, created) values ('o', 'o', '', '', '', '{}', 1, 1);
  foreach t in array array['users', 'directory_records', 'record_emails', 'identities', 'groups', 'group_members', 'group_roles', 'grants', 'restrictions', 'conflicts', 'sessions', 'families', 'codes', 'refresh_tokens', 'access_tokens', 'audit']
  loop
    select string_agg(quote_ident(attname), ', ' order by attnum), string_agg(case
        when atttypid = 'json'::regtype then quote_literal('{}') || '::json'
        when atttypid = 'boolean'::regtype then 'true'
        when atttypid = 'bigint'::regtype and attnotnull then 'n'
        when atttypid = 'bigint'::regtype then 'null'
        when t = 'group_members' and attname = 'group_id' then quote_literal('1')
        when attname in ('id', 'hash', 'family', 'external_id', 'subject', 'match_value') or attname like '%\_id' or attname like '%\_key' then 'n::text'
        else quote_literal('o') end, ', ' order by attnum)
    into names, kinds
    from pg_attribute
    where attrelid = t::regclass
      and attnum > 0
      and not attisdropped;
    execute format('insert into %I (%s) select %s from generate_series(1, 500) n', t, names, kinds);
    execute format('analyze %I', t);
  end loop;
  truncate organizations cascade;
  truncate audit; -- it refers to no organization, since events outlive what they tell of
end
$$;
-- +goose StatementEnd

update schema_info set schema_version = 3 where id = 1;
