-- +goose Up

update schema_info set schema_version = 6 where id = 1;
