-- +goose Up

-- What a directory's extensions say must be unique, of whom. A value stands here as its digest: it may be of any length.
create table unique_values (
  organization text collate "C" not null,
  directory text collate "C" not null,
  resource text collate "C" not null,
  attribute text collate "C" not null,
  digest text collate "C" not null,
  resource_id text collate "C" not null,
  primary key (organization, directory, resource, attribute, digest),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

create index unique_values_resource on unique_values (organization, directory, resource_id);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['unique_values']
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

update schema_info set schema_version = 7 where id = 1;
