-- +goose Up

update schema_info set schema_version = 25 where id = 1;
