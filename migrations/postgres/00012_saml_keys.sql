-- +goose Up

-- Our own keys towards one connection's identity provider: what we sign with, and what it encrypts for us.
create table saml_keys (
  organization text collate "C" not null,
  connection text collate "C" not null,
  id text collate "C" not null,
  purpose text collate "C" not null,
  state text collate "C" not null,
  private_key text collate "C" not null,
  certificate text collate "C" not null,
  created bigint not null,
  changed bigint not null,
  primary key (organization, connection, id),
  foreign key (organization, connection) references connections (organization, id) on delete cascade
);
create unique index saml_keys_state on saml_keys (organization, connection, purpose, state) where state <> 'former';
create index sessions_identity on sessions (organization, identity);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['saml_keys']
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

-- One key for all connections stood here before.
delete from signing_keys where algorithm = 'SAML';

update schema_info set schema_version = 12 where id = 1;
