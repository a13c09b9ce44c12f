package main

import (
	"archive/zip"
	"encoding/json"
	"io"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
)

// TestZendeskInstall: a plan first, then what it says; again, nothing; after a change
// by hand, that change; and away with it, without what others made.
func TestZendeskInstall(t *testing.T) {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 1, WebhookSecret: "the webhook's own secret"})
	web := httptest.NewServer(fake)
	defer web.Close()
	env := map[string]string{"ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "s"}
	run := func(status int, says string, args ...string) string {
		t.Helper()
		r := imctlWith(t, env, append([]string{"zendesk"}, args...)...)
		if r.status != status || !strings.Contains(r.out+r.errs, says) {
			t.Errorf("%s: %d %s%s", args, r.status, r.out, r.errs)
		}
		return r.out
	}
	things := func() (n int) { return len(fake.Things("webhook")) + len(fake.Things("trigger")) }
	at := []string{"-zendesk", web.URL, "-url", "https://im.example.com"}
	plan := run(0, "again with -yes", append(at, "install")...)
	if strings.Count(plan, "+ create") != 3 || things() != 0 {
		t.Errorf("%d things, plan\n%s", things(), plan)
	}
	run(1, "3 of 3 are missing", append(at, "status")...)
	run(0, "ZENDESK_WEBHOOK_SECRETS=the webhook's own secret,the webhook's own secret", append(at, "install", "-yes")...)
	if things() != 3 {
		t.Fatalf("%d things", things())
	}
	if again := run(0, "installed", append(at, "install", "-yes")...); strings.Count(again, "= keep") != 3 || things() != 3 {
		t.Errorf("again: %d things\n%s", things(), again)
	}
	run(0, "all is installed", "status", "-zendesk", web.URL)
	// Another address is a change, and no second webhook.
	moved := []string{"-zendesk", web.URL, "-url", "https://other.example.com"}
	if out := run(0, "installed", append(moved, "install", "-yes")...); strings.Count(out, "~ change") != 2 || !strings.Contains(out, ": endpoint") || things() != 3 {
		t.Errorf("moved: %d things\n%s", things(), out)
	}
	run(0, "again with -yes", "remove", "-zendesk", web.URL)
	run(0, "removed", "remove", "-zendesk", web.URL, "-yes")
	run(0, "nothing of ours", "remove", "-zendesk", web.URL, "-yes")
	if things() != 0 {
		t.Errorf("left: %v %v", fake.Things("webhook"), fake.Things("trigger"))
	}
	for _, bad := range [][]string{
		{"install", "-zendesk", web.URL},
		{"install", "-zendesk", "http://acme.zendesk.com", "-url", "https://im.example.com"},
		{"install", "-zendesk", web.URL, "-url", "http://im.example.com"},
		{"install", "-zendesk", "http://127.example.com", "-url", "https://im.example.com"},
		{"instal", "-zendesk", web.URL, "-url", "https://im.example.com"},
		{"status"},
	} {
		run(2, "usage", bad...)
	}
	env["ZENDESK_CLIENT_SECRET"] = "wrong"
	if out := run(1, "no access", append(at, "install", "-yes")...); strings.Contains(out, "wrong") {
		t.Errorf("it says the secret: %s", out)
	}
}

// TestZendeskInstallLosesAnswers: an answer that is lost leaves nothing twice.
func TestZendeskInstallLosesAnswers(t *testing.T) {
	fake := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 1, WebhookSecret: "secret"})
	web := httptest.NewServer(fake)
	defer web.Close()
	env := map[string]string{"ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "s"}
	fake.LoseEachOnce()
	for range 12 {
		if imctlWith(t, env, "zendesk", "install", "-zendesk", web.URL, "-url", "https://im.example.com", "-yes").status == 0 {
			break
		}
	}
	if w, tr := fake.Things("webhook"), fake.Things("trigger"); len(w) != 2 || len(tr) != 1 {
		t.Errorf("%v %v", w, tr)
	}
}

// TestZendeskApp: the archive is what Zendesk takes, with the bundle's address.
func TestZendeskApp(t *testing.T) {
	name := filepath.Join(t.TempDir(), "app.zip")
	if r := imctl(t, "zendesk", "app", "-url", "https://im.example.com/", "-o", name); r.status != 0 {
		t.Fatalf("%d %s", r.status, r.errs)
	}
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		if f.Name != "manifest.json" {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Location map[string]map[string]struct{ URL string }
		}
		if json.Unmarshal(b, &m) != nil || m.Location["support"]["ticket_sidebar"].URL != "https://im.example.com/zendesk/app?location=ticket_sidebar" {
			t.Errorf("%s", b)
		}
	}
	for _, want := range []string{"manifest.json", "translations/en.json", "translations/ja.json", "translations/zh-cn.json", "assets/logo.png", "assets/logo-small.png"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %v", want, names)
		}
	}
}
