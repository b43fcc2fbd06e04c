package notification_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/notification"
)

func TestChoice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		choice notification.Choice
		kind   notification.Kind
		want   bool
	}{
		{notification.Choice{}, notification.Expiry, true},
		{notification.Choice{Made: true}, notification.Expiry, false},
		{notification.Choice{Made: true, Kinds: []notification.Kind{notification.Expiry}}, notification.Expiry, true},
		{notification.Choice{Made: true}, notification.Security, true},
		{notification.Choice{}, "no-such-kind", false},
	} {
		if got := c.choice.Wants(c.kind); got != c.want {
			t.Errorf("%+v wants %s: got %t", c.choice, c.kind, got)
		}
	}
	got := notification.Clean([]notification.Kind{"expiry", "security", "expiry", "nothing", "access-changed"})
	if diff := cmp.Diff(got, []notification.Kind{"access-changed", "expiry"}); diff != "" {
		t.Error(diff)
	}
}

func TestCheckHook(t *testing.T) {
	t.Parallel()
	all := notification.Choosable()
	for _, c := range []struct {
		address string
		kinds   []notification.Kind
		want    []string
	}{
		{"https://hooks.example/v", all, nil},
		{"http://127.0.0.1:9/v", []notification.Kind{notification.Expiry}, nil},
		{"http://hooks.example/v", all, []string{"url"}},
		{"https://hooks.example/" + strings.Repeat("x", 1978), all, nil},
		{"https://hooks.example/" + strings.Repeat("x", 1979), all, []string{"url"}},
		{"https://hooks.example/v", nil, []string{"kinds"}},
		{"https://hooks.example/v", []notification.Kind{notification.Expiry, notification.Security, "nothing"}, []string{"kinds[1]", "kinds[2]"}},
		{"", nil, []string{"url", "kinds"}},
	} {
		err := notification.CheckHook(c.address, c.kinds)
		var got []string
		if f := fault.As(err); f != nil {
			for _, field := range f.Fields {
				got = append(got, field.Path)
			}
		}
		if diff := cmp.Diff(got, c.want); diff != "" || (err == nil) != (c.want == nil) || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.40s %v: %v\n%s", c.address, c.kinds, err, diff)
		}
	}
}

// The example of the Standard Webhooks specification's reference implementations.
func TestSignature_IsThatOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	got := notification.Signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
