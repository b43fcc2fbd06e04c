-- +goose Up

-- What a directory's extensions say must be unique, of whom. A value stands here as its digest: it may be of any length.
create table unique_values (
  organization text not null,
  directory text not null,
  resource text not null,
  attribute text not null,
  digest text not null,
  resource_id text not null,
  primary key (organization, directory, resource, attribute, digest),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

create index unique_values_resource on unique_values (organization, directory, resource_id);

update schema_info set schema_version = 7 where id = 1;
