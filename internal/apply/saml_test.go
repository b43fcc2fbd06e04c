package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/apply"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

const samlMetadata = "metadata: {env: FIELDSERV_SAML_METADATA}"

func TestRun_TheChoicesOfASAMLConnection(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	file := edited(t, samlMetadata, samlMetadata+`
        upstream_logout: true
        acr_values: ["urn:example:mfa"]
        saml:
          entity_id: https://idp.example/entity
          binding: post
          name_id_format: persistent
          force_authn: true
          signed: both
          unsolicited: true
          ignore_certificate_dates: true
          clock_skew: 3m
          #`)
	if _, err := run(db, apply.Options{}, getenv(), file); err != nil {
		t.Fatal(err)
	}
	var got store.SignInConnection
	err := db.Read(context.Background(), "fieldserv", func(tx *store.Tx) (err error) {
		got, err = tx.SignInConnection(context.Background(), "saml")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := connection.SAMLChoices{
		EntityID: "https://idp.example/entity", Binding: connection.RequestPost, NameIDFormat: "persistent", ForceAuthn: true, Signed: "both",
		Unsolicited: true, IgnoreCertificateDates: true, ClockSkewSeconds: 180,
	}
	if diff := cmp.Diff(want, got.Settings.SAML); diff != "" || !got.Settings.UpstreamLogout || len(got.Settings.ACRValues) != 1 {
		t.Errorf("(-want +got)\n%s %+v", diff, got.Settings)
	}
	if plan, err := run(db, apply.Options{}, getenv(), file); err != nil || !strings.Contains(strings.ToLower(plan), "nothing to change") {
		t.Errorf("a second time: %v %v", plan, err)
	}
}

// A federation hands out many providers in one document; saml.entity_id says which.
func TestRun_AFederationsMetadataIsMetadata(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	const federation = `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"><EntityDescriptor entityID="https://idp.example/entity"/></EntitiesDescriptor>`
	mustRun(t, db, apply.Options{}, getenv("FIELDSERV_SAML_METADATA", federation), edited(t, samlMetadata, samlMetadata+`
        saml: {entity_id: "https://idp.example/entity"}
        #`))
}

func TestRun_RefusesSAMLChoicesThatCannotHold(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	for choice, want := range map[string]string{
		"binding: soap":                   `connections[0].saml.binding: "soap" is neither redirect nor post`,
		"signed: neither":                 `connections[0].saml.signed: "neither" is none of either, assertion, response, both`,
		"clock_skew: 6m":                  "connections[0].saml.clock_skew: A clock may be up to five minutes off",
		"name_id_format: transient":       `connections[0].saml.name_id_format: "transient" is neither`,
		"metadata_signed_by: certificate": "connections[0].saml.metadata_signed_by: The key that signs the metadata cannot be read",
		"name_id_format: \"urn:oasis:names:tc:SAML:2.0:nameid-format:transient\"": "would make another person of everybody",
		"acs: https://evil.example": "there is no such field here",
	} {
		_, err := run(db, apply.Options{}, getenv(), edited(t, samlMetadata, samlMetadata+"\n        saml: {"+choice+"}\n        #"))
		var problems apply.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v\nwant %q in it", choice, err, want)
		}
	}
}

func TestRun_RefusesSAMLApplicationsThatCannotBeServed(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t, storetest.SQLite)
	const address = "acs_url: http://127.0.0.1:9402/acs"
	for given, want := range map[string]string{
		"acs_url: http://reports.example/acs":                               "applications[1].acs_url: A SAML application needs the https address",
		"acs_url: javascript:alert(1)":                                      "applications[1].acs_url: A SAML application needs the https address",
		address + "\n    name_id: transient":                                "applications[1].name_id: It is persistent, email, user_name or external_id.",
		address + "\n    certificates: [nowhere.pem]":                       "applications[1].certificates[0]",
		address + "\n    certificates: [\"-----BEGIN\"]":                    "applications[1].certificates: This is not PEM.",
		address + "\n    encryption_certificate: \"-----\"":                 "applications[1].encryption_certificate: This is not PEM.",
		address + "\n    slo_url: https://reports.example/slo":              "applications[1].certificates: Single logout needs the certificate",
		address + "\n    slo_url: \"javascript:alert(1)\"":                  "applications[1].slo_url: It must be an absolute https address",
		address + "\n    slo_response_url: http://reports.example/slo/done": "applications[1].slo_response_url: It must be an absolute https address",
		address + "\n    slo_binding: post":                                 "applications[1].slo_url: Without the address of its single logout service",
		address + "\n    slo_binding: soap":                                 "applications[1].slo_binding: It is redirect or post.",
		address + "\n  - {id: twin, protocol: saml, entity_id: \"http://127.0.0.1:9402/metadata\", acs_url: \"https://twin.example\"}\n    #": "entity_id: it is the application legacy-reports's already",
	} {
		text := edited(t, address, given)
		if strings.Contains(given, "twin") {
			text = edited(t, address+"\n    organizations: [northwind]", address+"\n    organizations: [northwind]\n  - {id: twin, protocol: saml, entity_id: \"http://127.0.0.1:9402/metadata\", acs_url: \"https://twin.example\"}")
		}
		_, err := run(db, apply.Options{}, getenv(), text)
		var problems apply.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v\nwant %q in it", given, err, want)
		}
	}
}
