package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// kind is a kind of object, in the order in which they are written; they are removed in the opposite one.
type kind int

const (
	permissionKind kind = iota
	roleKind
	exclusiveKind
	organizationKind
	customRoleKind
	resourceKind
	directoryKind
	tokenKind
	clientKind
	connectionKind
	domainKind
	groupKind
	groupRoleKind
	exceptionKind
	webhookKind
	relationshipKind
	applicationKind
)

// kinds names each kind for people, and for the audit event (permission.created).
var kinds = [...]struct{ name, noun string }{
	permissionKind:   {"permission", "permission"},
	roleKind:         {"role", "role"},
	exclusiveKind:    {"exclusive roles", "exclusive-roles"},
	organizationKind: {"organization", "organization"},
	customRoleKind:   {"custom role", "custom-role"},
	resourceKind:     {"resource", "resource"},
	directoryKind:    {"directory", "directory"},
	tokenKind:        {"directory token", "directory-token"},
	clientKind:       {"directory client", "directory-client"},
	connectionKind:   {"connection", "connection"},
	domainKind:       {"domain", "domain"},
	groupKind:        {"group", "group"},
	groupRoleKind:    {"group role", "mapping"},
	exceptionKind:    {"sign-on exception", "sso-exception"},
	webhookKind:      {"webhook", "webhook"},
	relationshipKind: {"provider relationship", "relationship"},
	applicationKind:  {"application", "application"},
}

// key identifies an object within everything declared.
func key(k kind, org id.Organization, local string) string {
	return kinds[k].name + "\x00" + string(org) + "\x00" + local
}

func exclusiveKey(roles []id.Role) string { return list(slices.Sorted(slices.Values(roles)), " and ") }

func groupRoleKey(g store.DeclaredGroupRole) string {
	return strings.Join([]string{g.Group, string(g.Directory), string(g.Role), string(g.Resource)}, "\x00")
}

func relationshipKey(r store.DeclaredRelationship) string {
	return string(r.Provider) + " -> " + string(r.Client)
}

// field is one thing that can differ between two states of an object.
type field struct {
	name, value string
	secret      bool // only that it changed is ever shown
	quiet       bool // order: shown only with nothing else
}

// object is one declared thing, in whichever state: as the store holds it, or as the files want it.
type object struct {
	kind   kind
	org    id.Organization // whose it is; "" for the installation's
	local  string          // identifies it among its kind in the organization
	label  string
	fields []field
	put    func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error
	drop   func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error
}

func (o object) key() string { return key(o.kind, o.org, o.local) }

// title is the object as a person would say it: "directory northwind/entra".
func (o object) title() string {
	if o.org != "" && o.kind != organizationKind {
		return fmt.Sprintf("%s %s/%s", kinds[o.kind].name, o.org, o.label)
	}
	return kinds[o.kind].name + " " + o.label
}

type write = func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error

// queued makes a write of one that cannot fail before the commit.
func queued[T any](row T, fn func(*store.SystemTx, T)) write {
	return func(_ context.Context, tx *store.SystemTx, _ audit.Actor) error {
		fn(tx, row)
		return nil
	}
}

// objects lists everything in a state, in the order of writing.
func objects(d *store.Declared) []object {
	var out []object
	add := func(k kind, org id.Organization, local, label string, put, drop write, fields ...field) {
		out = append(out, object{kind: k, org: org, local: local, label: label, put: put, drop: drop, fields: fields})
	}
	for _, p := range d.Permissions {
		add(permissionKind, "", string(p.ID), string(p.ID),
			queued(p, (*store.SystemTx).PutDeclaredPermission),
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.DropDeclaredPermission(ctx, p, actor)
			},
			field{name: "name", value: p.Name}, position(p.Position))
	}
	for _, r := range d.Roles {
		add(roleKind, "", string(r.ID), string(r.ID),
			queued(r, (*store.SystemTx).PutDeclaredRole),
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.DropDeclaredRole(ctx, r, actor)
			},
			append(flatten(r.Role), field{name: "name", value: r.Name}, position(r.Position))...)
	}
	for _, e := range d.Exclusive {
		add(exclusiveKind, "", exclusiveKey(e.Roles), exclusiveKey(e.Roles),
			queued(e, (*store.SystemTx).PutDeclaredExclusive), queued(e, (*store.SystemTx).DropDeclaredExclusive),
			field{name: "roles", value: exclusiveKey(e.Roles)}, position(e.Position))
	}
	for _, o := range d.Organizations {
		add(organizationKind, o.ID, "", string(o.ID),
			queued(o, (*store.SystemTx).PutDeclaredOrganization), queued(o, (*store.SystemTx).DropDeclaredOrganization),
			organizationFields(o)...)
	}
	for _, r := range d.CustomRoles {
		add(customRoleKind, r.Organization, string(r.ID), string(r.ID),
			func(ctx context.Context, tx *store.SystemTx, _ audit.Actor) error {
				tx.PutDeclaredCustomRole(ctx, r)
				return nil
			},
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.DropDeclaredCustomRole(ctx, r, actor)
			},
			append(flatten(r.Role), field{name: "name", value: r.Name})...)
	}
	for _, r := range d.Resources {
		parent := r.Parent
		if parent == "" {
			parent = id.Resource(r.Organization)
		}
		add(resourceKind, r.Organization, string(r.ID), string(r.ID),
			queued(r, (*store.SystemTx).PutDeclaredResource),
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.DropDeclaredResource(ctx, r, actor)
			},
			field{name: "name", value: r.Name}, field{name: "type", value: r.Type}, field{name: "parent", value: string(parent)},
			position(r.Position))
	}
	for _, r := range d.Directories {
		add(directoryKind, r.Organization, string(r.ID), string(r.ID),
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				if err := tx.ReviseDirectory(ctx, r); err != nil {
					return err
				}
				return tx.WithdrawRoles(ctx, r, actor)
			},
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.DropDeclaredDirectory(ctx, r, actor)
			},
			field{name: "name", value: r.Name}, field{name: "dialect", value: r.Dialect}, field{name: "key", value: r.Key},
			field{name: "request_log.retention", value: showDuration(r.RequestLog.Retention())},
			field{name: "request_log.bodies", value: strconv.FormatBool(!r.RequestLog.WithoutBodies)},
			field{name: "rate_limit.per_minute", value: strconv.FormatInt(r.RateLimit.Requests(), 10)},
			field{name: "roles.accept", value: showAccepted(r.Roles)},
			field{name: "brake.percent", value: strconv.FormatInt(r.Brake.Share(), 10)},
			field{name: "brake.minimum", value: strconv.FormatInt(r.Brake.AtLeast(), 10)},
			field{name: "brake.window", value: showDuration(r.Brake.In())},
			field{name: "extensions", value: showExtensions(r.Settings)})
	}
	for _, t := range d.Tokens {
		add(tokenKind, t.Organization, string(t.Directory)+"/"+t.ID, string(t.Directory)+"/"+t.ID,
			queued(t, (*store.SystemTx).PutDeclaredToken), queued(t, (*store.SystemTx).DropDeclaredToken),
			field{name: "secret", value: t.Hash, secret: true}, field{name: "expires", value: showTime(t.Expires)})
	}
	for _, c := range d.Clients {
		add(clientKind, c.Organization, string(c.Directory)+"/"+c.ID, string(c.Directory)+"/"+c.ID,
			queued(c, (*store.SystemTx).PutDeclaredClient), queued(c, (*store.SystemTx).DropDeclaredClient),
			field{name: "secret", value: c.SecretHash, secret: true}, field{name: "jwks", value: keyNames(c.Keys)},
			field{name: "jwks_uri", value: c.KeysURL})
	}
	for _, c := range d.Connections {
		add(connectionKind, c.Organization, string(c.ID), string(c.ID),
			queued(c, (*store.SystemTx).PutDeclaredConnection), queued(c, (*store.SystemTx).DropDeclaredConnection),
			append(flatten(c.Settings), field{name: "name", value: c.Name}, field{name: "protocol", value: string(c.Protocol)},
				field{name: "directory", value: string(c.Directory)})...)
	}
	for _, m := range d.Domains {
		add(domainKind, "", m.Domain, m.Domain,
			queued(m, (*store.SystemTx).PutDeclaredDomain), queued(m, (*store.SystemTx).DropDeclaredDomain),
			field{name: "organization", value: string(m.Organization)}, field{name: "connection", value: string(m.Connection)})
	}
	for _, g := range d.Groups {
		add(groupKind, g.Organization, string(g.ID), string(g.ID),
			queued(g, (*store.SystemTx).PutDeclaredGroup),
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.DropDeclaredGroup(ctx, g, actor)
			},
			field{name: "name", value: g.Name})
	}
	for _, g := range d.GroupRoles {
		label := fmt.Sprintf("%s: %s at %s", g.Group, g.Role, g.Resource)
		if g.Directory != "" {
			label = fmt.Sprintf("%s of %s: %s at %s", g.Group, g.Directory, g.Role, g.Resource)
		}
		add(groupRoleKind, g.Organization, groupRoleKey(g), label,
			queued(g, (*store.SystemTx).PutDeclaredGroupRole), queued(g, (*store.SystemTx).DropDeclaredGroupRole),
			field{name: "group", value: g.Group}, field{name: "directory", value: string(g.Directory)},
			field{name: "role", value: string(g.Role)}, field{name: "resource", value: string(g.Resource)})
	}
	for _, e := range d.Exceptions {
		out = append(out, exceptionObject(e))
	}
	for _, w := range d.Webhooks {
		out = append(out, webhookObject(w))
	}
	for _, r := range d.Relationships {
		add(relationshipKind, "", relationshipKey(r), relationshipKey(r),
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.PutDeclaredRelationship(ctx, r, actor)
			},
			func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
				return tx.DropDeclaredRelationship(ctx, r, actor)
			},
			flatten(r.RelationshipSettings)...)
	}
	for _, a := range d.Applications {
		add(applicationKind, "", string(a.ID), string(a.ID),
			func(ctx context.Context, tx *store.SystemTx, _ audit.Actor) error {
				tx.SaveApplication(ctx, a)
				return nil
			},
			func(ctx context.Context, tx *store.SystemTx, _ audit.Actor) error {
				tx.RemoveApplication(ctx, a.ID)
				return nil
			},
			append(flatten(a), field{name: "name", value: a.Name}, field{name: "protocol", value: string(a.Protocol)},
				field{name: "client_secret", value: a.SecretHash, secret: true})...)
	}
	return out
}

func position(n int64) field {
	return field{name: "order", value: strconv.FormatInt(n, 10), quiet: true}
}

func organizationFields(o store.DeclaredOrganization) []field {
	s := o.Settings
	seats := ""
	if o.SeatLimit > 0 {
		seats = strconv.FormatInt(o.SeatLimit, 10)
	}
	return []field{
		{name: "name", value: o.Name},
		{name: "seat_limit", value: seats},
		{name: "allowed_domains", value: list(s.AllowedDomains, ", ")},
		{name: "session.lifetime", value: showDuration(s.Session.Lifetime())},
		{name: "session.idle", value: showDuration(s.Session.Idle())},
		{name: "available_roles", value: list(s.Available(), ", ")},
		{name: "default_roles", value: showRoles(s.DefaultRoles)},
		{name: "default_provider_roles", value: list(s.DefaultProviderRoles, ", ")},
		{name: "invitation_lifetime", value: showDuration(s.InvitationLifetime())},
		{name: "successor", value: s.Successor},
		{name: "enforce_sso", value: strconv.FormatBool(s.EnforceSSO)},
		{name: "local_sign_in", value: showLocal(s.LocalSignIn)},
		{name: "require_mfa", value: map[bool]string{true: "true"}[s.RequireMFA]},
		{name: "messages.url", value: s.Messages.URL},
		{name: "messages.secret", value: s.Messages.Secret, secret: true},
	}
}

func showRoles(roles []access.RoleAt) string {
	var out []string
	for _, r := range roles {
		if r.Resource == "" {
			out = append(out, string(r.Role))
		} else {
			out = append(out, fmt.Sprintf("%s at %s", r.Role, r.Resource))
		}
	}
	return list(out, ", ")
}

// showDuration writes a duration as the file has it.
func showDuration(d time.Duration) string {
	out := ""
	for _, unit := range []byte("dhms") {
		if n := d / units[unit]; n > 0 {
			out += strconv.FormatInt(int64(n), 10) + string(unit)
			d -= n * units[unit]
		}
	}
	return out
}

func showTime(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339)
}

// flatten gives the fields of a document by their names in the file.
func flatten(document any) []field {
	text, err := json.Marshal(document)
	if err != nil {
		panic(fmt.Sprintf("apply: %T: %v", document, err)) // our own structs always encode
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		panic(fmt.Sprintf("apply: %T: %v", document, err))
	}
	var out []field
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(join(prefix, name), inner)
			}
		case []any:
			parts := make([]string, len(v))
			for i, p := range v {
				parts[i] = fmt.Sprint(p)
			}
			out = append(out, field{name: prefix, value: strings.Join(parts, ", ")})
		default:
			out = append(out, field{name: prefix, value: fmt.Sprint(v), secret: strings.HasSuffix(prefix, "secret")})
		}
	}
	walk("", tree)
	return out
}

func list[T ~string](items []T, separator string) string {
	parts := make([]string, len(items))
	for i, v := range items {
		parts[i] = string(v)
	}
	return strings.Join(parts, separator)
}

func itoa(i int) string { return strconv.Itoa(i) }

// showAccepted shows the roles a directory may give, as a file names them.
func showAccepted(roles directory.Roles) string {
	var all []string
	for _, r := range roles.Accept {
		all = append(all, r.String())
	}
	return strings.Join(all, ", ")
}
