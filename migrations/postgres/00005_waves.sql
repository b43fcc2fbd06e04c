-- +goose Up

-- Whom a directory took away lately, so that it can be undone, and whether it was too many at once.
create table directory_waves (
  organization text collate "C" not null,
  directory text collate "C" not null,
  started bigint not null,
  departed bigint not null,
  threshold bigint not null,
  braked bigint,
  released bigint,
  primary key (organization, directory),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

create table wave_departures (
  organization text collate "C" not null,
  directory text collate "C" not null,
  number bigint not null,
  kind text collate "C" not null,
  user_id text collate "C" not null,
  left_behind json not null,
  primary key (organization, directory, number),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['directory_waves', 'wave_departures']
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

update schema_info set schema_version = 5 where id = 1;
