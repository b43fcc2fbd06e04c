-- +goose Up

-- What belongs to the installation: reached only through db.System.

create table schema_info (
  id bigint primary key,
  schema_version bigint not null,
  oldest_binary bigint not null
);

create table versions (
  name text collate "C" primary key,
  version bigint not null
);

create table operators (
  id text collate "C" primary key,
  email text collate "C" not null,
  email_key text collate "C" not null unique,
  name text collate "C" not null,
  password text collate "C" not null,
  created bigint not null,
  last_login bigint
);

create table operator_links (
  hash text collate "C" primary key,
  created bigint not null,
  expires bigint not null,
  used bigint
);

create table operator_sessions (
  hash text collate "C" primary key,
  operator_id text collate "C" not null references operators (id) on delete cascade,
  created bigint not null,
  last_seen bigint not null,
  expires bigint not null,
  ip text collate "C" not null,
  user_agent text collate "C" not null
);

create table api_tokens (
  id text collate "C" primary key,
  hash text collate "C" not null unique,
  prefix text collate "C" not null,
  name text collate "C" not null,
  created bigint not null,
  expires bigint,
  last_used bigint,
  revoked bigint
);

create table permissions (
  id text collate "C" primary key,
  name text collate "C" not null,
  position bigint not null
);

create table roles (
  id text collate "C" primary key,
  name text collate "C" not null,
  document json not null,
  position bigint not null
);

create table exclusive_roles (
  position bigint primary key,
  roles json not null
);

create table applications (
  id text collate "C" primary key,
  name text collate "C" not null,
  protocol text collate "C" not null,
  secret_hash text collate "C",
  document json not null,
  version bigint not null,
  created bigint not null
);

create table relationships (
  provider text collate "C" not null,
  client text collate "C" not null,
  document json not null,
  version bigint not null,
  created bigint not null,
  primary key (provider, client)
);

create table signing_keys (
  id text collate "C" primary key,
  algorithm text collate "C" not null,
  state text collate "C" not null,
  private_key text collate "C" not null,
  public_key json not null,
  created bigint not null,
  activates bigint not null,
  retires bigint,
  gone bigint
);

create table domains (
  domain text collate "C" primary key,
  organization text collate "C" not null,
  connection text collate "C" not null,
  verified bigint not null,
  source text collate "C" not null
);

-- A sign-in under way. It starts before its organization is known, so it belongs to the installation.
create table attempts (
  id text collate "C" primary key,
  browser_hash text collate "C" not null,
  organization text collate "C",
  connection text collate "C",
  state_hash text collate "C" unique,
  nonce text collate "C",
  verifier text collate "C",
  request json not null,
  purpose text collate "C" not null,
  session_id text collate "C",
  created bigint not null,
  expires bigint not null,
  finished bigint
);
create index attempts_expires on attempts (expires);

create table counters (
  name text collate "C" not null,
  started bigint not null,
  expires bigint not null,
  hits bigint not null,
  primary key (name, started)
);
create index counters_expires on counters (expires);

create table outbox (
  id text collate "C" primary key,
  organization text collate "C" not null,
  kind text collate "C" not null,
  destination text collate "C" not null,
  payload json not null,
  created bigint not null,
  next_at bigint not null,
  attempts bigint not null,
  leased_until bigint,
  delivered bigint,
  failed bigint,
  last_error text collate "C",
  receipt json
);
create index outbox_due on outbox (next_at) where delivered is null and failed is null;
create index outbox_organization on outbox (organization, id);

-- What belongs to one organization: its key is the first column of every key.

create table organizations (
  organization text collate "C" primary key,
  name text collate "C" not null,
  seat_limit bigint,
  settings json not null,
  flags json not null,
  version bigint not null,
  created bigint not null
);

create table resources (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  parent text collate "C",
  type text collate "C" not null,
  name text collate "C" not null,
  position bigint not null,
  created bigint not null,
  primary key (organization, id)
);

create table users (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  status text collate "C" not null,
  suspended_at bigint,
  suspended_by text collate "C",
  seated boolean not null,
  user_name text collate "C" not null,
  user_name_key text collate "C" not null,
  email text collate "C",
  email_key text collate "C",
  email_verified boolean not null,
  display_name text collate "C" not null,
  given_name text collate "C",
  family_name text collate "C",
  local_source text collate "C",
  kept_without_directory boolean not null,
  custom_access boolean not null,
  settled_at bigint,
  settled_by text collate "C",
  note text collate "C",
  noted_at bigint,
  created bigint not null,
  updated bigint not null,
  deleted_at bigint,
  last_seen bigint,
  last_login bigint,
  last_login_ip text collate "C",
  logins bigint not null,
  primary key (organization, id)
);
create unique index users_user_name on users (organization, user_name_key) where status <> 'deleted';
create index users_email on users (organization, email_key);
-- Nearly everybody is active: they are found without an index of their own, and a push writes none.
create index users_status on users (organization, status, id) where status <> 'active';
create index users_unseated on users (organization, id) where seated = false;

create table directories (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  name text collate "C" not null,
  dialect text collate "C" not null,
  match_key text collate "C" not null,
  document json not null,
  version bigint not null,
  created bigint not null,
  last_request bigint,
  primary key (organization, id)
);

create table directory_tokens (
  organization text collate "C" not null,
  directory text collate "C" not null,
  id text collate "C" not null,
  hash text collate "C" not null,
  prefix text collate "C" not null,
  source text collate "C" not null,
  created bigint not null,
  expires bigint,
  last_used bigint,
  primary key (organization, directory, id),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);
create unique index directory_tokens_hash on directory_tokens (organization, hash);

create table directory_records (
  organization text collate "C" not null,
  directory text collate "C" not null,
  user_id text collate "C" not null,
  external_id text collate "C",
  user_name_key text collate "C" not null,
  display_name_key text collate "C",
  active boolean not null,
  document json not null,
  folded json not null,
  version bigint not null,
  created bigint not null,
  modified bigint not null,
  primary key (organization, directory, user_id),
  foreign key (organization, directory) references directories (organization, id) on delete cascade,
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create unique index directory_records_user_name on directory_records (organization, directory, user_name_key);
create index directory_records_external_id on directory_records (organization, directory, external_id);
create index directory_records_display_name on directory_records (organization, directory, display_name_key);
create index directory_records_user on directory_records (organization, user_id);

create table record_emails (
  organization text collate "C" not null,
  directory text collate "C" not null,
  user_id text collate "C" not null,
  position bigint not null,
  type_key text collate "C",
  value_key text collate "C",
  is_primary boolean not null,
  primary key (organization, directory, user_id, position),
  foreign key (organization, directory, user_id) references directory_records (organization, directory, user_id) on delete cascade
);
create index record_emails_value on record_emails (organization, directory, value_key);

create table connections (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  name text collate "C" not null,
  protocol text collate "C" not null,
  directory text collate "C",
  document json not null,
  version bigint not null,
  created bigint not null,
  primary key (organization, id)
);

-- Discovery documents and key sets as last fetched, so that an identity provider's outage does not stop a start.
create table connection_documents (
  organization text collate "C" not null,
  connection text collate "C" not null,
  kind text collate "C" not null,
  body text collate "C" not null,
  fetched bigint not null,
  expires bigint not null,
  primary key (organization, connection, kind),
  foreign key (organization, connection) references connections (organization, id) on delete cascade
);

create table identities (
  organization text collate "C" not null,
  id text collate "C" not null,
  user_id text collate "C" not null,
  connection text collate "C" not null,
  issuer text collate "C" not null,
  subject text collate "C" not null,
  match_value text collate "C",
  created bigint not null,
  last_used bigint not null,
  closed bigint,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create unique index identities_subject on identities (organization, connection, issuer, subject) where closed is null;
create index identities_user on identities (organization, user_id);
create index identities_match on identities (organization, connection, match_value);

create table groups (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  directory text collate "C",
  connection text collate "C",
  display_name text collate "C" not null,
  display_name_key text collate "C" not null,
  external_id text collate "C",
  document json not null,
  folded json not null,
  version bigint not null,
  created bigint not null,
  modified bigint not null,
  primary key (organization, id)
);
create index groups_display_name on groups (organization, display_name_key);
create index groups_directory on groups (organization, directory, id);
create index groups_external_id on groups (organization, directory, external_id);

create table group_members (
  organization text collate "C" not null,
  group_id text collate "C" not null,
  member_id text collate "C" not null,
  kind text collate "C" not null,
  source text collate "C" not null,
  added bigint not null,
  primary key (organization, group_id, member_id),
  foreign key (organization, group_id) references groups (organization, id) on delete cascade
);
create index group_members_member on group_members (organization, member_id, group_id);

create table group_roles (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  group_name text collate "C" not null,
  group_name_key text collate "C" not null,
  directory text collate "C",
  group_id text collate "C",
  role text collate "C" not null,
  resource text collate "C" not null,
  source text collate "C" not null,
  granted_by text collate "C" not null,
  created bigint not null,
  primary key (organization, id)
);
create index group_roles_group on group_roles (organization, group_id);
create index group_roles_name on group_roles (organization, group_name_key);

create table grants (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  user_id text collate "C",
  group_id text collate "C",
  role text collate "C" not null,
  resource text collate "C" not null,
  source text collate "C" not null,
  granted_by text collate "C" not null,
  granted_by_name text collate "C" not null,
  reason text collate "C" not null,
  created bigint not null,
  starts bigint,
  expires bigint,
  primary key (organization, id)
);
create index grants_user on grants (organization, user_id);
create index grants_group on grants (organization, group_id);
create index grants_resource on grants (organization, resource);
create index grants_role on grants (organization, role);

create table restrictions (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  user_id text collate "C",
  group_id text collate "C",
  resource text collate "C" not null,
  actions json not null,
  reason text collate "C" not null,
  granted_by text collate "C" not null,
  created bigint not null,
  primary key (organization, id)
);
create index restrictions_user on restrictions (organization, user_id);
create index restrictions_group on restrictions (organization, group_id);

-- What waits for an administrator's decision: collisions, exclusive roles that arrived by sync, group names met twice.
create table conflicts (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  id text collate "C" not null,
  kind text collate "C" not null,
  subject text collate "C" not null,
  document json not null,
  created bigint not null,
  resolved bigint,
  resolution text collate "C",
  primary key (organization, id)
);
create unique index conflicts_open on conflicts (organization, kind, subject) where resolved is null;

create table sessions (
  organization text collate "C" not null,
  id text collate "C" not null,
  hash text collate "C" not null,
  user_id text collate "C" not null,
  connection text collate "C",
  identity text collate "C",
  created bigint not null,
  last_seen bigint not null,
  expires bigint not null,
  idle_seconds bigint not null,
  ip text collate "C" not null,
  user_agent text collate "C" not null,
  auth_time bigint not null,
  acr text collate "C",
  amr json,
  upstream_sid text collate "C",
  ended bigint,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create unique index sessions_hash on sessions (organization, hash);
create index sessions_user on sessions (organization, user_id);

-- A family is everything that came from one authorization: its code, its refresh tokens, its access tokens.
create table families (
  organization text collate "C" not null,
  id text collate "C" not null,
  user_id text collate "C" not null,
  application text collate "C" not null,
  session_id text collate "C" not null,
  scope text collate "C" not null,
  auth_time bigint not null,
  acr text collate "C",
  amr json,
  created bigint not null,
  expires bigint not null,
  revoked bigint,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index families_user on families (organization, user_id);
create index families_session on families (organization, session_id);

create table codes (
  organization text collate "C" not null,
  hash text collate "C" not null,
  family text collate "C" not null,
  application text collate "C" not null,
  redirect_uri text collate "C" not null,
  challenge text collate "C" not null,
  nonce text collate "C",
  created bigint not null,
  expires bigint not null,
  consumed bigint,
  primary key (organization, hash),
  foreign key (organization, family) references families (organization, id) on delete cascade
);

create table refresh_tokens (
  organization text collate "C" not null,
  hash text collate "C" not null,
  family text collate "C" not null,
  created bigint not null,
  expires bigint not null,
  used bigint,
  primary key (organization, hash),
  foreign key (organization, family) references families (organization, id) on delete cascade
);
create index refresh_tokens_family on refresh_tokens (organization, family);

create table access_tokens (
  organization text collate "C" not null,
  hash text collate "C" not null,
  family text collate "C" not null,
  scope text collate "C" not null,
  created bigint not null,
  expires bigint not null,
  revoked bigint,
  primary key (organization, hash),
  foreign key (organization, family) references families (organization, id) on delete cascade
);
create index access_tokens_family on access_tokens (organization, family);

-- What a directory asked and what it was told. The bodies come last: a search reads the columns before them.
create table scim_requests (
  organization text collate "C" not null,
  directory text collate "C" not null,
  id text collate "C" not null,
  at bigint not null,
  method text collate "C" not null,
  path text collate "C" not null,
  query text collate "C" not null,
  status bigint not null,
  scim_type text collate "C",
  detail text collate "C",
  duration_us bigint not null,
  operation text collate "C" not null,
  resource_kind text collate "C",
  resource_id text collate "C",
  resource_name text collate "C",
  search text collate "C" not null,
  token_id text collate "C",
  token_state text collate "C" not null,
  ip text collate "C" not null,
  request text collate "C" not null,
  repairs json,
  effects json,
  replay_of text collate "C",
  whole boolean not null,
  request_body text collate "C",
  response_body text collate "C",
  primary key (organization, directory, id),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);
create index scim_requests_at on scim_requests (organization, directory, at);
create index scim_requests_errors on scim_requests (organization, directory, id, at) where status >= 400;

-- organization is '' for events of the installation itself.
create table audit (
  organization text collate "C" not null,
  id text collate "C" not null,
  at bigint not null,
  actor_kind text collate "C" not null,
  actor_id text collate "C" not null,
  actor_name text collate "C" not null,
  action text collate "C" not null,
  target_kind text collate "C" not null,
  target_id text collate "C" not null,
  target_name text collate "C" not null,
  user_id text collate "C",
  outcome text collate "C" not null,
  code text collate "C",
  before json,
  after json,
  reason text collate "C",
  ip text collate "C" not null,
  door text collate "C" not null,
  request text collate "C" not null,
  primary key (organization, id)
);
create index audit_user on audit (organization, user_id, id);
create index audit_action on audit (organization, action, id);

-- The second belt behind the organization in every statement: a role that cannot bypass row-level security
-- sees only the organization its transaction is bound to, or everything when it is marked as the installation's.
-- The settings are read by subselects, once a statement: once a row, they doubled the time to list a large group.
-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['organizations', 'resources', 'users', 'directories', 'directory_tokens', 'directory_records', 'record_emails', 'connections', 'connection_documents', 'identities', 'groups', 'group_members', 'group_roles', 'grants', 'restrictions', 'conflicts', 'sessions', 'families', 'codes', 'refresh_tokens', 'access_tokens', 'scim_requests', 'audit']
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

insert into schema_info (id, schema_version, oldest_binary) values (1, 1, 1);
insert into versions (name, version) values ('configuration', 1), ('keys', 1);
