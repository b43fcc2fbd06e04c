-- +goose Up

update schema_info set schema_version = 22 where id = 1;
