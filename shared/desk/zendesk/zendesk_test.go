package zendesk_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
)

// base is where the fake lives, so that nobody guesses.
const base = "/somewhere/else"

func serve(t *testing.T, fake http.Handler) string {
	t.Helper()
	server := httptest.NewServer(http.StripPrefix(base, fake))
	t.Cleanup(server.Close)
	return server.URL + base
}

func TestContract(t *testing.T) {
	desktest.Run(t, func(t *testing.T, now func() time.Time) desktest.Opened {
		fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "app-secret", GroupField: 360, Now: now})
		d, err := zendesk.New(zendesk.Config{URL: serve(t, fake), ClientID: "app", ClientSecret: "app-secret", GroupField: 360, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return desktest.Opened{Desk: d, Fake: fake}
	})
}

func TestAPIToken(t *testing.T) {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{Email: "agent@example.com", APIToken: "token-secret", GroupField: 360})
	conf := zendesk.Config{URL: serve(t, fake), Email: "agent@example.com", APIToken: "token-secret", GroupField: 360}
	d, err := zendesk.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"}); err != nil {
		t.Error(err)
	}
	conf.APIToken = "another"
	if d, err = zendesk.New(conf); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), desk.Ticket{Key: "im-2", Text: "hello"}); !errors.Is(err, desk.ErrAccess) {
		t.Errorf("%v, want %v", err, desk.ErrAccess)
	}
	if n := fake.Calls("login"); n != 0 {
		t.Errorf("%d logins with an API token", n)
	}
}

// TestKeyForgotten: after two hours Zendesk makes a second ticket for the same
// key. That is why Find exists, and it takes the first one.
func TestKeyForgotten(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360, Now: func() time.Time { return now }})
	d, err := zendesk.New(zendesk.Config{URL: serve(t, fake), ClientID: "app", ClientSecret: "s", GroupField: 360})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 2)
	for i := range ids {
		if ids[i], err = d.Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(3 * time.Hour)
	}
	if found, err := d.Find(t.Context(), "im-1"); err != nil || found != ids[0] || ids[0] == ids[1] {
		t.Errorf("found %s (%v) of %s", found, err, ids)
	}
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNoteAmongChanges: somebody changes the ticket each time between our reading it and
// adding a note, so Zendesk refuses the note. It is added once all the same, and takes
// nothing of the other's away; after five times the outcome is that it was not added.
func TestNoteAmongChanges(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360, Now: func() time.Time { return now }})
	id, changes := "", 0
	d, err := zendesk.New(zendesk.Config{URL: serve(t, fake), ClientID: "app", ClientSecret: "s", GroupField: 360, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut && changes > 0 {
			changes--
			now = now.Add(time.Second)
			fake.Assign(id, fmt.Sprint(700+changes))
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	if err != nil {
		t.Fatal(err)
	}
	if id, err = d.Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	note := func(key string, others int) error {
		changes = others
		return d.AddNote(t.Context(), id, desk.Note{Key: key, Text: "what was said", Rating: 4})
	}
	for range 2 {
		if err := note("transcript-1", 3); err != nil {
			t.Fatal(err)
		}
	}
	got := fake.Tickets()[0]
	if tags := strings.Join(got.Tags, " "); len(got.Notes) != 1 || tags != "im_chat im_transcript_1 im_rating_4" || got.Assignee != "700" {
		t.Errorf("%+v", got)
	}
	if err := note("transcript-2", 10); err == nil || len(fake.Tickets()[0].Notes) != 1 {
		t.Errorf("%v with %d notes", err, len(fake.Tickets()[0].Notes))
	}
}

// TestOtherContent: a key stands for one content.
func TestOtherContent(t *testing.T) {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360})
	d, err := zendesk.New(zendesk.Config{URL: serve(t, fake), ClientID: "app", ClientSecret: "s", GroupField: 360})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, desk.ErrRefused} {
		if _, err := d.Create(t.Context(), desk.Ticket{Key: "im-1", Text: fmt.Sprint("hello ", i)}); !errors.Is(err, want) {
			t.Errorf("content %d: %v, want %v", i, err, want)
		}
	}
}

func TestRefusedNamesTheField(t *testing.T) {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360})
	d, err := zendesk.New(zendesk.Config{URL: serve(t, fake), ClientID: "app", ClientSecret: "s", GroupField: 360})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello", Email: "jane@nowhere"})
	if want := "zendesk: create: refused (status 422 RecordInvalid requester: InvalidFormat)"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestWrongAddress: the error of a wrong base URL is the operator's, and no
// ticket is believed to be missing.
func TestWrongAddress(t *testing.T) {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360})
	d, err := zendesk.New(zendesk.Config{URL: serve(t, fake), ClientID: "app", ClientSecret: "s", GroupField: 360})
	if err != nil {
		t.Fatal(err)
	}
	wrong := desktest.Fault{Status: 404, Body: `{"error":"InvalidEndpoint","description":"Not found"}`}
	fake.Fail("create", wrong)
	fake.Fail("link", wrong)
	if _, err := d.Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"}); !errors.Is(err, desk.ErrAccess) {
		t.Errorf("create: %v, want %v", err, desk.ErrAccess)
	}
	if err := d.Link(t.Context(), "35001", "g"); !errors.Is(err, desk.ErrAccess) {
		t.Errorf("link: %v, want %v", err, desk.ErrAccess)
	}
}

// TestDetailsOfAnotherShape keep the code of the error.
func TestDetailsOfAnotherShape(t *testing.T) {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360})
	d, err := zendesk.New(zendesk.Config{URL: serve(t, fake), ClientID: "app", ClientSecret: "s", GroupField: 360})
	if err != nil {
		t.Fatal(err)
	}
	for details, want := range map[string]string{
		`"x"`:                            "RecordInvalid",
		`["x"]`:                          "RecordInvalid",
		`{"base":"x"}`:                   "RecordInvalid base",
		`{"base":[{"description":"x"}]}`: "RecordInvalid base: ",
		`{"base":[{"error":"Bad"}],"requester":"x"}`: "RecordInvalid base: Bad requester",
	} {
		fake.Fail("create", desktest.Fault{Status: 422, Body: `{"error":"RecordInvalid","description":"d","details":` + details + `}`})
		_, err := d.Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"})
		if e, _ := errors.AsType[*desk.Error](err); e == nil || e.Detail != strings.TrimSpace("status 422 "+want) {
			t.Errorf("%s: %v, want %s", details, err, want)
		}
	}
}

func TestSettings(t *testing.T) {
	good := zendesk.Config{URL: "https://example.zendesk.com", ClientID: "app", ClientSecret: "s", GroupField: 360}
	if _, err := zendesk.New(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*zendesk.Config){
		"no URL":              func(c *zendesk.Config) { c.URL = "" },
		"no scheme":           func(c *zendesk.Config) { c.URL = "example.zendesk.com" },
		"slash at the end":    func(c *zendesk.Config) { c.URL += "/" },
		"a password in it":    func(c *zendesk.Config) { c.URL = "https://me:secret@example.zendesk.com" },
		"no secret":           func(c *zendesk.Config) { c.ClientSecret = "" },
		"two ways to log in":  func(c *zendesk.Config) { c.Email, c.APIToken = "a@example.com", "t" },
		"no field":            func(c *zendesk.Config) { c.GroupField = 0 },
		"e-mail without more": func(c *zendesk.Config) { c.ClientID, c.Email = "", "a@example.com" },
	} {
		conf := good
		spoil(&conf)
		if _, err := zendesk.New(conf); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
