package provisioning_test

import "testing"

// After a change that changed nothing the next one is looked at by a read first. What it asks for is answered all the same.
func TestModify_AfterAChangeOfNothing(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, w *world) {
		c := w.plain()
		id := c.user("ada", `"title":"Engineer"`)
		same := `{"op":"replace","path":"title","value":"Engineer"}`
		first := c.patch(200, "/Users/"+id, same)
		if again := c.patch(200, "/Users/"+id, same); again.raw != first.raw {
			t.Errorf("the same once more: got %s, want %s", again.raw, first.raw)
		}
		c.refused(412, "", "PATCH", "/Users/"+id, `{`+patchOp+`,"Operations":[`+same+`]}`, "If-Match", `W/"7"`)
		c.refused(400, "invalidValue", "PATCH", "/Users/"+id, `{`+patchOp+`,"Operations":[{"op":"replace","path":"title","value":7}]}`)
		c.refused(404, "", "PATCH", "/Users/nobody", `{`+patchOp+`,"Operations":[`+same+`]}`)
		changed := c.patch(200, "/Users/"+id, `{"op":"replace","path":"title","value":"Director"}`)
		if got := c.do(200, "GET", "/Users/"+id, ""); got.text("title") != "Director" || got.raw != changed.raw || got.raw == first.raw {
			t.Errorf("a change after none: got %s, answered %s", got.raw, changed.raw)
		}
	})
}
