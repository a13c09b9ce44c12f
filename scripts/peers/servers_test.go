package peers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// asNull makes this test binary the peer that does nothing.
const asNull = "PEERS_NULL_HANDLER"

func TestMain(m *testing.M) {
	if os.Getenv(asNull) != "" {
		null()
		return
	}
	os.Exit(m.Run())
}

// null answers every request with IM's OK, prints where, and ends with its
// standard input.
func null() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`)
	}))
	fmt.Println(server.URL[strings.LastIndexByte(server.URL, ':')+1:])
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// start runs a peer that prints its port, and returns its URL. It ends with the
// test.
func start(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	port := bufio.NewScanner(out)
	if !port.Scan() {
		t.Fatalf("%s printed no port", cmd.Path)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", cmd.Path, err)
		}
	})
	return "http://127.0.0.1:" + port.Text()
}

func startNull(t testing.TB) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asNull+"=1")
	return start(t, cmd)
}

func startExpress(t testing.TB, env map[string]string) string {
	t.Helper()
	const folder = "../node"
	if _, err := os.Stat(folder + "/node_modules/express"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	cmd := exec.Command("node", "express.cjs")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return start(t, cmd)
}

// filters are our before-send-filter and an Express app that looks for the same
// words.
func filters(t testing.TB) (ours, express string) {
	t.Helper()
	var words []string
	for _, r := range compile.Default().Words {
		words = append(words, strings.ToLower(r.Text))
	}
	list, err := json.Marshal(words)
	if err != nil {
		t.Fatal(err)
	}
	ours = faastest.StartLocal(t, faastest.Build(t, "../../functions/before-send-filter"), kit.Settings(map[string]string{"LOG_LEVEL": "error"})).URL
	return ours, startExpress(t, map[string]string{"WORDS": string(list)})
}

// counters are our bundle, whose counts are on disk before it answers, and two
// Express apps that update counter rows in SQLite: one with rows on disk before it
// answers, one without. SQLite is compiled to WebAssembly there.
func counters(t testing.TB) (ours, durable, volatile string) {
	t.Helper()
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	im := httptest.NewServer(emulator)
	t.Cleanup(im.Close)
	ours = faastest.StartLocal(t, faastest.Build(t, "../../functions/bundle"), kit.Settings(map[string]string{
		"STATE_URL": "bolt:{dir}/state", "QUEUE_URL": "bolt:{dir}/queue", "IM_DOMAIN": im.URL, "LOG_LEVEL": "error",
	})).URL
	sqlite := func(sync string) string {
		return startExpress(t, map[string]string{"COUNTS": filepath.Join(t.TempDir(), "counts.db"), "COUNTS_SYNC": sync})
	}
	return ours, sqlite("FULL"), sqlite("OFF")
}

// desks are our bundle, whose state is on disk before it answers, and an Express
// app, both before a Zendesk and an IM that answer at once.
func desks(t testing.TB) (ours, express string, zendesk *desktest.Zendesk, app *imtest.App) {
	t.Helper()
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	app = emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret, RatePerAPI: -1})
	zendesk = desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", Email: "a@example.com", APIToken: "t", GroupField: 360})
	domain, desk := serve(emulator), serve(zendesk)
	ours = faastest.StartLocal(t, faastest.Build(t, "../../functions/bundle"), kit.Settings(map[string]string{
		"STATE_URL": "bolt:{dir}/state", "QUEUE_URL": "bolt:{dir}/queue", "IM_DOMAIN": domain, "IM_SHARE": "100", "LOG_LEVEL": "error",
		"ZENDESK_URL": desk, "ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "s", "ZENDESK_GROUP_FIELD": "360", "ZENDESK_WEBHOOK_SECRETS": "a secret of this test",
	})).URL
	express = startExpress(t, map[string]string{
		"ZENDESK_URL": desk, "ZENDESK_EMAIL": "a@example.com", "ZENDESK_API_TOKEN": "t",
		"IM_DOMAIN": domain, "SDK_APP_ID": fmt.Sprint(kit.AppID), "SECRET": kit.Secret, "IM_ADMIN": "administrator",
	})
	return ours, express, zendesk, app
}

// issuers are our bundle and an Express app with Tencent's library.
func issuers(t testing.TB) (ours, express string) {
	t.Helper()
	ours = faastest.StartLocal(t, faastest.Build(t, "../../functions/bundle"), kit.Settings(map[string]string{
		"STATE_URL": "bolt:{dir}/state", "QUEUE_URL": "bolt:{dir}/queue", "LOG_LEVEL": "error",
	})).URL
	return ours, startExpress(t, map[string]string{"SDK_APP_ID": fmt.Sprint(kit.AppID), "SECRET": kit.Secret})
}

// client keeps as many connections as there are callers.
var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// ticket is a request for the nth ticket of a server.
func ticket(t testing.TB, server, user string) *http.Request {
	t.Helper()
	body := fmt.Sprintf(`{"userId":%q,"caseInfo":{"subject":"printer offline","desc":"it says PC LOAD LETTER","name":"Jane","email":"jane@example.com"}}`, user)
	r := kit.Post("/createticket", kit.Key, body)
	r.Header.Set("Idempotency-Key", user)
	out, err := http.NewRequestWithContext(t.Context(), r.Method, server+r.URL.Path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out.Header = r.Header
	return out
}
