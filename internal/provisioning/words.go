package provisioning

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// exchange is a trace that has been read.
type exchange struct {
	*trace
	resource, operation string
	one                 string // the id in the path
	body, answer        map[string]any
	shownBody           string
	same                bool // shownBody would do what the body did
	shownAnswer         string
	query               string // masked
	filter              string // as plain text
	total               int    // of a list; -1 where the answer tells none
	found               string // the id of the one user that a list is of
	named               string // what the answer calls the one user that was read or found, where it does
}

func parse(t *trace) exchange {
	e := exchange{trace: t}
	never := t.never
	e.resource, e.operation = kindOf(t.method, t.path)
	if e.resource == "User" || e.resource == "Group" {
		_, e.one, _ = strings.Cut(strings.Trim(t.path, "/"), "/")
		if e.operation == "list" {
			e.one = ""
		}
	}
	// What succeeded is told by its events and by its answer's beginning, so most of it need not be decoded.
	e.total = -1
	if e.operation == "list" {
		e.total = totalOf(t.answer)
	}
	refused := t.status >= http.StatusBadRequest
	e.body, e.shownBody, e.same = never.mask(t.body, refused || len(t.events) == 0 || e.resource == "Bulk" || e.operation == "list")
	switch {
	case e.resource != "User" || refused:
	case e.operation == "read":
		e.named = shownName(t.answer)
	case e.total == 1:
		if e.found = firstID(t.answer); e.found != "" {
			_, resources, _ := bytes.Cut(t.answer, []byte(`"Resources":[`))
			e.named = shownName(resources)
		}
	}
	e.answer, e.shownAnswer, _ = never.mask(t.answer, refused || e.resource == "Bulk" || e.total == 1 && e.found == "" ||
		e.operation == "create" && len(t.events) == 0)
	if t.query != "" {
		e.query = never.maskQuery(t.query)
		if q, err := url.ParseQuery(e.query); err == nil {
			e.filter = q.Get("filter")
		}
	}
	if f := asText(e.body, "filter"); f != "" {
		e.filter = never.maskQuery(f)
	}
	return e
}

// needs is what has to be looked up to say a batch of requests in words.
type needs struct {
	users    map[id.User]bool
	groups   map[id.Group]bool // by name
	giving   map[id.Group]bool // by what they give
	names    map[string]bool   // userNames that somebody holds
	defaults bool
}

func (n *needs) of(e *exchange) {
	if n.users == nil {
		n.users, n.groups, n.giving, n.names = map[id.User]bool{}, map[id.Group]bool{}, map[id.Group]bool{}, map[string]bool{}
	}
	switch {
	case e.named != "": // most requests read one user whom the answer names
	case e.found != "":
		n.users[id.User(e.found)] = true
	case e.one != "" && e.resource == "User":
		n.users[id.User(e.one)] = true
	case e.one != "" && e.resource == "Group":
		n.groups[id.Group(e.one)] = true
	}
	for _, ev := range e.events {
		if strings.HasPrefix(ev.Action, "group.member") { // other events say whom they are about
			if ev.User != "" {
				n.users[ev.User] = true
			}
			n.giving[id.Group(ev.TargetID)] = true
		}
		n.defaults = n.defaults || strings.HasPrefix(ev.Action, "user.")
	}
	if e.status == http.StatusConflict && e.resource == "User" {
		if name := asText(e.body, "userName"); name != "" {
			n.names[name] = true
		}
	}
}

func (n *needs) any() bool {
	return len(n.users)+len(n.groups)+len(n.giving)+len(n.names) > 0 || n.defaults
}

// known is what was looked up.
type known struct {
	users    map[id.User]string
	groups   map[id.Group]string
	gives    map[id.Group]string
	holders  map[string]*directory.User
	defaults string
}

func (n *needs) look(ctx context.Context, tx *store.Tx) (known, error) {
	k := known{groups: map[id.Group]string{}, gives: map[id.Group]string{}, holders: map[string]*directory.User{}}
	var err error
	if k.users, err = tx.UserNames(ctx, slices.Collect(maps.Keys(n.users))); err != nil {
		return k, err
	}
	for g := range n.groups {
		found, err := tx.Group(ctx, g)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return k, err
		}
		if found != nil {
			k.groups[g] = found.Name
		}
	}
	for name := range n.names {
		if k.holders[name], err = tx.UserNamed(ctx, name); err != nil {
			return k, err
		}
	}
	if len(n.giving) == 0 && !n.defaults {
		return k, nil
	}
	catalogue, err := tx.Catalogue(ctx)
	if err != nil {
		return k, err
	}
	self, err := tx.Self(ctx)
	if err != nil {
		return k, err
	}
	say := func(list []access.RoleAt) string {
		var out []string
		for _, r := range list {
			at := r.Resource
			if at == "" {
				at = id.Resource(tx.Organization)
			}
			out = append(out, catalogue.Name(r.Role)+" at "+self.Tree.Name(at))
		}
		return strings.Join(out, ", ")
	}
	k.defaults = say(self.Settings.DefaultRoles)
	for g := range n.giving {
		list, err := tx.GroupGives(ctx, g)
		if err != nil {
			return k, err
		}
		k.gives[g] = say(list)
	}
	return k, nil
}

// row is the request as the log keeps it.
func (e *exchange) row(k *known) directory.Request {
	r := directory.Request{
		Directory: e.at.directory, ID: id.At[id.Request](e.began), At: e.began, Method: e.method, Path: clip(e.path, keptPath), Query: clip(e.query, keptQuery),
		Status: e.status, Took: e.took, Token: e.token, TokenState: e.state, IP: e.ip, Request: e.request, Repairs: e.repairs,
		ReplayOf: e.replayOf, Whole: !e.cut && e.same && len(e.path) <= keptPath && len(e.query) <= keptQuery, Body: e.shownBody, Answer: e.shownAnswer,
	}
	if e.resource == "User" || e.resource == "Group" {
		r.ResourceKind = e.resource
	}
	if e.status >= http.StatusBadRequest {
		r.Type, r.Detail = scim.ScimType(asText(e.answer, "scimType")), asText(e.answer, "detail")
		if e.state == directory.TokenExpired {
			r.Detail = fmt.Sprintf("The token %q expired on %s.", e.token, e.tokenExpired.UTC().Format("2 January 2006 at 15:04 UTC"))
		}
	}
	e.about(&r, k)
	r.Effects = effects(e.events, k)
	r.Operation = clip(e.said(&r, k), 300)
	r.Search = e.search(&r)
	if e.directory.RequestLog.WithoutBodies {
		r.Body, r.Answer, r.Whole = "", "", false
	}
	if !e.answered && len(e.trace.answer) > 0 {
		r.Answer += "…"
	}
	return r
}

// totalOf finds how many resources a list has, also where only its beginning or its end was kept.
func totalOf(answer []byte) int {
	_, rest, found := bytes.Cut(answer, []byte(`"totalResults":`))
	if !found {
		return -1
	}
	rest = bytes.TrimLeft(rest, " ")
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	n, err := strconv.Atoi(string(rest[:max(end, 0)]))
	if err != nil {
		return -1
	}
	return n
}

// firstID gives the id of the first resource in a list as this server writes it: nothing but schemas comes before it.
func firstID(answer []byte) string {
	_, resources, _ := bytes.Cut(answer, []byte(`"Resources":[`))
	_, rest, found := bytes.Cut(resources, []byte(`"id":"`))
	value, _, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !ended {
		return ""
	}
	return string(value)
}

// shownName gives the displayName of the first object in a text of JSON, "" where it has none or where decoding alone would tell
// it. What lies deeper, such as a manager's, is not the object's own.
func shownName(object []byte) string {
	const name = `"displayName":"`
	depth := 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return ""
			}
		case '"':
			if depth == 1 && bytes.HasPrefix(object[i:], []byte(name)) {
				value, _, ended := bytes.Cut(object[i+len(name):], []byte(`"`))
				if !ended || bytes.IndexByte(value, '\\') >= 0 {
					return ""
				}
				return string(value)
			}
			for i++; i < len(object) && object[i] != '"'; i++ {
				if object[i] == '\\' {
					i++
				}
			}
		}
	}
	return ""
}

// about finds whom the request is about.
func (e *exchange) about(r *directory.Request, k *known) {
	r.ResourceID = e.one
	switch {
	case e.found != "":
		r.ResourceID, r.ResourceName = e.found, first(e.named, k.users[id.User(e.found)])
	case e.resource == "User" && e.one != "":
		r.ResourceName = first(e.named, k.users[id.User(e.one)])
	case e.resource == "Group" && e.one != "":
		r.ResourceName = k.groups[id.Group(e.one)]
	case e.operation == "create" && r.ResourceKind != "":
		r.ResourceID, r.ResourceName = asText(e.answer, "id"), personName(e.body)
		for _, ev := range e.events {
			if ev.Action == "user.created" || ev.Action == "user.joined" || ev.Action == "group.created" {
				r.ResourceID = ev.TargetID
			}
		}
	case e.operation == "list" && r.ResourceKind != "":
		if list, _ := e.answer["Resources"].([]any); len(list) == 1 {
			m, _ := list[0].(map[string]any)
			r.ResourceID, r.ResourceName = asText(m, "id"), personName(m)
		}
	}
	if len(e.events) > 0 && r.ResourceName == "" && r.ResourceKind != "" && e.events[0].TargetID == r.ResourceID {
		r.ResourceName = e.events[0].TargetName
	}
	// The record that stands in the way is the one to look at.
	if u := k.holders[asText(e.body, "userName")]; u != nil && e.status == http.StatusConflict && e.operation == "create" {
		r.ResourceID = string(u.ID)
	}
	r.ResourceName = clip(r.ResourceName, 200)
}

// said is the operation in words.
func (e *exchange) said(r *directory.Request, k *known) string {
	whom := first(r.ResourceName, asText(e.body, "userName"), asText(e.body, "externalId"), thing(e.resource, r.ResourceID))
	failed := e.status >= http.StatusBadRequest
	switch e.resource {
	case "Bulk":
		return e.saidBulk(failed)
	case "discovery":
		return outcome(failed, "Asked what this server can do", "Asked what this server can do, and was refused")
	case "other":
		if failed {
			return fmt.Sprintf("Asked for %s %s, which was refused", e.method, clip(e.path, 80))
		}
		return fmt.Sprintf("Asked for %s %s", e.method, clip(e.path, 80))
	}
	plural := map[string]string{"User": "users", "Group": "groups"}[e.resource]
	switch e.operation {
	case "create":
		for _, ev := range e.events {
			if ev.Action == "user.joined" && !failed {
				return "Joined " + whom + " with somebody who was here already"
			}
		}
		return outcome(failed, "Created "+whom, "Could not create "+whom)
	case "read":
		return outcome(failed, "Read "+whom, "Could not read "+whom)
	case "list":
		return e.saidList(r, plural, failed)
	case "delete":
		return outcome(failed, "Deleted "+whom, "Could not delete "+whom)
	case "patch", "replace":
		if failed {
			return "Could not change " + whom
		}
		if said := changed(e.events, whom, k); said != "" {
			return said
		}
		return "Changed nothing about " + whom
	}
	return outcome(failed, e.method+" "+clip(e.path, 80), e.method+" "+clip(e.path, 80)+" was refused")
}

func (e *exchange) saidList(r *directory.Request, plural string, failed bool) string {
	what := "Listed " + plural
	if e.filter != "" {
		what = "Looked for " + plural + " where " + clip(e.filter, 150)
		if attribute, value, ok := strings.Cut(e.filter, " eq "); ok && !strings.Contains(value, " ") {
			what = "Looked for " + attribute + " " + strings.Trim(value, `"`)
		}
	}
	if failed {
		return what + ", and was refused"
	}
	switch {
	case e.total < 0:
		return what
	case e.total == 0 && e.filter != "" && e.resource == "User":
		return what + ": nobody"
	case e.total == 0 && e.filter != "":
		return what + ": none"
	case e.total == 1 && r.ResourceName != "" && e.filter != "":
		return what + ": found " + r.ResourceName
	}
	return what + ": " + strconv.Itoa(e.total)
}

func (e *exchange) saidBulk(failed bool) string {
	operations, _ := e.body["Operations"].([]any)
	if failed {
		return count(len(operations), "operation") + " at once, which were refused"
	}
	bad := 0
	results, _ := e.answer["Operations"].([]any)
	for _, o := range results {
		m, _ := o.(map[string]any)
		if s := asText(m, "status"); s >= "400" {
			bad++
		}
	}
	said := count(len(operations), "operation") + " at once"
	if bad > 0 {
		said += ", of which " + strconv.Itoa(bad) + " failed"
	}
	return said
}

// texts gives the strings of a JSON document that are values, without decoding it.
func texts(document string, each func(string)) {
	for {
		at := strings.IndexByte(document, '"')
		if at < 0 {
			return
		}
		document = document[at:]
		end := 1
		for {
			next := strings.IndexByte(document[end:], '"')
			if next < 0 {
				return
			}
			end += next
			if escapes := end - len(strings.TrimRight(document[:end], `\`)); escapes%2 == 0 {
				break
			}
			end++
		}
		literal := document[:end+1]
		document = document[end+1:]
		if colonFirst(document) {
			continue
		}
		value := literal[1:end]
		if strings.IndexByte(value, '\\') >= 0 && json.Unmarshal([]byte(literal), &value) != nil {
			continue
		}
		each(value)
	}
}

// usualWords is how many words a request of a user usually has.
const usualWords = 40

// colonFirst reports whether a text of JSON goes on with a colon, so that what stood before it was a name.
func colonFirst(rest string) bool {
	for i := range len(rest) {
		switch rest[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return rest[i] == ':'
		}
	}
	return false
}

// search gathers what the request may be looked for by.
func (e *exchange) search(r *directory.Request) string {
	words := append(make([]string, 0, usualWords), r.ResourceName, r.ResourceID, r.Operation, e.filter)
	size := 0
	keep := func(v string) {
		if v != masked && !strings.HasPrefix(v, "urn:") && size < 2000 {
			size += len(v)
			words = append(words, clip(v, 200))
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			keep(v)
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(v[name])
			}
		}
	}
	if e.body != nil {
		walk(map[string]any(e.body))
	} else {
		texts(e.shownBody, keep)
	}
	for _, f := range r.Effects {
		if size += len(f.Said); size < 3000 {
			words = append(words, f.Said)
		}
	}
	return scim.Fold(strings.Join(words, "\n"))
}

// changed says what a change came to.
func changed(events []audit.Event, whom string, k *known) string {
	var added, removed []string
	var more []string
	moved := slices.ContainsFunc(events, func(ev audit.Event) bool { return ev.Action == "user.status" })
	for _, ev := range events {
		switch ev.Action {
		case "group.member-added":
			added = append(added, memberName(ev, k))
		case "group.member-removed":
			removed = append(removed, memberName(ev, k))
		case "group.members-changed":
			if n := counted(ev.After); n > 0 {
				added = make([]string, n)
			}
			if n := counted(ev.Before); n > 0 {
				removed = make([]string, n)
			}
		case "user.status":
			switch status := after(ev, "status"); status {
			case string(directory.Active):
				more = append(more, "Activated "+whom)
			case string(directory.Suspended):
				more = append(more, "Deactivated "+whom)
			default:
				more = append(more, "Made "+whom+" "+status)
			}
		case "user.changed", "group.changed":
			list := names(ev)
			silenced := ev.Action == "user.changed" && value(ev.Before, "active") != nil && value(ev.After, "active") == nil
			if moved || silenced {
				list = slices.DeleteFunc(list, func(name string) bool { return name == "active" })
			}
			if len(list) > 0 && ev.TargetName != "" {
				more = append(more, "Changed "+strings.Join(list, ", ")+" of "+whom)
			}
			if silenced {
				more = append(more, "No longer says whether "+whom+" is active")
			}
		}
	}
	if len(added) > 0 {
		more = append(more, "Added "+people(added)+" to "+whom)
	}
	if len(removed) > 0 {
		more = append(more, "Removed "+people(removed)+" from "+whom)
	}
	for i := 1; i < len(more); i++ {
		more[i] = strings.ToLower(more[i][:1]) + more[i][1:]
	}
	return strings.Join(more, "; ")
}

// effects says each thing that a request did, and what it meant for anybody's access.
func effects(events []audit.Event, k *known) []directory.Effect {
	var out []directory.Effect
	for _, ev := range events {
		f := directory.Effect{Action: ev.Action, User: string(ev.User), Before: string(ev.Before), After: string(ev.After)}
		if ev.TargetKind == "group" {
			f.Group = ev.TargetID
		}
		var given, taken string
		gives := k.gives[id.Group(ev.TargetID)]
		switch ev.Action {
		case "user.created":
			f.Said = "Created " + ev.TargetName
			f.After = "" // the body says it
			if k.defaults != "" && !inactive(ev.After) {
				given = ev.TargetName + " gets what everybody has: " + k.defaults
			}
		case "user.joined":
			f.Said = "Joined the record with " + ev.TargetName + ", who was here already"
		case "user.over-the-limit":
			f.Said = ev.TargetName + " waits for a seat and has no access yet"
		case "user.collided":
			f.Said = "The userName is held by " + ev.TargetName + "; an administrator decides whether they are the same person"
		case "user.changed", "group.changed":
			f.Said = "Changed " + strings.Join(names(ev), ", ") + " of " + ev.TargetName
		case "user.status":
			if after(ev, "status") == string(directory.Active) {
				f.Said = ev.TargetName + " is active"
				given = ev.TargetName + " has access again: everything given before"
			} else {
				f.Said = ev.TargetName + " is " + after(ev, "status")
				taken = ev.TargetName + " lost all access, sessions and tokens"
			}
		case "user.removed":
			f.Said = "The directory's record of " + ev.TargetName + " is gone"
		case "group.created":
			f.Said = "Created the group " + ev.TargetName
			f.After = ""
		case "group.deleted":
			f.Said = "Deleted the group " + ev.TargetName
			taken = "Whoever was in " + ev.TargetName + " lost what it gave"
		case "group.member-added":
			name := memberName(ev, k)
			f.Said = "Added " + name + " to " + ev.TargetName
			if gives != "" {
				given = name + " gets by " + ev.TargetName + ": " + gives
			}
		case "group.member-removed":
			name := memberName(ev, k)
			f.Said = "Removed " + name + " from " + ev.TargetName
			if gives != "" {
				taken = name + " loses what " + ev.TargetName + " gives: " + gives
			}
		case "group.members-changed":
			in, gone := counted(ev.After), counted(ev.Before)
			f.Said = fmt.Sprintf("Added %s to %s and removed %s", count(in, "member"), ev.TargetName, count(gone, "member"))
			if gives != "" && in > 0 {
				given = count(in, "member") + " get by " + ev.TargetName + ": " + gives
			}
			if gives != "" && gone > 0 {
				taken = count(gone, "member") + " lose what " + ev.TargetName + " gives: " + gives
			}
		case "mapping.bound":
			f.Said = "What was meant for a group of this name holds now: " + ev.TargetName
			given = f.Said
		default:
			object, verb, _ := strings.Cut(ev.Action, ".")
			f.Said = strings.TrimSpace(ev.TargetName + ": " + strings.ReplaceAll(object+" "+verb, "-", " "))
			if ev.Reason != "" {
				f.Said += " (" + ev.Reason + ")"
			}
		}
		out = append(out, f)
		if ev.Action == "user.changed" && ev.Reason != "" {
			out = append(out, directory.Effect{Action: ev.Action, Said: ev.Reason, User: f.User})
		}
		if given != "" {
			out = append(out, directory.Effect{Action: ev.Action, Said: given, User: f.User, Group: f.Group, Access: directory.AccessGiven})
		}
		if taken != "" {
			out = append(out, directory.Effect{Action: ev.Action, Said: taken, User: f.User, Group: f.Group, Access: directory.AccessTaken})
		}
	}
	return out
}

func memberName(ev audit.Event, k *known) string {
	if name := k.users[ev.User]; name != "" {
		return name
	}
	if ev.User != "" {
		return "the user " + string(ev.User)
	}
	return "the group " + after(ev, "member")
}

// people says a few by name and many by number.
func people(list []string) string {
	if len(list) == 1 && list[0] != "" {
		return list[0]
	}
	if len(list) == 2 && list[0] != "" {
		return list[0] + " and " + list[1]
	}
	return count(len(list), "member")
}

// names lists the attributes that an event changed.
func names(ev audit.Event) []string {
	seen := map[string]bool{}
	for _, doc := range [][]byte{ev.Before, ev.After} {
		var m map[string]json.RawMessage
		if json.Unmarshal(doc, &m) == nil {
			for name := range m {
				seen[name[strings.LastIndex(name, ":")+1:]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func value(doc []byte, name string) any {
	var m map[string]any
	if json.Unmarshal(doc, &m) != nil {
		return nil
	}
	return m[name]
}

// inactive reports whether a record says that its user is not active.
func inactive(doc []byte) bool {
	if !bytes.Contains(doc, []byte("false")) { // most are not, and need not be decoded to see it
		return false
	}
	var r struct {
		Active *bool `json:"active"`
	}
	return json.Unmarshal(doc, &r) == nil && r.Active != nil && !*r.Active
}

func after(ev audit.Event, name string) string {
	s, _ := value(ev.After, name).(string)
	return s
}

func counted(doc []byte) int {
	n, _ := value(doc, "count").(float64)
	return int(n)
}

func asText(m map[string]any, name string) string {
	if s, ok := m[name].(string); ok {
		return s
	}
	for key, v := range m {
		if s, ok := v.(string); ok && strings.EqualFold(key, name) {
			return s
		}
	}
	return ""
}

// personName is what a resource is called, as far as it says.
func personName(m map[string]any) string {
	name, _ := m["name"].(map[string]any)
	return first(asText(m, "displayName"), asText(name, "formatted"), strings.TrimSpace(asText(name, "givenName")+" "+asText(name, "familyName")),
		asText(m, "userName"))
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// thing says something that has no name.
func thing(kind, id string) string {
	kind = strings.ToLower(kind)
	if id == "" {
		return "a " + kind + " without a name"
	}
	return "the " + kind + " " + clip(id, 60)
}

func outcome(failed bool, done, refused string) string {
	if failed {
		return refused
	}
	return done
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// clip bounds a text that came from elsewhere, and leaves nothing in it that no store takes.
func clip(s string, most int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
