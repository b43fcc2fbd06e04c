-- +goose Up

-- Whom a directory took away lately, so that it can be undone, and whether it was too many at once.
create table directory_waves (
  organization text not null,
  directory text not null,
  started bigint not null,
  departed bigint not null,
  threshold bigint not null,
  braked bigint,
  released bigint,
  primary key (organization, directory),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

create table wave_departures (
  organization text not null,
  directory text not null,
  number bigint not null,
  kind text not null,
  user_id text not null,
  left_behind text not null,
  primary key (organization, directory, number),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

update schema_info set schema_version = 5 where id = 1;
