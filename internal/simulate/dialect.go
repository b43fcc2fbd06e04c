package simulate

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Row says of one thing a provider sends where that is known from, and what a server does that breaks on it.
type Row struct {
	ID, Sends, Breaks, Source string
}

// Dialect is how one provider speaks.
type Dialect struct {
	Name    string
	Product string
	// About is what the dialect does that others do not, in a line.
	About string
	Rows  []Row

	userAgent, contentType, accept string
	query                          string // on every address
	groups, deletes                bool   // it pushes groups; it deletes people
	reads                          bool   // it reads a person before each change
	pages                          bool   // it lists everybody to import or resynchronize
	bornDisabled                   bool   // it creates disabled people too
	mixedCase                      bool   // it looks userNames up in another case than it wrote them
	attributes                     []string
	rowOf                          map[string]string // by attribute; the rest are changeRow's
	changeRow                      string

	probe   func(*dialogue)
	find    func(name string) call
	create  func(*person) call
	change  func(current object, old, next *person) []call
	active  func(current object, p *person) []call // p.active is what is wanted
	remove  string                                 // the row of DELETE
	findG   func(name string) call
	createG func(*group) call
	renameG func(*group) []call
	fill    func(g *group, members []string) []call // all of them at once, the first time
	members func(g *group, add, remove []string) []call
	removeG string // the row of DELETE
}

// Dialects are all that can be played.
var Dialects = []*Dialect{entra(false), entra(true), okta(false), okta(true), oneLogin(), google(), jumpCloud(), ping()}

// Named finds a dialect.
func Named(name string) (*Dialect, bool) {
	i := slices.IndexFunc(Dialects, func(d *Dialect) bool { return d.Name == name })
	if i < 0 {
		return nil, false
	}
	return Dialects[i], true
}

// Names lists the names of all dialects.
func Names() []string {
	out := make([]string, len(Dialects))
	for i, d := range Dialects {
		out[i] = d.Name
	}
	return out
}

func (d *Dialect) row(id string) Row {
	i := slices.IndexFunc(d.Rows, func(r Row) bool { return r.ID == id })
	if i < 0 {
		return Row{ID: id}
	}
	return d.Rows[i]
}

func (d *Dialect) attributeRow(path string) string {
	if id, ok := d.rowOf[path]; ok {
		return id
	}
	return d.changeRow
}

func escape(s string) string { return url.QueryEscape(s) }

func search(row, endpoint, filter, rest string) call {
	return call{row: row, method: "GET", path: endpoint + "?filter=" + escape(filter) + rest, want: []int{200}, shape: list}
}

func userPath(p *person) string { return "/Users/" + url.PathEscape(p.id) }
func groupPath(g *group) string { return "/Groups/" + url.PathEscape(g.id) }

type op = object

func patch(row, path string, operations ...op) call {
	return call{row: row, method: "PATCH", path: path, want: []int{200, 204}, body: object{"schemas": []string{patchOp}, "Operations": operations}}
}

func put(row, path string, body object) call {
	return call{row: row, method: "PUT", path: path, want: []int{200}, shape: resource, body: body}
}

func post(row, path string, body object) call {
	return call{row: row, method: "POST", path: path, want: []int{201}, shape: resource, body: body}
}

// values are members as nearly all providers write them.
func values(ids []string) []object {
	out := make([]object, len(ids))
	for i, id := range ids {
		out[i] = object{"value": id}
	}
	return out
}

// whole is a person as a resource, for POST and PUT.
func whole(p *person, into object) object {
	body := maps.Clone(into)
	if body["schemas"] == nil {
		body["schemas"] = []string{coreUser}
	}
	body["userName"], body["externalId"], body["active"] = p.at(userName), p.external, p.active
	body["displayName"] = p.at(display)
	body["name"] = object{"givenName": p.at(givenName), "familyName": p.at(familyName)}
	body["emails"] = []object{{"primary": true, "type": "work", "value": p.at(email)}}
	if v := p.at(title); v != "" {
		body["title"] = v
	}
	if v := p.at(department); v != "" {
		body["schemas"] = []string{coreUser, enterprise}
		body[enterprise] = object{"department": v}
	}
	return body
}

// changed lists the attributes in which two states of a person differ.
func (d *Dialect) changed(old, next *person) []string {
	var out []string
	for _, path := range d.attributes {
		if old.at(path) != next.at(path) {
			out = append(out, path)
		}
	}
	return out
}

// attributes that every provider maps.
var base = []string{userName, givenName, familyName, display, email, title}

const (
	learn         = `Microsoft Learn, "Develop and plan provisioning for a SCIM endpoint"`
	learnKnown    = `Microsoft Learn, "Known issues and resolutions with SCIM 2.0 protocol compliance"`
	oktaSource    = `Okta developer documentation, "SCIM 2.0" and "SCIM technical questions"`
	microsoftName = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
)

// entra plays Microsoft Entra ID; compliant is the flag aadOptscim062020 on the tenant URL.
func entra(compliant bool) *Dialect {
	d := &Dialect{
		Name: "entra", Product: "Microsoft Entra ID", About: `booleans as the strings "True" and "False", members removed by a list of values`,
		userAgent: "AzureAD-Provisioning", contentType: "application/scim+json", accept: "application/scim+json",
		groups: true, deletes: true, mixedCase: true,
		attributes: append(slices.Clone(base), department, country, manager), changeRow: "N12",
		rowOf: map[string]string{country: "N6", email: "N6", department: "N8", manager: "N9"}, remove: "N18", removeG: "N18",
		Rows: []Row{
			{"N1", "a test of the connection: a filter for a userName that nobody has", "404, or Resources: null, for no match makes the test of the connection fail.", learn},
			{"N2", "a lookup by userName, compared without case", "A person who is not found again is created a second time; a filter that is refused stops the whole job.", learn},
			{"N3", "POST /Users with meta, roles: [] and the enterprise schema listed", "A server that refuses meta, empty lists or a listed schema without data gets no people at all.", learn},
			{"N4", "the same POST again", "Anything but 409 makes the job try for ever, or makes duplicates.", learn},
			{"N5", `PATCH active with the string "False"`, "Who reads the string \"False\" as true leaves a leaver active.", learnKnown},
			{"N6", `PATCH of emails[type eq "work"].value and addresses[type eq "work"].country where no such entry may exist`, "A 400 noTarget means that the attribute never arrives, and an error in every cycle.", learn},
			{"N8", "PATCH of enterprise:department by its URN on a person without enterprise data", "A path split at the wrong colon of the URN loses the attribute.", learn},
			{"N9", "PATCH of the manager as a bare string, or as a list of one", "A server that insists on an object never learns who leads whom.", "AzureAD/SCIMReferenceCode"},
			{"N10", `PATCH that takes the manager away by a replace with "", or by a remove`, "A 400, or a stored empty manager.", "Microsoft SCIM Validator, as servers' test reports show it"},
			{"N11", "with aadOptscim062020: PATCH without a path, with dotted and URN keys; the flag is on every address", "A key name.givenName stored as it stands; the flag taken for something it is not.", learnKnown},
			{"N12", "many operations in one PATCH", "One that is refused takes the whole change with it; half of them applied leaves a record that is neither old nor new.", learn},
			{"N13", "POST /Groups naming a schema of Microsoft's that is no URN", "400 for the unknown schema: no groups at all.", learn},
			{"N14", "groups looked up without their members", "excludedAttributes ignored: megabytes in every cycle.", learn},
			{"N15", "PATCH that adds members with $ref: null, also those that are there already", "$ref: null refused, or a member that is there already taken for an error.", learn},
			{"N16", `PATCH that removes members by a list of values, or by members[value eq "..."]`, "A server that ignores the list empties the group; this has caused outages.", learnKnown},
			{"N17", "PATCH that renames a group", "A replace of displayName that touches the members.", "issue reports of open servers"},
			{"N18", "the leaver set inactive, looked up still, and deleted 30 days later", "A disabled person hidden from the filter is created again.", learn},
			{"N19", "active set true again when the person comes back", "409 or 404: the person stays out.", learn},
		},
	}
	boolean := func(b bool) any {
		if b {
			return "True"
		}
		return "False"
	}
	add, replace, remove := "Add", "Replace", "Remove"
	if compliant {
		d.Name, d.Product, d.About = "entra-compliant", "Microsoft Entra ID with aadOptscim062020", "PATCH without a path, with dotted and URN keys"
		d.query, add, replace, remove = "aadOptscim062020", "add", "replace", "remove"
		boolean = func(b bool) any { return b }
		d.changeRow = "N11"
	}
	d.find = func(name string) call { return search("N2", "/Users", `userName eq `+quote(name), "") }
	d.probe = func(x *dialogue) {
		c := search("N1", "/Users", `userName eq "5a0b1c7e-nobody"`, "")
		if a, ok := x.do(c); ok && len(a.resources()) > 0 {
			x.found(c, a, "a filter that matches nobody finds somebody")
		}
		x.do(search("N1", "/Groups", `displayName eq "5a0b1c7e-nothing"`, "&excludedAttributes=members"))
	}
	d.create = func(p *person) call {
		body := whole(p, object{"meta": object{"resourceType": "User"}, "roles": []object{}})
		body["schemas"] = []string{coreUser, enterprise}
		name := body["name"].(object)
		name["formatted"] = p.at(display)
		return post("N3", "/Users", body)
	}
	d.change = func(_ object, old, next *person) []call {
		var ops []op
		flat := object{}
		rows := map[string]bool{}
		for _, path := range d.changed(old, next) {
			row := d.attributeRow(path)
			var value any = next.at(path)
			o := op{"op": replace, "path": path, "value": value}
			switch {
			case path == manager && next.at(path) == "":
				row = "N10"
				if compliant {
					o = op{"op": remove, "path": path}
				}
			case path == manager && compliant:
				o["value"] = []object{{"value": value}}
			case strings.Contains(path, "[") || path == manager:
				if old.at(path) == "" {
					o["op"] = add
				}
			case compliant:
				flat[path] = value
				rows[d.changeRow] = true
				continue
			case old.at(path) == "":
				o["op"] = add
			}
			rows[row] = true
			ops = append(ops, o)
		}
		if len(flat) > 0 {
			ops = append([]op{{"op": replace, "value": flat}}, ops...)
		}
		row := "N12"
		if len(rows) == 1 {
			row = slices.Collect(maps.Keys(rows))[0]
		}
		return []call{patch(row, userPath(next), ops...)}
	}
	d.active = func(_ object, p *person) []call {
		row := "N5"
		if p.active {
			row = "N19"
		}
		return []call{patch(row, userPath(p), op{"op": replace, "path": "active", "value": boolean(p.active)})}
	}
	d.findG = func(name string) call {
		return search("N14", "/Groups", `displayName eq `+quote(name), "&excludedAttributes=members")
	}
	d.createG = func(g *group) call {
		return post("N13", "/Groups", object{
			"schemas": []string{coreGroup, microsoftName}, "externalId": g.external,
			"displayName": g.name, "meta": object{"resourceType": "Group"},
		})
	}
	d.renameG = func(g *group) []call {
		return []call{patch("N17", groupPath(g), op{"op": replace, "path": "displayName", "value": g.name})}
	}
	nulls := func(ids []string) []object {
		out := values(ids)
		for _, v := range out {
			v["$ref"] = nil
		}
		return out
	}
	d.members = func(g *group, in, out []string) []call {
		var calls []call
		if len(out) > 0 {
			ops := []op{{"op": remove, "path": "members", "value": nulls(out)}}
			if compliant {
				ops = nil
				for _, id := range out {
					ops = append(ops, op{"op": remove, "path": "members[value eq " + quote(id) + "]"})
				}
			}
			calls = append(calls, patch("N16", groupPath(g), ops...))
		}
		for batch := range slices.Chunk(in, 100) {
			calls = append(calls, patch("N15", groupPath(g), op{"op": add, "path": "members", "value": nulls(batch)}))
		}
		return calls
	}
	d.fill = func(g *group, members []string) []call { return d.members(g, members, nil) }
	return d
}

// okta plays Okta: an application of its catalogue, or one made with its wizard, which changes everything by PUT.
func okta(wizard bool) *Dialect {
	d := &Dialect{
		Name: "okta", Product: "Okta", About: "PUT of the whole person, PATCH without a path, never DELETE for people",
		userAgent: "Okta SCIM Client 1.0.0", contentType: "application/scim+json; charset=utf-8", accept: "application/scim+json",
		groups: true, reads: true, pages: true, attributes: append(slices.Clone(base), department), changeRow: "O5", removeG: "O13",
		Rows: []Row{
			{"O1", "a test of the connection: two users of the first page", "Numbers as strings, or a list that is none: the application cannot be switched on.", oktaSource},
			{"O2", "a lookup by userName with startIndex and count", "A person who is not found again is created a second time.", oktaSource},
			{"O3", "POST /Users with a random password and groups: []", "An empty answer (\"returned empty user\"), groups refused, or the password given back.", oktaSource},
			{"O4", "the same POST again", "Anything but 409 makes duplicates.", oktaSource},
			{"O5", "GET, then PUT of the whole object with id, meta and groups: []", "400 because id and meta are there; people made inactive because active was missing.", oktaSource},
			{"O6", `PATCH {"op":"replace","value":{"active":false}} without a path`, "A demand for a path leaves leavers active; a replace of the whole person loses the userName.", oktaSource},
			{"O7", "PATCH of the password without a path", "A password given back in the answer.", oktaSource},
			{"O8", "a group looked up by displayName and created without members", "No id in the answer.", oktaSource},
			{"O9", "PATCH with the group's own id and its displayName before every change of members", "400 for the id; members touched by a change of name.", oktaSource},
			{"O10", `remove members[value eq "..."] and add members in one PATCH`, "Half of it applied; removing who is no member taken for an error.", oktaSource},
			{"O11", "replace of all members, also by []", "400 for []: the group keeps people who are out. Okta does not send it again.", "issue reports of open servers"},
			{"O12", "an import page by page", "An unstable order or a totalResults of the page alone loses people.", oktaSource},
			{"O13", "DELETE of an unlinked group", "The group stays.", oktaSource},
			{"O14", "PUT of a whole group", "Members lost or kept when they should not.", oktaSource},
		},
	}
	const page = "&startIndex=1&count=100"
	d.probe = func(x *dialogue) {
		x.do(call{row: "O1", method: "GET", path: "/Users?startIndex=1&count=2", want: []int{200}, shape: list})
		x.do(call{row: "O1", method: "GET", path: "/Groups?startIndex=1&count=1", want: []int{200}, shape: list})
	}
	d.find = func(name string) call {
		c := search("O2", "/Users", `userName eq `+quote(name), page)
		c.want = []int{200, 404}
		return c
	}
	d.create = func(p *person) call {
		return post("O3", "/Users", whole(p, object{"locale": "en-US", "groups": []object{}, "password": "1mz050nq-" + p.external[len(p.external)-4:]}))
	}
	d.change = func(current object, _, next *person) []call {
		return []call{put("O5", userPath(next), merged(current, next))}
	}
	d.active = func(_ object, p *person) []call {
		calls := []call{patch("O6", userPath(p), op{"op": "replace", "value": object{"active": p.active}})}
		if p.active {
			calls = append(calls, patch("O7", userPath(p), op{"op": "replace", "value": object{"password": "2nx161or-back"}}))
		}
		return calls
	}
	d.findG = func(name string) call {
		c := search("O8", "/Groups", `displayName eq `+quote(name), page)
		c.want = []int{200, 404}
		return c
	}
	d.createG = func(g *group) call {
		return post("O8", "/Groups", object{"schemas": []string{coreGroup}, "displayName": g.name, "members": []object{}})
	}
	d.renameG = func(g *group) []call {
		return []call{patch("O9", groupPath(g), op{"op": "replace", "value": object{"id": g.id, "displayName": g.name}})}
	}
	d.fill = func(g *group, members []string) []call {
		return append(d.renameG(g), patch("O11", groupPath(g), op{"op": "replace", "path": "members", "value": values(members)}))
	}
	d.members = func(g *group, in, out []string) []call {
		var ops []op
		for _, id := range out {
			ops = append(ops, op{"op": "remove", "path": "members[value eq " + quote(id) + "]"})
		}
		if len(in) > 0 {
			ops = append(ops, op{"op": "add", "path": "members", "value": values(in)})
		}
		return append(d.renameG(g), patch("O10", groupPath(g), ops...))
	}
	if !wizard {
		return d
	}
	d.Name, d.Product, d.About = "okta-wizard", "Okta, an application made with its wizard", "PUT for everything"
	d.active = func(current object, p *person) []call { return []call{put("O5", userPath(p), merged(current, p))} }
	body := func(g *group, members []string) []call {
		return []call{put("O14", groupPath(g), object{"schemas": []string{coreGroup}, "id": g.id, "displayName": g.name, "members": values(members)})}
	}
	d.renameG = func(g *group) []call { return body(g, g.ids()) }
	d.fill = body
	d.members = func(g *group, in, out []string) []call {
		after := maps.Clone(g.members)
		for _, id := range in {
			after[id] = true
		}
		for _, id := range out {
			delete(after, id)
		}
		return body(g, slices.Sorted(maps.Keys(after)))
	}
	return d
}

// merged is the resource as it was read, with the person's attributes.
func merged(current object, p *person) object {
	body := object{}
	maps.Copy(body, current)
	delete(body, enterprise)
	delete(body, "schemas")
	body["groups"] = []object{}
	return whole(p, body)
}

const oneLoginSource = "assumed: OneLogin sends what an administrator's template says; no recording"

func oneLogin() *Dialect {
	template := func(p *person) object {
		return whole(p, object{"phoneNumbers": []object{{"type": "work", "value": nil}}, "nickName": "", "locale": ""})
	}
	d := plain("L", oneLoginSource)
	d.Name, d.Product, d.About = "onelogin", "OneLogin", "an administrator's template with null and empty values, PUT, application/json"
	d.userAgent, d.contentType, d.accept = "OneLogin SCIM", "application/json", "application/json"
	d.deletes, d.pages = true, true
	d.attributes = append(slices.Clone(base), department)
	d.Rows = append(d.Rows, Row{"L9", "a template with null, empty strings and an element without a value", "400 for a null, or the empty string stored as a value.", oneLoginSource})
	d.probe = func(x *dialogue) {
		x.do(call{row: "L1", method: "GET", path: "/Groups?startIndex=1&count=100", want: []int{200}, shape: list})
	}
	d.create = func(p *person) call { return post("L9", "/Users", template(p)) }
	d.change = func(_ object, _, next *person) []call { return []call{put("L3", userPath(next), template(next))} }
	d.active = func(_ object, p *person) []call {
		return []call{patch("L4", userPath(p), op{"op": "replace", "value": object{"active": p.active}})}
	}
	return d
}

const googleSource = "assumed: guides of integrators for Google Workspace auto-provisioning; no recording"

func google() *Dialect {
	d := plain("W", googleSource)
	d.Name, d.Product, d.About = "google", "Google Workspace", "people only, PATCH of whole attributes"
	d.userAgent, d.contentType, d.accept = "Google-Auto-Provisioning", "application/json", "application/json"
	d.groups, d.deletes = false, true
	d.attributes = slices.Clone(base)
	d.probe = func(x *dialogue) {
		x.do(call{row: "W1", method: "GET", path: "/Users?count=1", want: []int{200}, shape: list})
	}
	d.create = func(p *person) call {
		body := whole(p, object{})
		// What no other attribute needs: no type, and no externalId.
		delete(body, "externalId")
		return post("W2", "/Users", body)
	}
	d.change = func(_ object, _, next *person) []call {
		body := whole(next, object{})
		for _, key := range []string{"schemas", "externalId", "active"} {
			delete(body, key)
		}
		return []call{patch("W3", userPath(next), op{"op": "replace", "value": body})}
	}
	d.active = func(_ object, p *person) []call {
		return []call{patch("W4", userPath(p), op{"op": "replace", "path": "active", "value": p.active})}
	}
	return d
}

const jumpCloudSource = `JumpCloud documentation, "Custom SCIM identity management", and guides of integrators`

func jumpCloud() *Dialect {
	d := plain("J", jumpCloudSource)
	d.Name, d.Product, d.About = "jumpcloud", "JumpCloud", "a test user and a test group at activation, members removed by a list of values"
	d.userAgent, d.contentType, d.accept = "JumpCloud SCIM", "application/scim+json", "application/scim+json"
	d.deletes, d.pages = true, true
	d.attributes = append(slices.Clone(base), department)
	d.members = func(g *group, in, out []string) []call {
		var calls []call
		if len(out) > 0 {
			calls = append(calls, patch("J7", groupPath(g), op{"op": "remove", "path": "members", "value": values(out)}))
		}
		if len(in) > 0 {
			calls = append(calls, patch("J6", groupPath(g), op{"op": "add", "path": "members", "value": values(in)}))
		}
		return calls
	}
	d.renameG = func(g *group) []call {
		return []call{patch("J5", groupPath(g), op{"op": "replace", "value": object{"displayName": g.name}})}
	}
	d.Rows = append(d.Rows, Row{"J9", "a test user and a test group, created, changed and deleted at activation", "The integration cannot be activated; or the test user takes a seat.", jumpCloudSource})
	d.probe = func(x *dialogue) {
		name := "jumpcloud-test-" + x.r.suffix()
		p := &person{external: "jumpcloud-test", active: true, attributes: map[string]string{
			userName: name + "@simulate.example", email: name + "@simulate.example", givenName: "Test", familyName: "User", display: "Test User",
		}}
		g := &group{name: name, members: map[string]bool{}}
		row := func(c call) call { c.row = "J9"; return c }
		x.do(row(d.find(p.at(userName))))
		if a, ok := x.do(row(d.create(p))); ok {
			p.id = a.id()
			next := p.with(familyName, "Changed")
			for _, c := range d.change(nil, p, next) {
				x.do(row(c))
			}
			x.r.verify(x.ctx, x.n, next, row(call{}))
		}
		if a, ok := x.do(row(d.createG(g))); ok {
			g.id, g.name = a.id(), g.name+"-changed"
			for _, c := range d.renameG(g) {
				x.do(row(c))
			}
			x.do(call{row: "J9", method: "DELETE", path: groupPath(g), want: []int{204}})
		}
		if p.id != "" {
			x.do(call{row: "J9", method: "DELETE", path: userPath(p), want: []int{204}})
		}
	}
	return d
}

const pingSource = "Ping Identity documentation of its SCIM provisioner and outbound connections"

func ping() *Dialect {
	d := plain("P", pingSource)
	d.Name, d.Product, d.About = "ping", "PingOne and PingFederate", "filters as an administrator writes them, PUT of the whole person, disabled people created too"
	d.userAgent, d.contentType, d.accept = "PingFederate SCIM Connector", "application/json", "application/json"
	d.deletes, d.bornDisabled = true, true
	d.attributes = append(slices.Clone(base), department)
	d.find = func(name string) call { return search("P1", "/Users", `username Eq `+quote(name), "") }
	return d
}

// plain is what the providers have in common that keep to the ordinary: rows 1 to 8 under the given letter.
func plain(letter, source string) *Dialect {
	d := &Dialect{groups: true, changeRow: letter + "3", remove: letter + "8", removeG: letter + "8"}
	d.Rows = []Row{
		{letter + "1", "a lookup by userName, a list", "A person who is not found again is created a second time.", source},
		{letter + "2", "POST of a person", "No person, or an answer without an id.", source},
		{letter + "3", "a change of a person", "An answer that is not understood; changes lost.", source},
		{letter + "4", "active set false, and true again", "A leaver who stays active.", source},
		{letter + "5", "a group created and renamed", "A change of name that touches the members.", source},
		{letter + "6", "members added", "Members lost.", source},
		{letter + "7", "members removed", "A server that removes more than was named empties the group.", source},
		{letter + "8", "DELETE of a person or a group", "Somebody who is still there, or an error.", source},
	}
	d.probe = func(x *dialogue) {
		x.do(call{row: letter + "1", method: "GET", path: "/Users?startIndex=1&count=1", want: []int{200}, shape: list})
	}
	d.find = func(name string) call { return search(letter+"1", "/Users", `userName eq `+quote(name), "") }
	d.create = func(p *person) call { return post(letter+"2", "/Users", whole(p, object{})) }
	d.change = func(_ object, _, next *person) []call {
		return []call{put(letter+"3", userPath(next), whole(next, object{}))}
	}
	d.active = func(_ object, p *person) []call {
		return []call{put(letter+"4", userPath(p), whole(p, object{}))}
	}
	d.findG = func(name string) call { return search(letter+"5", "/Groups", `displayName eq `+quote(name), "") }
	d.createG = func(g *group) call {
		return post(letter+"5", "/Groups", object{"schemas": []string{coreGroup}, "displayName": g.name})
	}
	d.renameG = func(g *group) []call {
		return []call{patch(letter+"5", groupPath(g), op{"op": "replace", "path": "displayName", "value": g.name})}
	}
	d.members = func(g *group, in, out []string) []call {
		var ops []op
		for _, id := range out {
			ops = append(ops, op{"op": "remove", "path": "members[value eq " + quote(id) + "]"})
		}
		if len(in) > 0 {
			ops = append(ops, op{"op": "add", "path": "members", "value": values(in)})
		}
		row := letter + "6"
		if len(out) > 0 {
			row = letter + "7"
		}
		return []call{patch(row, groupPath(g), ops...)}
	}
	d.fill = func(g *group, members []string) []call { return d.members(g, members, nil) }
	return d
}
