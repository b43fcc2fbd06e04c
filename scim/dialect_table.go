package scim

// The deviations. The comment of each says what the standard asks and what is done instead.
const (
	// BooleanStrings reads "True" and "false", in any case, as a boolean, in values and in filter
	// literals. RFC 7643 section 2.3.2 makes a boolean a JSON boolean.
	BooleanStrings Deviation = "boolean-strings"
	// CreateOnMiss lets an add or replace whose value filter matches nothing create the element that
	// the filter describes, where the filter is one eq or several joined by "and". RFC 7644 section
	// 3.5.2.3 answers noTarget.
	CreateOnMiss Deviation = "create-on-miss"
	// RemoveByValue reads a remove with a list of values and no filter as "remove these". RFC 7644
	// section 3.5.2.2 knows no value there and would empty the attribute: ignoring the list would
	// empty the group. An empty list is refused.
	RemoveByValue Deviation = "remove-by-value"
	// SubAfterFilter accepts emails[type eq "work"].value eq "x" in a filter, which is outside the
	// grammar of RFC 7644 section 3.4.2.2, as emails[type eq "work" and value eq "x"].
	SubAfterFilter Deviation = "sub-attribute-after-filter"
	// TwiceEncoded takes a text in an eq whose percent-encoding was itself encoded, such as ann%40x.org, for what it says as it
	// stands and for what it says decoded.
	TwiceEncoded Deviation = "twice-encoded"
	// LooseComplex accepts a bare string for a complex attribute with a "value", a list of one for a
	// single value, and one value for a list.
	LooseComplex Deviation = "loose-complex"
	// EmptyClears reads "" as no value for an attribute that is not required. By RFC 7643 section 2.5
	// only null and [] are no value.
	EmptyClears Deviation = "empty-string-clears"
	// LegacySchemas drops the URIs of schemas that came before the standard or beside it.
	LegacySchemas Deviation = "legacy-schemas"
	// UnknownSchemas passes over URNs in the list of schemas that are neither the standard's nor the directory's. What stands
	// under them is unknown too, and IgnoreUnknown decides about it. RFC 7643 section 3 makes the list one of schemas that are
	// known.
	UnknownSchemas Deviation = "unknown-schemas"
	// NoSchemas assumes the core schema where a resource or a message lists none.
	NoSchemas Deviation = "no-schemas"
	// KeepMembers keeps a group's members when a PUT leaves them out. RFC 7644 section 3.5.1 lets a
	// server clear them.
	KeepMembers Deviation = "keep-members"
	// SameID ignores an id in a PATCH value when it is the resource's own.
	SameID Deviation = "same-id"
	// ReadOnlyInPatch ignores schemas and meta in the value of a PATCH without a path.
	ReadOnlyInPatch Deviation = "read-only-in-patch"
	// IgnoreUnknown ignores attributes and paths' attributes that no schema of the resource type has.
	IgnoreUnknown Deviation = "unknown-attribute"
	// SkipUnknownMembers lets a store leave out members it does not know instead of refusing the
	// whole request.
	SkipUnknownMembers Deviation = "skip-unknown-members"
	// SkipRefusedRoles lets a store leave out roles and entitlements that it does not let the client give, instead of refusing
	// the whole request.
	SkipRefusedRoles Deviation = "skip-refused-roles"
	// UniqueGroupNames has a store answer 409 to a second group of the same displayName, which RFC
	// 7643 section 4.2 would allow.
	UniqueGroupNames Deviation = "unique-group-names"
)

// The dialects. A source that begins with "assumed" has not been seen in a document or on the wire;
// it stands where refusing would cost more than forgiving, and goes once a recording says otherwise.
var (
	// RFC is the standard by its letter, for clients that keep to it and for conformance suites.
	RFC = &Dialect{Name: "rfc"}

	// Entra is Microsoft Entra ID, with and without its flag aadOptscim062020, and the Microsoft SCIM
	// Validator.
	Entra = &Dialect{Name: "entra", Allowances: []Allowance{
		{BooleanStrings, `Microsoft Learn, "SCIM 2.0 protocol compliance of the provisioning service": without the flag active is "True" or "False"; the validator sends roles with primary "True"`},
		{CreateOnMiss, `Microsoft Learn, "Develop a SCIM endpoint": add of emails[type eq "work"].value to a user without one; replace when it believes that one is there`},
		{RemoveByValue, `Microsoft Learn, "SCIM 2.0 protocol compliance of the provisioning service": remove members with value [{"value": id}]`},
		{SubAfterFilter, `Microsoft Learn, "Develop a SCIM endpoint": matching by emails[type eq "work"].value`},
		{TwiceEncoded, `ssoready/ssoready, its SCIM handlers: the validator sends the value of a filter encoded twice`},
		{LooseComplex, `AzureAD/SCIMReferenceCode and its successors: the manager as a bare string, or a list of one`},
		{EmptyClears, `Microsoft SCIM Validator: the manager removed by a replace with ""`},
		{LegacySchemas, `Microsoft Learn, "Develop a SCIM endpoint": POST /Groups names http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group`},
		{KeepMembers, `assumed: it changes groups by PATCH and never means to empty one by silence`},
		{ReadOnlyInPatch, `assumed: values without a path may repeat schemas`},
		{IgnoreUnknown, `assumed: administrators map attributes that no schema has`},
		{UniqueGroupNames, `Microsoft SCIM Validator: a second group of the same displayName must answer 409`},
		{SkipRefusedRoles, `assumed: administrators map roles before the setting names them, and one refused value must not stop a person`},
	}}

	// Okta is Okta's own client, for applications of its catalogue and of its wizard.
	Okta = &Dialect{Name: "okta", Allowances: []Allowance{
		{SameID, `Okta developer documentation, "SCIM 2.0": {"id": id, "displayName": name} before every change of members`},
		{ReadOnlyInPatch, `assumed: values without a path may repeat schemas`},
		{IgnoreUnknown, `assumed: administrators map attributes that no schema has`},
		{CreateOnMiss, `assumed: catalogue applications may map typed values that are missing here`},
		{SkipUnknownMembers, `an integrator's report: one unknown id fails the push of a whole group, and a 400 is not sent again`},
		{SkipRefusedRoles, `assumed: administrators map roles before the setting names them, and one refused value must not stop a person`},
	}}

	// OneLogin sends JSON from a template that an administrator writes.
	OneLogin = &Dialect{Name: "onelogin", Allowances: []Allowance{
		{NoSchemas, `assumed: a template may leave schemas out`},
		{LegacySchemas, `assumed: a template made for SCIM 1.0 names its schemas`},
		{UnknownSchemas, `assumed: a template may name a schema of its own`},
		{EmptyClears, `assumed: a macro without a value gives ""`},
		{BooleanStrings, `assumed: a macro in quotation marks gives a string`},
		{LooseComplex, `assumed: a template may write one value where a list is due`},
		{IgnoreUnknown, `assumed: a template may hold any attribute`},
		{ReadOnlyInPatch, `assumed: its PATCH without a path carries the template, schemas with it`},
		{SameID, `assumed: its PATCH without a path carries the template, id with it`},
		{CreateOnMiss, `assumed: typed values that are missing here are patched`},
		{KeepMembers, `assumed: a template of a group holds no members`},
		{SkipRefusedRoles, `assumed: administrators map roles before the setting names them, and one refused value must not stop a person`},
	}}

	// Google is automatic provisioning of Google Workspace; it knows no groups.
	Google = &Dialect{Name: "google", Allowances: []Allowance{
		{LegacySchemas, `assumed: some catalogue applications name urn:scim:schemas:core:1.0`},
		{EmptyClears, `assumed: attributes without a value arrive as ""`},
		{IgnoreUnknown, `assumed: administrators map attributes that no schema has`},
		{ReadOnlyInPatch, `assumed: values without a path may repeat schemas`},
		{CreateOnMiss, `assumed: typed values that are missing here are patched`},
		{SkipRefusedRoles, `assumed: administrators map roles before the setting names them, and one refused value must not stop a person`},
	}}

	// JumpCloud is JumpCloud's custom SCIM integration.
	JumpCloud = &Dialect{Name: "jumpcloud", Allowances: []Allowance{
		{RemoveByValue, `a guide for integrators: remove members with value [{"value": id}]`},
		{EmptyClears, `assumed: attributes without a value arrive as ""`},
		{IgnoreUnknown, `assumed: administrators map attributes that no schema has`},
		{ReadOnlyInPatch, `assumed: values without a path may repeat schemas`},
		{SameID, `assumed: values without a path may repeat id`},
		{CreateOnMiss, `assumed: typed values that are missing here are patched`},
		{KeepMembers, `assumed: it changes members by PATCH and never means to empty a group by silence`},
		{SkipRefusedRoles, `assumed: administrators map roles before the setting names them, and one refused value must not stop a person`},
	}}

	// Ping is the provisioner of PingOne and PingFederate.
	Ping = &Dialect{Name: "ping", Allowances: []Allowance{
		{NoSchemas, `assumed: connectors made for SCIM 1.1 may leave schemas out`},
		{LegacySchemas, `Ping documentation: it speaks SCIM 1.1 too, whose schema is urn:scim:schemas:core:1.0`},
		{EmptyClears, `assumed: attributes without a value arrive as ""`},
		{IgnoreUnknown, `assumed: administrators map attributes that no schema has`},
		{SubAfterFilter, `Ping documentation: the filter is written by an administrator`},
		{CreateOnMiss, `assumed: typed values that are missing here are patched`},
		{KeepMembers, `assumed: it changes members by PATCH and never means to empty a group by silence`},
		{SkipRefusedRoles, `assumed: administrators map roles before the setting names them, and one refused value must not stop a person`},
	}}

	// Dialects lists them all.
	Dialects = []*Dialect{Entra, Okta, OneLogin, Google, JumpCloud, Ping, RFC}
)

// legacySchemas are the URIs that LegacySchemas drops, in lower case.
var legacySchemas = []string{
	"http://schemas.microsoft.com/2006/11/resourcemanagement/adscim/",
	"urn:scim:schemas:core:1.0",
	"urn:scim:schemas:extension:enterprise:1.0",
}
