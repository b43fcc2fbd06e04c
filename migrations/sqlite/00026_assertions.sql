-- +goose Up

-- The keys that assertions towards SAML applications are signed with. They stand apart from signing_keys, whose every row is published
-- as a key of the OpenID Provider.
create table assertion_keys (
  id text primary key,
  state text not null,
  private_key text not null,
  certificate text not null,
  created bigint not null,
  activates bigint not null,
  retires bigint,
  gone bigint
);

-- What a SAML application knows a person by: random, made at first use, of nobody else and for no other application. It is no
-- application's row, so that one that is declared anew finds its people.
create table application_subjects (
  organization text not null,
  application text not null,
  user_id text not null,
  value text not null,
  created bigint not null,
  primary key (organization, application, user_id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create unique index application_subjects_value on application_subjects (organization, application, value);
create index application_subjects_user on application_subjects (organization, user_id);

update schema_info set schema_version = 26 where id = 1;
