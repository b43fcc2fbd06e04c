package decision

import (
	"context"
	"net/http"
	"testing"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// counted reads nobody, and counts how often.
type counted struct{ people, organization int }

func (c *counted) AccessShown(context.Context, id.User, id.Session) (*access.Effective, error) {
	c.people++
	return nil, fault.New(fault.NotFound, "Nobody is here.")
}

func (c *counted) Self(context.Context) (*store.Organization, error) {
	c.organization++
	return &store.Organization{}, nil
}

// What a list of questions costs follows from how many people it is about, not from how many questions there are.
func TestAnswerAll_ReadsEachPersonOnce(t *testing.T) {
	t.Parallel()
	people := []id.User{id.New[id.User](), id.New[id.User](), id.New[id.User]()}
	var questions []question
	for i := range 900 {
		questions = append(questions, question{
			subjectType: "user", subject: people[i%len(people)], action: "assets.read", resourceType: "site", resource: "london-1", organization: "northwind",
		})
	}
	c := &counted{}
	answers, err := answerAll(t.Context(), c, questions, nil)
	if err != nil || len(answers) != 900 || c.people != 3 || c.organization != 3 {
		t.Errorf("got %d answers, %+v, %v", len(answers), c, err)
	}
	c = &counted{}
	answers, err = answerAll(t.Context(), c, questions, func(v verdict) bool { return !v.Decision })
	if err != nil || len(answers) != 1 || c.people != 1 {
		t.Errorf("up to the first no: got %d answers, %+v, %v", len(answers), c, err)
	}
	// Whoever cannot be anybody is not looked for.
	c = &counted{}
	if _, err = answerAll(t.Context(), c, []question{{subjectType: "user", subject: "ann"}, {subjectType: "group", subject: people[0]}}, nil); err != nil || c.people != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestStatuses_EveryKindHasOne(t *testing.T) {
	t.Parallel()
	for _, k := range fault.Kinds {
		if s := statuses[k]; s < 400 || s > 599 || http.StatusText(s) == "" {
			t.Errorf("%s: got %d", k, s)
		}
	}
}
