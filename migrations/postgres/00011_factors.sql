-- +goose Up

-- What a first factor proved while a second one is still being asked for.
alter table attempts add column proved text collate "C";

-- What a person can prove with beside the sign-in: passkeys, authenticator apps, an address, a telephone. Secrets are sealed.
create table factors (
  organization text collate "C" not null,
  id text collate "C" not null,
  user_id text collate "C" not null,
  kind text collate "C" not null,
  name text collate "C" not null,
  credential text collate "C",
  secret text collate "C",
  counter bigint not null,
  preferred boolean not null,
  created bigint not null,
  confirmed bigint,
  last_used bigint,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index factors_user on factors (organization, user_id);
create unique index factors_credential on factors (credential);

create table recovery_codes (
  organization text collate "C" not null,
  user_id text collate "C" not null,
  hash text collate "C" not null,
  created bigint not null,
  used bigint,
  primary key (organization, user_id, hash),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

-- What a browser was asked and has not answered yet. A question may be put before its organization is known, so it belongs to the
-- installation, as the attempt does.
create table challenges (
  id text collate "C" primary key,
  browser_hash text collate "C" not null,
  kind text collate "C" not null,
  secret text collate "C" not null,
  tries bigint not null,
  created bigint not null,
  expires bigint not null
);
create index challenges_expires on challenges (expires);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['factors', 'recovery_codes']
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

update schema_info set schema_version = 11 where id = 1;
