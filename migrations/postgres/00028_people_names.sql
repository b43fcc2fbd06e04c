-- +goose Up

-- The packs of names also serve the search of all users of an organization by a part of a name, a userName or an address:
-- those stand under the directory '', which is none. So an index of names goes with its organization, and with its directory
-- by a trigger; a foreign key to the directory would leave those out. Users are renamed at many doors, by older nodes too: a
-- trigger notes it, and costs nothing where no name changes.
-- +goose StatementBegin
alter table name_indexes drop constraint name_indexes_organization_directory_fkey;
alter table name_indexes add constraint name_indexes_organization_fkey
  foreign key (organization) references organizations (organization) on delete cascade;

create function names_gone() returns trigger language plpgsql as $$
begin
  delete from name_indexes where organization = old.organization and directory = old.id;
  return null;
end
$$;
create trigger names_gone after delete on directories for each row execute function names_gone();

create function user_renamed() returns trigger language plpgsql as $$
begin
  insert into name_changes (organization, directory, user_id, times)
  select x.organization, x.directory, new.id, 1
  from name_indexes x
  where x.organization = new.organization
    and x.directory = ''
    and x.fence >= new.id
  on conflict (organization, directory, user_id) do update
  set times = name_changes.times + 1;
  return null;
end
$$;
create trigger user_renamed after update of user_name_key, email_key, display_name on users for each row
  when (old.user_name_key <> new.user_name_key or old.email_key is distinct from new.email_key or old.display_name <> new.display_name)
  execute function user_renamed();
-- +goose StatementEnd

update schema_info set schema_version = 28 where id = 1;
