package scim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncodeFolded_IsTheEncodingOfFolded(t *testing.T) {
	t.Parallel()
	rt := UserType(Extension{Schema: EnterpriseUser()})
	for name, body := range map[string]string{
		"nothing":      `{"schemas":["` + UserURN + `"],"userName":"Ada"}`,
		"a whole user": `{"schemas":["` + UserURN + `"],"id":"x","externalId":"EXT-1","userName":"ＡＤＡ","active":false,"name":{"givenName":"ÅSA","formatted":""},"emails":[{"value":"A@B.example","type":"Work","primary":true},{"value":""},{"type":"HOME","value":"c@d.example"}],"x509Certificates":[{"value":"QQ=="}],"meta":{"created":"2026-01-31T09:30:00Z"},"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R&D <Ünit>","manager":{"value":"M1"}}}`,
		"empty parts":  `{"schemas":["` + UserURN + `"],"userName":"a","title":"","name":{"givenName":""},"emails":[{"value":""}],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":""}}`,
	} {
		a, err := DecodeJSON([]byte(body), DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		f := Folded(rt, a)
		delete(f, "id")
		delete(f, "meta")
		if diff := cmp.Diff(string(rt.EncodeJSON(f)), string(rt.EncodeFolded(a))); diff != "" {
			t.Errorf("%s: Folded (-), EncodeFolded (+):\n%s", name, diff)
		}
	}
}
