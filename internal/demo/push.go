package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	coreUser   = "urn:ietf:params:scim:schemas:core:2.0:User"
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	coreGroup  = "urn:ietf:params:scim:schemas:core:2.0:Group"
	patchOp    = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

// Push sends every company's people and groups to Vestibule as its identity provider would: look first, then create, then
// fill the groups, then deactivate who has left.
func (w *World) Push(ctx context.Context) error {
	for _, c := range w.Companies {
		for _, p := range c.People {
			if !p.Pushed {
				continue
			}
			if err := w.pushPerson(ctx, c, p); err != nil {
				return fmt.Errorf("push %s of %s: %w", p.Name(), c.Name, err)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(c.groups)) {
			if err := w.pushGroup(ctx, c, name); err != nil {
				return fmt.Errorf("push the group %s of %s: %w", name, c.Name, err)
			}
		}
		for _, p := range c.People {
			if p.Pushed && !p.Active() {
				if err := w.setActive(ctx, c, p, false); err != nil {
					return fmt.Errorf("deactivate %s of %s: %w", p.Name(), c.Name, err)
				}
			}
		}
	}
	return nil
}

func (w *World) pushPerson(ctx context.Context, c *Company, p *Person) error {
	var found struct {
		TotalResults int `json:"totalResults"`
	}
	filter := url.Values{"filter": {fmt.Sprintf("userName eq %q", p.Email)}}
	if err := w.scim(ctx, c, http.MethodGet, "/Users?"+filter.Encode(), nil, &found); err != nil {
		return err
	}
	if found.TotalResults != 0 {
		return fmt.Errorf("the store is not a fresh one: %s is there already", p.Email)
	}
	body := map[string]any{
		"schemas": []string{coreUser}, "externalId": p.ID, "userName": p.Email, "active": true, "displayName": p.Name(),
		"name":   map[string]any{"givenName": p.Given, "familyName": p.Family},
		"emails": []map[string]any{{"primary": true, "type": "work", "value": p.Email}},
	}
	if c.Directory == "entra" {
		body["schemas"] = []string{coreUser, enterprise}
		body["meta"] = map[string]any{"resourceType": "User"}
		body["roles"] = []any{}
	} else {
		body["locale"] = "en-US"
		body["groups"] = []any{}
		body["password"] = "1mz050nq" // Okta always sends one; it is never kept
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := w.scim(ctx, c, http.MethodPost, "/Users", body, &made); err != nil {
		return err
	}
	p.mu.Lock()
	p.record = made.ID
	p.mu.Unlock()
	return nil
}

func (w *World) pushGroup(ctx context.Context, c *Company, name string) error {
	body := map[string]any{"schemas": []string{coreGroup}, "displayName": name, "externalId": c.ID + "-" + name}
	if c.Directory == "okta" {
		delete(body, "externalId")
		body["members"] = []any{}
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := w.scim(ctx, c, http.MethodPost, "/Groups", body, &made); err != nil {
		return err
	}
	var members []map[string]any
	for _, id := range c.groups[name] {
		members = append(members, map[string]any{"value": c.person(id).Record()})
	}
	op := map[string]any{"op": "Add", "path": "members", "value": members}
	if c.Directory == "okta" {
		op["op"] = "add"
	}
	return w.scim(ctx, c, http.MethodPatch, "/Groups/"+made.ID, map[string]any{"schemas": []string{patchOp}, "Operations": []any{op}}, nil)
}

// setActive tells Vestibule that somebody left or came back, in the words of the company's provider.
func (w *World) setActive(ctx context.Context, c *Company, p *Person, active bool) error {
	if p.Record() == "" {
		return fmt.Errorf("%s was not pushed", p.Name())
	}
	op := map[string]any{"op": "replace", "value": map[string]any{"active": active}}
	if c.Directory == "entra" {
		// Entra sends its booleans as texts.
		op = map[string]any{"op": "Replace", "path": "active", "value": map[bool]string{true: "True", false: "False"}[active]}
	}
	err := w.scim(ctx, c, http.MethodPatch, "/Users/"+p.Record(), map[string]any{"schemas": []string{patchOp}, "Operations": []any{op}}, nil)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.active = active
	p.mu.Unlock()
	return nil
}

var client = &http.Client{Timeout: 30 * time.Second}

func (w *World) scim(ctx context.Context, c *Company, method, path string, body, into any) error {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/scim/%s/%s/v2%s", w.Vestibule, c.ID, c.Directory, path), text)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.scimToken)
	r.Header.Set("Content-Type", "application/scim+json")
	return exchange(r, into)
}

// exchange sends a request and reads its JSON answer; anything but a success is an error with what was said.
func exchange(r *http.Request, into any) error {
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", r.Method, r.URL.Path, response.Status, said)
	}
	if into == nil || len(said) == 0 {
		return nil
	}
	return json.Unmarshal(said, into)
}
