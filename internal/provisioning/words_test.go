package provisioning

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

// What a request may be looked for by are the strings in it that are values, as they were meant and not as they were written.
func TestTexts_AreTheValues(t *testing.T) {
	t.Parallel()
	for document, want := range map[string][]string{
		`{"userName":"ann","name":{"givenName" : "Ann"},"active":true,"n":1}`: {"ann", "Ann"},
		"{\"a\"\r\n\t :\"1\",\"b\":[\"2\", \"3\"],\"c\":null}":                {"1", "2", "3"},
		`{"title":"\\","a":"b"}`:               {`\`, "b"},
		`{"title":"\"quoted\"","a":"b"}`:       {`"quoted"`, "b"},
		`{"title":"\\\"","a":"b"}`:             {`\"`, "b"},
		`{"a\"b":"c","d\\":"e"}`:               {"c", "e"},
		`{"a":"\u00c6var","b":"\ud83d\ude00"}`: {"Ævar", "😀"},
		`{"a":"","b":"x"}`:                     {"", "x"},
		`{"a":"bad \x escape","b":"c"}`:        {"c"},
		`{"a":"begun \"`:                       nil,
		`{"a":"b","c":"begun`:                  {"b"},
		`["a", "b"`:                            {"a", "b"},
		`"alone"`:                              {"alone"},
		``:                                     nil,
		`{}`:                                   nil,
	} {
		var got []string
		texts(document, func(s string) { got = append(got, s) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s", document, cmp.Diff(got, want))
		}
	}
}
