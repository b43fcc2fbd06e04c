-- +goose Up

-- What people were last told of something that ends: of which end, and how many days ahead. A renewal moves the end, and begins
-- anew.
create table expiry_warnings (
  organization text not null references organizations (organization) on delete cascade,
  thing text not null,
  expires bigint not null,
  step bigint not null,
  told bigint not null,
  primary key (organization, thing)
);

-- Directories that have fallen silent, told once for each silence; its row goes when the directory calls again.
create table directory_silences (
  organization text not null,
  directory text not null,
  since bigint not null,
  told bigint not null,
  primary key (organization, directory),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

update schema_info set schema_version = 15 where id = 1;
