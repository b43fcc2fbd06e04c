package store

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/scim"
)

// filterSQL compiles a checked filter to a condition over one row of directory_records (called r) or groups (called g). It
// answers exactly what scim's Filter.Match answers in memory; a test holds the two together. Everything a client wrote is an
// argument; what stands in the text comes from schemas and from this file.
//
// SQL knows a third truth value and a filter does not: below a "not" every comparison is made to be true or false.
type filterSQL struct {
	p    *Push
	rt   *scim.ResourceType
	args []any
	// within is who is in the groups that the filter names, by look.
	within map[string]*within
}

// arg adds an argument and gives its placeholder.
func (f *filterSQL) arg(v any) string {
	f.args = append(f.args, v)
	return fmt.Sprintf("$%d", len(f.args))
}

func (f *filterSQL) users() bool { return f.rt == f.p.User }

func (f *filterSQL) row() string {
	if f.users() {
		return "r"
	}
	return "g"
}

func (f *filterSQL) idColumn() string {
	if f.users() {
		return "r.user_id"
	}
	return "g.id"
}

// activeSaid is what a record says about active. The column alone also knows what one said that says so no longer.
const activeSaid = "case when r.unsaid is null then r.active end"

const (
	sqlTrue  = "1 = 1"
	sqlFalse = "1 = 0"
)

// condition compiles an expression. leaf compiles what stands at its ends.
func (f *filterSQL) condition(x scim.Expr, below bool, leaf func(x scim.Expr) string) string {
	switch x := x.(type) {
	case scim.And:
		return f.chain(x.Terms, " and ", below, leaf)
	case scim.Or:
		return f.chain(x.Terms, " or ", below, leaf)
	case scim.Not:
		return "not (" + f.condition(x.Expr, true, leaf) + ")"
	case scim.Never:
		return sqlFalse
	}
	if below {
		return "coalesce(" + leaf(x) + ", " + sqlFalse + ")"
	}
	return leaf(x)
}

func (f *filterSQL) chain(terms []scim.Expr, word string, below bool, leaf func(x scim.Expr) string) string {
	parts := make([]string, len(terms))
	for i, t := range terms {
		parts[i] = "(" + f.condition(t, below, leaf) + ")"
	}
	return strings.Join(parts, word)
}

// where compiles a filter of the resource type.
func (f *filterSQL) where(x scim.Expr) string { return f.condition(x, false, f.leaf) }

func pathOf(x scim.Expr) scim.Path {
	switch x := x.(type) {
	case scim.Compare:
		return x.Path
	case scim.Present:
		return x.Path
	case scim.ValuePath:
		return x.Path
	}
	return scim.Path{}
}

// leaf compiles a comparison, a presence or a value path.
func (f *filterSQL) leaf(x scim.Expr) string {
	path := pathOf(x)
	if path.Attribute == nil {
		return sqlFalse
	}
	if path.Extension == nil {
		switch name := path.Attribute.Name; {
		case name == "meta":
			return f.meta(x, path)
		case f.rt.Rows != "" && name == f.rt.Rows:
			return f.members(x)
		case f.users() && name == "groups":
			return f.groups(x)
		case f.users() && name == "emails" && f.inEmailColumns(x):
			return f.emails(x)
		}
	}
	if path.Attribute.MultiValued {
		return f.elements(x, path)
	}
	v, direct := f.single(path)
	switch x := x.(type) {
	case scim.Present:
		return v.expr + " is not null"
	case scim.Compare:
		return f.compare(v, x.Op, x.Value, direct)
	}
	return sqlFalse
}

// value is an SQL expression with its type; bytes tells whether it compares by bytes as it stands.
type value struct {
	expr  string
	json  bool // text drawn from a document, to be read as its type
	bytes bool
}

// single finds a single-valued attribute: a column where it is one (direct), else in the folded document.
func (f *filterSQL) single(path scim.Path) (v value, direct bool) {
	row := f.row()
	column := func(name string) (value, bool) { return value{expr: row + "." + name, bytes: true}, true }
	switch name := path.Attribute.Name; {
	case path.Extension == nil && path.Sub == nil:
		switch {
		case name == "id":
			return value{expr: f.idColumn(), bytes: true}, true
		case name == "externalId":
			return column("external_id")
		case name == "displayName":
			return column("display_name_key")
		case f.users() && name == "userName":
			return column("user_name_key")
		case f.users() && name == "active":
			return value{expr: activeSaid, bytes: true}, true
		}
	case f.users() && path.Extension != nil && path.Extension.ID == scim.EnterpriseURN && name == "manager" && path.Sub != nil && path.Sub.Name == "value":
		return column("manager")
	}
	expr := f.attribute(path)
	if path.Sub != nil {
		return value{expr: "(" + expr + " ->> " + quoted(path.Sub.Name) + ")", json: true}, false
	}
	if path.Attribute.Type == scim.TypeComplex {
		return value{expr: "(" + expr + ")", json: true}, false
	}
	return value{expr: "(" + f.parent(path) + " ->> " + quoted(path.Attribute.Name) + ")", json: true}, false
}

func (f *filterSQL) parent(path scim.Path) string {
	if path.Extension != nil {
		return f.row() + ".folded -> " + quoted(path.Extension.ID)
	}
	return f.row() + ".folded"
}

func (f *filterSQL) attribute(path scim.Path) string {
	return f.parent(path) + " -> " + quoted(path.Attribute.Name)
}

// quoted is a name of a schema as an SQL string.
func quoted(name string) string { return "'" + strings.ReplaceAll(name, "'", "''") + "'" }

// compare compiles one comparison.
func (f *filterSQL) compare(v value, op scim.Op, want any, indexed bool) string {
	d := f.p.tx.d
	sign := map[scim.Op]string{scim.Eq: "=", scim.Gt: ">", scim.Ge: ">=", scim.Lt: "<", scim.Le: "<="}[op]
	switch want := want.(type) {
	case bool:
		expr := v.expr
		if v.json {
			expr = d.jsonBool(expr)
		}
		return fmt.Sprintf("%s = %s", expr, f.arg(want))
	case int64:
		expr := v.expr
		if v.json {
			expr = "cast(" + expr + " as bigint)"
		}
		return fmt.Sprintf("%s %s %s", expr, sign, f.arg(want))
	case float64:
		return fmt.Sprintf("cast(%s as double precision) %s %s", v.expr, sign, f.arg(want))
	case string:
		n := utf8.RuneCountInString(want)
		ordered := v.expr
		if !v.bytes {
			ordered = d.byBytes(v.expr)
		}
		switch op {
		case scim.Eq:
			return fmt.Sprintf("%s = %s", v.expr, f.arg(want))
		case scim.Co:
			return d.contains(v.expr, f.arg(want))
		case scim.Sw:
			if next, ok := after(want); ok && indexed {
				return fmt.Sprintf("(%[1]s >= %[2]s and %[1]s < %[3]s)", ordered, f.arg(want), f.arg(next))
			}
			return fmt.Sprintf("substr(%s, 1, %d) = %s", v.expr, n, f.arg(want))
		case scim.Ew:
			return fmt.Sprintf("%s = %s", d.last(v.expr, n), f.arg(want))
		}
		return fmt.Sprintf("%s %s %s", ordered, sign, f.arg(want))
	}
	return sqlFalse
}

// after gives the least text behind everything that begins with s: in UTF-8 bytes sort as code points do.
func after(s string) (string, bool) {
	last, size := utf8.DecodeLastRuneInString(s)
	if last >= utf8.MaxRune || last == utf8.RuneError {
		return "", false
	}
	last++
	if last == 0xD800 { // the surrogates are no characters
		last = 0xE000
	}
	return s[:len(s)-size] + string(last), true
}

// constant answers a comparison whose left side is known.
func constant(have string, x scim.Compare) string {
	want, ok := x.Value.(string)
	if !ok {
		return sqlFalse
	}
	c := strings.Compare(have, want)
	if map[scim.Op]bool{
		scim.Eq: c == 0, scim.Gt: c > 0, scim.Ge: c >= 0, scim.Lt: c < 0, scim.Le: c <= 0,
		scim.Co: strings.Contains(have, want), scim.Sw: strings.HasPrefix(have, want), scim.Ew: strings.HasSuffix(have, want),
	}[x.Op] {
		return sqlTrue
	}
	return sqlFalse
}

// asFolded is a text of ours in the form in which the leaf's values are compared.
func asFolded(leaf *scim.Attribute, s string) string {
	if leaf.CaseExact {
		return s
	}
	return scim.Fold(s)
}

// meta compiles what the server says of a resource. All of it is always there.
func (f *filterSQL) meta(x scim.Expr, path scim.Path) string {
	c, ok := x.(scim.Compare)
	if !ok || path.Sub == nil {
		return sqlTrue
	}
	leaf := path.Sub
	switch leaf.Name {
	case "created", "lastModified":
		column := map[string]string{"created": ".created", "lastModified": ".modified"}[leaf.Name]
		return f.compare(value{expr: f.row() + column, bytes: true}, c.Op, c.Value, true)
	case "resourceType":
		return constant(asFolded(leaf, f.rt.Name), c)
	case "location":
		return f.compare(value{expr: fmt.Sprintf("(%s || %s)", f.textArg(asFolded(leaf, f.p.Base+f.rt.Endpoint+"/")), f.idColumn())}, c.Op, c.Value, false)
	case "version":
		return f.compare(value{expr: fmt.Sprintf("(%s || cast(%s.version as text) || '\"')", quoted(asFolded(leaf, `W/"`)), f.row())}, c.Op, c.Value, false)
	}
	return sqlFalse
}

// textArg is an argument whose type PostgreSQL could not tell from where it stands.
func (f *filterSQL) textArg(s string) string { return "cast(" + f.arg(s) + " as text)" }

// elements compiles a condition over the elements of a multi-valued attribute in the folded document.
func (f *filterSQL) elements(x scim.Expr, path scim.Path) string {
	d := f.p.tx.d
	element := func(sub *scim.Attribute) value {
		if sub == nil {
			return value{expr: d.elementText("e.value"), json: true}
		}
		return value{expr: "(e.value ->> " + quoted(sub.Name) + ")", json: true}
	}
	var condition string
	switch x := x.(type) {
	case scim.Present:
		if path.Sub == nil {
			return "(" + f.attribute(path) + ") is not null"
		}
		condition = element(path.Sub).expr + " is not null"
	case scim.Compare:
		condition = f.compare(element(path.Sub), x.Op, x.Value, false)
	case scim.ValuePath:
		condition = f.condition(x.Expr, false, func(x scim.Expr) string {
			switch x := x.(type) {
			case scim.Present:
				return element(x.Path.Sub).expr + " is not null"
			case scim.Compare:
				return f.compare(element(x.Path.Sub), x.Op, x.Value, false)
			}
			return sqlFalse
		})
	}
	return fmt.Sprintf("exists (select 1 from %s e where %s)", d.jsonEach(f.attribute(path)), condition)
}

// inEmailColumns tells whether the rows of record_emails can answer: they hold value and type, and of primary only true.
func (f *filterSQL) inEmailColumns(x scim.Expr) bool {
	switch x := x.(type) {
	case scim.And:
		return f.allInEmailColumns(x.Terms)
	case scim.Or:
		return f.allInEmailColumns(x.Terms)
	case scim.Not:
		return f.inEmailColumns(x.Expr)
	case scim.ValuePath:
		return f.inEmailColumns(x.Expr)
	case scim.Compare:
		if x.Path.Sub == nil {
			return false
		}
		switch x.Path.Sub.Name {
		case "value", "type":
			return true
		case "primary":
			return x.Value == true
		}
	case scim.Never:
		return true
	}
	return false
}

func (f *filterSQL) allInEmailColumns(terms []scim.Expr) bool {
	for _, t := range terms {
		if !f.inEmailColumns(t) {
			return false
		}
	}
	return true
}

func (f *filterSQL) emails(x scim.Expr) string {
	inner := x
	if v, ok := x.(scim.ValuePath); ok {
		inner = v.Expr
	}
	condition := f.condition(inner, false, func(x scim.Expr) string {
		c := x.(scim.Compare)
		if c.Path.Sub.Name == "primary" {
			return "e.is_primary = " + f.arg(true)
		}
		return f.compare(value{expr: "e." + c.Path.Sub.Name + "_key", bytes: true}, c.Op, c.Value, true)
	})
	rows := fmt.Sprintf(`select e.user_id from record_emails e where e.organization = $1 and e.directory = $2 and (%s)`, condition)
	if pointed(x) {
		return f.p.tx.d.amongFew("r.user_id", rows)
	}
	return f.p.tx.d.among("r.user_id", rows)
}

// memberCondition compiles a condition over one row of group_members, called m.
func (f *filterSQL) memberCondition(x scim.Expr) string {
	return f.condition(x, false, func(x scim.Expr) string {
		var v value
		switch path := pathOf(x); {
		case path.Sub == nil:
			return sqlTrue // Present: a row is an element
		case path.Sub.Name == "value":
			v = value{expr: "m.member_id", bytes: true}
		case path.Sub.Name == "type":
			v = value{expr: "m.kind", bytes: true}
		case path.Sub.Name == "$ref":
			v = value{expr: fmt.Sprintf("(%s || case when m.kind = 'group' then '/Groups/' else '/Users/' end || m.member_id)", f.textArg(f.p.Base))}
		default:
			v = value{expr: `coalesce(
				(select x.display_name_key from directory_records x where x.organization = $1 and x.directory = $2 and x.user_id = m.member_id),
				(select x.display_name_key from groups x where x.organization = $1 and x.id = m.member_id))`, bytes: true}
		}
		switch x := x.(type) {
		case scim.Present:
			return v.expr + " is not null"
		case scim.Compare:
			return f.compare(v, x.Op, x.Value, true)
		}
		return sqlFalse
	})
}

func (f *filterSQL) members(x scim.Expr) string {
	if v, ok := x.(scim.ValuePath); ok {
		x = v.Expr
	}
	return f.p.tx.d.among("g.id", fmt.Sprintf(`
				select m.group_id
				from group_members m
				where m.organization = $1
					and m.source = 'scim'
					and (%s)`, f.memberCondition(x)))
}

// groups compiles a condition over the groups a user is in, directly or through groups, by walking down from the groups. One
// named group is looked up before.
func (f *filterSQL) groups(x scim.Expr) string {
	if group, ok := groupNamed(x); ok && f.within[group] != nil {
		return f.inGroup(f.within[group])
	}
	if v, ok := x.(scim.ValuePath); ok {
		x = v.Expr
	}
	condition := f.condition(x, false, func(x scim.Expr) string {
		var v value
		switch path := pathOf(x); {
		case path.Sub == nil:
			return sqlTrue
		case path.Sub.Name == "value":
			v = value{expr: "g.id", bytes: true}
		case path.Sub.Name == "display":
			v = value{expr: "g.display_name_key", bytes: true}
		case path.Sub.Name == "type":
			v = value{expr: "case when s.direct = 1 then 'direct' else 'indirect' end"}
		default:
			v = value{expr: fmt.Sprintf("(%s || g.id)", f.textArg(f.p.Base+"/Groups/"))}
		}
		switch x := x.(type) {
		case scim.Present:
			return v.expr + " is not null"
		case scim.Compare:
			return f.compare(v, x.Op, x.Value, false)
		}
		return sqlFalse
	})
	return f.p.tx.d.among("r.user_id", fmt.Sprintf(`
				with recursive down (root, member, direct) as (
					select g.id, m.member_id, 1
					from groups g
					cross join group_members m
					where g.organization = $1
						and g.directory = $2
						and m.organization = $1
						and m.group_id = g.id
						and m.source = 'scim'
					union
					select down.root, m.member_id, 0
					from down
					cross join group_members m
					where m.organization = $1
						and m.group_id = down.member
				)
				select s.member
				from (
					select root, member, max(direct) as direct
					from down
					group by root, member) s
				cross join groups g
				where g.organization = $1
					and g.id = s.root
					and (%s)`, condition))
}

// pointed tells whether a filter names at most a handful of resources by an indexed value, so that counting them all costs
// no more than finding them.
func pointed(x scim.Expr) bool {
	switch x := x.(type) {
	case scim.And:
		for _, t := range x.Terms {
			if pointed(t) {
				return true
			}
		}
	case scim.Compare:
		if x.Op != scim.Eq || x.Path.Extension != nil {
			return false
		}
		switch x.Path.Attribute.Name {
		case "id", "userName", "externalId", "displayName":
			return true
		case "emails":
			return x.Path.Sub != nil && x.Path.Sub.Name == "value"
		}
	case scim.ValuePath:
		return x.Path.Attribute.Name == "emails" && pointed(x.Expr)
	}
	return false
}

// sorting is the order of a list. The store's own order stands behind it, so that it is total.
type sorting struct {
	expr       string
	id         string
	nullable   bool
	descending bool
	decimal    bool
}

// sorting compiles the order of a list; nil is the store's own.
func (f *filterSQL) sorting(by *scim.Path, descending bool) *sorting {
	if by == nil {
		return nil
	}
	d := f.p.tx.d
	leaf := by.Leaf()
	s := &sorting{id: f.idColumn(), descending: descending, decimal: leaf.Type == scim.TypeDecimal}
	switch {
	case by.Extension == nil && by.Attribute.Name == "meta":
		switch leaf.Name {
		case "created":
			s.expr = f.row() + ".created"
		case "lastModified":
			s.expr = f.row() + ".modified"
		case "version":
			s.expr = f.row() + ".version"
		default:
			return nil // the same for all, or as the id is
		}
	case by.Attribute.MultiValued:
		e := d.elementText("e.value")
		if by.Sub != nil {
			e = "(e.value ->> " + quoted(by.Sub.Name) + ")"
		}
		s.nullable = true
		s.expr = f.sortable(value{expr: d.firstElement(f.attribute(*by), e), json: true}, leaf)
	default:
		v, _ := f.single(*by)
		s.expr = f.sortable(v, leaf)
		s.nullable = !slices.Contains([]string{"r.user_id", "g.id", "r.user_name_key"}, v.expr)
	}
	return s
}

// order is what stands behind "order by". Missing values come last, or first when it descends (RFC 7644 section 3.4.2.3):
// that is how PostgreSQL keeps an index, so one that there is serves it.
func (s *sorting) order(expr, id string) string {
	switch {
	case s.descending && s.nullable:
		return expr + " desc nulls first, " + id
	case s.descending:
		return expr + " desc, " + id
	case s.nullable:
		return expr + " nulls last, " + id
	}
	return expr + ", " + id
}

// sortPlace is where a page of a sorted list ended: behind a value and, among those who share it, behind an id.
type sortPlace struct {
	ID    string `json:"id"`
	Value any    `json:"v,omitempty"` // nil: missing
}

// maxPlace bounds a place: a longer one would not fit into an address, so such a list is counted through.
const maxPlace = 1000

func (p sortPlace) write() string {
	b, err := json.Marshal(p)
	if err != nil || len(b) > maxPlace {
		return ""
	}
	return string(b)
}

// place reads what write wrote.
func (s *sorting) place(text string) (p sortPlace, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&p); err != nil || p.ID == "" {
		return p, scim.Errorf(http.StatusBadRequest, scim.InvalidCursor, "This cursor is not of this list.")
	}
	switch v := p.Value.(type) {
	case nil, string, bool:
		return p, nil
	case json.Number:
		if s.decimal {
			p.Value, err = v.Float64()
		} else {
			p.Value, err = v.Int64()
		}
		if err == nil {
			return p, nil
		}
	}
	return p, scim.Errorf(http.StatusBadRequest, scim.InvalidCursor, "This cursor is not of this list.")
}

// run is a condition that a part of a page stands under; its arguments are added to those of f.
type run func(f *filterSQL) string

// behind gives the conditions of what comes behind a place, one for each run of the index that an order has: first those who
// have a value and those who have none, or the other way about.
func (s *sorting) behind(p sortPlace) []run {
	next := func(f *filterSQL) string {
		if p.Value == nil {
			return fmt.Sprintf("%s is null and %s > %s", s.expr, s.id, f.arg(p.ID))
		}
		sign := ">"
		if s.descending {
			sign = "<"
		}
		return fmt.Sprintf("%[1]s %[2]s= %[3]s and (%[1]s %[2]s %[3]s or %[4]s > %[5]s)", s.expr, sign, f.arg(p.Value), s.id, f.arg(p.ID))
	}
	rest := func(*filterSQL) string { return s.expr + " is null" }
	if s.descending {
		rest = func(*filterSQL) string { return s.expr + " is not null" }
	}
	if !s.nullable || (p.Value == nil) != s.descending {
		return []run{next}
	}
	return []run{next, rest}
}

func (f *filterSQL) sortable(v value, leaf *scim.Attribute) string {
	d := f.p.tx.d
	switch {
	case !v.json:
		return v.expr
	case leaf.Type == scim.TypeInteger || leaf.Type == scim.TypeDateTime:
		return "cast(" + v.expr + " as bigint)"
	case leaf.Type == scim.TypeDecimal:
		return "cast(" + v.expr + " as double precision)"
	case leaf.Type == scim.TypeBoolean:
		return d.jsonBool(v.expr)
	}
	return d.byBytes(v.expr)
}
