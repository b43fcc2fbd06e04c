-- +goose Up

-- A password that a person chose here, as a PHC string. Its address is the user's own, so that it is found before the organization
-- is known.
create table passwords (
  organization text collate "C" not null,
  user_id text collate "C" not null,
  hash text collate "C" not null,
  address_key text collate "C",
  changed bigint not null,
  primary key (organization, user_id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index passwords_address on passwords (address_key);

-- Browsers in which a person has shown the password before. What strangers try from elsewhere does not keep them out.
create table known_browsers (
  organization text collate "C" not null,
  user_id text collate "C" not null,
  browser_hash text collate "C" not null,
  used bigint not null,
  primary key (organization, user_id, browser_hash),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

-- One-time links to people: to choose a password, to confirm an address, to come back in. Only the hash is kept.
create table personal_links (
  organization text collate "C" not null,
  hash text collate "C" not null,
  user_id text collate "C" not null,
  purpose text collate "C" not null,
  address text collate "C",
  made_by text collate "C" not null,
  created bigint not null,
  expires bigint not null,
  used bigint,
  primary key (organization, hash),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index personal_links_user on personal_links (organization, user_id);

-- Since when, and by whom, an organization demands single sign-on beside what its operator's file says.
create table sso_enforcements (
  organization text collate "C" primary key references organizations (organization) on delete cascade,
  since bigint not null,
  made_by text collate "C" not null
);

-- Whose local sign-in stays open although single sign-on is demanded: by address, and never without an end.
create table sso_exceptions (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  address text collate "C" not null,
  address_key text collate "C" not null,
  kind text collate "C" not null,
  reason text collate "C" not null,
  source text collate "C" not null,
  made_by text collate "C" not null,
  created bigint not null,
  expires bigint not null,
  code_hash text collate "C",
  code_used bigint,
  primary key (organization, id)
);
create unique index sso_exceptions_address on sso_exceptions (organization, address_key);

-- Somebody whom a provider vouched for and whose address an account here holds: what the provider said waits, sealed, until the
-- holder of the account has shown that both are the same person.
create table pending_identities (
  organization text collate "C" not null,
  id text collate "C" not null,
  browser_hash text collate "C" not null,
  attempt text collate "C" not null,
  connection text collate "C" not null,
  user_id text collate "C" not null,
  arrival text collate "C" not null,
  created bigint not null,
  expires bigint not null,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['passwords', 'known_browsers', 'personal_links', 'sso_enforcements', 'sso_exceptions', 'pending_identities']
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

update schema_info set schema_version = 10 where id = 1;
