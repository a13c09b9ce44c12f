package desk_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

// BenchmarkOpen measures a ticket with its group, from the caller's request to
// the greeting, with a desk and an IM that answer at once, beside the five calls
// alone that it takes at the least.
//
//	go test -run '^$' -bench Open -benchtime 300x ./shared/desk
func BenchmarkOpen(b *testing.B) {
	emulator := imtest.NewServer(imtest.Options{})
	defer emulator.Close()
	emulator.AddApp(imtest.AppConfig{SDKAppID: appID, Key: appKey, RatePerAPI: -1})
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360})
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		b.Cleanup(s.Close)
		return s.URL
	}
	chat, err := im.NewClient(im.Config{Domain: serve(emulator), SDKAppID: appID, Key: appKey, Admin: admin})
	if err != nil {
		b.Fatal(err)
	}
	d, err := zendesk.New(zendesk.Config{URL: serve(fake), ClientID: "app", ClientSecret: "s", GroupField: 360})
	if err != nil {
		b.Fatal(err)
	}
	store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	tickets := desk.New(desk.Config{
		Store: store, Jobs: queue.NewLedger(store, &queuetest.Line{}, nil), Desk: d, IM: chat, Sends: once.New(store, chat, nil),
		GroupPrefix: zendesk.GroupPrefix, Greeter: admin, Greeting: greeting,
	})
	asked := func(n int) desk.Asked {
		return desk.Asked{UserID: fmt.Sprint("user", n), Ticket: desk.Ticket{Subject: "printer", Text: "it is offline"}}
	}

	n := 0
	b.Run("calls", func(b *testing.B) {
		for b.Loop() {
			n++
			a := asked(n)
			a.Ticket.Key = fmt.Sprint("im-", n)
			id, err := d.Create(b.Context(), a.Ticket)
			group := zendesk.GroupPrefix + id
			if err == nil {
				err = chat.ImportAccount(b.Context(), im.Account{UserID: a.UserID})
			}
			if err == nil {
				_, err = chat.CreateGroup(b.Context(), im.NewGroup{Type: im.Public, GroupID: group, Name: "printer", Owner: a.UserID})
			}
			if err == nil {
				err = d.Link(b.Context(), id, group)
			}
			if err == nil {
				_, err = chat.SendGroupMsg(b.Context(), im.GroupMsg{GroupID: group, From: admin, Random: uint32(n), Body: im.Text(greeting)})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ticket", func(b *testing.B) {
		for b.Loop() {
			n++
			if _, err := tickets.Open(b.Context(), api.Caller{Server: "shop"}, fmt.Sprint("request ", n), asked(n)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			if _, err := tickets.Open(b.Context(), api.Caller{Server: "shop"}, fmt.Sprint("request ", n), asked(n)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWebhook measures what Zendesk waits for: a signed event becomes a job.
func BenchmarkWebhook(b *testing.B) {
	store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	fake := desktest.NewZendesk(desktest.ZendeskConfig{WebhookSecret: hookKey})
	tickets := desk.New(desk.Config{Store: store, Jobs: queue.NewLedger(store, &queuetest.Line{}, nil)})
	mux := http.NewServeMux()
	tickets.Routes(mux, desk.Doors{Gate: &api.Gate{}, Webhook: zendesk.Webhooks{Secrets: []string{hookKey}}})
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		body := fmt.Sprintf(`{"ticket_id":"%d","assignee_id":"701","updated_at":%q}`, n, time.Now().UTC().Format(time.RFC3339))
		r := fake.Sign([]byte(body)).Request(b.Context(), "http://function.invalid")
		w := httptest.NewRecorder()
		b.StartTimer()
		mux.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			text, _ := io.ReadAll(w.Body)
			b.Fatalf("%d %s", w.Code, text)
		}
	}
}
