package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	coreUser   = "urn:ietf:params:scim:schemas:core:2.0:User"
	coreGroup  = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	patchOp    = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	listURN    = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
)

const (
	maxAnswer   = 16 << 20
	maxAttempts = 4
	maxBackOff  = 30 * time.Second
	// Okta gives up after 60 seconds; the others wait no longer.
	timeout = 60 * time.Second
	grace   = 5 * time.Second
)

type object = map[string]any

// shape is what a provider expects in an answer's body.
type shape int

const (
	anything shape = iota
	resource       // an object with an id
	list           // a ListResponse
)

// call is one request of a provider, with the answers it understands.
type call struct {
	row    string // of the dialect
	method string
	path   string
	body   any
	want   []int
	shape  shape
	// ours says that the provider does not send it: it reads back or cleans up.
	ours bool
}

func (c call) String() string {
	if c.body == nil {
		return c.method + " " + c.path
	}
	body, _ := json.Marshal(c.body)
	return c.method + " " + c.path + "\n" + clip(string(body))
}

// kind is the line of the report that the call counts in.
func (c call) kind() string {
	path, query, _ := strings.Cut(c.path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) > 1 {
		parts[1] = "{id}"
	}
	s := c.method + " /" + strings.Join(parts, "/")
	switch {
	case strings.Contains(query, "filter="):
		s += "?filter"
	case strings.Contains(query, "startIndex=") || strings.Contains(query, "count="):
		s += "?page"
	}
	if c.ours {
		s += " (ours)"
	}
	return s
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	body   object
	took   time.Duration
}

func (a answer) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s\n%s", a.status, a.header.Get("Content-Type"), clip(a.raw)))
}

func (a answer) id() string { s, _ := a.body["id"].(string); return s }

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

func clip(s string) string {
	const most = 1500
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + fmt.Sprintf(" ... (%d bytes)", len(s))
}

func quote(v any) string {
	data, _ := json.Marshal(v)
	return clip(string(data))
}

// send sends a call, again where the server asks for patience, as every provider does.
func (r *run) send(ctx context.Context, c call) (answer, error) {
	wait := time.Second
	for attempt := 1; ; attempt++ {
		a, err := r.once(ctx, c)
		if err != nil {
			return a, err
		}
		if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable || attempt == maxAttempts {
			return a, nil
		}
		if s, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil && s >= 0 {
			wait = time.Duration(s) * time.Second
		}
		r.stats.retried()
		timer := time.NewTimer(min(wait, maxBackOff))
		select {
		case <-ctx.Done():
			timer.Stop()
			return a, context.Cause(ctx)
		case <-timer.C:
		}
		wait *= 2
	}
}

func (r *run) once(ctx context.Context, c call) (answer, error) {
	interrupted := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	// A request under way is waited for when the run is interrupted: its answer has the id by which it is cleaned up.
	defer context.AfterFunc(interrupted, func() { time.AfterFunc(grace, cancel) })()
	var body io.Reader
	if c.body != nil {
		data, err := json.Marshal(c.body)
		if err != nil {
			return answer{}, err
		}
		body = bytes.NewReader(data)
	}
	address := r.base + c.path
	if q := r.dialect.query; q != "" {
		separator := "?"
		if strings.Contains(address, "?") {
			separator = "&"
		}
		address += separator + q
	}
	request, err := http.NewRequestWithContext(ctx, c.method, address, body)
	if err != nil {
		return answer{}, err
	}
	if r.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.Token)
	}
	request.Header.Set("User-Agent", r.dialect.userAgent)
	request.Header.Set("Accept", r.dialect.accept)
	if body != nil {
		request.Header.Set("Content-Type", r.dialect.contentType)
	}
	began := r.Now()
	response, err := r.HTTP.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer{}, err
	}
	if len(raw) > maxAnswer {
		return answer{}, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	a := answer{status: response.StatusCode, header: response.Header, raw: string(raw), took: r.Now().Sub(began)}
	r.stats.add(c.kind(), a.took)
	// What is no object is judged by the shape that was wanted.
	_ = json.Unmarshal(raw, &a.body)
	return a, nil
}

// understood says why the provider would not understand an answer; nil where it does.
func understood(c call, a answer) error {
	if !slices.Contains(c.want, a.status) {
		wanted := make([]string, len(c.want))
		for i, s := range c.want {
			wanted[i] = strconv.Itoa(s)
		}
		return fmt.Errorf("the status is %d, not %s", a.status, strings.Join(wanted, " or "))
	}
	if a.status == http.StatusNoContent && a.raw != "" {
		return errors.New("204 came with a body")
	}
	if a.status >= http.StatusBadRequest || a.status == http.StatusNoContent {
		return nil
	}
	if c.shape == anything && a.raw == "" {
		return nil
	}
	if a.body == nil {
		return errors.New("the body is no JSON object")
	}
	if ct, _, _ := strings.Cut(a.header.Get("Content-Type"), ";"); ct != "application/scim+json" && ct != "application/json" {
		return fmt.Errorf("the Content-Type is %q, neither application/scim+json nor application/json", ct)
	}
	if key := secretIn(a.body); key != "" {
		return fmt.Errorf("the answer carries %s", key)
	}
	switch c.shape {
	case resource:
		if a.id() == "" {
			return errors.New("the body has no id")
		}
	case list:
		return listing(a.body)
	}
	return nil
}

// listing says why a body is no ListResponse (RFC 7644 section 3.4.2).
func listing(body object) error {
	if schemas, _ := body["schemas"].([]any); !slices.Contains(schemas, any(listURN)) {
		return errors.New("the body is no ListResponse: schemas does not name " + listURN)
	}
	total, ok := body["totalResults"].(float64)
	if !ok || total != float64(int(total)) || total < 0 {
		return fmt.Errorf("totalResults is %s, not an integer", quote(body["totalResults"]))
	}
	if v, there := body["Resources"]; there && v == nil {
		return errors.New("Resources is null, not an array")
	}
	resources, ok := body["Resources"].([]any)
	if !ok && total > 0 {
		return fmt.Errorf("totalResults is %v and Resources is no array", total)
	}
	if len(resources) > int(total) {
		return fmt.Errorf("totalResults is %v with %d Resources", total, len(resources))
	}
	return nil
}

func secretIn(body object) string {
	for key := range body {
		if strings.EqualFold(key, "password") {
			return key
		}
	}
	resources, _ := body["Resources"].([]any)
	for _, x := range resources {
		if o, ok := x.(object); ok && secretIn(o) != "" {
			return "Resources[].password"
		}
	}
	return ""
}
