-- +goose Up

-- What a first factor proved while a second one is still being asked for.
alter table attempts add column proved text;

-- What a person can prove with beside the sign-in: passkeys, authenticator apps, an address, a telephone. Secrets are sealed.
create table factors (
  organization text not null,
  id text not null,
  user_id text not null,
  kind text not null,
  name text not null,
  credential text,
  secret text,
  counter bigint not null,
  preferred boolean not null,
  created bigint not null,
  confirmed bigint,
  last_used bigint,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index factors_user on factors (organization, user_id);
create unique index factors_credential on factors (credential);

create table recovery_codes (
  organization text not null,
  user_id text not null,
  hash text not null,
  created bigint not null,
  used bigint,
  primary key (organization, user_id, hash),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

-- What a browser was asked and has not answered yet. A question may be put before its organization is known, so it belongs to the
-- installation, as the attempt does.
create table challenges (
  id text primary key,
  browser_hash text not null,
  kind text not null,
  secret text not null,
  tries bigint not null,
  created bigint not null,
  expires bigint not null
);
create index challenges_expires on challenges (expires);

update schema_info set schema_version = 11 where id = 1;
