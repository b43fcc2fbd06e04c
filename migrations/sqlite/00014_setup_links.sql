-- +goose Up

-- Links by which somebody without an account sets up one thing of an organization. Of the token only the hash is kept. What a link made or
-- was made for stands beside it, and it reaches nothing else.
create table setup_links (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  hash text not null,
  purposes text not null,
  contact text not null,
  contact_name text,
  connection text,
  renews text,
  directory text,
  token text,
  domains text not null,
  opens bigint not null,
  delivery text,
  made_by text not null,
  created bigint not null,
  expires bigint not null,
  opened bigint,
  used bigint,
  finished bigint,
  revoked bigint,
  primary key (organization, id)
);
create index setup_links_expires on setup_links (expires);

update schema_info set schema_version = 14 where id = 1;
