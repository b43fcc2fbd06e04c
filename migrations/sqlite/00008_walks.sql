-- +goose Up

-- Where the pages of a listing ended, for whichever node serves the next one: who walks on from there loses nobody, and the
-- node needs not count (RFC 7644 section 3.4.2.4).
create table list_places (
  organization text not null,
  directory text not null,
  list text not null,
  position bigint not null,
  after text not null,
  began bigint,
  kept bigint not null,
  primary key (organization, directory, list, position),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);
create index list_places_kept on list_places (kept);

-- When a directory last went through everybody it knows, by listing or by asking for one after the other, and the pass of
-- the latter that is under way.
create table walks (
  organization text not null,
  directory text not null,
  kind text not null,
  means text not null,
  started bigint,
  finished bigint,
  seen bigint not null,
  pass_started bigint,
  pass_latest bigint,
  primary key (organization, directory, kind, means),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

-- When a directory last named a user or a group without changing it: a change stands on the record itself.
create table sightings (
  organization text not null,
  directory text not null,
  resource text not null,
  seen bigint not null,
  primary key (organization, directory, resource),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

-- When an administrator undid the deactivation that the record still tells of: it holds until the directory says again
-- whether the person is active.
alter table directory_records add column undone bigint;

alter table wave_departures add column at bigint not null default 0;

-- The groups in a group, without reading its hundred thousand people.
create index group_members_nested on group_members (organization, group_id, member_id) where kind = 'group';

update schema_info set schema_version = 8 where id = 1;
