package desk

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

func posted(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// FuzzCreateTicket: what is accepted keeps to the desks' limits, and is of the
// user who asks.
func FuzzCreateTicket(f *testing.F) {
	for _, seed := range []string{
		`{"userId":"jane","caseInfo":{"subject":"printer","desc":"offline","name":"Jane","email":"jane@example.com"}}`,
		`{"caseInfo":{"desc":" x "}}`, `{"userId":"@RBT#1","caseInfo":{"desc":"x"}}`, `{"caseInfo":[]}`, `{"userId":7}`, `[]`, "",
		"{\"userId\":\"jane\",\"caseInfo\":{\"desc\":\"x\",\"subject\":\"a\\nb\"}}", `{"caseInfo":{"desc":"x","email":"@"}}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, server bool) {
		caller := api.Caller{UserID: "jane"}
		if server {
			caller = api.Caller{Server: "shop"}
		}
		a, _, err := readAsked(posted(body), caller)
		if err != nil {
			if fault.CodeOf(err).Status() >= 500 {
				t.Errorf("%v is somebody else's fault", err)
			}
			return
		}
		tk := a.Ticket
		if usersig.CheckUserID(a.UserID) != nil || !server && a.UserID != "jane" || tk.Text == "" || tk.Key != "" {
			t.Errorf("accepted %+v", a)
		}
		if utf8.RuneCountInString(tk.Subject) > MaxSubject || utf8.RuneCountInString(tk.Text) > MaxText || len(tk.Email) > 4*MaxEmail {
			t.Errorf("accepted %+v", a)
		}
		if strings.ContainsAny(tk.Subject+tk.Name+tk.Email, "\r\n\x00") {
			t.Errorf("accepted %+v", tk)
		}
	})
}

// FuzzCaseChanges: what is read is one change for each that was sent, but for
// queues, and whatever can be a change is one that the checks know.
func FuzzCaseChanges(f *testing.F) {
	for _, seed := range []string{
		`{"changes":[{"op":"assigned","caseId":"500xx01","userId":"005xx01","at":"2026-03-01T12:00:00Z"}]}`,
		`{"changes":[{"op":"joined","caseId":"500xx01","userId":"00Gxx01"},{"op":"closed","caseId":"500xx01"}]}`,
		`{"changes":[]}`, `{"changes":{}}`, `{"changes":[{"at":7}]}`, `{"changes":[null]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		changes, err := (&Tickets{}).caseChanges(posted(body), noon)
		if err != nil && (fault.CodeOf(err).Status() >= 500 || changes != nil) {
			t.Errorf("%v with %+v", err, changes)
		}
		again, _ := (&Tickets{}).caseChanges(posted(body), noon)
		for i, c := range changes {
			if c.ID == "" || c.At.IsZero() || strings.HasPrefix(c.UserID, queuePrefix) {
				t.Errorf("%+v", c)
			}
			if c.At != noon && again[i].ID != c.ID {
				t.Errorf("%+v is another change when it is sent again", c)
			}
			if err := c.check(); err != nil && fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%v", err)
			}
		}
	})
}
