-- +goose Up

-- A password that a person chose here, as a PHC string. Its address is the user's own, so that it is found before the organization
-- is known.
create table passwords (
  organization text not null,
  user_id text not null,
  hash text not null,
  address_key text,
  changed bigint not null,
  primary key (organization, user_id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index passwords_address on passwords (address_key);

-- Browsers in which a person has shown the password before. What strangers try from elsewhere does not keep them out.
create table known_browsers (
  organization text not null,
  user_id text not null,
  browser_hash text not null,
  used bigint not null,
  primary key (organization, user_id, browser_hash),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

-- One-time links to people: to choose a password, to confirm an address, to come back in. Only the hash is kept.
create table personal_links (
  organization text not null,
  hash text not null,
  user_id text not null,
  purpose text not null,
  address text,
  made_by text not null,
  created bigint not null,
  expires bigint not null,
  used bigint,
  primary key (organization, hash),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index personal_links_user on personal_links (organization, user_id);

-- Since when, and by whom, an organization demands single sign-on beside what its operator's file says.
create table sso_enforcements (
  organization text primary key references organizations (organization) on delete cascade,
  since bigint not null,
  made_by text not null
);

-- Whose local sign-in stays open although single sign-on is demanded: by address, and never without an end.
create table sso_exceptions (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  address text not null,
  address_key text not null,
  kind text not null,
  reason text not null,
  source text not null,
  made_by text not null,
  created bigint not null,
  expires bigint not null,
  code_hash text,
  code_used bigint,
  primary key (organization, id)
);
create unique index sso_exceptions_address on sso_exceptions (organization, address_key);

-- Somebody whom a provider vouched for and whose address an account here holds: what the provider said waits, sealed, until the
-- holder of the account has shown that both are the same person.
create table pending_identities (
  organization text not null,
  id text not null,
  browser_hash text not null,
  attempt text not null,
  connection text not null,
  user_id text not null,
  arrival text not null,
  created bigint not null,
  expires bigint not null,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

update schema_info set schema_version = 10 where id = 1;
