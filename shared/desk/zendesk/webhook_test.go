package zendesk_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// TestSignature is the vector of Zendesk's manual.
func TestSignature(t *testing.T) {
	got := zendesk.Signature(zendesk.StaticSecret, "2021-03-25T05:09:27Z", []byte(`{"event":"ticket.updated","id":123}`))
	if want := "S/RDdU2ERmj7LHDDoWJ2onPYH+t7/f2+LTM4dL7UiLM="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// account is a fake whose time the test moves.
func account(now *time.Time, secret string) *desktest.Zendesk {
	return desktest.NewZendesk(desktest.ZendeskConfig{WebhookSecret: secret, Now: func() time.Time { return *now }})
}

func TestCheck(t *testing.T) {
	now := noon
	fake := account(&now, "secret of the second webhook")
	hooks := zendesk.Webhooks{Secrets: []string{"secret of the first", "secret of the second webhook"}, Now: func() time.Time { return now }}
	d := fake.Sign([]byte(`{"ticket_id":"1"}`))
	for _, c := range []struct {
		name  string
		after time.Duration
		spoil func(h http.Header, body *[]byte)
		want  error
	}{
		{"as sent", 0, nil, nil},
		{"late", 5 * time.Minute, nil, nil},
		{"by a clock ahead", -5 * time.Minute, nil, nil},
		{"too late", 5*time.Minute + time.Second, nil, zendesk.ErrStale},
		{"too early", -5*time.Minute - time.Second, nil, zendesk.ErrStale},
		{"another body", 0, func(_ http.Header, b *[]byte) { *b = []byte(`{"ticket_id":"2"}`) }, zendesk.ErrSignature},
		{"another time", 0, func(h http.Header, _ *[]byte) {
			h.Set("X-Zendesk-Webhook-Signature-Timestamp", "2026-03-01T12:00:01Z")
		}, zendesk.ErrSignature},
		{"no signature", 0, func(h http.Header, _ *[]byte) { h.Del("X-Zendesk-Webhook-Signature") }, zendesk.ErrSignature},
		{"no headers", 0, func(h http.Header, _ *[]byte) { clear(h) }, zendesk.ErrSignature},
		{"a bit of the signature", 0, func(h http.Header, _ *[]byte) {
			s := h.Get("X-Zendesk-Webhook-Signature")
			h.Set("X-Zendesk-Webhook-Signature", s[:20])
		}, zendesk.ErrSignature},
	} {
		now = noon.Add(c.after)
		h, body := d.Header.Clone(), slices.Clone(d.Body)
		if c.spoil != nil {
			c.spoil(h, &body)
		}
		if err := hooks.Check(h, body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// An empty secret lets nobody in.
	empty := account(&now, "")
	forged := empty.Sign([]byte("{}"))
	for _, secrets := range [][]string{nil, {""}} {
		if err := (zendesk.Webhooks{Secrets: secrets, Now: func() time.Time { return now }}).Check(forged.Header, forged.Body); err == nil {
			t.Errorf("secrets %q: a forged webhook is believed", secrets)
		}
	}
}

func change(what desk.What, user, previous string) desk.Change {
	return desk.Change{TicketID: "5158", What: what, UserID: user, Previous: previous}
}

func TestRead(t *testing.T) {
	event := func(kind, rest string) string {
		return `{"type":"zen:event-type:ticket.` + kind + `","account_id":1,"id":"evt-1","time":"2026-03-01T12:00:00.5Z","subject":"zen:ticket:5158","detail":{"id":"5158","assignee_id":"7","external_id":"im-1"}` + rest + `}`
	}
	for _, c := range []struct {
		name, body string
		want       []desk.Change
	}{
		{"assigned", event("agent_assignment_changed", `,"event":{"current":"361","previous":"360"}`), []desk.Change{change(desk.Assigned, "361", "360")}},
		{"assigned for the first time", event("agent_assignment_changed", `,"event":{"current":"361","previous":null}`), []desk.Change{change(desk.Assigned, "361", "-")}},
		{"assigned, without word of the one before", event("agent_assignment_changed", `,"event":{"current":361}`), []desk.Change{change(desk.Assigned, "361", "")}},
		{"unassigned", event("agent_assignment_changed", `,"event":{"current":"0","previous":"360"}`), []desk.Change{change(desk.Assigned, "", "360")}},
		{"closed", event("status_changed", `,"event":{"current":"CLOSED","previous":"SOLVED"}`), []desk.Change{change(desk.Closed, "", "")}},
		{"solved", event("status_changed", `,"event":{"current":"SOLVED","previous":"OPEN"}`), []desk.Change{change(desk.Solved, "", "")}},
		{"an unknown status", event("status_changed", `,"event":{"current":"PARKED"}`), nil},
		{"deleted", event("soft_deleted", ``), []desk.Change{change(desk.Deleted, "", "")}},
		{"deleted for good", event("permanently_deleted", ``), []desk.Change{change(desk.Deleted, "", "")}},
		{"restored", event("undeleted", ``), []desk.Change{change(desk.Undeleted, "", "")}},
		{"of no interest", event("comment_added", ``), nil},
		{"of a user", `{"type":"zen:event-type:user.created","id":"e","time":"2026-03-01T12:00:00Z","detail":{"id":"5158"}}`, nil},
		{"somebody else's ticket", strings.Replace(event("soft_deleted", ``), "im-1", "CRM-1", 1), nil},
		{"somebody's ticket without external id", strings.Replace(event("soft_deleted", ``), "im-1", "", 1), nil},
		{
			"trigger", `{"ticket_id":"5158","external_id":"im-1","assignee_id":"361","status":"Open","updated_at":"2026-03-01T12:00:00.5Z"}`,
			[]desk.Change{change(desk.Assigned, "361", ""), change(desk.Reopened, "", "")},
		},
		{"trigger of somebody else's ticket", `{"ticket_id":"5158","external_id":"","assignee_id":"361"}`, nil},
		{"trigger, numbers", `{"ticket_id":5158,"assignee_id":361,"updated_at":"2026-03-01T12:00:00.5Z"}`, []desk.Change{change(desk.Assigned, "361", "")}},
		{
			"trigger, nobody", `{"ticket_id":"5158","assignee_id":"","status":"closed","updated_at":"2026-03-01T12:00:00.5Z"}`,
			[]desk.Change{change(desk.Assigned, "", ""), change(desk.Closed, "", "")},
		},
		{"trigger in another language", `{"ticket_id":"5158","status":"Offen","updated_at":"2026-03-01T12:00:00.5Z"}`, nil},
	} {
		got, err := zendesk.Webhooks{}.Read(http.Header{}, []byte(c.body))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for i := range got {
			if got[i].ID == "" || !got[i].At.Equal(noon.Add(500*time.Millisecond)) {
				t.Errorf("%s: id %q at %v", c.name, got[i].ID, got[i].At)
			}
			got[i].ID, got[i].At = "", time.Time{}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	// Times without seconds, as some places write them.
	for name, body := range map[string]string{
		"trigger": `{"ticket_id":"5158","assignee_id":"361","updated_at":"2026-03-01T12:00Z"}`,
		"event":   strings.Replace(event("soft_deleted", ``), "12:00:00.5Z", "13:00+01:00", 1),
	} {
		if got, err := (zendesk.Webhooks{}).Read(http.Header{}, []byte(body)); err != nil || len(got) != 1 || !got[0].At.Equal(noon) {
			t.Errorf("%s without seconds: %+v, %v", name, got, err)
		}
	}
	for name, body := range map[string]string{
		"empty":               "",
		"no JSON":             "{",
		"neither":             "{}",
		"a list":              "[]",
		"no event id":         strings.Replace(event("soft_deleted", ``), "evt-1", "", 1),
		"no time":             strings.Replace(event("soft_deleted", ``), `"time"`, `"then"`, 1),
		"no assignee":         event("agent_assignment_changed", `,"event":{}`),
		"no event":            event("agent_assignment_changed", ``),
		"an assignee's name":  event("agent_assignment_changed", `,"event":{"current":"jane"}`),
		"an assignee's parts": event("agent_assignment_changed", `,"event":{"current":{"id":1}}`),
		"a status's number":   event("status_changed", `,"event":{"current":5}`),
		"no time anywhere":    `{"ticket_id":"5158","assignee_id":"361"}`,
	} {
		if got, err := (zendesk.Webhooks{}).Read(http.Header{}, []byte(body)); err == nil || fault.CodeOf(err) != fault.Invalid || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestRepeatsAreKnown: what is sent again has the id it had; what happens again
// has another.
func TestRepeatsAreKnown(t *testing.T) {
	read := func(d desktest.Delivery) string {
		t.Helper()
		changes, err := zendesk.Webhooks{}.Read(d.Header, d.Body)
		if err != nil || len(changes) == 0 {
			t.Fatal(changes, err)
		}
		return changes[0].ID
	}
	now := noon
	fake := account(&now, "secret")
	without := []byte(`{"ticket_id":"5158","assignee_id":"361"}`)
	first := fake.Sign(without)
	if again := fake.Sign(without); read(first) != read(again) {
		t.Error("a repeated webhook is another event")
	}
	now = now.Add(time.Second)
	if read(first) == read(fake.Sign(without)) {
		t.Error("the same assignee again, later, is no other event")
	}
	dated := []byte(`{"ticket_id":"5158","assignee_id":"361","updated_at":"2026-03-01T11:59:00Z"}`)
	first = fake.Sign(dated)
	now = now.Add(time.Second)
	if read(first) != read(fake.Sign(dated)) {
		t.Error("a webhook sent again, and signed again, is another event")
	}
}

func FuzzRead(f *testing.F) {
	now := noon
	fake := account(&now, "secret")
	for _, seed := range []string{
		`{"type":"zen:event-type:ticket.agent_assignment_changed","id":"e","time":"2026-03-01T12:00:00Z","detail":{"id":"1","external_id":"im-1"},"event":{"current":"2","previous":"3"}}`,
		`{"ticket_id":"1","assignee_id":"2","status":"open","updated_at":"2026-03-01T12:00:00Z"}`,
		`{"type":1}`, `[]`, `{"ticket_id":{}}`,
	} {
		f.Add([]byte(seed))
	}
	hooks := zendesk.Webhooks{Secrets: []string{"secret"}, Now: func() time.Time { return now }}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := fake.Sign(body)
		if err := hooks.Check(d.Header, d.Body); err != nil {
			t.Fatalf("signed and not believed: %v", err)
		}
		changes, err := hooks.Read(d.Header, d.Body)
		if err != nil && (fault.CodeOf(err) != fault.Invalid || changes != nil) {
			t.Errorf("%v with %+v", err, changes)
		}
		for _, c := range changes {
			if c.ID == "" || c.At.IsZero() || strings.Trim(c.TicketID+c.UserID, "0123456789") != "" {
				t.Errorf("%+v", c)
			}
		}
		d.Body = append(d.Body, ' ')
		if err := hooks.Check(d.Header, d.Body); !errors.Is(err, zendesk.ErrSignature) {
			t.Errorf("changed and believed: %v", err)
		}
	})
}
