-- +goose Up

-- What a directory calls the members of a group, in the order of their ids: a group is read without reading the documents of its
-- members. PostgreSQL finds a row by its key so cheaply that it needs none.
-- +goose StatementBegin
create index directory_records_names on directory_records (organization, directory, user_id, document ->> 'displayName');
-- +goose StatementEnd

update schema_info set schema_version = 25 where id = 1;
