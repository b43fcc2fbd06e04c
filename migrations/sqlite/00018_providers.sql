-- +goose Up

-- A provider relationship is in force from its approval to its end. Who proposed it, and who approved it, stands in the audit log of
-- both organizations. What a file declared was not served before, so it begins when the file is applied again.
delete from relationships;
alter table relationships add column approved bigint;
alter table relationships add column expires bigint;
alter table relationships add column source text not null default 'manual';
create index relationships_client on relationships (client, provider);

-- What a provider's user got towards another organization lives, with the user, in its home.
alter table families add column client text;
create index families_client on families (organization, client, user_id) where client is not null;

update schema_info set schema_version = 18 where id = 1;
