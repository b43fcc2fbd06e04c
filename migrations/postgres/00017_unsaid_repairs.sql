-- +goose Up

-- Since when a directory no longer says whether the person is active, having taken the attribute away; null as long as it
-- says so. "active" keeps what it said last, and sign-in goes on by that. A program from before this step would take the
-- silence for "active", and let in again somebody who left.
alter table directory_records add column unsaid bigint;

-- What a directory's dialect had to forgive, by kind. The log of requests is cleared after a while; this is kept.
create table directory_repairs (
  organization text collate "C" not null,
  directory text collate "C" not null,
  deviation text collate "C" not null,
  hits bigint not null,
  first bigint not null,
  latest bigint not null,
  primary key (organization, directory, deviation),
  foreign key (organization, directory) references directories (organization, id) on delete cascade
);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['directory_repairs']
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

update schema_info set schema_version = 17, oldest_binary = 17 where id = 1;
