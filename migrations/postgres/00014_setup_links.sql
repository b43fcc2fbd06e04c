-- +goose Up

-- Links by which somebody without an account sets up one thing of an organization. Of the token only the hash is kept. What a link made or
-- was made for stands beside it, and it reaches nothing else.
create table setup_links (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  hash text collate "C" not null,
  purposes text collate "C" not null,
  contact text collate "C" not null,
  contact_name text collate "C",
  connection text collate "C",
  renews text collate "C",
  directory text collate "C",
  token text collate "C",
  domains text collate "C" not null,
  opens bigint not null,
  delivery text collate "C",
  made_by text collate "C" not null,
  created bigint not null,
  expires bigint not null,
  opened bigint,
  used bigint,
  finished bigint,
  revoked bigint,
  primary key (organization, id)
);
create index setup_links_expires on setup_links (expires);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['setup_links']
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

update schema_info set schema_version = 14 where id = 1;
