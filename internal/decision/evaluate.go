package decision

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/store"
)

// verdict is a Decision of the specification (section 5.5).
type verdict struct {
	Decision bool    `json:"decision"`
	Context  *reason `json:"context,omitempty"`
}

// reason says why: in a sentence, in a word, and as what the sentence is made of.
type reason struct {
	Code   access.Because `json:"code,omitempty"`
	Reason string         `json:"reason,omitempty"`
	// Paths are the ways by which it is held, also where a restriction takes it away; at most maxPaths of them.
	Paths       [][]access.Hop `json:"paths,omitempty"`
	More        int            `json:"paths_left_out,omitempty"`
	Restriction *restriction   `json:"restriction,omitempty"`
	Near        []near         `json:"near,omitempty"`  // roles that carry it and are not in force here
	Roles       []id.Role      `json:"roles,omitempty"` // roles that would carry it
	// ACRValues is what to ask for at the authorize endpoint where a second factor is missing.
	ACRValues string `json:"acr_values,omitempty"`
	// Error says that this evaluation was not one (section 7.2.1).
	Error *itemError `json:"error,omitempty"`
}

type restriction struct {
	Resource id.Resource `json:"resource"`
	Actions  []string    `json:"actions"`
}

type near struct {
	Role     id.Role     `json:"role"`
	Resource id.Resource `json:"resource"`
	Starts   time.Time   `json:"starts,omitzero"`
	Expires  time.Time   `json:"expires,omitzero"`
}

type itemError struct {
	Status  int    `json:"status"`
	Message string `json:"message"`
}

// maxPaths and maxNear bound an answer: somebody who holds a role at each of a thousand resources is told so by the first of them.
const (
	maxPaths = 8
	maxNear  = 20
)

// unknownSubject is the reason that access has no word for: it is asked about somebody.
const unknownSubject access.Because = "unknown-subject"

// evaluation answers one question (section 6).
func (d *Decision) evaluation(ctx context.Context, app application.Application, asked object) (any, error) {
	q, err := questionOf(asked, nil)
	if err == nil {
		err = q.place(app)
	}
	if err != nil {
		return nil, err
	}
	said, err := d.decide(ctx, app, []question{q}, nil)
	if err != nil {
		return nil, err
	}
	return said[0], nil
}

// evaluations answers several (section 7); without any it is evaluation (section 7.1).
func (d *Decision) evaluations(ctx context.Context, app application.Application, asked object) (any, error) {
	list, ok := asked["evaluations"].([]any)
	switch {
	case !ok && asked["evaluations"] != nil:
		return nil, fault.New(fault.Invalid, "evaluations is a list of objects.")
	case len(list) == 0:
		return d.evaluation(ctx, app, asked)
	case len(list) > maxEvaluations:
		return nil, fault.New(fault.Invalid, "At most %d evaluations are answered at once; these are %d.", maxEvaluations, len(list))
	}
	last, err := semantic(asked)
	if err != nil {
		return nil, err
	}
	for _, name := range entities {
		if _, _, err := objectIn(asked, name, name); err != nil {
			return nil, err // a default that is none is wrong for all
		}
	}
	questions := make([]question, len(list))
	for i, v := range list {
		var q question
		own, ok := v.(object)
		err := error(fault.New(fault.Invalid, "An evaluation is an object."))
		if ok {
			if q, err = questionOf(own, asked); err == nil {
				err = q.place(app)
			}
		}
		if err != nil {
			q = question{wrong: fault.As(err)}
		}
		questions[i] = q
	}
	said, err := d.decide(ctx, app, questions, last)
	if err != nil {
		return nil, err
	}
	return map[string]any{"evaluations": said}, nil
}

// semantic gives what ends the evaluations before the last of them (section 7.1.2.1): a decision that is the last one told, or nothing.
func semantic(asked object) (last func(verdict) bool, err error) {
	options, _, err := objectIn(asked, "options", "options")
	if err != nil {
		return nil, err
	}
	const example = "execute_all, deny_on_first_deny or permit_on_first_permit"
	name, err := textIn(options, "evaluations_semantic", "options.evaluations_semantic", example, false)
	if err != nil {
		return nil, err
	}
	switch name {
	case "", "execute_all":
		return nil, nil
	case "deny_on_first_deny":
		return func(v verdict) bool { return !v.Decision }, nil
	case "permit_on_first_permit":
		return func(v verdict) bool { return v.Decision }, nil
	}
	return nil, fault.New(fault.Invalid, "options.evaluations_semantic is one of %s.", example)
}

// place finds the organization of a question that names none.
func (q *question) place(app application.Application) error {
	if q.organization != "" {
		return nil
	}
	if len(app.Organizations) != 1 || app.Organizations[0] == application.Every {
		return fault.New(fault.Invalid, "resource.properties.organization is missing: %s serves more than one organization, and a resource is one of theirs.", app.Name)
	}
	q.organization = app.Organizations[0]
	return nil
}

// decide answers the questions in their order, up to the one that is the last. Of each organization the store is read once, and in that
// reading each person, however much is asked about them.
func (d *Decision) decide(ctx context.Context, app application.Application, questions []question, last func(verdict) bool) ([]verdict, error) {
	said := make([]verdict, len(questions))
	end := len(questions)
	note := func(i int, v verdict) {
		said[i] = v
		if last != nil && last(v) {
			end = min(end, i+1)
		}
	}
	var organizations []id.Organization
	of := map[id.Organization][]int{}
	for i, q := range questions {
		switch {
		case q.wrong != nil:
			note(i, verdict{Context: &reason{Error: &itemError{http.StatusBadRequest, q.wrong.Message}}})
		case !id.Declared(string(q.organization)) || !app.Serves(q.organization):
			note(i, q.elsewhere())
		default:
			if of[q.organization] == nil {
				organizations = append(organizations, q.organization)
			}
			of[q.organization] = append(of[q.organization], i)
		}
	}
	for _, org := range organizations {
		var answers []verdict // this reading may run twice: nothing outside of it is touched before it is through
		err := d.DB.Read(ctx, org, func(tx *store.Tx) error {
			some := make([]question, 0, len(of[org]))
			for _, i := range of[org] {
				if i < end {
					some = append(some, questions[i])
				}
			}
			var err error
			answers, err = answerAll(ctx, tx, some, last)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("decide in %s: %w", org, err)
		}
		for n, v := range answers {
			note(of[org][n], v)
		}
	}
	return said[:end], nil
}

// answerAll decides questions of one organization in their order, up to the last one that is told.
func answerAll(ctx context.Context, tx facts, questions []question, last func(verdict) bool) (answers []verdict, err error) {
	people := make(map[person]*access.Effective, 1)
	for _, q := range questions {
		v, err := q.answer(ctx, tx, people)
		if err != nil {
			return nil, err
		}
		answers = append(answers, v)
		if last != nil && last(v) {
			break
		}
	}
	return answers, nil
}

// person is whom a reading was made of.
type person struct {
	user    id.User
	session id.Session
}

// facts is what is read of an organization in one transaction: *store.Tx, and in a test one that counts.
type facts interface {
	AccessShown(ctx context.Context, user id.User, session id.Session) (*access.Effective, error)
	Self(ctx context.Context) (*store.Organization, error)
}

// answer decides one question in its organization. A person who is not there stands among people as nil.
func (q question) answer(ctx context.Context, tx facts, people map[person]*access.Effective) (verdict, error) {
	if q.subjectType != "user" || !id.IsUUID(string(q.subject)) {
		return q.nobody(), nil
	}
	who := person{q.subject, q.session}
	e, read := people[who]
	if !read {
		var err error
		e, err = tx.AccessShown(ctx, q.subject, q.session)
		if fault.KindOf(err) == fault.NotFound {
			e = nil
			if _, err = tx.Self(ctx); fault.KindOf(err) == fault.NotFound {
				return q.elsewhere(), nil // of an application that serves every organization
			}
		}
		if err != nil {
			return verdict{}, err
		}
		people[who] = e
	}
	if e == nil {
		return q.nobody(), nil
	}
	if r, known := e.Tree().Get(q.resource); known && r.Type != q.resourceType {
		// An id is scoped to the type (section 5.2), so this is another resource, and there is none.
		return verdict{Context: &reason{
			Code: access.UnknownResource, Reason: fmt.Sprintf("There is no %s %q in %s.", kindOf(q.resourceType), q.resource, e.Tree().Name(e.Tree().Root())),
		}}, nil
	}
	return told(e.Can(q.action, q.resource)), nil
}

func kindOf(resourceType string) string {
	if resourceType == "" {
		return "resource"
	}
	return fmt.Sprintf("%.40q", resourceType)
}

// nobody and elsewhere say nothing that the question did not: whoever is in another organization, and whatever is another's, answers so.
func (q question) nobody() verdict {
	return verdict{Context: &reason{Code: unknownSubject, Reason: fmt.Sprintf("There is no user %q in %s.", q.subject, q.organization)}}
}

func (q question) elsewhere() verdict {
	return verdict{Context: &reason{
		Code: access.UnknownResource, Reason: fmt.Sprintf("There is no organization %q that this application serves.", q.organization),
	}}
}

// told puts an answer of access into the words of the specification.
func told(a access.Answer) verdict {
	c := &reason{Code: a.Because, Reason: a.Reason, Paths: a.Paths, Roles: a.Roles}
	if len(c.Paths) > maxPaths {
		c.Paths, c.More = c.Paths[:maxPaths], len(c.Paths)-maxPaths
	}
	if a.Restriction != nil {
		c.Restriction = &restriction{a.Restriction.Resource, a.Restriction.Actions}
	}
	for _, h := range a.Near {
		n := near{h.Role, h.Resource, h.Starts, h.Expires}
		if len(c.Near) < maxNear && !slices.Contains(c.Near, n) {
			c.Near = append(c.Near, n)
		}
	}
	if a.Because == access.NoSecondFactor {
		c.ACRValues = mfa.ACRMultiple
	}
	return verdict{a.Allowed, c}
}
