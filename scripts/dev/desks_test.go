package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// TestTheLifeOfATicket: at both desks a ticket is asked for, taken, talked about, handed
// over, solved, rated by a message, and reopened by another.
func TestTheLifeOfATicket(t *testing.T) {
	for _, desk := range []string{"zendesk", "salesforce"} {
		t.Run(desk, func(t *testing.T) {
			p := start(t, "-state", t.TempDir(), "-desk", desk)
			chat, err := im.NewClient(im.Config{Domain: p.scene(t).Emulator, SDKAppID: appID, Key: wiring.DevelopmentSecret, Admin: admin})
			if err != nil {
				t.Fatal(err)
			}
			var opened struct{ TicketID, GroupID string }
			if status, body := p.call(t, http.MethodPost, "/dev/tickets", `{"userId":"alice"}`); status != http.StatusOK || json.Unmarshal([]byte(body), &opened) != nil {
				t.Fatalf("%d %s", status, body)
			}
			n := uint32(0)
			says := func(user, text string) {
				t.Helper()
				n++
				_, err := chat.SendGroupMsg(t.Context(), im.GroupMsg{GroupID: opened.GroupID, From: user, Body: im.Text(text), Random: n, AfterCallback: true})
				if err != nil {
					t.Fatal(err)
				}
			}
			until := func(what string, is func(ticket) bool) {
				t.Helper()
				var list struct{ Tickets []ticket }
				for t.Context().Err() == nil {
					if _, body := p.call(t, http.MethodGet, "/dev/tickets", ""); json.Unmarshal([]byte(body), &list) != nil || len(list.Tickets) == 0 {
						t.Fatal(body)
					}
					if is(list.Tickets[0]) {
						return
					}
					time.Sleep(5 * time.Millisecond) // jobs are on their way
				}
				t.Fatalf("not %s: %+v", what, list.Tickets)
			}
			within := func(members ...string) func(ticket) bool {
				return func(tk ticket) bool { slices.Sort(tk.Members); return slices.Equal(tk.Members, members) }
			}
			act := func(path, body string) {
				t.Helper()
				if status, answer := p.call(t, http.MethodPost, "/dev/tickets/"+opened.TicketID+path, body); status != http.StatusOK {
					t.Fatalf("%s: %d %s", path, status, answer)
				}
			}
			refused := func(path, body string, want int) {
				t.Helper()
				if status, answer := p.call(t, http.MethodPost, "/dev/tickets/"+opened.TicketID+path, body); status != want {
					t.Errorf("%s %s: %d %s, want %d", path, body, status, answer, want)
				}
			}
			refused("/assign", `{"agent":"no agent"}`, http.StatusBadRequest)
			act("/assign", `{"agent":"701"}`)
			until("taken", within("701", "alice"))
			says("alice", "it says PC LOAD LETTER")
			says("701", "load paper")
			if desk == "zendesk" { // whom it does not know it gives no ticket
				refused("/transfer", `{"agentId":"999"}`, http.StatusBadRequest)
			}
			act("/assign", `{"agent":"702"}`)
			until("handed over", within("702", "alice"))
			act("/solve", `{}`)
			until("noted", func(tk ticket) bool { return len(tk.Notes) == 1 })
			says("alice", "5")
			until("rated", func(tk ticket) bool { return tk.Rating == 5 && len(tk.Notes) == 2 })
			until("noted", func(tk ticket) bool {
				text := tk.Notes[0].Text
				if !strings.Contains(text, "alice: it says PC LOAD LETTER\n") || !strings.Contains(text, "701: load paper\n") || tk.Notes[0].Public {
					t.Fatalf("%+v", tk.Notes)
				}
				return true
			})
			says("alice", "it is broken again")
			until("reopened", func(tk ticket) bool { return tk.Status == "open" || tk.Status == "Working" })
			until("with its agent", within("702", "alice"))
			if desk == "zendesk" { // closed for good, whatever was said since
				act("/close", `{"closed":true}`)
				until("dissolved", within())
				var all struct{ Tickets []ticket }
				if _, body := p.call(t, http.MethodGet, "/dev/tickets", ""); json.Unmarshal([]byte(body), &all) != nil || len(all.Tickets) != 2 {
					t.Fatal(body)
				}
				if f := all.Tickets[1]; f.FollowUp != opened.TicketID || !f.Internal || len(f.Notes) != 1 || !strings.Contains(f.Notes[0].Text, "alice: it is broken again\n") {
					t.Errorf("the transcript after the closing: %+v", f)
				}
				refused("/solve", `{}`, http.StatusConflict)
				refused("/assign", `{"agent":"701"}`, http.StatusConflict)
			}
		})
	}
	if status, body := start(t, "-state", t.TempDir()).call(t, http.MethodPost, "/dev/tickets/1/solve", `{}`); status != http.StatusNotFound {
		t.Errorf("no such ticket: %d %s", status, body)
	}
}
