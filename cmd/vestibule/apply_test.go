package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestApply_WhileANodeRuns: a node that serves takes up what another process applies, groups that are there already
// included, and lets go of what is pruned.
func TestApply_WhileANodeRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := "sqlite:" + filepath.Join(dir, "v.db")
	const token = "scim-token-of-the-apply-test"
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) string {
		t.Helper()
		var out, said strings.Builder
		if code := run(terminal{context.Background(), &out, &said}, append(args, "--database", database)); code != 0 {
			t.Fatalf("%v: %d: %s", args, code, said.String())
		}
		return out.String()
	}
	apply := func(world string, args ...string) string {
		t.Helper()
		file := filepath.Join(dir, "world.yaml")
		if err := os.WriteFile(file, []byte("version: 1\n"+world), 0o600); err != nil {
			t.Fatal(err)
		}
		return command(append([]string{"apply", file}, args...)...)
	}
	const catalogue = "permissions: [{id: a.read}]\nroles: [{id: viewer}, {id: editor, permissions: [a.read]}]\n"

	node := start(t, "serve", "--addr", "127.0.0.1:0", "--database", database)
	url := node.find(t, `listens on (http://127\.0\.0\.1:\d+)`)[1]
	operator := strings.TrimSpace(command("token", "create", "--operator"))
	apply(catalogue + "organizations: [{id: o, directories: [{id: d, tokens: [{id: main, secret: {file: token}}]}]}]\n")

	created := func(path string, body map[string]any) string {
		t.Helper()
		status, said := call(t, http.MethodPost, url+"/scim/o/d/v2"+path, token, body)
		var made struct{ ID string }
		if err := json.Unmarshal(said, &made); err != nil || status != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, status, said)
		}
		return made.ID
	}
	user := created("/Users", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "ann", "active": true})
	created("/Groups", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Editors", "members": []map[string]any{{"value": user}},
	})
	grants := func() string {
		t.Helper()
		status, said := call(t, http.MethodGet, url+"/api/v1/organizations/o/users/"+user+"/access", operator, nil)
		var access struct {
			Grants []struct{ Role, Resource string }
		}
		if err := json.Unmarshal(said, &access); err != nil || status != http.StatusOK {
			t.Fatalf("access: %d %s", status, said)
		}
		var held []string
		for _, g := range access.Grants {
			held = append(held, g.Role+"@"+g.Resource)
		}
		return strings.Join(held, " ")
	}
	if got := grants(); got != "" {
		t.Fatalf("before the mapping: %s", got)
	}
	const mapped = catalogue + "organizations: [{id: o, default_roles: [viewer], group_roles: [{group: editors, role: editor}], directories: [{id: d, tokens: [{id: main, secret: {file: token}}]}]}]\n"
	if out := apply(mapped); !strings.Contains(out, "+ group role o/editors: editor at o\n") {
		t.Errorf("apply said %s", out)
	}
	if got := grants(); got != "viewer@o editor@o" {
		t.Errorf("after the mapping: got %q", got)
	}
	if out := apply(mapped); !strings.HasSuffix(out, "nothing to change\n") {
		t.Errorf("the second time: %s", out)
	}

	out := apply(catalogue+"organizations: [{id: o}]\n", "--prune")
	if !strings.Contains(out, "- directory o/d\n") || !strings.Contains(out, "- group role o/editors: editor at o\n") {
		t.Errorf("prune said %s", out)
	}
	var person struct{ Status string }
	status, said := call(t, http.MethodGet, url+"/api/v1/organizations/o/users/"+user, operator, nil)
	if err := json.Unmarshal(said, &person); err != nil || status != http.StatusOK || person.Status != "deleted" {
		t.Errorf("whoever rested on the directory alone: %d %s", status, said)
	}
	// The node believes a directory for a second.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); ; <-tick.C {
		status, said = call(t, http.MethodGet, url+"/scim/o/d/v2/Users", token, nil)
		if status == http.StatusUnauthorized {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the removed directory still answers %d %s", status, said)
		}
	}

	status, said = call(t, http.MethodGet, url+"/api/v1/organizations/o/audit?action=mapping.created", operator, nil)
	if status != http.StatusOK || !strings.Contains(string(said), "apply of world.yaml") || strings.Contains(string(said), token) {
		t.Errorf("audit: %d %s", status, said)
	}
}
