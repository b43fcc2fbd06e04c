-- +goose Up

-- Who made a token, and when the provider first came with it: the moment from which the older one may go.
alter table directory_tokens add column made_by text collate "C" not null default '';
alter table directory_tokens add column first_used bigint;

-- OAuth clients of a directory, which get their bearer tokens at the directory's own token endpoint.
create table directory_clients (
  organization text collate "C" not null,
  directory text collate "C" not null,
  id text collate "C" not null,
  secret_hash text collate "C",
  jwks json,
  jwks_uri text collate "C",
  created bigint not null,
  last_used bigint,
  primary key (organization, directory, id),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

-- +goose StatementBegin
do $$
begin
  alter table directory_clients enable row level security;
  alter table directory_clients force row level security;
  create policy organization_bound on directory_clients
    using (organization = (select nullif(current_setting('vestibule.organization', true), ''))
      or (select current_setting('vestibule.system', true)) = 'on')
    with check (organization = nullif(current_setting('vestibule.organization', true), '')
      or current_setting('vestibule.system', true) = 'on');
end
$$;
-- +goose StatementEnd

update schema_info set schema_version = 4 where id = 1;
