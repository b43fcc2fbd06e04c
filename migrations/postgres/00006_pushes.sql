-- +goose Up

-- A push writes five rows, and a foreign key makes PostgreSQL look for each one's parent and lock it: the same row of
-- organizations and of directories for every push of everybody, which cost as much as the inserts. The parents are known to
-- be there otherwise: a transaction that writes in an organization holds the organization's lock (store, postgresSession),
-- and what inserts these rows looks for organization and directory in the same statement. So only the other half of the
-- foreign keys stays, as triggers: what goes takes along what was under it. SQLite, where a check costs nothing to speak of
-- and a table cannot lose a constraint without being copied, keeps them whole.
-- And a record of about 2 kB is stored as it is: compressing it cost more than the space is worth.
-- +goose StatementBegin
alter table users drop constraint users_organization_fkey;
alter table directory_records drop constraint directory_records_organization_directory_fkey;
alter table directory_records drop constraint directory_records_organization_user_id_fkey;
alter table record_emails drop constraint record_emails_organization_directory_user_id_fkey;
alter table scim_requests drop constraint scim_requests_organization_directory_fkey;

create function organization_gone() returns trigger language plpgsql as $$
begin
  delete from users where organization = old.organization;
  return null;
end
$$;
create trigger organization_gone after delete on organizations for each row execute function organization_gone();

create function user_gone() returns trigger language plpgsql as $$
begin
  delete from directory_records where organization = old.organization and user_id = old.id;
  return null;
end
$$;
create trigger user_gone after delete on users for each row execute function user_gone();

create function directory_gone() returns trigger language plpgsql as $$
begin
  delete from directory_records where organization = old.organization and directory = old.id;
  delete from scim_requests where organization = old.organization and directory = old.id;
  return null;
end
$$;
create trigger directory_gone after delete on directories for each row execute function directory_gone();

create function record_gone() returns trigger language plpgsql as $$
begin
  delete from record_emails where organization = old.organization and directory = old.directory and user_id = old.user_id;
  return null;
end
$$;
create trigger record_gone after delete on directory_records for each row execute function record_gone();

alter table directory_records set (toast_tuple_target = 8160);
alter table scim_requests set (toast_tuple_target = 8160);
-- +goose StatementEnd

update schema_info set schema_version = 6 where id = 1;
