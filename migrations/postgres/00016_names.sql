-- +goose Up

-- What a search for a part of a userName or a displayName looks in, beside the records: the packs of a directory name the
-- records in which three characters stand in a row. A pack is made of many records at once and never changed, so that a push
-- writes nothing here. Each record up to and including the fence is the business of packs; those behind what was reached, and
-- those noted as changed since, are in none, and a search reads them one by one.
create table name_indexes (
  organization text collate "C" not null,
  directory text collate "C" not null,
  fence text collate "C" not null,
  reached text collate "C" not null,
  version bigint not null,
  packs bigint not null,
  primary key (organization, directory),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

create table name_changes (
  organization text collate "C" not null,
  directory text collate "C" not null,
  user_id text collate "C" not null,
  times bigint not null,
  primary key (organization, directory, user_id),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);

create table name_packs (
  organization text collate "C" not null,
  directory text collate "C" not null,
  pack bigint not null,
  records bigint not null,
  published boolean not null,
  made bigint not null,
  primary key (organization, directory, pack),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);

create table name_grams (
  organization text collate "C" not null,
  directory text collate "C" not null,
  pack bigint not null,
  gram bigint not null,
  records bigint not null,
  list bytea not null,
  primary key (organization, directory, pack, gram),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);

create table name_ids (
  organization text collate "C" not null,
  directory text collate "C" not null,
  part bigint not null,
  ids bytea not null,
  primary key (organization, directory, part),
  foreign key (organization, directory) references name_indexes (organization, directory) on delete cascade
);

-- Without the check of each row's parent: a pack is some ten thousand rows of one parent. What goes takes them along all the
-- same. And lists are kept where they are: they do not compress.
-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['name_indexes', 'name_changes', 'name_packs', 'name_grams', 'name_ids']
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
alter table name_grams drop constraint name_grams_organization_directory_fkey;
create function name_index_gone() returns trigger language plpgsql as $$
begin
  delete from name_grams where organization = old.organization and directory = old.directory;
  return null;
end
$$;
create trigger name_index_gone after delete on name_indexes for each row execute function name_index_gone();
alter table name_grams alter column list set storage external, set (toast_tuple_target = 8160);
alter table name_ids alter column ids set storage external, set (toast_tuple_target = 8160);
-- +goose StatementEnd

update schema_info set schema_version = 16 where id = 1;
