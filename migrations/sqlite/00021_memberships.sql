-- +goose Up

-- SQLite takes an organization for ten rows where it knows nothing of a table, and then rather reads all memberships of the
-- organization than those of one person by their index. So it is told what memberships are like; nothing else is. "analyze"
-- with this name analyzes nothing: it makes the table, and has it read again.
-- +goose StatementBegin
analyze sqlite_schema;
insert into sqlite_stat1 (tbl, idx, stat) values
  ('group_members', 'group_members', '1000000 1000000 100 1'),
  ('group_members', 'group_members_member', '1000000 1000000 5 1');
analyze sqlite_schema;
-- +goose StatementEnd

update schema_info set schema_version = 21 where id = 1;
