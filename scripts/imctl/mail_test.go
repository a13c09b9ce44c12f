package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// mailDesk serves the routes of mail over an emulated IM. Jobs run with each request.
func mailDesk(t *testing.T) (w *rulestest.World, target string) {
	t.Helper()
	clock := kvtest.NewClock()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w = rulestest.New(t, clock, rulestest.Options{Callbacks: []string{}})
	ledger, client := queue.NewLedger(store, w.Queue, clock.Now), w.Client()
	mails := mail.New(mail.Config{
		Store: store, Jobs: ledger, IM: client, Sends: once.New(store, client, clock.Now), From: rulestest.Admin, Push: true,
		Keep: 720 * 3600e9, Now: clock.Now, Sleep: w.Sleep,
	})
	keys, err := api.ParseKeys([]string{"dev:" + wiring.DevelopmentKeyHash})
	w.Must(err)
	mux := http.NewServeMux()
	mails.Routes(mux, mail.RoutesConfig{RoutesConfig: api.RoutesConfig{Gate: &api.Gate{Keys: keys}, Keeper: idem.New(store, clock.Now)}})
	server := httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Must(w.Queue.Work(t.Context(), ledger, clock.Now))
		}
		api.Routes(mux).ServeHTTP(res, r)
	}))
	t.Cleanup(server.Close)
	return w, server.URL
}

func TestMail(t *testing.T) {
	w, target := mailDesk(t)
	var accounts []im.Account
	var lines strings.Builder
	for n := range 700 {
		id := fmt.Sprintf("u%d", n)
		accounts = append(accounts, im.Account{UserID: id})
		lines.WriteString(id + "\n")
	}
	_, err := w.Client().ImportAccounts(t.Context(), accounts)
	w.Must(err)
	file := filepath.Join(t.TempDir(), "players.txt")
	w.Must(os.WriteFile(file, []byte(lines.String()), 0o600))
	run := func(status int, says string, args ...string) result {
		t.Helper()
		r := imctl(t, append([]string{"mail", "-url", target}, args...)...)
		if r.status != status || !strings.Contains(r.out+r.errs, says) {
			t.Errorf("%q: %d %s%s, want %d and %q", args, r.status, r.out, r.errs, status, says)
		}
		return r
	}
	run(0, "by batchsendmsg: 2 calls", "plan", "-file", file, "-title", "hello")
	run(0, "by sendmsg: 1 calls", "plan", "-users", "u1", "-title", "hello")
	sent := run(0, "100% 700 of 700", "send", "-file", file, "-title", "hello", "-key", "first")
	id := strings.Fields(sent.out)[0]
	run(0, id, "send", "-file", file, "-title", "hello", "-key", "first") // again: the same mail
	run(0, "sent", "status", id)
	run(1, "status 409", "cancel", id)
	run(1, "status 404", "status", "m01a2285d9f50z6uxcedkqa")

	w.Must(os.WriteFile(file, []byte("u1\ntwo words\n\nu2\n"+strings.Repeat("x", 33)+"\n"), 0o600))
	r := run(1, "2 lines of", "send", "-file", file, "-title", "hello", "-key", "broken")
	if !strings.Contains(r.errs, "players.txt:2:") || !strings.Contains(r.errs, "players.txt:5:") || strings.Contains(r.errs, ":3:") {
		t.Errorf("broken lines: %s", r.errs)
	}
	run(0, "100% 2 of 2", "send", "-file", file, "-title", "hello", "-key", "broken", "-skip-broken")
	run(2, "usage", "send", "-users", "u1", "-title", "x", "-attach", "gem")
	run(2, "usage", "open", id)
	run(2, "usage", "status")
	run(0, "to everyone by im_push", "send", "-everyone", "-title", "hello")
}
