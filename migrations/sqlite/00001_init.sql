-- +goose Up

-- What belongs to the installation: reached only through db.System.

create table schema_info (
  id bigint primary key,
  schema_version bigint not null,
  oldest_binary bigint not null
);

create table versions (
  name text primary key,
  version bigint not null
);

create table operators (
  id text primary key,
  email text not null,
  email_key text not null unique,
  name text not null,
  password text not null,
  created bigint not null,
  last_login bigint
);

create table operator_links (
  hash text primary key,
  created bigint not null,
  expires bigint not null,
  used bigint
);

create table operator_sessions (
  hash text primary key,
  operator_id text not null references operators (id) on delete cascade,
  created bigint not null,
  last_seen bigint not null,
  expires bigint not null,
  ip text not null,
  user_agent text not null
);

create table api_tokens (
  id text primary key,
  hash text not null unique,
  prefix text not null,
  name text not null,
  created bigint not null,
  expires bigint,
  last_used bigint,
  revoked bigint
);

create table permissions (
  id text primary key,
  name text not null,
  position bigint not null
);

create table roles (
  id text primary key,
  name text not null,
  document text not null,
  position bigint not null
);

create table exclusive_roles (
  position bigint primary key,
  roles text not null
);

create table applications (
  id text primary key,
  name text not null,
  protocol text not null,
  secret_hash text,
  document text not null,
  version bigint not null,
  created bigint not null
);

create table relationships (
  provider text not null,
  client text not null,
  document text not null,
  version bigint not null,
  created bigint not null,
  primary key (provider, client)
);

create table signing_keys (
  id text primary key,
  algorithm text not null,
  state text not null,
  private_key text not null,
  public_key text not null,
  created bigint not null,
  activates bigint not null,
  retires bigint,
  gone bigint
);

create table domains (
  domain text primary key,
  organization text not null,
  connection text not null,
  verified bigint not null,
  source text not null
);

-- A sign-in under way. It starts before its organization is known, so it belongs to the installation.
create table attempts (
  id text primary key,
  browser_hash text not null,
  organization text,
  connection text,
  state_hash text unique,
  nonce text,
  verifier text,
  request text not null,
  purpose text not null,
  session_id text,
  created bigint not null,
  expires bigint not null,
  finished bigint
);
create index attempts_expires on attempts (expires);

create table counters (
  name text not null,
  started bigint not null,
  expires bigint not null,
  hits bigint not null,
  primary key (name, started)
);
create index counters_expires on counters (expires);

create table outbox (
  id text primary key,
  organization text not null,
  kind text not null,
  destination text not null,
  payload text not null,
  created bigint not null,
  next_at bigint not null,
  attempts bigint not null,
  leased_until bigint,
  delivered bigint,
  failed bigint,
  last_error text,
  receipt text
);
create index outbox_due on outbox (next_at) where delivered is null and failed is null;
create index outbox_organization on outbox (organization, id);

-- What belongs to one organization: its key is the first column of every key.

create table organizations (
  organization text primary key,
  name text not null,
  seat_limit bigint,
  settings text not null,
  flags text not null,
  version bigint not null,
  created bigint not null
);

create table resources (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  parent text,
  type text not null,
  name text not null,
  position bigint not null,
  created bigint not null,
  primary key (organization, id)
);

create table users (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  status text not null,
  suspended_at bigint,
  suspended_by text,
  seated boolean not null,
  user_name text not null,
  user_name_key text not null,
  email text,
  email_key text,
  email_verified boolean not null,
  display_name text not null,
  given_name text,
  family_name text,
  local_source text,
  kept_without_directory boolean not null,
  custom_access boolean not null,
  settled_at bigint,
  settled_by text,
  note text,
  noted_at bigint,
  created bigint not null,
  updated bigint not null,
  deleted_at bigint,
  last_seen bigint,
  last_login bigint,
  last_login_ip text,
  logins bigint not null,
  primary key (organization, id)
);
create unique index users_user_name on users (organization, user_name_key) where status <> 'deleted';
create index users_email on users (organization, email_key);
-- Nearly everybody is active: they are found without an index of their own, and a push writes none.
create index users_status on users (organization, status, id) where status <> 'active';
create index users_unseated on users (organization, id) where seated = false;

create table directories (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  name text not null,
  dialect text not null,
  match_key text not null,
  document text not null,
  version bigint not null,
  created bigint not null,
  last_request bigint,
  primary key (organization, id)
);

create table directory_tokens (
  organization text not null,
  directory text not null,
  id text not null,
  hash text not null,
  prefix text not null,
  source text not null,
  created bigint not null,
  expires bigint,
  last_used bigint,
  primary key (organization, directory, id),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);
create unique index directory_tokens_hash on directory_tokens (organization, hash);

create table directory_records (
  organization text not null,
  directory text not null,
  user_id text not null,
  external_id text,
  user_name_key text not null,
  display_name_key text,
  active boolean not null,
  document text not null,
  folded text not null,
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
  organization text not null,
  directory text not null,
  user_id text not null,
  position bigint not null,
  type_key text,
  value_key text,
  is_primary boolean not null,
  primary key (organization, directory, user_id, position),
  foreign key (organization, directory, user_id) references directory_records (organization, directory, user_id) on delete cascade
);
create index record_emails_value on record_emails (organization, directory, value_key);

create table connections (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  name text not null,
  protocol text not null,
  directory text,
  document text not null,
  version bigint not null,
  created bigint not null,
  primary key (organization, id)
);

-- Discovery documents and key sets as last fetched, so that an identity provider's outage does not stop a start.
create table connection_documents (
  organization text not null,
  connection text not null,
  kind text not null,
  body text not null,
  fetched bigint not null,
  expires bigint not null,
  primary key (organization, connection, kind),
  foreign key (organization, connection) references connections (organization, id) on delete cascade
);

create table identities (
  organization text not null,
  id text not null,
  user_id text not null,
  connection text not null,
  issuer text not null,
  subject text not null,
  match_value text,
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
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  directory text,
  connection text,
  display_name text not null,
  display_name_key text not null,
  external_id text,
  document text not null,
  folded text not null,
  version bigint not null,
  created bigint not null,
  modified bigint not null,
  primary key (organization, id)
);
create index groups_display_name on groups (organization, display_name_key);
create index groups_directory on groups (organization, directory, id);
create index groups_external_id on groups (organization, directory, external_id);

create table group_members (
  organization text not null,
  group_id text not null,
  member_id text not null,
  kind text not null,
  source text not null,
  added bigint not null,
  primary key (organization, group_id, member_id),
  foreign key (organization, group_id) references groups (organization, id) on delete cascade
) without rowid;
create index group_members_member on group_members (organization, member_id, group_id);

create table group_roles (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  group_name text not null,
  group_name_key text not null,
  directory text,
  group_id text,
  role text not null,
  resource text not null,
  source text not null,
  granted_by text not null,
  created bigint not null,
  primary key (organization, id)
);
create index group_roles_group on group_roles (organization, group_id);
create index group_roles_name on group_roles (organization, group_name_key);

create table grants (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  user_id text,
  group_id text,
  role text not null,
  resource text not null,
  source text not null,
  granted_by text not null,
  granted_by_name text not null,
  reason text not null,
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
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  user_id text,
  group_id text,
  resource text not null,
  actions text not null,
  reason text not null,
  granted_by text not null,
  created bigint not null,
  primary key (organization, id)
);
create index restrictions_user on restrictions (organization, user_id);
create index restrictions_group on restrictions (organization, group_id);

-- What waits for an administrator's decision: collisions, exclusive roles that arrived by sync, group names met twice.
create table conflicts (
  organization text not null references organizations (organization) on delete cascade,
  id text not null,
  kind text not null,
  subject text not null,
  document text not null,
  created bigint not null,
  resolved bigint,
  resolution text,
  primary key (organization, id)
);
create unique index conflicts_open on conflicts (organization, kind, subject) where resolved is null;

create table sessions (
  organization text not null,
  id text not null,
  hash text not null,
  user_id text not null,
  connection text,
  identity text,
  created bigint not null,
  last_seen bigint not null,
  expires bigint not null,
  idle_seconds bigint not null,
  ip text not null,
  user_agent text not null,
  auth_time bigint not null,
  acr text,
  amr text,
  upstream_sid text,
  ended bigint,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create unique index sessions_hash on sessions (organization, hash);
create index sessions_user on sessions (organization, user_id);

-- A family is everything that came from one authorization: its code, its refresh tokens, its access tokens.
create table families (
  organization text not null,
  id text not null,
  user_id text not null,
  application text not null,
  session_id text not null,
  scope text not null,
  auth_time bigint not null,
  acr text,
  amr text,
  created bigint not null,
  expires bigint not null,
  revoked bigint,
  primary key (organization, id),
  foreign key (organization, user_id) references users (organization, id) on delete cascade
);
create index families_user on families (organization, user_id);
create index families_session on families (organization, session_id);

create table codes (
  organization text not null,
  hash text not null,
  family text not null,
  application text not null,
  redirect_uri text not null,
  challenge text not null,
  nonce text,
  created bigint not null,
  expires bigint not null,
  consumed bigint,
  primary key (organization, hash),
  foreign key (organization, family) references families (organization, id) on delete cascade
);

create table refresh_tokens (
  organization text not null,
  hash text not null,
  family text not null,
  created bigint not null,
  expires bigint not null,
  used bigint,
  primary key (organization, hash),
  foreign key (organization, family) references families (organization, id) on delete cascade
);
create index refresh_tokens_family on refresh_tokens (organization, family);

create table access_tokens (
  organization text not null,
  hash text not null,
  family text not null,
  scope text not null,
  created bigint not null,
  expires bigint not null,
  revoked bigint,
  primary key (organization, hash),
  foreign key (organization, family) references families (organization, id) on delete cascade
);
create index access_tokens_family on access_tokens (organization, family);

-- What a directory asked and what it was told. The bodies come last: a search reads the columns before them.
create table scim_requests (
  organization text not null,
  directory text not null,
  id text not null,
  at bigint not null,
  method text not null,
  path text not null,
  query text not null,
  status bigint not null,
  scim_type text,
  detail text,
  duration_us bigint not null,
  operation text not null,
  resource_kind text,
  resource_id text,
  resource_name text,
  search text not null,
  token_id text,
  token_state text not null,
  ip text not null,
  request text not null,
  repairs text,
  effects text,
  replay_of text,
  whole boolean not null,
  request_body text,
  response_body text,
  primary key (organization, directory, id),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);
create index scim_requests_at on scim_requests (organization, directory, at);
create index scim_requests_errors on scim_requests (organization, directory, id, at) where status >= 400;

-- organization is '' for events of the installation itself.
create table audit (
  organization text not null,
  id text not null,
  at bigint not null,
  actor_kind text not null,
  actor_id text not null,
  actor_name text not null,
  action text not null,
  target_kind text not null,
  target_id text not null,
  target_name text not null,
  user_id text,
  outcome text not null,
  code text,
  before text,
  after text,
  reason text,
  ip text not null,
  door text not null,
  request text not null,
  primary key (organization, id)
);
create index audit_user on audit (organization, user_id, id);
create index audit_action on audit (organization, action, id);

insert into schema_info (id, schema_version, oldest_binary) values (1, 1, 1);
insert into versions (name, version) values ('configuration', 1), ('keys', 1);
