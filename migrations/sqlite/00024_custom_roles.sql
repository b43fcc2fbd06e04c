-- +goose Up

-- The roles an organization made for itself. What is in one stands in its document; its id says by its form that it is no role of the
-- operator's. They are read with the organization and counted in its version, so that whoever reads the version knows them.
create table custom_roles (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  name text not null,
  document text not null,
  source text not null,
  made_by text not null,
  made_by_name text not null,
  version bigint not null,
  created bigint not null,
  modified bigint not null,
  primary key (organization, id)
);

update schema_info set schema_version = 24 where id = 1;
