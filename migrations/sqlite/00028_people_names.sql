-- +goose Up

-- The packs of names also serve the search of all users of an organization by a part of a name, a userName or an address:
-- those stand under the directory '', which is none. So an index of names goes with its organization, and with its directory
-- by a trigger; a foreign key to the directory would leave those out. Users are renamed at many doors, by older nodes too: a
-- trigger notes it, and costs nothing where no name changes. SQLite cannot take a foreign key from a table: they are made
-- anew, and filled within the minute.
-- +goose StatementBegin
drop table name_ids;
-- +goose StatementEnd
-- +goose StatementBegin
drop table name_grams;
-- +goose StatementEnd
-- +goose StatementBegin
drop table name_packs;
-- +goose StatementEnd
-- +goose StatementBegin
drop table name_changes;
-- +goose StatementEnd
-- +goose StatementBegin
drop table name_indexes;
-- +goose StatementEnd
-- +goose StatementBegin
create table name_indexes (
  organization text not null,
  directory text not null,
  fence text not null,
  reached text not null,
  version bigint not null,
  packs bigint not null,
  primary key (organization, directory),
  foreign key (organization) references organizations (organization) on delete cascade
);
-- +goose StatementEnd
-- +goose StatementBegin
create table name_changes (
  organization text not null,
  directory text not null,
  user_id text not null,
  times bigint not null,
  primary key (organization, directory, user_id),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);
-- +goose StatementEnd
-- +goose StatementBegin
create table name_packs (
  organization text not null,
  directory text not null,
  pack bigint not null,
  records bigint not null,
  published boolean not null,
  made bigint not null,
  primary key (organization, directory, pack),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);
-- +goose StatementEnd
-- +goose StatementBegin
create table name_grams (
  organization text not null,
  directory text not null,
  pack bigint not null,
  gram bigint not null,
  records bigint not null,
  list blob not null,
  primary key (organization, directory, pack, gram),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
) without rowid;
-- +goose StatementEnd
-- +goose StatementBegin
create table name_ids (
  organization text not null,
  directory text not null,
  part bigint not null,
  ids blob not null,
  primary key (organization, directory, part),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);
-- +goose StatementEnd
-- +goose StatementBegin
create trigger names_gone after delete on directories
begin
  delete from name_indexes where organization = old.organization and directory = old.id;
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger user_renamed after update of user_name_key, email_key, display_name on users
when old.user_name_key <> new.user_name_key or old.email_key is not new.email_key or old.display_name <> new.display_name
begin
  insert into name_changes (organization, directory, user_id, times)
  select x.organization, x.directory, new.id, 1
  from name_indexes x
  where x.organization = new.organization
    and x.directory = ''
    and x.fence >= new.id
  on conflict (organization, directory, user_id) do update
  set times = name_changes.times + 1;
end;
-- +goose StatementEnd

update schema_info set schema_version = 28 where id = 1;
