-- +goose Up

-- What people were last told of something that ends: of which end, and how many days ahead. A renewal moves the end, and begins
-- anew.
create table expiry_warnings (
  organization text collate "C" not null references organizations (organization) on delete cascade,
  thing text collate "C" not null,
  expires bigint not null,
  step bigint not null,
  told bigint not null,
  primary key (organization, thing)
);

-- Directories that have fallen silent, told once for each silence; its row goes when the directory calls again.
create table directory_silences (
  organization text collate "C" not null,
  directory text collate "C" not null,
  since bigint not null,
  told bigint not null,
  primary key (organization, directory),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['expiry_warnings', 'directory_silences']
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

update schema_info set schema_version = 15 where id = 1;
