-- +goose Up

-- Where a table is young, PostgreSQL takes this index for as good a way to a group's id as the key, and reads all groups of the
-- organization by it, for each group of whoever is decided about. It is of external ids alone, and no way to anything else.
drop index groups_external_id;
create index groups_external_id on groups (organization, directory, external_id) where external_id is not null;

update schema_info set schema_version = 30 where id = 1;
