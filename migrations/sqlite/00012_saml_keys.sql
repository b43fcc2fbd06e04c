-- +goose Up

-- Our own keys towards one connection's identity provider: what we sign with, and what it encrypts for us.
create table saml_keys (
  organization text not null,
  connection text not null,
  id text not null,
  purpose text not null,
  state text not null,
  private_key text not null,
  certificate text not null,
  created bigint not null,
  changed bigint not null,
  primary key (organization, connection, id),
  foreign key (organization, connection) references connections (organization, id) on delete cascade
);
create unique index saml_keys_state on saml_keys (organization, connection, purpose, state) where state <> 'former';
create index sessions_identity on sessions (organization, identity);

-- One key for all connections stood here before.
delete from signing_keys where algorithm = 'SAML';

update schema_info set schema_version = 12 where id = 1;
