-- +goose Up

-- What an operator can prove with beside the password: passkeys and authenticator apps. Operators belong to no organization, and so
-- does this. Secrets are sealed.
create table operator_factors (
  id text primary key,
  operator_id text not null references operators (id) on delete cascade,
  kind text not null,
  name text not null,
  credential text,
  secret text not null,
  counter bigint not null,
  created bigint not null,
  last_used bigint
);
create index operator_factors_operator on operator_factors (operator_id);
create unique index operator_factors_credential on operator_factors (credential);

create table operator_recovery_codes (
  operator_id text not null references operators (id) on delete cascade,
  hash text not null,
  created bigint not null,
  used bigint,
  primary key (operator_id, hash)
);

-- One-time links, made at the terminal, by which an operator who lost password or factor comes back.
create table operator_recoveries (
  hash text primary key,
  operator_id text not null references operators (id) on delete cascade,
  created bigint not null,
  expires bigint not null,
  used bigint
);

-- What was shown for a session, as the methods of RFC 8176; none is a session from before, which a password began.
alter table operator_sessions add column amr text;

update schema_info set schema_version = 20 where id = 1;
