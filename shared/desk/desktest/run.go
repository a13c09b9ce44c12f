package desktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
)

// Opened is an adapter and the fake that it calls.
type Opened struct {
	Desk desk.Desk
	Fake Fake
}

// Run tests an adapter against the contract of [desk.Desk]. open starts a fake with an
// adapter in front of it, both on the clock now.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) Opened) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"Create", testCreate},
		{"CreateAgain", testCreateAgain},
		{"CreateAtOnce", testCreateAtOnce},
		{"AnswerLost", testAnswerLost},
		{"Find", testFind},
		{"Link", testLink},
		{"Refused", testRefused},
		{"Throttled", testThrottled},
		{"Trouble", testTrouble},
		{"NotTheDesk", testNotTheDesk},
		{"TokenExpires", testTokenExpires},
		{"TokenAges", testTokenAges},
		{"OneLogin", testOneLogin},
		{"LoginFails", testLoginFails},
		{"Cancelled", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
			s.Opened = open(t, func() time.Time {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.now
			})
			c.test(t, s)
		})
	}
}

type suite struct {
	*testing.T
	Opened
	mu  sync.Mutex
	now time.Time
}

func (s *suite) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// secretWords stand in every ticket of the suite; none may come back in an error.
const secretWords = "jane's private words"

func sample(key string) desk.Ticket {
	return desk.Ticket{
		Key: key, Subject: "printer <b>offline</b> 打印机", Text: secretWords + "\n\"second line\" \\ 🖨", Name: "Jane Doe", Email: "jane@example.com",
	}
}

func (s *suite) create(key string) string {
	s.Helper()
	id, err := s.Desk.Create(s.Context(), sample(key))
	if err != nil {
		s.Fatal(err)
	}
	return id
}

// is requires an error of this kind that gives nothing away.
func (s *suite) is(err, kind error) *desk.Error {
	s.Helper()
	var e *desk.Error
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		s.Fatalf("%v, want %v", err, kind)
	}
	for _, other := range []error{desk.ErrNotFound, desk.ErrRefused, desk.ErrAccess, desk.ErrUnavailable} {
		if other != kind && errors.Is(err, other) {
			s.Errorf("%v is also %v", err, other)
		}
	}
	for _, secret := range []string{"jane", "private", "secret", "not-an-address", "?external_id", "im-"} {
		if strings.Contains(strings.ToLower(err.Error()), secret) {
			s.Errorf("the error says %q: %v", secret, err)
		}
	}
	return e
}

func testCreate(t *testing.T, s *suite) {
	want := sample("im-1")
	id := s.create("im-1")
	if err := desk.CheckID(id); err != nil {
		t.Errorf("id %q: %v", id, err)
	}
	list := s.Fake.Tickets()
	if len(list) != 1 {
		t.Fatalf("%d tickets", len(list))
	}
	got := list[0]
	if got.ID != id || (desk.Ticket{Key: got.Key, Subject: got.Subject, Text: got.Text, Name: got.Name, Email: got.Email}) != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := s.Desk.Create(t.Context(), desk.Ticket{Key: "im-2", Subject: "no address", Text: "hello"}); err != nil {
		t.Errorf("without requester: %v", err)
	}
}

func testCreateAgain(t *testing.T, s *suite) {
	id := s.create("im-1")
	s.advance(59 * time.Minute)
	if again := s.create("im-1"); again != id {
		t.Errorf("id %s, then %s", id, again)
	}
	other := s.create("im-2")
	if n := len(s.Fake.Tickets()); n != 2 || other == id {
		t.Errorf("%d tickets, ids %s and %s", n, id, other)
	}
}

func testCreateAtOnce(t *testing.T, s *suite) {
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			if _, err := s.Desk.Create(t.Context(), sample(fmt.Sprint("im-", n%8))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(s.Fake.Tickets()); n != 8 {
		t.Errorf("%d tickets, want 8", n)
	}
}

// testAnswerLost: whoever repeats after a lost answer does nothing twice. The
// transport may repeat by itself.
func testAnswerLost(t *testing.T, s *suite) {
	s.Fake.LoseEachOnce()
	repeat := func(call func() error) {
		t.Helper()
		for range 3 {
			err := call()
			if err == nil {
				return
			}
			s.is(err, desk.ErrUnavailable)
		}
		t.Error("each answer is lost once, and three tries were not enough")
	}
	var id string
	repeat(func() (err error) { id, err = s.Desk.Create(t.Context(), sample("im-1")); return err })
	repeat(func() error { return s.Desk.Link(t.Context(), id, "g") })
	list := s.Fake.Tickets()
	if len(list) != 1 || list[0].ID != id || list[0].Group != "g" {
		t.Errorf("%+v", list)
	}
}

func testFind(t *testing.T, s *suite) {
	_, err := s.Desk.Find(t.Context(), "im-1")
	s.is(err, desk.ErrNotFound)
	s.create("im-0")
	id := s.create("im-1")
	s.create("im-10")
	s.advance(24 * time.Hour)
	if got, err := s.Desk.Find(t.Context(), "im-1"); err != nil || got != id {
		t.Errorf("%s, %v, want %s", got, err, id)
	}
	s.Fake.SetDeleted(id, true)
	_, err = s.Desk.Find(t.Context(), "im-1")
	s.is(err, desk.ErrNotFound)
}

func testLink(t *testing.T, s *suite) {
	id := s.create("im-1")
	other := s.create("im-2")
	for range 2 {
		if err := s.Desk.Link(t.Context(), id, "GROUP#"+id); err != nil {
			t.Fatal(err)
		}
	}
	list := s.Fake.Tickets()
	if list[0].Group != "GROUP#"+id || list[0].Text != sample("").Text || list[1].Group != "" {
		t.Errorf("%+v", list)
	}
	s.Fake.SetDeleted(other, true)
	s.is(s.Desk.Link(t.Context(), other, "g"), desk.ErrNotFound)
	for _, bad := range []string{"", "../../secrets", "1?x", "1/2", strings.Repeat("1", 41)} {
		if err := s.Desk.Link(t.Context(), bad, "g"); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("id %q: %v", bad, err)
		}
	}
}

func testRefused(t *testing.T, s *suite) {
	bad := sample("im-1")
	bad.Email = "not-an-address@x"
	_, err := s.Desk.Create(t.Context(), bad)
	if e := s.is(err, desk.ErrRefused); !strings.Contains(strings.ToLower(e.Detail), "re") {
		t.Errorf("the detail %q names no field", e.Detail)
	}
	bad = sample("im-1")
	bad.Text = ""
	_, err = s.Desk.Create(t.Context(), bad)
	s.is(err, desk.ErrRefused)
	if n := len(s.Fake.Tickets()); n != 0 {
		t.Errorf("%d tickets", n)
	}
}

func testThrottled(t *testing.T, s *suite) {
	id := s.create("im-1")
	for header, want := range map[string]time.Duration{
		"17": 17 * time.Second, " 2 ": 2 * time.Second, "": 0, "soon": 0, "-1": 0, "999999999": 24 * time.Hour,
	} {
		s.Fake.Fail("link", Fault{Status: 429, RetryAfter: header, Body: "Number of allowed API requests per minute exceeded"})
		if e := s.is(s.Desk.Link(t.Context(), id, "g"), desk.ErrUnavailable); e.RetryAfter != want {
			t.Errorf("Retry-After %q: %v, want %v", header, e.RetryAfter, want)
		}
	}
}

func testTrouble(t *testing.T, s *suite) {
	for _, status := range []int{500, 502, 503, 504, 408} {
		s.Fake.Fail("create", Fault{Status: status, Worked: true, Body: "<html>" + secretWords})
		_, err := s.Desk.Create(t.Context(), sample("im-1"))
		s.is(err, desk.ErrUnavailable)
	}
	s.Fake.Fail("create", Fault{Status: 403, Body: `{"error":"Forbidden"}`})
	_, err := s.Desk.Create(t.Context(), sample("im-1"))
	s.is(err, desk.ErrAccess)
	s.create("im-1")
	if n := len(s.Fake.Tickets()); n != 1 {
		t.Errorf("%d tickets", n)
	}
}

// testNotTheDesk: a proxy, or a page about maintenance, is no success; neither
// is a redirect, which is not followed.
func testNotTheDesk(t *testing.T, s *suite) {
	for _, body := range []string{"<html>we are back soon", "", "null", "[]", "{}", `{"ticket":{}}`, `{"id":"../../x"}`, strings.Repeat(" ", 2<<20)} {
		s.Fake.Fail("create", Fault{Status: 201, Body: body})
		_, err := s.Desk.Create(t.Context(), sample("im-1"))
		s.is(err, desk.ErrUnavailable)
		s.Fake.Fail("find", Fault{Status: 200, Body: body})
		_, err = s.Desk.Find(t.Context(), "im-1")
		s.is(err, desk.ErrUnavailable)
	}
	// An operator must act on these: the request is kept and shown, not refused.
	for _, status := range []int{301, 302, 402, 405, 421} {
		s.Fake.Fail("create", Fault{Status: status, Body: "elsewhere"})
		_, err := s.Desk.Create(t.Context(), sample("im-1"))
		s.is(err, desk.ErrAccess)
	}
	if n := s.Fake.Calls("create"); n != 13 {
		t.Errorf("%d calls, want 13", n)
	}
}

func testTokenExpires(t *testing.T, s *suite) {
	id := s.create("im-1")
	s.Fake.ExpireTokens()
	if again := s.create("im-1"); again != id {
		t.Errorf("id %s, then %s", id, again)
	}
	if n := s.Fake.Calls("login"); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
	// A new token that is not taken either is no reason for a third.
	unauthorized := Fault{Status: 401, Body: `{"error":"invalid_token"}`}
	s.Fake.Fail("create", unauthorized, unauthorized)
	_, err := s.Desk.Create(t.Context(), sample("im-2"))
	s.is(err, desk.ErrAccess)
	if n := s.Fake.Calls("login"); n != 3 {
		t.Errorf("%d logins, want 3", n)
	}
}

// testTokenAges: nobody says how long a token of Salesforce lives, and Zendesk's
// lives for an hour.
func testTokenAges(t *testing.T, s *suite) {
	for range 3 {
		s.create("im-1")
		s.advance(time.Minute)
	}
	if n := s.Fake.Calls("login"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	s.advance(time.Hour)
	s.create("im-2")
	if n := s.Fake.Calls("login"); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func testOneLogin(t *testing.T, s *suite) {
	for round := 1; round <= 3; round++ {
		var wg sync.WaitGroup
		for n := range 16 {
			wg.Go(func() {
				if _, err := s.Desk.Create(t.Context(), sample(fmt.Sprint("im-", n))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := s.Fake.Calls("login"); n != round {
			t.Errorf("%d logins, want %d", n, round)
		}
		s.Fake.ExpireTokens()
	}
}

func testLoginFails(t *testing.T, s *suite) {
	for _, c := range []struct {
		fault Fault
		kind  error
	}{
		{Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"jane's secret"}`}, desk.ErrAccess},
		{Fault{Status: 401, Body: `{"error":"invalid_client"}`}, desk.ErrAccess},
		{Fault{Status: 404}, desk.ErrAccess},
		{Fault{Status: 503}, desk.ErrUnavailable},
		{Fault{Status: 200, Body: "<html>"}, desk.ErrUnavailable},
		{Fault{Status: 200, Body: "{}"}, desk.ErrUnavailable},
		{Fault{Lost: true}, desk.ErrUnavailable},
	} {
		s.Fake.Fail("login", c.fault)
		_, err := s.Desk.Create(t.Context(), sample("im-1"))
		s.is(err, c.kind)
	}
	if n := s.Fake.Calls("create"); n != 0 {
		t.Errorf("%d calls without a token", n)
	}
	s.create("im-1")
}

func testCancelled(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Desk.Create(ctx, sample("im-1")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	s.create("im-2")
	if err := s.Desk.Link(ctx, "1", "g"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
}
