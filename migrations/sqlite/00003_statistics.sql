-- +goose Up

update schema_info set schema_version = 3 where id = 1;
