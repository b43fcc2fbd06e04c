-- +goose Up

update schema_info set schema_version = 21 where id = 1;
