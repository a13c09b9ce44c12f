package faas_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

func TestSettingsAreCheckedAtStart(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	tests := []struct {
		platform, name, value string
		faults                []string
	}{
		{"Lambda", "AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1", nil},
		{"listener", "HOST", "localhost", []string{"HOST: must be an IP address"}},
		{"listener", "PORT", "http", []string{"PORT: must be"}},
	}
	for _, tt := range tests {
		t.Run(tt.platform+" "+tt.name, func(t *testing.T) {
			got := faastest.Run(t, bin, map[string]string{tt.name: tt.value, "LIMIT": "12", "LOG_LEVEL": "loud"})
			if got.Code != 2 || got.Stdout != "" {
				t.Errorf("exit status %d, stdout %q", got.Code, got.Stdout)
			}
			for _, want := range append(tt.faults, "testfunc", "GREETING: required", "LIMIT: must be", "LOG_LEVEL: must be one of") {
				if !strings.Contains(got.Stderr, want) {
					t.Errorf("%q is missing in\n%s", want, got.Stderr)
				}
			}
		})
	}
}

func TestFailedStartEndsTheProcess(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	for start, want := range map[string]string{"error": "the store is locked", "panic": "broken wiring"} {
		for _, platform := range []string{"AWS_LAMBDA_RUNTIME_API", "HOST"} {
			t.Run(start+" "+platform, func(t *testing.T) {
				env := with("START", start)
				env[platform] = "127.0.0.1"
				got := faastest.Run(t, bin, env)
				if got.Code != 1 || !strings.Contains(got.Stderr, want) {
					t.Errorf("exit status %d\n%s", got.Code, got.Stderr)
				}
			})
		}
	}
}

func TestBatchReportsEachFailure(t *testing.T) {
	l := faastest.StartLambda(t, faastest.Build(t, testfunc), greeting)
	failed, err := l.SQS(
		faastest.Message{ID: "m1", Body: `{"do":"well"}`},
		faastest.Message{ID: "m2", Body: `{"do":"fail"}`},
		faastest.Message{ID: "m3", Body: `{"do":"panic"}`},
		faastest.Message{ID: "m4", Body: `{"do":"well","last":true}`},
	)
	if err != nil || !slices.Equal(failed, []string{"m2", "m3"}) {
		t.Fatalf("failed %q, %v", failed, err)
	}
	var bodies []string
	for _, line := range l.Logs() {
		if line["msg"] == "working on job" {
			bodies = append(bodies, line["body"].(string))
		}
	}
	want := []string{`{"do":"well"}`, `{"do":"fail"}`, `{"do":"panic"}`, `{"do":"well","last":true}`}
	if !slices.Equal(bodies, want) {
		t.Errorf("jobs %q", bodies)
	}
	if line := l.WaitLog(t, "job failed"); line["error"] != "the desk is closed" {
		t.Errorf("logged %v", line)
	}

	answer, err := l.Invoke([]byte(`{"Records":[{"messageId":"m5","eventSource":"aws:sqs","body":"well"}]}`))
	if err != nil || string(answer) != `{"batchItemFailures":[]}` {
		t.Errorf("a batch without failures: %s, %v", answer, err)
	}
}

// Jobs that would be cut off are not begun: SQS delivers them again.
func TestBatchStopsBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{
		"deadline reached":                "endless",
		"too little time for one like it": "half",
	} {
		t.Run(name, func(t *testing.T) {
			l := faastest.StartLambda(t, faastest.Build(t, testfunc), greeting)
			l.Timeout = 2 * time.Second
			failed, err := l.SQS(faastest.Message{ID: "m1", Body: first}, faastest.Message{ID: "m2", Body: "x"}, faastest.Message{ID: "m3", Body: "x"})
			want := []string{"m2", "m3"}
			if first == "endless" {
				want = []string{"m1", "m2", "m3"}
			}
			if err != nil || !slices.Equal(failed, want) {
				t.Fatalf("failed %q, %v", failed, err)
			}
			if line := l.WaitLog(t, "deadline reached; the rest of the batch is redelivered"); line["jobs"] != 2.0 {
				t.Errorf("logged %v", line)
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	l := faastest.StartLambda(t, bin, greeting)
	if err := l.Schedule(); err != nil {
		t.Fatal(err)
	}
	if line := l.WaitLog(t, "ticked"); line["requestId"] == nil {
		t.Errorf("logged %v", line)
	}

	l = faastest.StartLambda(t, bin, with("DOES", "failing-tick"))
	wantBlandError(t, l.Schedule(), "the clock stands still")
	if line := l.WaitLog(t, "tick failed"); line["error"] != "the clock stands still" {
		t.Errorf("logged %v", line)
	}
}

func TestAsyncJob(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	platforms := map[string]func(t *testing.T) (*faastest.Process, func([]byte) error){
		"Lambda": func(t *testing.T) (*faastest.Process, func([]byte) error) {
			l := faastest.StartLambda(t, bin, greeting)
			return l.Process, l.Async
		},
		"SCF": func(t *testing.T) (*faastest.Process, func([]byte) error) {
			s := faastest.StartSCF(t, bin, greeting)
			return s.Process, s.Async
		},
	}
	for name, start := range platforms {
		t.Run(name, func(t *testing.T) {
			p, async := start(t)
			if err := async([]byte(`{"do":"well","n":12345678901234567890}`)); err != nil {
				t.Fatal(err)
			}
			if line := p.WaitLog(t, "working on job"); line["body"] != `{"do":"well","n":12345678901234567890}` {
				t.Errorf("the job came as %v", line["body"])
			}
			wantBlandError(t, async([]byte(`"fail"`)), "the desk is closed")
			wantBlandError(t, async([]byte(`"panic"`)), "kaput")
			if !p.Alive() {
				t.Error("the panic ended the process")
			}
		})
	}
}

// wantBlandError checks that the function failed, so that the platform repeats,
// without telling the platform's caller why.
func wantBlandError(t *testing.T, err error, secret string) {
	t.Helper()
	fault, ok := errors.AsType[*faastest.FunctionError](err)
	if !ok || fault.ShouldExit || !strings.Contains(fault.Message, "see the log of request ") ||
		strings.Contains(fault.Message, secret) {
		t.Errorf("error %v", err)
	}
}

func TestEventsNobodyHandles(t *testing.T) {
	bin := faastest.Build(t, testfunc)
	requests, err := os.ReadFile("testdata/http-api-v2.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, does, event, why string
	}{
		{"no JSON", "http", `{"httpMethod":`, "no JSON object"},
		{"a list", "http", `[]`, "unexpected type"},
		{"unknown", "http,job,tick", `{"secret":"hunter2"}`, "neither a request"},
		{"request", "job,tick", string(requests), "does not handle"},
		{"job", "http,tick", `{"backchannelJob":{}}`, "does not handle"},
		{"tick", "job", `{"Type":"Timer"}`, "does not handle"},
		{"bad base64", "http", `{"requestContext":{"http":{"method":"GET"}},"isBase64Encoded":true,"body":"?"}`, "base64"},
		{"bad method", "http", `{"requestContext":{"http":{"method":"GET /x"}},"body":""}`, "method"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := faastest.StartLambda(t, bin, with("DOES", tt.does))
			_, err := l.Invoke([]byte(tt.event))
			wantBlandError(t, err, tt.why)
			if line := l.WaitLog(t, "refused"); !strings.Contains(line["error"].(string), tt.why) {
				t.Errorf("logged %v, want %q", line["error"], tt.why)
			}
			if strings.Contains(l.Stdout()+l.Stderr(), "hunter2") {
				t.Error("the log repeats the event")
			}
		})
	}
}

// Whoever runs into the deadline can still answer.
func TestDeadlineLeavesTimeToAnswer(t *testing.T) {
	t.Parallel()
	bin := faastest.Build(t, testfunc)
	l, s := faastest.StartLambda(t, bin, greeting), faastest.StartSCF(t, bin, greeting)
	l.Timeout, s.Timeout = 2*time.Second, 2*time.Second
	if res, err := l.Do(faastest.HTTPAPIv2, get("/until-deadline")); err != nil || res.StatusCode != 504 {
		t.Errorf("Lambda: %v, %v", res, err)
	}
	if res, err := s.Do(faastest.SCFFunctionURL, get("/until-deadline")); err != nil || res.StatusCode != 504 {
		t.Errorf("SCF: %v, %v", res, err)
	}
}

func TestOneLogLineForEachRequest(t *testing.T) {
	l := faastest.StartLambda(t, faastest.Build(t, testfunc), greeting)
	if _, err := l.Do(faastest.HTTPAPIv2, get("/echo/hush-path?token=hush-query")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Do(faastest.HTTPAPIv2, get("/panic?token=hush-query")); err != nil {
		t.Fatal(err)
	}
	var requests []map[string]any
	for _, line := range l.Logs() {
		if line["msg"] == "request" {
			requests = append(requests, line)
		}
	}
	if len(requests) != 2 {
		t.Fatalf("%d lines\n%s", len(requests), l.Stdout())
	}
	first, second := requests[0], requests[1]
	if first["route"] != "/echo/{id...}" || first["method"] != "GET" || first["status"] != 200.0 || first["level"] != "INFO" {
		t.Errorf("logged %v", first)
	}
	if ms, ok := first["ms"].(float64); !ok || ms < 0 {
		t.Errorf("logged %v", first)
	}
	if second["route"] != "GET /panic" || second["status"] != 500.0 || second["level"] != "ERROR" {
		t.Errorf("logged %v", second)
	}
	if first["requestId"] != "00000000-0000-4000-8000-000000000001" || l.WaitLog(t, "echoing")["requestId"] != first["requestId"] {
		t.Errorf("request ids: %v", first)
	}
	panicked := l.WaitLog(t, "panic")
	if panicked["panic"] != "kaput: secret detail" || !strings.Contains(panicked["stack"].(string), "testfunc/main.go") ||
		panicked["requestId"] != second["requestId"] {
		t.Errorf("logged %v", panicked)
	}
	if strings.Contains(l.Stdout(), "hush") {
		t.Errorf("the log holds a path or a query\n%s", l.Stdout())
	}
	for line := range strings.Lines(l.Stdout()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// TestMetricsOnLambda: what was counted stands in the log before the answer, as
// lines in embedded metric format, and /metrics is nobody's.
func TestMetricsOnLambda(t *testing.T) {
	l := faastest.StartLambda(t, faastest.Build(t, testfunc), greeting)
	if _, err := l.Do(faastest.HTTPAPIv2, get("/echo/hush?secret=hush")); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, line := range l.Logs() {
		if line["_aws"] != nil && line["Requests"] == 1.0 && line["function"] == "test" && line["route"] == "/echo/{id...}" && line["status"] == "2xx" {
			found++
		}
	}
	if found != 1 || strings.Contains(l.Stdout(), "hush") {
		t.Errorf("%d lines\n%s", found, l.Stdout())
	}
}

func TestLogLevel(t *testing.T) {
	l := faastest.StartLambda(t, faastest.Build(t, testfunc), with("LOG_LEVEL", "error"))
	if _, err := l.Do(faastest.HTTPAPIv2, get("/echo/")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Do(faastest.HTTPAPIv2, get("/panic")); err != nil {
		t.Fatal(err)
	}
	for _, line := range l.Logs() {
		if line["_aws"] != nil {
			continue // a metric is no message
		}
		if line["level"] != "ERROR" && line["msg"] != "building" {
			t.Errorf("logged %v", line)
		}
	}
	if len(l.Logs()) == 0 {
		t.Error("errors are not logged")
	}
}
