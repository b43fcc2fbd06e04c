-- +goose Up

-- Who made a connection: the operator's file, or an administrator by console or API.
alter table connections add column source text not null default 'file';

-- A test sign-in: it runs through a connection before that counts for anyone, and what it showed stays for who started it.
create table connection_tests (
  organization text not null,
  id text not null,
  connection text not null,
  version bigint not null,
  tester_kind text not null,
  tester text not null,
  tester_name text not null,
  started bigint not null,
  finished bigint,
  passed bigint,
  user_id text,
  report text,
  primary key (organization, id),
  foreign key (organization, connection) references connections (organization, id) on delete cascade
);
create index connection_tests_connection on connection_tests (organization, connection, started);

-- A domain that an organization says is its own. Any number may say so of the same one; whose record stands in the DNS owns it
-- (the row in domains).
create table domain_claims (
  organization text not null references organizations (organization) on delete cascade,
  domain text not null,
  challenge text not null,
  created bigint not null,
  checked bigint,
  verified bigint,
  failing bigint,
  lapsed bigint,
  found text,
  primary key (organization, domain)
);

-- The provider's ID token, sealed: the hint by which its own session is ended (OpenID Connect RP-Initiated Logout 1.0 section 2).
alter table sessions add column upstream_token text;
create index sessions_upstream on sessions (organization, connection, upstream_sid);

update schema_info set schema_version = 13 where id = 1;
