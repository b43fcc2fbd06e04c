package provisioning_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/scim"
)

const errorURN = "urn:ietf:params:scim:api:messages:2.0:Error"

var assertionsHTTP = map[string]asserted{
	"H-01": func(t *testing.T, c caller) {
		a := c.do(404, "GET", "/Users/nope", "")
		same(t, a.body["schemas"], any([]any{errorURN}))
		that(t, a.body["status"] == "404" && a.text("detail") != "" && a.header.Get("Content-Type") == "application/scim+json", a)
	},
	"H-02": func(t *testing.T, c caller) {
		path := c.who("ann")
		for _, a := range []answer{
			(&client{c.w, c.base, "wrong"}).do(401, "GET", "/Users", ""), c.do(404, "GET", "/Users/nope", ""), c.do(405, "DELETE", "/Users", ""),
			c.do(415, "POST", "/Users", c.body("x"), "Content-Type", "text/plain"), c.do(412, "DELETE", path, "", "If-Match", `W/"9"`), c.do(413, "POST", "/Users", `{"x":"`+strings.Repeat("a", scim.MaxBody)+`"}`), c.do(501, "GET", "/Me", ""),
		} {
			that(t, a.body["scimType"] == nil, a)
		}
		that(t, c.post(409, "ann").text("scimType") == "uniqueness", answer{})
	},
	"H-03": func(_ *testing.T, c caller) {
		c.refused(404, "", "GET", "/Users/nope", "")
		c.refused(404, "", "GET", "/Nope", "")
	},
	"H-04": func(t *testing.T, c caller) {
		for path, allow := range map[string]string{"/ServiceProviderConfig": "GET, HEAD", "/Schemas": "GET, HEAD", "/ResourceTypes": "GET, HEAD"} {
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
				a := c.do(405, method, path, "")
				that(t, a.header.Get("Allow") == allow, a)
			}
		}
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			a := c.do(405, method, "/Users", "")
			that(t, a.header.Get("Allow") == "GET, HEAD, POST", a)
		}
	},
	"H-05": func(_ *testing.T, c caller) {
		c.refused(501, "", "GET", "/Me", "") // the one feature that is off
	},
	"H-06": func(t *testing.T, c caller) {
		bodies := map[string]bool{}
		for _, wrong := range []*client{
			{c.w, c.base, ""}, {c.w, c.base, "nonsense"}, {c.w, c.base, token("fieldserv", "plain")}, {c.w, "/scim/nobody/plain/v2", c.token}, {c.w, "/scim/northwind/nobody/v2", c.token},
		} {
			a := wrong.do(401, "GET", "/Users", "")
			that(t, a.header.Get("WWW-Authenticate") == "Bearer", a)
			bodies[a.raw] = true
		}
		same(t, len(bodies), 1)
	},
	"H-07": func(_ *testing.T, c caller) {
		c.do(201, "POST", "/Users", c.body("a"), "Content-Type", "application/scim+json; charset=utf-8")
		c.do(201, "POST", "/Users", c.body("b"), "Content-Type", "application/json")
	},
	"H-08": func(t *testing.T, c caller) {
		c.refused(415, "", "POST", "/Users", c.body("a"), "Content-Type", "text/plain")
		c.refused(415, "", "POST", "/Users", c.body("a"), "Content-Type", "application/xml")
		r := c.request("POST", "/Users", c.body("a"))
		r.Header.Del("Content-Type")
		a := c.send(r)
		that(t, a.status == 201, a)
	},
	"H-09": func(t *testing.T, c caller) {
		for _, accept := range []string{"application/scim+json", "*/*", "", "application/json"} {
			a := c.do(200, "GET", "/Users?count=0", "", "Accept", accept)
			that(t, a.header.Get("Content-Type") == "application/scim+json", a)
		}
	},
	"H-10": func(_ *testing.T, c caller) {
		for _, body := range []string{"{", "[]", `"x"`, " ", c.body("a") + "{}", strings.Replace(c.body("a"), "a", "\xff", 1)} {
			c.refused(400, "invalidSyntax", "POST", "/Users", body)
		}
		empty := c.request("POST", "/Users", "")
		if a := c.send(empty); a.status != 400 || a.text("scimType") != "invalidSyntax" {
			c.w.t.Errorf("an empty body: %d %s", a.status, a.raw)
		}
	},
	"H-11": func(_ *testing.T, c caller) {
		c.noPost("invalidSyntax", "a", `"USERNAME":"b"`)
	},
	"H-12": func(t *testing.T, c caller) {
		read := &counting{r: strings.NewReader(`{"x":"` + strings.Repeat("a", 3*scim.MaxBody))}
		r := httptest.NewRequest("POST", publicURL+c.base+"/Users", read)
		r.ContentLength = -1
		r.Header.Set("Authorization", "Bearer "+c.token)
		a := c.send(r)
		that(t, a.status == 413 && strings.Contains(a.text("detail"), fmt.Sprint(scim.MaxBody)), a)
		if read.n > scim.MaxBody+1 {
			t.Errorf("%d bytes were read", read.n)
		}
	},
	"H-13": func(t *testing.T, c caller) {
		c.w.settings(directory.Settings{RateLimit: directory.RateLimit{PerMinute: 3}})
		defer c.w.settings(directory.Settings{})
		defer c.w.clock.Advance(2 * time.Minute)
		c.w.clock.Advance(2 * time.Minute)
		var a answer
		for range 6 {
			if a = c.send(c.request("GET", "/Users?count=0", "")); a.status == 429 {
				break
			}
		}
		that(t, a.status == 429 && a.header.Get("Retry-After") != "" && a.body["status"] == "429" && a.body["scimType"] == nil, a)
	},
	"H-14": func(t *testing.T, c caller) {
		for name, tt := range map[string]struct {
			status int
			body   string
		}{
			"depth":   {400, strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)},
			"number":  {400, `{"a":` + strings.Repeat("9", scim.MaxBody-100) + "}"},
			"members": {413, `{` + coreGroup + `,"displayName":"x","members":[` + strings.Repeat(`{"value":"x"},`, 99_999) + `{"value":"x"}]}`},
		} {
			began := time.Now()
			a := c.send(c.request("POST", "/Groups", tt.body))
			that(t, a.status == tt.status, a)
			if took := time.Since(began); took > 5*time.Second { // some milliseconds on a machine at rest
				t.Errorf("%s took %s", name, took)
			}
		}
		c.get("/Users?count=0")
	},
	"H-15": func(t *testing.T, c caller) {
		path := c.who("ann")
		c.get("/" + path)
		v1 := *c.client
		v1.base = strings.Replace(c.base, "/v2", "/v1", 1)
		v1.do(404, "GET", "/Users", "")
		that(t, strings.HasPrefix(c.get(path).meta("location"), publicURL+c.base+"/"), answer{})
	},
}

// counting counts what is read of it.
type counting struct {
	r *strings.Reader
	n int
}

func (r *counting) Read(p []byte) (int, error) {
	n, err := r.r.Read(p[:min(len(p), 1<<16)])
	r.n += n
	return n, err
}

var assertionsCreate = map[string]asserted{
	"C-01": func(t *testing.T, c caller) {
		a := c.post(201, "ann", `"title":"T"`)
		that(t, a.header.Get("Location") == a.meta("location") && a.meta("location") == publicURL+c.base+"/Users/"+a.id() && a.text("title") == "T", a)
	},
	"C-02": func(t *testing.T, c caller) {
		a := c.post(201, "ann", `"id":"mine","meta":{"location":"x","resourceType":"Y"}`)
		that(t, a.id() != "" && a.id() != "mine" && !strings.Contains(a.id(), "bulkId") && a.meta("location") != "x" && a.meta("resourceType") == "User", a)
	},
	"C-03": func(t *testing.T, c caller) {
		g := c.group(c.as("g"))
		a := c.post(201, "ann", `"groups":[{"value":"`+g+`"}]`)
		that(t, a.body["groups"] == nil && len(c.get("/Groups/"+g).values("members")) == 0, a)
	},
	"C-04": func(_ *testing.T, c caller) {
		c.post(201, "ann")
		c.refused(409, "uniqueness", "POST", "/Users", c.body("ann"))
	},
	"C-05": func(_ *testing.T, c caller) {
		c.post(201, "ann")
		c.refused(409, "uniqueness", "POST", "/Users", c.body("ANN"))
	},
	"C-06": func(t *testing.T, c caller) {
		wide, composed, decomposed := "ａnn", "é", "é"
		c.post(201, "ann")
		c.refused(409, "uniqueness", "POST", "/Users", c.body(wide))
		that(t, c.post(201, decomposed).text("userName") == c.as(decomposed), answer{})
		c.refused(409, "uniqueness", "POST", "/Users", c.body(composed))
		that(t, c.post(201, "Ann Lee").text("userName") == c.as("Ann Lee"), answer{}) // the profile itself refuses blanks
	},
	"C-07": func(_ *testing.T, c caller) {
		c.post(201, "a", `"externalId":"x"`)
		c.post(201, "b", `"externalId":"x"`)
	},
	"C-08": func(_ *testing.T, c caller) {
		c.refused(400, "invalidSyntax", "POST", "/Users", `{"userName":"`+c.as("a")+`"}`)
		c.of(c.w.dir("northwind", "onelogin")).do(201, "POST", "/Users", `{"userName":"`+c.as("a")+`"}`)
	},
	"C-09": func(_ *testing.T, c caller) {
		c.refused(400, "invalidSyntax", "POST", "/Users", `{"schemas":["urn:bogus"],"userName":"x"}`)
		c.refused(400, "invalidSyntax", "POST", "/Users", `{`+coreGroup+`,"userName":"x"}`)
		c.of(c.w.dir("northwind", "onelogin")).do(201, "POST", "/Users", `{"schemas":["urn:scim:schemas:core:1.0"],"userName":"`+c.as("b")+`"}`)
	},
	"C-10": func(t *testing.T, c caller) {
		a := c.post(201, "ann", ent(`{"department":"D"}`))
		same(t, a.body["schemas"], any([]any{scim.UserURN, entURN}))
		that(t, at(a.body, entURN, "department") == "D", a)
	},
	"C-11": func(t *testing.T, c caller) {
		a := c.do(201, "POST", "/Users", `{"schemas":["`+scim.UserURN+`","`+entURN+`"],"userName":"`+c.as("a")+`"}`)
		same(t, a.body["schemas"], any([]any{scim.UserURN}))
	},
	"C-12": func(t *testing.T, c caller) {
		a := c.do(201, "POST", "/Users", `{"SCHEMAS":["`+strings.ToUpper(scim.UserURN)+`"],"USERNAME":"`+c.as("a")+`","nickname":"N","`+strings.ToUpper(entURN)+`":{"DEPARTMENT":"D"}}`)
		that(t, a.text("nickName") == "N" && at(a.body, entURN, "department") == "D", a)
	},
	"C-13": func(_ *testing.T, c caller) {
		for _, name := range []string{"", `,"userName":null`, `,"userName":""`, `,"userName":"  "`} {
			c.refused(400, "invalidValue", "POST", "/Users", `{`+coreUser+name+`}`)
		}
	},
	"C-14": func(t *testing.T, c caller) {
		a := c.post(201, "ann", `"nickName":null,"emails":[]`)
		that(t, !slices.Contains(a.keys(), "nickName") && !slices.Contains(a.keys(), "emails"), a)
	},
	"C-15": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		for _, wrong := range []string{
			`"active":"yes"`, `"name":"Ann"`, `"emails":{"value":"a@x"}`, `"nickName":5`, `"x509Certificates":[{"value":"*"}]`, ent(`{"manager":"m"}`),
			`"` + badgeURN + `":{"floor":1.5}`, `"` + badgeURN + `":{"floor":1e2}`, `"` + badgeURN + `":{"hired":"2020-01-01"}`,
		} {
			c.noPost("invalidValue", "a", wrong)
		}
		a := c.of(c.w.entra()).post(201, "b", `"emails":{"value":"b@x","type":"work"}`) // wrapped where the dialect has it
		same(t, a.values("emails"), []string{"b@x"})
	},
	"C-16": func(t *testing.T, c caller) {
		a := c.post(201, "ann", `"x509Certificates":[{"value":"-_-_"}]`)
		same(t, a.values("x509Certificates"), []string{"-_-_"})
	},
	"C-17": func(_ *testing.T, c caller) {
		two := `"emails":[{"value":"a@x","primary":true},{"value":"b@x","primary":true}]`
		c.noPost("invalidValue", "a", two)
		c.refused(400, "invalidValue", "PUT", c.who("b"), c.body("b", two))
	},
	"C-18": func(t *testing.T, c caller) {
		a := c.post(201, "ann", `"emails":[{"value":"a@x","type":"work"},{"value":"A@X","type":"WORK"},{"value":"a@x","type":"home"}]`)
		same(t, len(a.values("emails")), 2)
	},
	"C-19": func(t *testing.T, c caller) {
		a := c.post(201, "ann", `"emails":[{"value":"a@x","type":"foo"}]`)
		same(t, at(a.body["emails"].([]any)[0], "type"), any("foo"))
	},
	"C-20": func(t *testing.T, _ caller) {
		_, err := scim.LoadExtension([]byte(`{"id":"urn:example:x","attributes":[{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c","type":"string"}]}]}]}`))
		if err == nil || !strings.Contains(err.Error(), "inside a complex") {
			t.Errorf("got %v", err)
		}
	},
	"C-21": func(t *testing.T, c caller) {
		c.noPost("invalidSyntax", "a", `"shoeSize":7`)
		a := c.of(c.w.entra()).post(201, "b", `"shoeSize":7`)
		that(t, !strings.Contains(a.raw, "shoeSize"), a)
	},
	"C-22": func(t *testing.T, c caller) {
		const secret = "s3cret-and-never-told"
		a := c.post(201, "ann", `"password":"`+secret+`"`)
		path := "/Users/" + a.id()
		for _, got := range []answer{
			a, c.get(path), c.get(path + "?attributes=password"), c.get("/Users?attributes=password,userName"), c.do(200, "PUT", path, c.body("ann", `"password":"`+secret+`"`)),
			c.do(200, "PATCH", path+"?attributes=password", patchBody(op("replace", "password", `"`+secret+`"`))), c.post(409, "ann", `"password":"`+secret+`"`),
			c.do(400, "POST", "/Users", `{`+coreUser+`,"password":"`+secret+`"}`),
		} {
			that(t, !strings.Contains(got.raw, secret) && got.body["password"] == nil, got)
		}
		for _, e := range c.w.events() {
			if text, _ := json.Marshal(e); strings.Contains(string(text), secret) {
				t.Errorf("%s tells the password", e.Action)
			}
		}
	},
	"C-23": func(t *testing.T, c caller) {
		path := c.who("ann")
		c.do(204, "DELETE", path, "")
		that(t, "/Users/"+c.post(201, "ann").id() != path, answer{})
	},
	"C-24": func(t *testing.T, c caller) {
		a := c.post(201, "ann")
		created, err := time.Parse(time.RFC3339Nano, a.meta("created"))
		that(t, err == nil && created.Equal(c.w.clock.Now()) && a.meta("lastModified") == a.meta("created") && a.meta("resourceType") == "User", a)
	},
	"C-25": func(t *testing.T, c caller) {
		a := c.post(201, "ann")
		that(t, a.body["active"] == true, a)
		c.finds(`active eq true and userName eq "`+c.as("ann")+`"`, "ann")
	},
	"C-26": func(t *testing.T, c caller) {
		statuses := make([]int, 20)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() {
				rec := httptest.NewRecorder()
				c.w.http.ServeHTTP(rec, c.request("POST", "/Users", c.body("ann")))
				statuses[i] = rec.Code
			})
		}
		wg.Wait()
		slices.Sort(statuses)
		same(t, statuses, append([]int{201}, slices.Repeat([]int{409}, 19)...))
	},
	"C-27": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, strings.ReplaceAll(badge, badgeURN, "urn:example:needed"), directory.ResourceUser, true), extension(t, badge, directory.ResourceUser, false)))
		defer func() {
			c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		}()
		c.noPost("invalidValue", "a")
	},
	"C-28": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		c.post(201, "a", `"`+badgeURN+`":{"number":"N1"}`)
		c.refused(409, "uniqueness", "POST", "/Users", c.body("b", `"`+badgeURN+`":{"number":"n1"}`))
	},
}

const everyPart = `"name":{"givenName":"G","familyName":"F"},"emails":[{"value":"a@x","type":"work","primary":true},{"value":"b@x","type":"home"}],"title":"T"`

var assertionsRead = map[string]asserted{
	"R-01": func(t *testing.T, c caller) {
		same(t, c.get(c.who("ann", everyPart)+"?attributes=userName").keys(), []string{"id", "schemas", "userName"})
	},
	"R-02": func(t *testing.T, c caller) {
		a := c.get(c.who("ann", everyPart) + "?excludedAttributes=id,schemas,title")
		that(t, a.id() != "" && a.body["schemas"] != nil && a.body["title"] == nil && a.text("userName") != "", a)
	},
	"R-03": func(t *testing.T, c caller) {
		a := c.get(c.who("ann", `"password":"x"`) + "?attributes=password")
		same(t, a.keys(), []string{"id", "schemas"})
	},
	"R-04": func(t *testing.T, c caller) {
		a := c.get(c.who("ann", everyPart) + "?attributes=name.givenName")
		same(t, a.body["name"], any(map[string]any{"givenName": "G"}))
	},
	"R-05": func(t *testing.T, c caller) {
		a := c.get(c.who("ann", everyPart) + "?attributes=emails.value")
		same(t, a.body["emails"], any([]any{map[string]any{"value": "a@x"}, map[string]any{"value": "b@x"}}))
	},
	"R-06": func(t *testing.T, c caller) {
		a := c.get(c.who("ann", ent(`{"department":"D","costCenter":"C"}`)) + "?attributes=" + entURN + ":department")
		same(t, a.body[entURN], any(map[string]any{"department": "D"}))
		same(t, a.body["schemas"], any([]any{scim.UserURN, entURN}))
	},
	"R-07": func(t *testing.T, c caller) {
		a := c.get(c.who("ann", ent(`{"department":"D","costCenter":"C"}`)) + "?attributes=" + entURN)
		same(t, a.body[entURN], any(map[string]any{"department": "D", "costCenter": "C"}))
	},
	"R-08": func(t *testing.T, c caller) {
		same(t, c.get(c.who("ann", everyPart)+"?attributes=urn:ietf:params:scim:schemas:core:2.0:USER:username").keys(), []string{"id", "schemas", "userName"})
	},
	"R-09": func(t *testing.T, c caller) {
		boss := c.user(c.as("boss"))
		path := c.who("ann", ent(`{"department":"D","manager":{"value":"`+boss+`"}}`))
		a := c.get(path + "?excludedAttributes=" + entURN + ":department")
		same(t, at(a.body, entURN, "manager", "value"), any(boss))
		that(t, at(a.body, entURN, "department") == nil, a)
		a = c.get(path + "?excludedAttributes=" + entURN + ":manager.displayName")
		that(t, at(a.body, entURN, "manager", "value") == boss && at(a.body, entURN, "department") == "D", a)
		g := c.get("/Groups/" + c.group(c.as("g"), boss) + "?excludedAttributes=members")
		that(t, g.body["members"] == nil && g.text("displayName") != "", g)
	},
	"R-10": func(_ *testing.T, c caller) {
		c.refused(400, "invalidValue", "GET", c.who("ann")+"?attributes=title&excludedAttributes=name", "")
	},
	"R-11": func(t *testing.T, c caller) {
		want := []string{"id", "schemas", "title"}
		made := c.do(201, "POST", "/Users?attributes=title", c.body("ann", everyPart))
		same(t, made.keys(), want)
		path := "/Users/" + made.id()
		same(t, c.do(200, "PUT", path+"?attributes=title", c.body("ann", everyPart)).keys(), want)
		same(t, c.do(200, "PATCH", path+"?attributes=title", patchBody(op("replace", "nickName", `"N"`))).keys(), want)
		same(t, sorted(c.get(`/Users?attributes=title&filter=userName eq "` + c.as("ann") + `"`).resources()[0]), want)
		same(t, sorted(c.do(200, "POST", "/Users/.search", `{`+searchReq+`,"attributes":["title"],"filter":"userName eq \"`+c.as("ann")+`\""}`).resources()[0]), want)
		group := "/Groups/" + c.group(c.as("g"))
		same(t, c.do(200, "PATCH", group+"?attributes=displayName", patchBody(op("replace", "displayName", `"N"`))).keys(), []string{"displayName", "id", "schemas"})
	},
	"R-12": func(t *testing.T, c caller) {
		same(t, c.get(c.who("ann", everyPart)+"?attributes=title,nonsense,name.nonsense").keys(), []string{"id", "schemas", "title"})
	},
	"R-13": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false)))
		a := c.post(201, "ann", `"`+badgeURN+`":{"note":"n","floor":1}`)
		that(t, at(a.body, badgeURN, "note") == "n", a) // sent, so answered
		path := "/Users/" + a.id()
		same(t, c.get(path).body[badgeURN], any(map[string]any{"floor": 1.0}))
		same(t, c.get(path + "?attributes=" + badgeURN + ":note").body[badgeURN], any(map[string]any{"note": "n"}))
		a = c.patch(200, path, op("replace", badgeURN+":floor", "2"))
		that(t, at(a.body, badgeURN, "note") == nil && at(a.body, badgeURN, "floor") == 2.0, a)
		a = c.patch(200, path, op("replace", badgeURN+":note", `"m"`))
		that(t, at(a.body, badgeURN, "note") == "m", a)
	},
	"R-14": func(t *testing.T, c caller) {
		a := c.post(201, "ann")
		that(t, !strings.Contains(a.raw, "null") && !strings.Contains(a.raw, "[]") && a.body["nickName"] == nil, a)
		g := c.get("/Groups/" + c.group(c.as("g")))
		that(t, !strings.Contains(g.raw, "null"), g)
	},
	"R-15": func(t *testing.T, c caller) {
		c.w.must(c.w.extended(directory.Enterprise(), extension(t, badge, directory.ResourceUser, false), extension(t, `{"id":"urn:example:parts","attributes":[{"name":"locker","type":"complex","subAttributes":[
			{"name":"code","type":"string","mutability":"writeOnly","returned":"never"},{"name":"number","type":"string","returned":"always"},{"name":"side","type":"string"}]}]}`, directory.ResourceUser, false)))
		a := c.post(201, "ann", `"urn:example:parts":{"locker":{"code":"1234","number":"7","side":"left"}}`)
		that(t, !strings.Contains(a.raw, "1234"), a)
		same(t, c.get("/Users/" + a.id() + "?attributes=urn:example:parts:locker.side").body["urn:example:parts"], any(map[string]any{"locker": map[string]any{"number": "7", "side": "left"}}))
		same(t, c.get("/Users/" + a.id() + "?attributes=urn:example:parts:locker.code").body["urn:example:parts"], any(map[string]any{"locker": map[string]any{"number": "7"}}))
	},
	"R-16": func(t *testing.T, c caller) {
		ann := c.user(c.as("ann"))
		inner := c.group(c.as("inner"), ann)
		c.group(c.as("outer"), inner)
		got := map[string]string{}
		for _, g := range c.get("/Users/" + ann).body["groups"].([]any) {
			if at(g, "value") == inner && at(g, "$ref") != publicURL+c.base+"/Groups/"+inner {
				t.Errorf("$ref of %v", g)
			}
			got[fmt.Sprint(at(g, "display"))] = fmt.Sprint(at(g, "type"))
		}
		same(t, got, map[string]string{c.as("inner"): "direct", c.as("outer"): "indirect"})
	},
	"R-17": func(t *testing.T, c caller) {
		path := c.who("ann")
		want := publicURL + c.base + path
		filter := `userName eq "` + c.as("ann") + `"`
		quoted, _ := json.Marshal(filter)
		for _, got := range []any{
			c.get(path).meta("location"), at(c.get("/Users?filter=" + filter).resources()[0], "meta", "location"),
			at(c.do(200, "POST", "/.search", `{`+searchReq+`,"filter":`+string(quoted)+`}`).resources()[0], "meta", "location"),
			c.bulk("", `{"method":"PATCH","path":"`+path+`","data":`+patchBody(op("add", "title", `"T"`))+`}`)[0]["location"],
		} {
			same(t, got, any(want))
		}
		same(t, c.of(c.w.dir("fieldserv", "plain")).post(201, "ann").meta("location")[:len(publicURL+"/scim/fieldserv/")], publicURL+"/scim/fieldserv/")
	},
}
