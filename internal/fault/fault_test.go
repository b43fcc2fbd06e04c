package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/vestibule-id/vestibule/internal/fault"
)

func TestFault_KeepsItsKindAndItsCauseOnTheWayUp(t *testing.T) {
	t.Parallel()
	inner := fault.Wrap(io.ErrUnexpectedEOF, fault.Unavailable, "The provider of %s does not answer.", "Northwind").WithCode("upstream-down")
	err := fmt.Errorf("sign in: %w", inner)
	if got := fault.KindOf(err); got != fault.Unavailable {
		t.Errorf("got kind %s", got)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if f := fault.As(err); f.Message != "The provider of Northwind does not answer." || f.Code != "upstream-down" {
		t.Errorf("got %+v", f)
	}
}

func TestKindOf_AnErrorNobodyClassifiedIsInternal(t *testing.T) {
	t.Parallel()
	if got := fault.KindOf(io.EOF); got != fault.Internal {
		t.Errorf("got kind %s", got)
	}
	if fault.As(io.EOF) != nil {
		t.Error("a fault was found where there is none")
	}
}

func TestKinds_EachHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i, k := range fault.Kinds {
		if int(k) != i || seen[k.String()] {
			t.Errorf("kind %d: name %q", i, k)
		}
		seen[k.String()] = true
	}
	if fault.Kind(99).String() != "internal" {
		t.Error("an unknown kind must read as internal")
	}
}
