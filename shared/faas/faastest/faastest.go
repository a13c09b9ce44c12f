// Package faastest drives the built binary of a function as its platforms do:
// over the Lambda Runtime API, over SCF's net/rpc, and as a listener. Nothing is
// linked in and nothing is faked inside, so what passes here is what is
// deployed.
//
// Most tests want one table of requests over every way a request can arrive:
//
//	bin := faastest.Build(t, ".")
//	env := map[string]string{"STATE_URL": "bolt:{dir}/state", ...}
//	faastest.Everywhere(t, bin, env, func(t *testing.T, do func(*http.Request) *http.Response) {
//		res := do(httptest.NewRequest("POST", "/usersig", body))
//		...
//	})
//
// Others start one platform with [StartLambda], [StartSCF] or [StartLocal] and
// also send batches, schedules and raw events, look at the log, or stop the
// process. A function that is expected not to start, or only to print, is for
// [Run]. All of them end with the test.
//
// A process gets the environment of its test and of its platform and nothing
// else: no credentials of whoever runs the tests. "{dir}" in a value stands for
// an empty directory of that test.
package faastest

import (
	"net/http"
	"strings"
	"testing"
)

// Shape is a way for an HTTP request to reach a function.
type Shape string

// The shapes and the driver that sends them.
const (
	HTTPAPIv2      Shape = "HTTPAPIv2"      // Lambda behind an HTTP API, payload 2.0
	RESTv1         Shape = "RESTv1"         // Lambda behind a REST API
	FunctionURL    Shape = "FunctionURL"    // Lambda function URL
	SCFGateway     Shape = "SCFGateway"     // SCF behind the gateway that was
	SCFFunctionURL Shape = "SCFFunctionURL" // SCF function URL
	Plain          Shape = "Plain"          // plain HTTP: a local process or an SCF web function
)

// ClientIP is the address of the client in every event. Over Plain it is the
// loopback's.
const ClientIP = "203.0.113.7"

// Everywhere runs test once per [Shape], each against a process of its own that
// starts fresh. SCF is given env at start with one shape, and only with each
// invocation with the other, since both occur.
func Everywhere(t *testing.T, bin string, env map[string]string, test func(t *testing.T, do func(*http.Request) *http.Response)) {
	t.Helper()
	type doer interface {
		Do(Shape, *http.Request) (*http.Response, error)
	}
	starts := []struct {
		shape Shape
		start func(t *testing.T) doer
	}{
		{HTTPAPIv2, func(t *testing.T) doer { return StartLambda(t, bin, env) }},
		{RESTv1, func(t *testing.T) doer { return StartLambda(t, bin, env) }},
		{FunctionURL, func(t *testing.T) doer { return StartLambda(t, bin, env) }},
		{SCFGateway, func(t *testing.T) doer { return StartSCF(t, bin, env) }},
		{SCFFunctionURL, func(t *testing.T) doer {
			s := StartSCF(t, bin, nil)
			s.Environment = expand(t, env)
			return s
		}},
		{Plain, func(t *testing.T) doer { return StartLocal(t, bin, env) }},
	}
	for _, s := range starts {
		t.Run(string(s.shape), func(t *testing.T) {
			d := s.start(t)
			test(t, func(r *http.Request) *http.Response {
				t.Helper()
				res, err := d.Do(s.shape, r)
				if err != nil {
					t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
				}
				return res
			})
		})
	}
}

// expand copies env with an empty directory for {dir}.
func expand(t testing.TB, env map[string]string) map[string]string {
	out := make(map[string]string, len(env))
	dir := ""
	for name, value := range env {
		if strings.Contains(value, "{dir}") && dir == "" {
			dir = t.TempDir()
		}
		out[name] = strings.ReplaceAll(value, "{dir}", dir)
	}
	return out
}
