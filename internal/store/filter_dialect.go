package store

import (
	"fmt"
	"strings"
)

// Where the two stores' words for JSON differ. Arguments are SQL, never input.

// elements is a subquery of the texts in a JSON array that a placeholder holds: one statement for any number of ids.
func (d dialect) elements(placeholder string, as ...string) string {
	column := "e.value"
	for _, name := range as {
		column += " as " + name
	}
	if d == postgresDialect {
		return fmt.Sprintf("select %s from json_array_elements_text(cast(%s as json)) e", column, placeholder)
	}
	return fmt.Sprintf("select %s from json_each(%s) e", column, placeholder)
}

// among is true where the column is one of what a subquery finds. The coalesce keeps PostgreSQL from making a join of it,
// whose order it would choose by statistics that may not be there yet: it builds a hash once and probes it.
func (d dialect) among(column, subquery string) string {
	if d == postgresDialect {
		return fmt.Sprintf("coalesce(%s in (%s), false)", column, subquery)
	}
	return fmt.Sprintf("%s in (%s)", column, subquery)
}

// amongFew is among where the subquery finds a handful, which are then looked up by their key.
func (d dialect) amongFew(column, subquery string) string {
	if d == postgresDialect {
		return fmt.Sprintf("%s = any (array(%s))", column, subquery)
	}
	return fmt.Sprintf("%s in (%s)", column, subquery)
}

// each joins the rows of a table that belong to each row before it, and finds them by an index whatever the planner believes of the
// table: of one that is small, or was when the plan was made, PostgreSQL would rather read all. On SQLite the condition is the
// statement's where.
func (d dialect) each(table, columns, condition string) string {
	if d == postgresDialect {
		name, alias, _ := strings.Cut(table, " ")
		return fmt.Sprintf(`cross join lateral (
				select %s
				from %s %s
				where %s
				offset 0) %[3]s`, columns, name, alias, condition)
	}
	return fmt.Sprintf(`cross join %s
				where %s`, table, condition)
}

// outerGroups begins a statement that asks for a group, by its placeholder, and all that it is in, however deep: they are outer_groups.
func (d dialect) outerGroups(group string) string {
	return `
		with recursive outer_groups (id) as (
			select x.id
			from groups x
			where x.organization = $1
				and x.id = ` + group + `
			union
			select m.group_id
			from outer_groups
			` + d.each("group_members m", "m.group_id", `m.organization = $1
				and m.member_id = outer_groups.id`) + `
		)`
}

// cut leaves so many rows of an ordered query, two placeholders, and never more than most. order is that of the columns it gives.
// A plan that is kept is made without the number. PostgreSQL takes a tenth of all rows for it then, for which it would rather
// sort the whole directory than read the order from an index; so it gets the bound first, which it sees. SQLite would plan anew
// for each number, if the cast did not hide it.
func (d dialect) cut(query, order string, most int, limit, offset string) string {
	if d == postgresDialect {
		return fmt.Sprintf(`
			select s.*
			from (%s
				limit %d
				offset %s) s
			order by %s
			limit cast(%s as bigint)`, query, most, offset, order, limit)
	}
	return fmt.Sprintf(`%s
			limit cast(%s as bigint)
			offset %s`, query, limit, offset)
}

// jsonRows is a scalar subquery's JSON array of arrays.
func (d dialect) jsonRows(columns string) string {
	if d == postgresDialect {
		return fmt.Sprintf("json_agg(json_build_array(%s))", columns)
	}
	return fmt.Sprintf("json_group_array(json_array(%s))", columns)
}

// jsonEach gives the elements of a JSON array as rows with a column value; none for null.
func (d dialect) jsonEach(array string) string {
	if d == postgresDialect {
		return "json_array_elements(" + array + ")"
	}
	return "json_each(" + array + ")"
}

// elementText is a simple element of jsonEach as text.
func (d dialect) elementText(element string) string {
	if d == postgresDialect {
		return "(" + element + " #>> '{}')"
	}
	return element
}

// jsonBool reads the text of a JSON boolean, which SQLite gives as a number already.
func (d dialect) jsonBool(expr string) string {
	if d == postgresDialect {
		return "cast(" + expr + " as boolean)"
	}
	return expr
}

// byBytes makes a text sort by its bytes, as SQLite does anyway.
func (d dialect) byBytes(expr string) string {
	if d == postgresDialect {
		return "(" + expr + ` collate "C")`
	}
	return expr
}

// contains is true where part stands in the text: both compare as they are, so nothing needs an escape.
func (d dialect) contains(expr, part string) string {
	if d == postgresDialect {
		return fmt.Sprintf("strpos(%s, %s) > 0", expr, part)
	}
	return fmt.Sprintf("instr(%s, %s) > 0", expr, part)
}

// last gives the last n characters of a text, all of a shorter one.
func (d dialect) last(expr string, n int) string {
	if d == postgresDialect {
		return fmt.Sprintf("right(%s, %d)", expr, n)
	}
	return fmt.Sprintf("substr(%s, -%d)", expr, n)
}

// firstElement gives, of an array of objects, what value says of the primary one, else of the first.
func (d dialect) firstElement(array, value string) string {
	if d == postgresDialect {
		return fmt.Sprintf(`(select %s from json_array_elements(%s) with ordinality e (value, key)
			order by case when json_typeof(e.value) = 'object' and e.value ->> 'primary' = 'true' then 0 else 1 end, e.key limit 1)`, value, array)
	}
	return fmt.Sprintf(`(select %s from json_each(%s) e
			order by case when e.type = 'object' and e.value ->> 'primary' = 1 then 0 else 1 end, e.key limit 1)`, value, array)
}
