package faas_test

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

// Stopping finishes the requests, then the work, then closes what both used.
func TestGracefulStop(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			l := faastest.StartLocal(t, faastest.Build(t, testfunc), greeting)
			l.WaitLog(t, "working")
			l.WaitLog(t, "ticked")
			answered := make(chan string, 1)
			if sig == syscall.SIGTERM {
				go func() {
					res, err := l.Do(faastest.Plain, get("/until-sigterm"))
					if err != nil {
						answered <- err.Error()
						return
					}
					b, _ := io.ReadAll(res.Body)
					res.Body.Close()
					answered <- string(b)
				}()
				l.WaitLog(t, "waiting for SIGTERM")
			} else {
				answered <- "finished"
			}
			l.Signal(t, sig)
			if got := <-answered; got != "finished" {
				t.Errorf("the request in flight got %q", got)
			}
			if code := l.Wait(t); code != 0 {
				t.Errorf("exit status %d\n%s", code, l.Stdout())
			}
			var end []string
			for _, line := range l.Logs() {
				switch line["msg"] {
				case "request", "worked", "closed", "stopped":
					end = append(end, line["msg"].(string))
				}
			}
			want := []string{"request", "worked", "closed", "stopped"}
			if sig == syscall.SIGINT {
				want = want[1:]
			}
			if !slices.Equal(end, want) {
				t.Errorf("order %q, want %q", end, want)
			}
			if _, err := l.Do(faastest.Plain, get("/healthz")); err == nil {
				t.Error("somebody still answers")
			}
		})
	}
}

func TestListenerWithoutHTTP(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), with("DOES", "run,tick"))
	if l.URL != "" {
		t.Errorf("listens on %s", l.URL)
	}
	l.WaitLog(t, "working")
	l.WaitLog(t, "ticked")
	if code := l.Stop(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestListenerWithNothingToDo(t *testing.T) {
	got := faastest.Run(t, faastest.Build(t, testfunc), with("DOES", "job"))
	if got.Code != 1 || !strings.Contains(got.Stdout, "nothing to do") || !strings.Contains(got.Stdout, `"closed"`) {
		t.Errorf("exit status %d\n%s", got.Code, got.Stdout)
	}
}

func TestFailedWorkStopsTheListener(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), with("DOES", "http,failing-run"))
	if code := l.Wait(t); code != 1 {
		t.Errorf("exit status %d", code)
	}
	if line := l.WaitLog(t, "stopping"); line["error"] != "the queue is gone" {
		t.Errorf("logged %v", line)
	}
	l.WaitLog(t, "closed")
}

func TestAFailedTickDoesNotStopTheListener(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), with("DOES", "http,failing-tick"))
	l.WaitLog(t, "tick failed")
	if code := l.Stop(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	env := with("HOST", "127.0.0.1")
	_, env["PORT"], _ = net.SplitHostPort(taken.Addr().String())
	got := faastest.Run(t, faastest.Build(t, testfunc), env)
	if got.Code != 1 || !strings.Contains(got.Stdout, "address already in use") || !strings.Contains(got.Stdout, `"closed"`) {
		t.Errorf("exit status %d\n%s", got.Code, got.Stdout)
	}
}

// Half an answer must not look like a whole one.
func TestListenerCutsOffAnAnswerThatPanicked(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), greeting)
	res, err := l.Do(faastest.Plain, get("/panic/late"))
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("the client took the half for the whole")
	}
	if line := l.WaitLog(t, "request"); line["status"] != 500.0 || line["route"] != "GET /panic/late" {
		t.Errorf("logged %v", line)
	}
}

func TestListenerBoundsHeaders(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), greeting)
	r := get("/echo/")
	r.Header.Set("X-Long", strings.Repeat("x", 80<<10))
	res, err := l.Do(faastest.Plain, r)
	if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v, %v", res, err)
	}
}

func TestListenerAnnouncesItselfAtAnyLogLevel(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), with("LOG_LEVEL", "error"))
	if code := l.Stop(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
	l.WaitLog(t, "stopped")
}

// A method is the client's own word, however long.
func TestStrangeMethodIsNotLogged(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), greeting)
	r := get("/echo/")
	r.Method = "hush-" + strings.Repeat("X", 1000)
	if _, err := l.Do(faastest.Plain, r); err != nil {
		t.Fatal(err)
	}
	if line := l.WaitLog(t, "request"); line["method"] != "other" || strings.Contains(l.Stdout(), "hush") {
		t.Errorf("logged %v", line)
	}
}

// TestMetricsOfAProcess: GET /metrics tells what was counted since the start, and the
// end of the process writes what no minute has written.
func TestMetricsOfAProcess(t *testing.T) {
	l := faastest.StartLocal(t, faastest.Build(t, testfunc), greeting)
	if _, err := l.Do(faastest.Plain, get("/echo/hush")); err != nil {
		t.Fatal(err)
	}
	res, err := l.Do(faastest.Plain, get("/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b); res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain; version=0.0.4") ||
		!strings.Contains(text, "\nbackchannel_requests_total{route=\"/echo/{id...}\",status=\"2xx\"} 1\n") || strings.Contains(text, "hush") {
		t.Errorf("%d %s\n%s", res.StatusCode, res.Header, b)
	}
	l.Signal(t, syscall.SIGTERM)
	l.Wait(t)
	if !strings.Contains(l.Stdout(), `"Requests":1,"_aws":`) {
		t.Errorf("the end wrote no metrics\n%s", l.Stdout())
	}
}
