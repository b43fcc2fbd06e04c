-- +goose Up

-- Whoever is shown in the console may have been here before: as whom, is looked for among those who are deleted, by name.
create index users_deleted_name on users (organization, user_name_key) where status = 'deleted' and user_name_key is not null;

update schema_info set schema_version = 32 where id = 1;
