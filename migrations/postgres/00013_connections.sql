-- +goose Up

-- Who made a connection: the operator's file, or an administrator by console or API.
alter table connections add column source text collate "C" not null default 'file';

-- A test sign-in: it runs through a connection before that counts for anyone, and what it showed stays for who started it.
create table connection_tests (
  organization text collate "C" not null,
  id text collate "C" not null,
  connection text collate "C" not null,
  version bigint not null,
  tester_kind text collate "C" not null,
  tester text collate "C" not null,
  tester_name text collate "C" not null,
  started bigint not null,
  finished bigint,
  passed bigint,
  user_id text collate "C",
  report json,
  primary key (organization, id),
  foreign key (organization, connection) references connections (organization, id) on delete cascade
);
create index connection_tests_connection on connection_tests (organization, connection, started);

-- A domain that an organization says is its own. Any number may say so of the same one; whose record stands in the DNS owns it
-- (the row in domains).
create table domain_claims (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  domain text collate "C" not null,
  challenge text collate "C" not null,
  created bigint not null,
  checked bigint,
  verified bigint,
  failing bigint,
  lapsed bigint,
  found text collate "C",
  primary key (organization, domain)
);

-- The provider's ID token, sealed: the hint by which its own session is ended (OpenID Connect RP-Initiated Logout 1.0 section 2).
alter table sessions add column upstream_token text collate "C";
create index sessions_upstream on sessions (organization, connection, upstream_sid);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['connection_tests', 'domain_claims']
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

update schema_info set schema_version = 13 where id = 1;
