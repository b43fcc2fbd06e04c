package scimcheck

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	coreUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	coreGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseUser = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	messages       = "urn:ietf:params:scim:api:messages:2.0:"

	timeout   = 30 * time.Second
	grace     = 5 * time.Second
	maxAnswer = 8 << 20
)

type object = map[string]any

// step is one check under way. The first thing that is not as wanted is what the check tells; after it nothing is sent any
// more, so a check reads from top to bottom without asking after each line.
type step struct {
	w       *walk
	ctx     context.Context //nolint:containedctx // it lives no longer than the check
	sent    string          // of the exchange that is judged
	came    string
	wanted  string // what is not so; empty: all is well
	skipped string
	broken  error // the server gave no answer
}

func (s *step) over() bool { return s.wanted != "" || s.skipped != "" || s.ctx.Err() != nil }

// raw is a body that is sent as it stands.
type raw string

// send sends one request and keeps it as the evidence.
func (s *step) send(method, path string, body any, headers ...string) answer {
	if s.over() {
		return answer{}
	}
	var data []byte
	switch b := body.(type) {
	case nil:
	case raw:
		data = []byte(b)
	default:
		var err error
		if data, err = json.Marshal(b); err != nil {
			s.wanted = err.Error()
			return answer{}
		}
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(s.ctx), timeout)
	defer done()
	// A request under way is waited for when the walk is interrupted: its answer has the id of what is to be removed.
	defer context.AfterFunc(s.ctx, func() { time.AfterFunc(grace, done) })()
	request, err := http.NewRequestWithContext(ctx, method, s.w.base+path, bytes.NewReader(data))
	if err != nil {
		s.wanted = err.Error()
		return answer{}
	}
	request.Header.Set("Accept", "application/scim+json")
	request.Header.Set("User-Agent", "vestibule-check")
	// Each on a connection of its own: a server that drops an idle one would be blamed by whichever check came next.
	request.Close = true
	if s.w.Token != "" {
		request.Header.Set("Authorization", "Bearer "+s.w.Token)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/scim+json")
	}
	s.sent = method + " " + path
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			request.Header.Del(headers[i])
		} else {
			request.Header.Set(headers[i], headers[i+1])
		}
		if headers[i] != "Authorization" {
			s.sent += "\n" + headers[i] + ": " + headers[i+1]
		}
	}
	if len(data) > 0 {
		s.sent += "\n" + clip(string(data))
	}
	a, err := s.exchange(request)
	if err != nil {
		s.broken, s.came, s.wanted = err, err.Error(), "an answer"
		return a
	}
	s.came = a.String()
	if method == http.MethodPost && a.status == http.StatusCreated && a.id() != "" {
		endpoint, _, _ := strings.Cut(path, "?")
		s.w.made = append(s.w.made, endpoint+"/"+url.PathEscape(a.id()))
	}
	return a
}

func (s *step) exchange(request *http.Request) (answer, error) {
	response, err := s.w.HTTP.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer{}, err
	}
	if len(text) > maxAnswer {
		return answer{}, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	a := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.body) // what is no object is found by what is wanted of it
	return a, nil
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   object
}

func (a answer) String() string {
	out := fmt.Sprint(a.status)
	for _, name := range []string{"Content-Type", "Location", "Etag", "Allow", "Www-Authenticate"} {
		if v := a.header.Get(name); v != "" {
			out += "\n" + name + ": " + v
		}
	}
	if a.text != "" {
		out += "\n" + clip(a.text)
	}
	return out
}

func (a answer) id() string { s, _ := a.body["id"].(string); return s }

func (a answer) at(path string) any { return at(a.body, path) }

func (a answer) resources() []object {
	items, _ := a.body["Resources"].([]any)
	out := make([]object, 0, len(items))
	for _, item := range items {
		if o, ok := item.(object); ok {
			out = append(out, o)
		}
	}
	return out
}

func (a answer) ids() []string {
	var out []string
	for _, r := range a.resources() {
		id, _ := r["id"].(string)
		out = append(out, id)
	}
	return out
}

func (a answer) total() int { n, _ := a.body["totalResults"].(float64); return int(n) }

// at reads a path of names with dots between them; the enterprise extension is "ent".
func at(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		if name == "ent" {
			name = enterpriseUser
		}
		o, _ := v.(object)
		v = o[name]
	}
	return v
}

// values gives one sub-attribute of each element of a list.
func values(v any, sub string) []string {
	items, _ := v.([]any)
	out := []string{}
	for _, item := range items {
		if text, ok := at(item, sub).(string); ok {
			out = append(out, text)
		}
	}
	return out
}

func clip(s string) string {
	const most = 800
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + fmt.Sprintf(" ... (%d bytes)", len(s))
}

func (s *step) get(path string, headers ...string) answer {
	return s.send("GET", path, nil, headers...)
}

func (s *step) post(path string, body any, headers ...string) answer {
	return s.send("POST", path, body, headers...)
}

// that fails the check unless it is so; wanted says what should have been.
func (s *step) that(so bool, wanted string, args ...any) {
	if !s.over() && !so {
		s.wanted = fmt.Sprintf(wanted, args...)
	}
}

// skip ends the check without a verdict.
func (s *step) skip(so bool, reason string) {
	if so && !s.over() {
		s.skipped = reason
	}
}

// ok wants one of the statuses.
func (s *step) ok(a answer, statuses ...int) answer {
	s.that(slices.Contains(statuses, a.status), "status %s", list(statuses))
	return a
}

// refused wants an error as RFC 7644 section 3.12 writes it. A scimType is wanted where it is given.
func (s *step) refused(a answer, scimType string, statuses ...int) answer {
	s.that(slices.Contains(statuses, a.status), "status %s%s", list(statuses), suffix(scimType))
	s.that(at(a.body, "status") == fmt.Sprint(a.status), "an Error body whose status is the string %q", fmt.Sprint(a.status))
	s.that(slices.Contains(strs(a.at("schemas")), messages+"Error"), "an Error body that lists the schema %sError", messages)
	if scimType != "" {
		s.that(a.at("scimType") == scimType, "scimType %s", scimType)
	}
	return a
}

func suffix(scimType string) string {
	if scimType == "" {
		return ""
	}
	return " with scimType " + scimType
}

func list(statuses []int) string {
	out := make([]string, len(statuses))
	for i, n := range statuses {
		out[i] = fmt.Sprint(n)
	}
	return strings.Join(out, " or ")
}

func strs(v any) []string {
	items, _ := v.([]any)
	out := []string{}
	for _, item := range items {
		if text, ok := item.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

// name gives a name that nobody has.
func (s *step) name() string {
	s.w.n++
	return fmt.Sprintf("%s%s-%03d", Prefix, s.w.mark, s.w.n)
}

// body is a user; pairs of attributes and values are added, or taken away by nil.
func (s *step) body(pairs ...any) object {
	o := object{"schemas": []string{coreUser}, "userName": s.name()}
	for i := 0; i+1 < len(pairs); i += 2 {
		name := pairs[i].(string)
		if name == "ent" {
			name, o["schemas"] = enterpriseUser, []string{coreUser, enterpriseUser}
		}
		if o[name] = pairs[i+1]; pairs[i+1] == nil {
			delete(o, name)
		}
	}
	return o
}

// user makes one.
func (s *step) user(pairs ...any) answer {
	return s.ok(s.post("/Users", s.body(pairs...)), 201)
}

// group makes one of these members.
func (s *step) group(members ...string) answer {
	list := []object{}
	for _, id := range members {
		list = append(list, object{"value": id})
	}
	return s.ok(s.post("/Groups", object{"schemas": []string{coreGroup}, "displayName": s.name(), "members": list}), 201)
}

func user(a answer) string  { return "/Users/" + url.PathEscape(a.id()) }
func group(a answer) string { return "/Groups/" + url.PathEscape(a.id()) }

// read reads a resource that must be there.
func (s *step) read(path string) answer { return s.ok(s.get(path), 200) }

type op = object

func message(operations ...op) object {
	return object{"schemas": []string{messages + "PatchOp"}, "Operations": operations}
}

func (s *step) patch(path string, operations ...op) answer {
	return s.send("PATCH", path, message(operations...))
}

// patched applies operations that must succeed, and reads the resource.
func (s *step) patched(path string, operations ...op) answer {
	s.ok(s.patch(path, operations...), 200, 204)
	sent, came := s.sent, s.came
	// The answer may be 204, and what counts is what was stored.
	a := s.read(path)
	if !s.over() {
		s.sent, s.came = sent, came+"\nand read back: "+a.String()
	}
	return a
}

// find lists by a filter.
func (s *step) find(endpoint, filter string, more ...string) answer {
	return s.get(endpoint + "?filter=" + url.QueryEscape(filter) + strings.Join(more, ""))
}

// finds wants a filter to find exactly these.
func (s *step) finds(filter string, ids ...string) answer {
	a := s.ok(s.find("/Users", filter, "&count=100"), 200)
	s.that(slices.Equal(sorted(a.ids()), sorted(ids)), "exactly the %d users %s", len(ids), strings.Join(ids, ", "))
	return a
}
