package dynamotest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A request whose sender gave up while it waited does not reach the emulator: the
// retry waits in the same queue, which would only grow.
func TestGivenUp(t *testing.T) {
	reached := 0
	emulator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached++
		_, _ = w.Write([]byte("{}"))
	}))
	defer emulator.Close()
	p := Before(t, emulator.URL)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for want, ctx := range []context.Context{gone, t.Context()} {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader("{}"))
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
		p.ServeHTTP(httptest.NewRecorder(), r)
		if reached != want {
			t.Errorf("%d requests reached the emulator, want %d", reached, want)
		}
	}
}
