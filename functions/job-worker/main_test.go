package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// site is a deployment in pieces, with a store that can be away.
type site struct {
	redis *redistest.Server
	queue *kit.Queue
	env   map[string]string
}

func newSite(t *testing.T) *site {
	s := &site{redis: redistest.Start(t), queue: kit.StartQueue(t)}
	s.env = kit.Settings(s.queue.Env)
	s.env["STATE_URL"] = "redis://" + s.redis.Addr
	return s
}

func local(t *testing.T, function string, env map[string]string) *faastest.Local {
	t.Helper()
	return faastest.StartLocal(t, faastest.Build(t, "github.com/backchannel-im/backchannel/functions/"+function), env)
}

func do(t *testing.T, p *faastest.Local, r *http.Request) kit.Answer {
	t.Helper()
	res, err := p.Do(faastest.Plain, r)
	if err != nil {
		t.Fatal(err)
	}
	return kit.Read(t, res)
}

// outage sends after-callbacks while the store is away, and returns the jobs
// that were made of them.
func (s *site) outage(t *testing.T, to *faastest.Local, seqs ...int) []string {
	t.Helper()
	s.redis.Kill()
	for _, seq := range seqs {
		do(t, to, kit.Callback(t, kit.AfterSend("alice", seq))).WantCode(t, 0)
	}
	s.redis.Restart()
	jobs := s.queue.Take()
	if len(jobs) != len(seqs) {
		t.Fatalf("%d jobs for %d callbacks", len(jobs), len(seqs))
	}
	return jobs
}

// TestAnOutageLosesNothing: callbacks that come while the store is away are
// acknowledged and counted afterwards, once, on both platforms, however often
// the jobs are delivered.
func TestAnOutageLosesNothing(t *testing.T) {
	type platform interface {
		deliver(t *testing.T, job string) bool
	}
	for name, start := range map[string]func(t *testing.T, env map[string]string) platform{
		"Lambda": func(t *testing.T, env map[string]string) platform {
			return onLambda{faastest.StartLambda(t, faastest.Build(t, "."), env)}
		},
		"SCF": func(t *testing.T, env map[string]string) platform {
			return onSCF{faastest.StartSCF(t, faastest.Build(t, "."), env)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			counter := local(t, "after-send-counter", s.env)
			do(t, counter, kit.Callback(t, kit.AfterSend("alice", 1))).WantCode(t, 0)
			jobs := s.outage(t, counter, 2, 3, 1)
			worker := start(t, s.env)
			for range 2 {
				for _, job := range jobs {
					if !worker.deliver(t, job) {
						t.Error("a job is to come again")
					}
				}
			}
			if a := do(t, counter, kit.Get("/rooms/lobby/stats", kit.Key)); a.JSON["messages"] != 3.0 {
				t.Errorf("counted %s, want 3 messages", a.Text)
			}
		})
	}
}

type onLambda struct{ *faastest.Lambda }

func (l onLambda) deliver(t *testing.T, job string) bool {
	t.Helper()
	// A batch with something in it that is no job at all: nobody can carry it
	// out, so it comes again until it lands in the dead-letter queue, and it keeps
	// nobody from theirs.
	failed, err := l.SQS(faastest.Message{ID: "1", Body: "no job"}, faastest.Message{ID: "2", Body: job})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(failed, "1") {
		t.Error("a message that is no job vanished")
	}
	return !slices.Contains(failed, "2")
}

type onSCF struct{ *faastest.SCF }

func (s onSCF) deliver(t *testing.T, job string) bool {
	t.Helper()
	return s.Async([]byte(job)) == nil
}

// TestWhatCouldNotBeForwarded: a router's job is forwarded again, once the
// function is back.
func TestWhatCouldNotBeForwarded(t *testing.T) {
	s := newSite(t)
	counter := local(t, "after-send-counter", s.env)
	split := maps.Clone(s.env)
	split["FORWARD_AFTER_SEND_COUNTER"] = counter.URL + "/im"
	router := local(t, "callback-router", split)
	counter.Stop(t)
	do(t, router, kit.Callback(t, kit.AfterSend("alice", 1))).WantCode(t, 0)
	jobs := s.queue.Take()
	if len(jobs) != 1 {
		t.Fatalf("%d jobs", len(jobs))
	}
	back := local(t, "after-send-counter", s.env)
	split["FORWARD_AFTER_SEND_COUNTER"] = back.URL + "/im"
	worker := faastest.StartLambda(t, faastest.Build(t, "."), split)
	if failed, err := worker.SQS(faastest.Message{ID: "1", Body: jobs[0]}); err != nil || len(failed) > 0 {
		t.Fatal(failed, err)
	}
	if a := do(t, back, kit.Get("/rooms/lobby/stats", kit.Key)); a.JSON["messages"] != 1.0 {
		t.Errorf("counted %s, want 1 message", a.Text)
	}
}

// TestAJobThatFails stays, with its error, for the operator to see; the log and
// the routes hold nothing of what people wrote.
func TestAJobThatFails(t *testing.T) {
	s := newSite(t)
	worker := local(t, "job-worker", s.env)
	counter := local(t, "after-send-counter", s.env)
	jobs := s.outage(t, counter, 1)
	var job struct {
		ID   string         `json:"id"`
		Kind string         `json:"kind"`
		Lane string         `json:"lane"`
		Body map[string]any `json:"body"`
		Mark bool           `json:"unrecorded"`
	}
	if err := json.Unmarshal([]byte(jobs[0]), &job); err != nil {
		t.Fatal(err)
	}
	job.Body["rule"] = "a rule of tomorrow"
	encoded, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	lambda := faastest.StartLambda(t, faastest.Build(t, "."), s.env)
	if failed, err := lambda.SQS(faastest.Message{ID: "1", Body: string(encoded)}); err != nil || len(failed) > 0 {
		t.Error("the ledger has it, so SQS need not keep it: ", failed, err)
	}
	shown := do(t, worker, kit.Get("/jobs/"+job.ID, kit.Key))
	if shown.JSON["state"] != "waiting" || shown.JSON["attempts"] != 1.0 || !strings.Contains(shown.Text, "no such rule") || strings.Contains(shown.Text, "query") {
		t.Errorf("%d %s", shown.Status, shown.Text)
	}
	if a := do(t, worker, kit.Get("/jobs", kit.Key)); a.JSON["waiting"] != 1.0 || a.JSON["dead"] != 0.0 {
		t.Errorf("%s", a.Text)
	}
	drop := kit.Get("/jobs/"+job.ID, kit.Key)
	drop.Method = http.MethodDelete
	if a := do(t, worker, drop); a.Status != http.StatusConflict {
		t.Errorf("dropping a job that is not dead: %d %s", a.Status, a.Text)
	}
	for _, r := range []*http.Request{kit.Get("/jobs", ""), kit.Get("/jobs", "wrong"), kit.Post("/jobs/"+job.ID+"/redrive", "", "{}")} {
		if a := do(t, worker, r); a.Status != http.StatusUnauthorized {
			t.Errorf("%s by nobody: %d", r.URL.Path, a.Status)
		}
	}
	if a := do(t, worker, kit.Get("/jobs/nonesuch", kit.Key)); a.Status != http.StatusNotFound {
		t.Errorf("an unknown job: %d", a.Status)
	}
	if log := lambda.Stdout() + lambda.Stderr(); strings.Contains(log, "hello") || strings.Contains(log, "Sign=") {
		t.Errorf("the log holds the callback:\n%s", log)
	}
}

func TestSampleEvent(t *testing.T) {
	event, err := os.ReadFile("events/sqs.json")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	answer, err := faastest.StartLambda(t, faastest.Build(t, "."), s.env).Invoke(event)
	if err != nil || !strings.Contains(string(answer), `"batchItemFailures":[]`) {
		t.Errorf("%s, %v", answer, err)
	}
	shown := do(t, local(t, "job-worker", s.env), kit.Get("/jobs/sample-1", kit.Key))
	if shown.JSON["state"] != "done" {
		t.Errorf("%d %s", shown.Status, shown.Text)
	}
}
