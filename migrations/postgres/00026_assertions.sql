-- +goose Up

-- The keys that assertions towards SAML applications are signed with. They stand apart from signing_keys, whose every row is published
-- as a key of the OpenID Provider.
create table assertion_keys (
  id text collate "C" primary key,
  state text collate "C" not null,
  private_key text collate "C" not null,
  certificate text collate "C" not null,
  created bigint not null,
  activates bigint not null,
  retires bigint,
  gone bigint
);

-- What a SAML application knows a person by: random, made at first use, of nobody else and for no other application. It is no
-- application's row, so that one that is declared anew finds its people.
create table application_subjects (
  organization text collate "C" not null,
  application text collate "C" not null,
  user_id text collate "C" not null,
  value text collate "C" not null,
  created bigint not null,
  primary key (organization, application, user_id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create unique index application_subjects_value on application_subjects (organization, application, value);
create index application_subjects_user on application_subjects (organization, user_id);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['application_subjects']
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

update schema_info set schema_version = 26 where id = 1;
