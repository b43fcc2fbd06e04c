package store

import "fmt"

// Where the two stores' words for JSON differ. Arguments are SQL, never input.

// elements is a subquery of the texts in a JSON array that a placeholder holds: one statement for any number of ids.
func (d dialect) elements(placeholder string) string {
	if d == postgresDialect {
		return fmt.Sprintf("select e.value from json_array_elements_text(cast(%s as json)) e", placeholder)
	}
	return fmt.Sprintf("select e.value from json_each(%s) e", placeholder)
}

// jsonRows is a scalar subquery's JSON array of arrays.
func (d dialect) jsonRows(columns string) string {
	if d == postgresDialect {
		return fmt.Sprintf("json_agg(json_build_array(%s))", columns)
	}
	return fmt.Sprintf("json_group_array(json_array(%s))", columns)
}
