-- +goose Up

-- Where a table is young, PostgreSQL takes this index for as good a way to a user's id as the key, and reads everybody of the
-- organization by it. It is of addresses alone, and no way to anything else.
drop index users_email;
create index users_email on users (organization, email_key) where email_key is not null;

update schema_info set schema_version = 29 where id = 1;
