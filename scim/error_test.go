package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

func TestError_JSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   *Error
		want string
	}{
		"H-01 the status is a string":      {Errorf(404, "", "No such user."), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"No such user."}`},
		"H-02 a keyword on 400":            {Errorf(400, InvalidPath, "x"), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidPath","detail":"x"}`},
		"H-02 a keyword on 409 uniqueness": {Errorf(409, Uniqueness, "x"), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"x"}`},
		"H-02 a keyword on 403 sensitive":  {Errorf(403, Sensitive, "x"), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"403","scimType":"sensitive","detail":"x"}`},
		"H-02 none on another 409":         {Errorf(409, InvalidValue, "x"), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","detail":"x"}`},
		"H-02 none on 412":                 {Errorf(412, InvalidValue, "x"), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"412","detail":"x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(c.in)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestAsError_HidesWhatIsNotForTheClient(t *testing.T) {
	t.Parallel()
	if e := AsError(errors.New("dial tcp 10.0.0.7")); e.Status != 500 || e.Detail != "The server could not complete the request." {
		t.Errorf("got %+v", e)
	}
	if e := AsError(fmt.Errorf("user 7: %w", Errorf(404, "", "No such user."))); e.Status != 404 {
		t.Errorf("got %+v", e)
	}
}
