package wiringtest

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Queue stands for SQS and keeps what a function puts into it, for the test to
// deliver.
type Queue struct {
	// Env is what a function needs to reach it.
	Env map[string]string

	mu     sync.Mutex
	bodies []string
}

// StartQueue starts a queue.
func StartQueue(t testing.TB) *Queue {
	t.Helper()
	q := &Queue{}
	server := httptest.NewServer(q)
	t.Cleanup(server.Close)
	q.Env = map[string]string{
		"QUEUE_URL": server.URL + "/123456789012/jobs", "AWS_REGION": "eu-central-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	}
	return q
}

// Take returns the encoded jobs that came since the last call.
func (q *Queue) Take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.bodies
	q.bodies = nil
	return taken
}

// ServeHTTP answers SendMessageBatch.
func (q *Queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	type entry struct{ Id, MessageBody, MessageId, MD5OfMessageBody string }
	var asked struct{ Entries []entry }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.Header.Get("X-Amz-Target") != "AmazonSQS.SendMessageBatch" {
		http.Error(w, "this queue knows SendMessageBatch", http.StatusBadRequest)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, e := range asked.Entries {
		q.bodies = append(q.bodies, e.MessageBody)
		asked.Entries[i].MessageId = "m" + e.Id
		asked.Entries[i].MD5OfMessageBody = fmt.Sprintf("%x", md5.Sum([]byte(e.MessageBody)))
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(map[string]any{"Successful": asked.Entries, "Failed": []any{}})
}
