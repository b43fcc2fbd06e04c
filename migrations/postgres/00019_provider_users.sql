-- +goose Up

-- Which of a provider's users the organization has given something to, or has seen. What they are, their home says.
create table provider_users (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  user_id text collate "C" not null,
  home text collate "C" not null,
  created bigint not null,
  last_login bigint,
  last_login_ip text collate "C",
  logins bigint not null,
  primary key (organization, user_id)
);
create index provider_users_home on provider_users (home, organization);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['provider_users']
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

update schema_info set schema_version = 19 where id = 1;
