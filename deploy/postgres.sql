-- The role that serves owns its database and is neither superuser nor bypassrls: row-level security is the second belt
-- around every organization, and such a role would slip out of it.
create role vestibule login nosuperuser nobypassrls password 'vestibule';
create database vestibule owner vestibule;
