-- +goose Up

-- What a SAML application was told a person's name is, beside the family that its assertion began: by it the application says later
-- whose session ends, and by it it is told.
alter table families add column name_id text collate "C";
alter table families add column name_format text collate "C";
create index families_name_id on families (application, name_id) where name_id is not null;

-- Whoever comes back to a sign-out that was left half way goes on with it.
create index attempts_parting on attempts (browser_hash) where purpose = 'parting';

update schema_info set schema_version = 27 where id = 1;
