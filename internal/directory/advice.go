package directory

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/vestibule-id/vestibule/scim"
)

// Advice says what to do about a refused request: where in the provider's screens, and what to change there.
type Advice struct {
	Problem string // what is wrong, in a sentence
	Where   string // the way through the provider's screens; "" where nothing is to be done there
	Do      string
}

// place is a kind of screen that every provider has under another name.
type place int

const (
	nowhere place = iota
	mapping
	credentials
	scope
	groups
	retry
	address
)

// screens are the ways through each provider's administration, as its administrators read them.
var screens = map[string]map[place]string{
	"entra": {
		mapping:     "Enterprise applications › the application › Provisioning › Mappings › Provision Microsoft Entra ID Users",
		credentials: "Enterprise applications › the application › Provisioning › Admin Credentials › Secret Token",
		scope:       "Enterprise applications › the application › Users and groups, and Provisioning › Settings › Scope",
		groups:      "Enterprise applications › the application › Provisioning › Mappings › Provision Microsoft Entra ID Groups",
		retry:       "Enterprise applications › the application › Provisioning › Provision on demand",
		address:     "Enterprise applications › the application › Provisioning › Admin Credentials › Tenant URL",
	},
	"okta": {
		mapping:     "Applications › the application › Provisioning › To App › Attribute Mappings",
		credentials: "Applications › the application › Provisioning › Integration › Edit › the API token or Authorization header",
		scope:       "Applications › the application › Assignments",
		groups:      "Applications › the application › Push Groups",
		retry:       "Dashboard › Tasks › Retry Selected, or Applications › the application › Assignments › Provision User",
		address:     "Applications › the application › Provisioning › Integration › Edit › SCIM connector base URL",
	},
	"onelogin": {
		mapping:     "Applications › the application › Parameters, and Configuration › SCIM JSON Template",
		credentials: "Applications › the application › Configuration › SCIM Bearer Token",
		scope:       "Applications › the application › Access and Rules",
		groups:      "Applications › the application › Parameters › Groups, and Rules",
		retry:       "Applications › the application › Users › the user › Retry",
		address:     "Applications › the application › Configuration › SCIM Base URL",
	},
	"google": {
		mapping:     "Apps › Web and mobile apps › the application › Autoprovisioning › Attribute mapping",
		credentials: "Apps › Web and mobile apps › the application › Autoprovisioning › Edit access token",
		scope:       "Apps › Web and mobile apps › the application › User access, and Autoprovisioning › Provisioning scope",
		groups:      "Apps › Web and mobile apps › the application › Autoprovisioning",
		retry:       "Apps › Web and mobile apps › the application › Autoprovisioning: switch it off and on",
		address:     "Apps › Web and mobile apps › the application › Autoprovisioning › Edit endpoint URL",
	},
	"jumpcloud": {
		mapping:     "SSO Applications › the application › Identity Management › Attribute Mapping",
		credentials: "SSO Applications › the application › Identity Management › Token Key",
		scope:       "SSO Applications › the application › User Groups",
		groups:      "SSO Applications › the application › Identity Management › Group Management",
		retry:       "SSO Applications › the application › User Groups: take the user's group off and on",
		address:     "SSO Applications › the application › Identity Management › Base URL",
	},
	"ping": {
		mapping:     "Integrations › Provisioning › Rules › the rule › Attribute Mapping",
		credentials: "Integrations › Provisioning › Connections › the connection › Configuration › OAuth Access Token",
		scope:       "Integrations › Provisioning › Rules › the rule › User Filter",
		groups:      "Integrations › Provisioning › Rules › the rule › Group Provisioning",
		retry:       "Integrations › Provisioning › Rules › the rule: switch it off and on",
		address:     "Integrations › Provisioning › Connections › the connection › Configuration › SCIM Base URL",
	},
	"rfc": {
		mapping:     "The attribute mapping of your provisioning client",
		credentials: "The bearer token of your provisioning client",
		scope:       "The list of people that your provisioning client pushes",
		groups:      "The group settings of your provisioning client",
		retry:       "The retry of your provisioning client",
		address:     "The base URL of your provisioning client",
	},
}

// sources names the attribute of a provider that usually holds what one of ours needs.
var sources = map[string]map[string]string{
	"entra":     {"userName": "userPrincipalName", "externalId": "objectId", "displayName": "displayName", "emails": "mail", "active": "Switch([IsSoftDeleted], , \"False\", \"True\", \"True\", \"False\")"},
	"okta":      {"userName": "user.login", "externalId": "user.getInternalProperty(\"id\")", "displayName": "user.displayName", "emails": "user.email"},
	"onelogin":  {"userName": "{$user.email}", "externalId": "{$user.id}", "displayName": "{$user.display_name}", "emails": "{$user.email}"},
	"google":    {"userName": "Username", "displayName": "Full name", "emails": "Username"},
	"jumpcloud": {"userName": "email", "displayName": "displayname", "emails": "email"},
	"ping":      {"userName": "Username", "displayName": "Formatted Name", "emails": "Email Address"},
}

// trouble is one way for a request to fail. The first of the table that fits is the one. %a is the attribute that the
// error names, %s what usually fills it at the provider.
type trouble struct {
	status int // 0 is any
	typ    scim.ScimType
	detail *regexp.Regexp
	Advice
	where place
}

func about(text string) *regexp.Regexp { return regexp.MustCompile(text) }

var troubles = []trouble{
	{401, "", about(`token "[^"]*" expired`), Advice{"The token that this request came with has expired, so nothing of what the directory sends arrives.", "", "Make a new token here with “vestibule token create” or renew it in the operator's file, enter it there, and test the connection. The directory sends what was refused again by itself."}, credentials},
	{401, "", nil, Advice{"The request came without a token of this directory.", "", "Enter a token of this directory there, and test the connection. If nobody changed it there, somebody else is calling this address."}, credentials},
	{403, "", about(`Discovery`), Advice{"Discovery was asked with a filter, which the standard forbids.", "", "Nothing is lost. Take the filter away if your client lets you."}, nowhere},
	{403, scim.Sensitive, nil, Advice{"The request carries something sensitive in its address.", "", "Let the client send such a search by POST to .search."}, mapping},
	{403, "", nil, Advice{"The directory may not do this.", "", "An administrator of this organization decides it; the directory cannot."}, nowhere},
	{404, "", about(`^(User|Group) `), Advice{"The directory speaks of somebody, or of a group, that is not here any more, or never was of this directory.", "", "Push the person or group again, so that the directory learns the present id. If that does not help, restart its provisioning, which clears what it remembers."}, retry},
	{404, "", nil, Advice{"There is nothing at the address the directory called.", "", "Compare the base URL there with the one on the page Directories: it ends in /v2."}, address},
	{405, "", nil, Advice{"This address does not take this method.", "", "Compare the base URL there with the one on the page Directories: it ends in /v2 and names no resource."}, address},
	{409, scim.Uniqueness, about(`displayName`), Advice{"This directory has a group of that name already.", "", "Rename one of the two there, or take the second out of what is pushed."}, groups},
	{409, scim.Uniqueness, about(`must be unique`), Advice{"Somebody else of this directory has a value that no two may have; the message names the attribute.", "", "Correct the value of one of the two there. If two may have it, take uniqueness from the attribute's schema in the operator's files."}, mapping},
	{409, scim.Uniqueness, nil, Advice{"Somebody here holds that userName already.", "", "If they are the same person, say so under Conflicts here and the next push joins them. If they are different people, give one of them another userName there."}, mapping},
	{409, "", nil, Advice{"The operation waits for another one of the same request, which failed.", "", "Look at the first failure of the request and mend that one."}, nowhere},
	{412, "", nil, Advice{"The directory wanted to change a version that is not the present one: somebody was faster.", "", "Nothing is lost: the directory reads again and sends its change anew."}, retry},
	{413, "", nil, Advice{"The request is larger than this server takes.", "", "Push large groups by changes of members and not as a whole, or let the client send fewer operations at once."}, groups},
	{415, "", nil, Advice{"The body came with a media type that is not JSON.", "", "Let the client send application/scim+json or application/json."}, address},
	{429, "", nil, Advice{"The directory sent more requests than it may in this time.", "", "Nothing is lost: it waits and sends again. If it happens often, raise rate_limit of this directory in the operator's file."}, nowhere},
	{501, "", nil, Advice{"The directory asked for something that this server does not have.", "", "Switch it off in the client if it is not needed. A directory's token belongs to no person, so there is no /Me."}, nowhere},
	{400, scim.InvalidValue, about(`^The manager`), Advice{"The manager is not a user that this directory has pushed.", "", "Push the manager too, and before; or take the mapping of manager away."}, scope},
	{400, scim.InvalidValue, about(`^These members`), Advice{"The group has members that this directory has not pushed.", "", "Push those members too: bring them into the scope. The message names them."}, scope},
	{400, scim.InvalidValue, about(`may not give the role`), Advice{"The directory gives a role that its setting here does not name.", "", "Name the role under roles.accept of this directory in the operator's file, or take it out of what is mapped to roles or entitlements there."}, mapping},
	{400, scim.InvalidValue, about(`[uU][rR][nN]:\S+ is required`), Advice{"The directory sends nothing of a schema that everybody of it must have; the message names it.", "", "Map at least one attribute of that schema there, or take “required” from it under extensions of this directory in the operator's file."}, mapping},
	{400, scim.InvalidValue, about(`is required`), Advice{"The directory sends no %a, and without it nobody can be made.", "", "Map %a there%s, save, and push the person again."}, mapping},
	{400, scim.InvalidValue, about(`is missing|has no value`), Advice{"The directory sends an operation without a value.", "", "See that the attribute it maps has a value for this person, or let it be left out when empty."}, mapping},
	{400, scim.InvalidValue, about(`primary`), Advice{"More than one value of %a is marked as primary.", "", "Let only one mapping of %a be the primary one."}, mapping},
	{400, scim.InvalidValue, about(`must be|has one value|not a list`), Advice{"What the directory sends for %a is not of the kind the attribute has.", "", "Correct the mapping of %a: a list where there may be several, true or false without quotation marks, a date as 2026-01-31T09:30:00Z."}, mapping},
	{400, scim.InvalidValue, nil, Advice{"The directory sends a value that cannot be taken; the message says which.", "", "Correct the mapping of the attribute that the message names."}, mapping},
	{400, scim.InvalidPath, nil, Advice{"The directory maps to an attribute that does not exist here: %a.", "", "Take that mapping away, or map to an attribute that stands in the schemas of this directory. One of your own is declared under extensions in the operator's file."}, mapping},
	{400, scim.InvalidSyntax, about(`has no attribute`), Advice{"The directory sends an attribute that does not exist here: %a.", "", "Take that mapping away, or map to an attribute that stands in the schemas of this directory. One of your own is declared under extensions in the operator's file."}, mapping},
	{400, scim.InvalidSyntax, about(`schema`), Advice{"The request names a schema that is not known here, or none.", "", "Let the template name urn:ietf:params:scim:schemas:core:2.0:User, and the enterprise schema where its attributes are sent."}, mapping},
	{400, scim.InvalidSyntax, nil, Advice{"The body is not what the standard describes.", "", "If an administrator writes the template, correct it. Otherwise set the dialect of this directory in the operator's file to the provider it is."}, mapping},
	{400, scim.Mutability, nil, Advice{"The directory changes what may not be changed: %a.", "", "Take the mapping of %a away, or let it be set at creation only."}, mapping},
	{400, scim.NoTarget, nil, Advice{"The directory changes an element that the person does not have here.", "", "Push the person as a whole once, so that the element is there. If it goes on, set the dialect of this directory to the provider it is."}, retry},
	{400, scim.InvalidFilter, nil, Advice{"The directory matches people by a filter that cannot be answered.", "", "Match by userName or externalId. A filter of your own must name attributes of the User schema, such as emails.value and not email."}, mapping},
	{400, scim.TooMany, nil, Advice{"The filter finds more than can be worked on.", "", "Match by an attribute that only one person has."}, mapping},
	{400, scim.InvalidVers, nil, Advice{"The client speaks another version of the protocol.", "", "Choose SCIM 2.0, with the base URL of the page Directories."}, address},
	{400, scim.InvalidCursor, nil, Advice{"The directory went on in a list that this server did not begin.", "", "Nothing is lost: it begins its walk again."}, retry},
	{400, scim.ExpiredCursor, nil, Advice{"The directory went on in a list after more than an hour.", "", "Nothing is lost: it begins its walk again."}, retry},
	{400, scim.InvalidCount, nil, Advice{"The directory changed its page size in the middle of a list.", "", "Leave the page size as it is during a walk."}, retry},
	{400, "", nil, Advice{"The request is not as the standard describes it; the message says why.", "", "Set the dialect of this directory in the operator's file to the provider it is, and correct what the message names."}, mapping},
	{503, "", about(`took \d+ people away`), Advice{"The directory took many people away at once, so its brake holds back what it gives.", "", "Look at the directory here: undo the wave if it was a mistake, or release it. The directory then sends what waited by itself."}, scope},
	{503, "", nil, Advice{"The store could not be reached for a moment.", "", "Nothing is lost: the directory sends again by itself."}, retry},
}

// attributes find the attribute that an error is about; the first that fits does.
var attributes = []*regexp.Regexp{
	about(`has no (?:sub-)?attribute "([^"]+)"`),
	about(`^(?:Operation \d+: )?(?:[a-zA-Z0-9:._-]+:)?([a-zA-Z$][a-zA-Z0-9._]*) (?:is|must|has|holds|cannot|may)`),
}

// AdviceFor says what to do about a refusal, in the words and screens of the dialect's provider; an unknown dialect is
// advised as any client of the standard. Every status of 400 and above has advice.
func AdviceFor(dialect string, status int, typ scim.ScimType, detail string) Advice {
	dialect = strings.ToLower(dialect)
	if screens[dialect] == nil {
		dialect = scim.RFC.Name
	}
	name := "an attribute"
	for _, a := range attributes {
		if m := a.FindStringSubmatch(detail); m != nil {
			name = m[1]
			break
		}
	}
	source := ""
	if s := sources[dialect][name]; s != "" {
		source = ", usually from " + s
	}
	for _, t := range troubles {
		if t.status == status && (t.typ == "" || t.typ == typ) && (t.detail == nil || t.detail.MatchString(detail)) {
			fill := strings.NewReplacer("%a", name, "%s", source)
			return Advice{Problem: fill.Replace(t.Problem), Where: screens[dialect][t.where], Do: fill.Replace(t.Do)}
		}
	}
	if status < http.StatusInternalServerError {
		return Advice{Problem: "The request was refused; the message says why.", Where: screens[dialect][mapping], Do: "Correct what the message names."}
	}
	return Advice{Problem: "This server could not do it. The fault is here and not with the directory.", Do: "The directory sends again by itself. If it goes on, give the id of the request to whoever runs this installation: it stands in the server's log."}
}

// AdviceForSilence says what to do about somebody of whom the directory has never spoken.
func AdviceForSilence(dialect string) Advice {
	if screens[dialect] == nil {
		dialect = scim.RFC.Name
	}
	return Advice{
		Problem: "The directory has not sent anything about this person.", Where: screens[dialect][scope],
		Do: "Assign the person, or a group they are in, to the application there. Then push them at once: " + screens[dialect][retry] + ".",
	}
}

// RepairWords say what a dialect's deviation is, for whoever reads what was forgiven.
var RepairWords = map[scim.Deviation]string{
	scim.BooleanStrings:     "true or false came as a text",
	scim.CreateOnMiss:       "a value that was not there was made instead of changed",
	scim.RemoveByValue:      "members to remove came as a list; only these were removed",
	scim.SubAfterFilter:     "a filter went on after its bracket",
	scim.LooseComplex:       "one value came where a list is due, or the other way round",
	scim.EmptyClears:        "an empty text was read as no value",
	scim.LegacySchemas:      "an old schema was named, and ignored",
	scim.UnknownSchemas:     "a schema that is not known here was named, and ignored",
	scim.TwiceEncoded:       "a value to look for came encoded twice, and was decoded",
	scim.NoSchemas:          "no schema was named, and the usual one was assumed",
	scim.KeepMembers:        "members were left out, and kept",
	scim.SameID:             "the resource's own id was repeated, and ignored",
	scim.ReadOnlyInPatch:    "what only the server writes was repeated, and ignored",
	scim.IgnoreUnknown:      "an attribute that does not exist here was ignored",
	scim.SkipUnknownMembers: "members that are not known here were left out",
	scim.SkipRefusedRoles:   "roles that the directory may not give were left out",
	scim.UniqueGroupNames:   "a second group of the same name was refused",
}
