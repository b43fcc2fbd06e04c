-- +goose Up

-- An invitation waits on a user of the status pending, who holds the grants it gives. Sent once more it keeps its row and
-- gets another link; accepted, revoked or overtaken by a directory it stays for a while, so that an old link can say so.
create table invitations (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  user_id text not null,
  email text not null,
  token_hash text not null,
  batch text,
  invited_by text not null,
  invited_by_name text not null,
  shown boolean not null,
  delivery text,
  created bigint not null,
  sent bigint not null,
  times bigint not null,
  expires bigint not null,
  opened bigint,
  accepted bigint,
  revoked bigint,
  primary key (organization, id)
);
create unique index invitations_token on invitations (organization, token_hash);
create unique index invitations_pending on invitations (organization, user_id) where accepted is null and revoked is null;
create index invitations_batch on invitations (organization, batch, id);

-- What letters a user wants, where the user or who invited it chose; who has no row gets each kind that is meant for them.
create table notification_choices (
  organization text not null,
  user_id text not null,
  kinds text not null,
  updated bigint not null,
  primary key (organization, user_id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

create table webhooks (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  url text not null,
  secret text not null,
  kinds text not null,
  source text not null,
  made_by text not null,
  created bigint not null,
  primary key (organization, id)
);

update schema_info set schema_version = 9 where id = 1;
