-- +goose Up

-- Who made a token, and when the provider first came with it: the moment from which the older one may go.
alter table directory_tokens add column made_by text not null default '';
alter table directory_tokens add column first_used bigint;

-- OAuth clients of a directory, which get their bearer tokens at the directory's own token endpoint.
create table directory_clients (
  organization text not null,
  directory text not null,
  id text not null,
  secret_hash text,
  jwks text,
  jwks_uri text,
  created bigint not null,
  last_used bigint,
  primary key (organization, directory, id),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

update schema_info set schema_version = 4 where id = 1;
