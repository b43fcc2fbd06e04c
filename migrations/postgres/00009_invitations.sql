-- +goose Up

-- An invitation waits on a user of the status pending, who holds the grants it gives. Sent once more it keeps its row and
-- gets another link; accepted, revoked or overtaken by a directory it stays for a while, so that an old link can say so.
create table invitations (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  user_id text collate "C" not null,
  email text collate "C" not null,
  token_hash text collate "C" not null,
  batch text collate "C",
  invited_by text collate "C" not null,
  invited_by_name text collate "C" not null,
  shown boolean not null,
  delivery text collate "C",
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
  organization text collate "C" not null,
  user_id text collate "C" not null,
  kinds json not null,
  updated bigint not null,
  primary key (organization, user_id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

create table webhooks (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  url text collate "C" not null,
  secret text collate "C" not null,
  kinds json not null,
  source text collate "C" not null,
  made_by text collate "C" not null,
  created bigint not null,
  primary key (organization, id)
);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['invitations', 'notification_choices', 'webhooks']
  loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format($p$create policy organization_bound on %I
      using (organization = (select nullif(current_setting('vestibule.organization', true), ''))
        or (select current_setting('vestibule.system', true)) = 'on')
      with check (organization = nullif(current_setting('vestibule.organization', true), '')
        or current_setting('vestibule.system', true) = 'on')$p$, t);
  end loop;
end
$$;
-- +goose StatementEnd

update schema_info set schema_version = 9 where id = 1;
