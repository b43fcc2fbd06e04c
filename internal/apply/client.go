package apply

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/netguard"
	"github.com/vestibule-id/vestibule/internal/store"
)

// fileClient is an OAuth client of a directory, with one way to prove itself: a secret, or keys.
type fileClient struct {
	At      place
	ID      string `yaml:"id,required"`
	Secret  secret `yaml:"secret"`
	JWKS    keySet `yaml:"jwks"`
	JWKSURI string `yaml:"jwks_uri"`
}

// keySet is a JWK Set: written out, or as JSON from elsewhere.
type keySet string

func (k *keySet) fromYAML(d *decoder, n ast.Node, path string) {
	text := ""
	if m, ok := n.(*ast.MappingNode); ok && slices.ContainsFunc(m.Values, func(v *ast.MappingValueNode) bool { return v.Key.String() == "keys" }) {
		var set map[string]any
		if err := yaml.NodeToValue(n, &set); err != nil {
			d.fail(path, "this is no JWK Set: %v", err)
			return
		}
		raw, err := json.Marshal(set)
		if err != nil {
			d.fail(path, "this is no JWK Set: %v", err)
			return
		}
		text = string(raw)
	} else {
		text = d.text(n, path)
	}
	if text == "" {
		return
	}
	canonical, err := publicKeys(text)
	if err != nil {
		d.fail(path, "%v", err)
	}
	*k = keySet(canonical)
}

// publicKeys checks a JWK Set and gives it in one spelling, so that the same set never counts as a change.
func publicKeys(text string) (string, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &set); err != nil || len(set.Keys) == 0 {
		return "", fmt.Errorf("a JWK Set has a list of keys: {\"keys\": [...]}")
	}
	for i, k := range set.Keys {
		kind, _ := k["kty"].(string)
		switch {
		case k["d"] != nil || k["k"] != nil:
			// A private key in a file of settings is a key that has leaked.
			return "", fmt.Errorf("key %d holds its private part or a shared secret; only the public part belongs here", i+1)
		case kind != "RSA" && kind != "EC" && kind != "OKP":
			return "", fmt.Errorf("key %d is of the kind %q; RSA, EC and OKP (Ed25519) are known", i+1, kind)
		}
	}
	raw, err := json.Marshal(set)
	return string(raw), err
}

// keyNames says which keys a set holds, for the diff.
func keyNames(text string) string {
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
			Kty string `json:"kty"`
			X   string `json:"x"`
			N   string `json:"n"`
		} `json:"keys"`
	}
	if text == "" || json.Unmarshal([]byte(text), &set) != nil {
		return ""
	}
	var names []string
	for _, k := range set.Keys {
		// The beginning of the key tells two sets apart whose ids are the same.
		part := k.X + k.N
		names = append(names, strings.TrimSpace(k.Kid+" ("+k.Kty+" "+part[:min(8, len(part))]+")"))
	}
	return strings.Join(names, ", ")
}

// minSecret is how long a client's secret is at least: it is guessed at from outside (RFC 6819 section 5.1.4.2.2).
const minSecret = 20

func (d *Declaration) client(org id.Organization, dir id.Directory, c fileClient) {
	d.declaredID(c.At, c.ID)
	k := key(clientKind, org, string(dir)+"/"+c.ID)
	if !d.once(k, c.At, "id") {
		return
	}
	ways := 0
	for _, name := range []string{"secret", "jwks", "jwks_uri"} {
		if c.At.has(name) {
			ways++
		}
	}
	if ways != 1 {
		d.problems.at(c.At, "id", "a client proves itself by one of secret, jwks and jwks_uri; this one names %d of them", ways)
	}
	if c.Secret != "" && len(c.Secret) < minSecret {
		d.problems.at(c.At, "secret", "at least %d characters", minSecret)
	}
	if c.JWKSURI != "" && !netguard.WebAddress(c.JWKSURI) {
		d.problems.at(c.At, "jwks_uri", "%q is not an https address; http is for this machine alone", c.JWKSURI)
	}
	d.secrets[k] = string(c.Secret)
	d.want.Clients = append(d.want.Clients, store.DeclaredClient{
		Organization: org, Directory: dir, ID: c.ID, Keys: string(c.JWKS), KeysURL: c.JWKSURI,
	})
}
