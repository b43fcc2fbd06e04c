-- +goose Up

-- Which of a provider's users the organization has given something to, or has seen. What they are, their home says.
create table provider_users (
  organization text not null references organizations (organization) on delete cascade,
  user_id text not null,
  home text not null,
  created bigint not null,
  last_login bigint,
  last_login_ip text,
  logins bigint not null,
  primary key (organization, user_id)
);
create index provider_users_home on provider_users (home, organization);

update schema_info set schema_version = 19 where id = 1;
