package provisioning

import "testing"

// The log calls whom a directory read by the name in the answer, and only by one that is the user's own; whoever has none there is
// looked up.
func TestShownName_IsTheObjectsOwn(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"schemas":["a"],"id":"1","userName":"ann","displayName":"Ann Archer","active":true}`: "Ann Archer",
		`{"displayName":"Ann"},{"displayName":"Bob"}`:                                          "Ann",
		`{"name":{"formatted":"{\"}"},"displayName":"Ann"}`:                                    "Ann",
		`{"title":"\\","displayName":"Ann"}`:                                                   "Ann",
		`{"title":"\\\",\"displayName\":\"Eve","displayName":"Ann"}`:                           "Ann",
		`{"title":"displayName","active":true}`:                                                "",
		`{"urn:x":{"manager":{"displayName":"Boss"}}}`:                                         "",
		`{"urn:x":{"manager":{"displayName":"Boss"}},"displayName":"Ann"}`:                     "Ann",
		`{"title":"x"},{"displayName":"Bob"}`:                                                  "",
		`{"displayName":"Ann \"the\" Archer"}`:                                                 "",
		`{"displayName":"Ann Arch`:                                                             "",
		`{"title":"Ann\`:                                                                       "",
		`{"displayName":null}`:                                                                 "",
		`[{"displayName":"Ann"}]`:                                                              "",
		``:                                                                                     "",
	} {
		if got := shownName([]byte(answer)); got != want {
			t.Errorf("%s: got %q, want %q", answer, got, want)
		}
	}
}
