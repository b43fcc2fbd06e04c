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
	// LooseComplex accepts a bare string for a complex attribute with a "value", a list of one for a
	// single value, and one value for a list.
	LooseComplex Deviation = "loose-complex"
	// EmptyClears reads "" as no value for an attribute that is not required. By RFC 7643 section 2.5
	// only null and [] are no value.
	EmptyClears Deviation = "empty-string-clears"
	// LegacySchemas drops the URIs of schemas that came before the standard or beside it.
	LegacySchemas Deviation = "legacy-schemas"
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
	// UniqueGroupNames has a store answer 409 to a second group of the same displayName, which RFC
	// 7643 section 4.2 would allow.
	UniqueGroupNames Deviation = "unique-group-names"
)

// The dialects.
var (
	RFC = &Dialect{Name: "rfc"}

	Entra = &Dialect{Name: "entra", Allowances: []Allowance{
		{BooleanStrings, "Microsoft Learn, SCIM compatibility of application provisioning: without its feature flag it sends \"True\" and \"False\" as strings"},
		{CreateOnMiss, "Microsoft Learn, use SCIM to provision users and groups: add and replace of emails[type eq \"work\"].value on a user without one"},
		{RemoveByValue, "Microsoft Learn, SCIM compatibility of application provisioning: remove members with value [{\"value\": id}]"},
		{SubAfterFilter, "Microsoft Learn, use SCIM to provision users and groups: matching by emails[type eq \"work\"].value eq"},
		{LooseComplex, "Microsoft SCIM Validator and SCIMServer's note on manager: the manager as a bare string or a list of one"},
		{EmptyClears, "SCIMServer's note on manager: removal as replace with \"\""},
		{LegacySchemas, "Microsoft Learn, use SCIM to provision users and groups: POST /Groups names http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"},
		{KeepMembers, "its group updates name only what changed"},
		{ReadOnlyInPatch, "with aadOptscim062020 its values may repeat schemas"},
		{IgnoreUnknown, "administrators map attributes that no schema has"},
		{UniqueGroupNames, "Microsoft SCIM Validator: a second group of the same displayName must answer 409"},
	}}

	Okta = &Dialect{Name: "okta", Allowances: []Allowance{
		{SameID, "Okta developer documentation, SCIM 2.0: {\"id\": id, \"displayName\": name} before every membership change"},
		{ReadOnlyInPatch, "Okta developer documentation, SCIM 2.0: values without a path repeat schemas"},
		{IgnoreUnknown, "Okta developer documentation, SCIM 2.0: profiles carry attributes of the administrator's choice"},
		{EmptyClears, "Okta developer documentation, SCIM FAQ: unmapped attributes arrive as empty strings"},
		{CreateOnMiss, "gallery applications patch emails[type eq \"work\"].value"},
		{SubAfterFilter, "matching filters are written by the application's author"},
		{KeepMembers, "PUT of a group's profile alone"},
	}}

	OneLogin = &Dialect{Name: "onelogin", Allowances: []Allowance{
		{NoSchemas, "the JSON comes from a template that an administrator writes"},
		{LegacySchemas, "templates written for SCIM 1.0 name urn:scim:schemas:core:1.0"},
		{EmptyClears, "templates fill unset fields with \"\""},
		{BooleanStrings, "templates quote their macros"},
		{LooseComplex, "templates write one value where a list is due"},
		{IgnoreUnknown, "templates carry any attribute"},
		{ReadOnlyInPatch, "its PATCH repeats the template, schemas with it"},
		{SameID, "its PATCH repeats the template, id with it"},
		{CreateOnMiss, "its PATCH names typed values that may be missing"},
		{KeepMembers, "templates of groups hold no members"},
	}}

	Google = &Dialect{Name: "google", Allowances: []Allowance{
		{LegacySchemas, "some catalogue applications name urn:scim:schemas:core:1.0"},
		{EmptyClears, "unmapped attributes arrive as empty strings"},
		{IgnoreUnknown, "attribute mappings are the administrator's"},
		{ReadOnlyInPatch, "whole attributes are patched, schemas with them"},
		{CreateOnMiss, "typed values that may be missing are patched"},
	}}

	JumpCloud = &Dialect{Name: "jumpcloud", Allowances: []Allowance{
		{RemoveByValue, "removes members with value [{\"value\": id}]"},
		{EmptyClears, "unset attributes arrive as empty strings"},
		{IgnoreUnknown, "attribute mappings are the administrator's"},
		{ReadOnlyInPatch, "values without a path repeat schemas"},
		{SameID, "values without a path repeat id"},
		{KeepMembers, "PUT of a group's profile alone"},
	}}

	Ping = &Dialect{Name: "ping", Allowances: []Allowance{
		{NoSchemas, "connectors made for SCIM 1.1"},
		{LegacySchemas, "connectors made for SCIM 1.1 name urn:scim:schemas:core:1.0"},
		{EmptyClears, "unset attributes arrive as empty strings"},
		{IgnoreUnknown, "attribute mappings are the administrator's"},
		{SubAfterFilter, "PingFederate: the filter is written by the administrator"},
		{CreateOnMiss, "typed values that may be missing are patched"},
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
