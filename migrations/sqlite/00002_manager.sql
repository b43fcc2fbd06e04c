-- +goose Up

-- Whom a record names as manager, so that who names somebody that leaves is found without reading every document.
alter table directory_records add column manager text;
create index directory_records_manager on directory_records (organization, directory, manager) where manager is not null;

update schema_info set schema_version = 2 where id = 1;
