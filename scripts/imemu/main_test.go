package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// serve runs imemu on a free port until the test ends, and returns its URL and
// what ends it.
func serve(t *testing.T, args ...string) (base string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w, io.Discard)
		_ = w.CloseWithError(io.EOF)
		done <- err
	}()
	base = ready(t, r)
	stop = func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			return errors.New("it does not stop")
		}
	}
	t.Cleanup(cancel)
	return base, stop
}

// ready waits for the line of that name, and the next, which says what is kept, and
// returns the URL in it.
func ready(t *testing.T, r io.Reader) string {
	t.Helper()
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	if kept, _ := lines.ReadString('\n'); !strings.HasPrefix(kept, "kept on disk: nothing") {
		t.Errorf("it does not say what it keeps: %q", kept)
	}
	if !strings.HasPrefix(line, "ready") {
		t.Fatalf("it said %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return regexp.MustCompile(`http://[^/ ]+`).FindString(line)
}

// rest asks whether alice's account exists, and returns the code.
func rest(t *testing.T, base string, appID uint32, secret string) float64 {
	t.Helper()
	signer, err := usersig.NewSignerAt(appID, secret, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign("administrator", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	q := url.Values{"sdkappid": {fmt.Sprint(appID)}, "identifier": {"administrator"}, "usersig": {sig}, "random": {"1"}, "contenttype": {"json"}}
	return post(t, base+"/v4/im_open_login_svc/account_check?"+q.Encode(), `{"CheckItem":[{"UserID":"alice"}]}`)["ErrorCode"].(float64)
}

func post(t *testing.T, address, body string) map[string]any {
	t.Helper()
	resp, err := http.Post(address, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestServesTheDevelopmentApp(t *testing.T) {
	told := make(chan *http.Request, 10)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r
		_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`)
	}))
	defer backend.Close()
	base, stop := serve(t, "-callback-url", backend.URL+"/im", "-callback-token", "t", "-seed", "7", "-manual-clock", "-origin", "http://127.0.0.1:8080")
	if code := rest(t, base, developmentApp.id, wiring.DevelopmentSecret); code != 0 {
		t.Errorf("REST answers %v", code)
	}

	// A user comes, which the backend is told with a signature.
	signer, err := usersig.NewSigner(developmentApp.id, wiring.DevelopmentSecret)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	token := post(t, base+"/client/login", fmt.Sprintf(`{"sdkAppId":%d,"userId":"alice","userSig":%q}`, developmentApp.id, sig))["token"]
	if r := <-told; r.URL.Path != "/im" || r.URL.Query().Get("CallbackCommand") != "State.StateChange" || r.URL.Query().Get("Sign") == "" {
		t.Errorf("told %s", r.URL)
	}
	clock := post(t, base+"/emulator/clock", `{"advanceMillis":60000}`)
	if clock["manual"] != true {
		t.Errorf("the clock is %v", clock)
	}

	// An open event stream ends with the program.
	r, err := http.NewRequest(http.MethodGet, fmt.Sprint(base, "/client/events?token=", token), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "http://127.0.0.1:8080")
	events, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	if events.StatusCode != http.StatusOK || events.Header.Get("Access-Control-Allow-Origin") != "http://127.0.0.1:8080" {
		t.Fatalf("events: %d %v", events.StatusCode, events.Header)
	}
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if _, err := io.ReadAll(events.Body); err != nil {
		t.Errorf("the stream broke: %v", err)
	}
}

func TestServesSeveralApps(t *testing.T) {
	base, stop := serve(t, "-app", "1400000001:one", "-app", "1400000002:t@wo@singapore")
	for _, tc := range []struct {
		base   string
		app    uint32
		secret string
		code   float64
	}{
		{base, 1400000001, "one", 0},
		{base, 1400000001, "two", 70009},
		{base + "/dc/singapore", 1400000001, "one", 60026},
		{base, 1400000002, "t@wo", 60026},
		{base + "/dc/singapore", 1400000002, "t@wo", 0},
		{base, 1400000000, wiring.DevelopmentSecret, 70020},
	} {
		if code := rest(t, tc.base, tc.app, tc.secret); code != tc.code {
			t.Errorf("%d at %s: %v, want %v", tc.app, tc.base, code, tc.code)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

// Beyond loopback the controls are served only on request.
func TestControlsBeyondLoopback(t *testing.T) {
	for _, args := range [][]string{{}, {"-control"}} {
		base, _ := serve(t, append([]string{"-addr", "0.0.0.0:0"}, args...)...)
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get("http://127.0.0.1:" + u.Port() + "/emulator/apps")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if served := resp.StatusCode == http.StatusOK; served != (len(args) > 0) {
			t.Errorf("with %q: status %d", args, resp.StatusCode)
		}
	}
}

func TestRefusesBadFlags(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tc := range []struct{ args, says string }{
		{"-app 1400000000", "SDKAPPID:SECRET"},
		{"-app x:hush", "SDKAPPID:SECRET"},
		{"-app 0:hush", "SDKAPPID:SECRET"},
		{"-app 4294967296:hush", "SDKAPPID:SECRET"},
		{"-app 1:@singapore", "SDKAPPID:SECRET"},
		{"-app 1:hush@", "SDKAPPID:SECRET"},
		{"-app 1:hush@a/b", "SDKAPPID:SECRET"},
		{"-app 1:hush -app 1:other", "twice"},
		{"-callback-url 127.0.0.1:8080", "callback-url"},
		{"-callback-url file:///x", "callback-url"},
		{"-seed x", "seed"},
		{"-no-such-flag", "no-such-flag"},
		{"serve", "unexpected argument"},
		{"-addr " + taken.Addr().String(), "running already"},
	} {
		var errs bytes.Buffer
		err := run(t.Context(), strings.Fields(tc.args), io.Discard, &errs)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.args, err)
		}
		if strings.Contains(fmt.Sprint(err, errs.String()), "hush") {
			t.Errorf("%s: the secret is repeated: %v %s", tc.args, err, &errs)
		}
	}
	var errs bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, io.Discard, &errs); !errors.Is(err, flag.ErrHelp) || !strings.Contains(errs.String(), "-manual-clock") {
		t.Errorf("-h: %v, %s", err, &errs)
	}
}

// The built program stops on each signal, with success.
func TestStopsOnSignals(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "imemu")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), binary, "-addr", "127.0.0.1:0")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		base := ready(t, out)
		if code := rest(t, base, developmentApp.id, wiring.DevelopmentSecret); code != 0 {
			t.Errorf("REST answers %v", code)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
	}
}
