package scim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

const (
	bulkRequestURN  = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
	bulkPrefix      = "bulkId:"
)

// bulkState is how far an operation has come.
type bulkState int

const (
	bulkWaiting bulkState = iota
	bulkUnderWay
	bulkDone
	bulkFailed
)

// bulkOperation is one operation of a bulk request. Each is a transaction of its own: RFC 7644 section
// 3.7 wants a failed one to leave the others alone.
type bulkOperation struct {
	method, bulkID, path string
	version              *string
	data                 Attributes

	state   bulkState
	invalid error // it cannot be carried out whatever the others do
	rt      *ResourceType
	id      string // of the resource it names or made
	linking bool   // made without the references that close a circle; they follow
	result  bulkResult
}

type bulkResult struct {
	Method   string          `json:"method"`
	BulkID   string          `json:"bulkId,omitempty"`
	Version  string          `json:"version,omitempty"`
	Location string          `json:"location,omitempty"`
	Status   string          `json:"status"`
	Response json.RawMessage `json:"response,omitempty"`
}

// bulkRun carries out one request.
type bulkRun struct {
	h    *Handler
	c    *call
	ops  []*bulkOperation
	byID map[string]*bulkOperation

	failures, failOnErrors int
}

func (h *Handler) bulk(c *call) error {
	raw, err := c.body(MaxBulk)
	if err != nil {
		return err
	}
	run, err := h.readBulk(c, raw)
	if err != nil {
		return err
	}
	for _, op := range run.ops {
		if run.stopped() {
			break
		}
		run.do(op)
	}
	run.link()

	results := make([]bulkResult, 0, len(run.ops))
	for _, op := range run.ops {
		if op.state == bulkDone || op.state == bulkFailed {
			results = append(results, op.result)
		}
	}
	return sendJSON(c, map[string]any{"schemas": []string{bulkResponseURN}, "Operations": results})
}

func (h *Handler) readBulk(c *call, raw Attributes) (*bulkRun, error) {
	run := &bulkRun{h: h, c: c, byID: map[string]*bulkOperation{}}
	if !namesSchema(raw, bulkRequestURN) {
		return nil, badRequest(InvalidSyntax, "A bulk request must list the schema %s.", bulkRequestURN)
	}
	var items []any
	found := false
	for key, v := range raw {
		switch strings.ToLower(key) {
		case "failonerrors":
			n, ok := v.(int64)
			if !ok || n < 1 {
				return nil, badRequest(InvalidValue, "failOnErrors must be a positive integer.")
			}
			run.failOnErrors = int(min(n, BulkLimit+1))
		case "operations":
			items, found = v.([]any)
		}
	}
	if !found {
		return nil, badRequest(InvalidSyntax, "A bulk request must hold an array of Operations.")
	}
	if len(items) > BulkLimit {
		return nil, Errorf(http.StatusRequestEntityTooLarge, "", "A bulk request may hold %d operations, not %d.", BulkLimit, len(items))
	}
	for _, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, badRequest(InvalidSyntax, "Every operation must be an object.")
		}
		op := h.readOperation(m)
		if op.invalid == nil && op.bulkID != "" && op.method == http.MethodPost {
			if run.byID[op.bulkID] != nil {
				op.invalid = badRequest(InvalidSyntax, "The bulkId %q was used before in this request.", op.bulkID)
			} else {
				run.byID[op.bulkID] = op
			}
		}
		run.ops = append(run.ops, op)
	}
	return run, nil
}

func (h *Handler) readOperation(m map[string]any) *bulkOperation {
	op := &bulkOperation{}
	for key, v := range m {
		s, isString := v.(string)
		switch strings.ToLower(key) {
		case "method":
			op.method = strings.ToUpper(s)
		case "bulkid":
			op.bulkID = s
		case "path":
			op.path = s
		case "version":
			if isString {
				op.version = &s
			}
		case "data":
			if data, ok := v.(map[string]any); ok {
				op.data = data
			}
		}
	}
	op.result = bulkResult{Method: op.method, BulkID: op.bulkID}
	wrong := func(format string, args ...any) *bulkOperation {
		op.invalid = badRequest(InvalidSyntax, format, args...)
		return op
	}
	switch op.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return wrong("The method of an operation is POST, PUT, PATCH or DELETE, not %q.", op.method)
	}
	endpoint, id, hasID := strings.Cut(strings.TrimPrefix(op.path, "/"), "/")
	for _, rt := range h.Types {
		if rt.Endpoint == "/"+endpoint && !rt.ReadOnly {
			op.rt = rt
		}
	}
	post := op.method == http.MethodPost
	switch {
	case op.rt == nil || !strings.HasPrefix(op.path, "/") || strings.Contains(id, "/") || hasID && id == "" || post == hasID:
		return wrong("The path %q is not one that %s serves.", op.path, op.method)
	case post && op.bulkID == "":
		return wrong("A POST needs a bulkId.")
	case op.data == nil && op.method != http.MethodDelete:
		return wrong("A %s needs data.", op.method)
	}
	op.id = id
	return op
}

func (b *bulkRun) stopped() bool { return b.failOnErrors > 0 && b.failures >= b.failOnErrors }

// do carries out an operation, after those whose results it names (RFC 7644 section 3.7.2 lets a
// reference point forward). A reference back to an operation that is under way closes a circle: it is
// left out here and follows in link.
func (b *bulkRun) do(op *bulkOperation) {
	if op.state != bulkWaiting {
		return
	}
	op.state = bulkUnderWay
	if op.invalid != nil {
		b.finish(op, 0, nil, op.invalid)
		return
	}
	for _, name := range append(references(op.id), references(map[string]any(op.data))...) {
		named := b.byID[name]
		if named != nil && named.state == bulkWaiting {
			if b.do(named); b.stopped() {
				op.state = bulkWaiting
				return
			}
		}
		switch {
		case named == nil:
			b.finish(op, 0, nil, Errorf(http.StatusConflict, "", "No operation of this request has the bulkId %q.", name))
			return
		case named.state == bulkFailed:
			b.finish(op, 0, nil, Errorf(http.StatusConflict, "", "The operation with the bulkId %q failed.", name))
			return
		case named.state == bulkUnderWay:
			if op.method != http.MethodPost {
				b.finish(op, 0, nil, Errorf(http.StatusConflict, "", "The operation with the bulkId %q waits for this one.", name))
				return
			}
			op.linking = true
		}
	}
	status, r, err := b.carryOut(op)
	b.finish(op, status, r, err)
}

func (b *bulkRun) carryOut(op *bulkOperation) (int, *Resource, error) {
	ctx, t, rt := b.c.r.Context(), b.c.tenant, op.rt
	id, _ := b.resolve(op.id).(string)
	data, _ := b.resolve(map[string]any(op.data)).(map[string]any)
	var check func(int64) error
	if op.version != nil {
		check = checkTags([]string{*op.version}, nil)
	}
	switch op.method {
	case http.MethodPost:
		decided, err := rt.Create(data, t.Dialect)
		if err != nil {
			return 0, nil, err
		}
		t.repaired(decided.Repairs)
		r, err := t.Store.Create(ctx, rt, decided, Want{})
		return http.StatusCreated, r, err
	case http.MethodPut:
		r, err := b.h.modify(b.c, rt, id, check, Want{}, func(current Attributes) (Result, error) {
			return rt.Replace(current, data, t.Dialect)
		})
		return http.StatusOK, r, err
	case http.MethodPatch:
		patch, err := PatchFrom(rt, data, t.Dialect)
		if err != nil {
			return 0, nil, err
		}
		r, err := b.h.modify(b.c, rt, id, check, Want{}, func(current Attributes) (Result, error) {
			return Apply(rt, current, patch)
		})
		return http.StatusOK, r, err
	}
	if err := t.Store.Delete(ctx, rt, id, check); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, &Resource{ID: id}, nil
}

// link gives the resources of a circle the references they were made without.
func (b *bulkRun) link() {
	for _, op := range b.ops {
		if !op.linking || op.state != bulkDone {
			continue
		}
		data, _ := b.resolve(map[string]any(op.data)).(map[string]any)
		r, err := b.h.modify(b.c, op.rt, op.id, nil, Want{}, func(current Attributes) (Result, error) {
			return op.rt.Replace(current, data, b.c.tenant.Dialect)
		})
		status := http.StatusCreated
		b.finish(op, status, r, err)
	}
}

func (b *bulkRun) finish(op *bulkOperation, status int, r *Resource, err error) {
	if err != nil {
		e := AsError(err)
		if e.Status >= http.StatusInternalServerError {
			b.h.Log.ErrorContext(b.c.r.Context(), "scim bulk operation", "method", op.method, "path", op.path, "error", err)
		}
		b.failures++
		op.state = bulkFailed
		op.result.Status = strconv.Itoa(e.Status)
		op.result.Response, _ = e.MarshalJSON() // a message of strings always marshals
		if op.rt != nil && op.method != http.MethodPost {
			op.result.Location = b.c.tenant.location(op.rt, op.id)
		}
		return
	}
	op.state, op.id = bulkDone, r.ID
	op.result.Status = strconv.Itoa(status)
	op.result.Location = b.c.tenant.location(op.rt, r.ID)
	if r.Version > 0 {
		op.result.Version = ETag(r.Version)
	}
}

// references lists the bulkIds that a value names.
func references(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		if name, ok := strings.CutPrefix(v, bulkPrefix); ok {
			out = append(out, name)
		}
	case []any:
		for _, e := range v {
			out = append(out, references(e)...)
		}
	case map[string]any:
		for _, e := range v {
			out = append(out, references(e)...)
		}
	}
	return out
}

// resolve puts ids in the place of bulkIds. What names an operation that has made nothing yet is left
// out with the element that holds it.
func (b *bulkRun) resolve(v any) any {
	switch v := v.(type) {
	case string:
		name, ok := strings.CutPrefix(v, bulkPrefix)
		if !ok {
			return v
		}
		if op := b.byID[name]; op != nil && op.state == bulkDone {
			return op.id
		}
		return nil
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			if e = b.resolve(e); e != nil {
				out = append(out, e)
			}
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			r := b.resolve(e)
			if r == nil && e != nil {
				if strings.EqualFold(key, "value") {
					return nil
				}
				continue
			}
			out[key] = r
		}
		return out
	}
	return v
}
