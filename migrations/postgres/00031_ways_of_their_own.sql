-- +goose Up

-- As long as PostgreSQL takes an organization for one row of a table, because it knows little of the table or last looked when it
-- held a row or two, each index that begins with the organization is as good a way to an id as the key, and it reads everybody by it.
-- An index that is of what is not null, though these columns never are, serves only those who ask for such a value.
drop index users_user_name;
create unique index users_user_name on users (organization, user_name_key) where status <> 'deleted' and user_name_key is not null;
drop index groups_display_name;
create index groups_display_name on groups (organization, display_name_key) where display_name_key is not null;
drop index groups_directory;
create index groups_directory on groups (organization, directory, id) where directory is not null;

-- The other way round, the key is as good a way to an address. So PostgreSQL is told that an organization may be all of a table.
-- +goose StatementBegin
do $$
declare
  tenant text;
begin
  for tenant in
    select c.relname
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid
    where c.relkind = 'r'
      and c.relnamespace = current_schema()::regnamespace
      and a.attname = 'organization'
  loop
    execute format('alter table %I alter column organization set (n_distinct = 1)', tenant);
  end loop;
end
$$;
-- +goose StatementEnd

update schema_info set schema_version = 31 where id = 1;
