-- +goose Up

-- The roles an organization made for itself. What is in one stands in its document; its id says by its form that it is no role of the
-- operator's. They are read with the organization and counted in its version, so that whoever reads the version knows them.
create table custom_roles (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  name text collate "C" not null,
  document json not null,
  source text collate "C" not null,
  made_by text collate "C" not null,
  made_by_name text collate "C" not null,
  version bigint not null,
  created bigint not null,
  modified bigint not null,
  primary key (organization, id)
);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['custom_roles']
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

update schema_info set schema_version = 24 where id = 1;
