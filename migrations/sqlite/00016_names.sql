-- +goose Up

-- What a search for a part of a userName or a displayName looks in, beside the records: the packs of a directory name the
-- records in which three characters stand in a row. A pack is made of many records at once and never changed, so that a push
-- writes nothing here. Each record up to and including the fence is the business of packs; those behind what was reached, and
-- those noted as changed since, are in none, and a search reads them one by one.
create table name_indexes (
  organization text not null,
  directory text not null,
  fence text not null,
  reached text not null,
  version bigint not null,
  packs bigint not null,
  primary key (organization, directory),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

create table name_changes (
  organization text not null,
  directory text not null,
  user_id text not null,
  times bigint not null,
  primary key (organization, directory, user_id),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);

create table name_packs (
  organization text not null,
  directory text not null,
  pack bigint not null,
  records bigint not null,
  published boolean not null,
  made bigint not null,
  primary key (organization, directory, pack),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);

create table name_grams (
  organization text not null,
  directory text not null,
  pack bigint not null,
  gram bigint not null,
  records bigint not null,
  list blob not null,
  primary key (organization, directory, pack, gram),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
) without rowid;

create table name_ids (
  organization text not null,
  directory text not null,
  part bigint not null,
  ids blob not null,
  primary key (organization, directory, part),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);

update schema_info set schema_version = 16 where id = 1;
