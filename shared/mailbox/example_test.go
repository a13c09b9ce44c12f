package mailbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/mailbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Messages of one conversation are answered in order and each once, though
// their jobs come in any order and twice.
func Example() {
	dir, err := os.MkdirTemp("", "mailbox")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := boltkv.Open(filepath.Join(dir, "state"), boltkv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	conversations := mailbox.New(store, "messages", mailbox.Options{})

	reply := func(_ context.Context, e mailbox.Entry) ([]kv.Write, error) {
		fmt.Printf("answering %s\n", e.Body)
		return []kv.Write{kv.Add{Key: "answers", Deltas: []kv.Delta{{Counter: "sent", By: 1}}}}, nil
	}
	// The job carries the message and appends it itself.
	job := func(ctx context.Context, j queue.Job) error {
		var m struct {
			Seq  int64
			Text string
		}
		if err := json.Unmarshal(j.Body, &m); err != nil {
			return err
		}
		if err := conversations.Append(ctx, "conversation/ann", j.ID, m.Seq, []byte(m.Text)); err != nil {
			return err
		}
		if m.Seq == 2 {
			return nil // this worker dies here
		}
		return conversations.Drain(ctx, "conversation/ann", reply)
	}
	first := queue.Job{ID: "message-1", Body: json.RawMessage(`{"Seq": 1, "Text": "hello"}`)}
	second := queue.Job{ID: "message-2", Body: json.RawMessage(`{"Seq": 2, "Text": "anybody there?"}`)}
	for _, j := range []queue.Job{second, first, first} {
		if err := job(context.Background(), j); err != nil {
			log.Fatal(err)
		}
	}
	answers, err := store.Get(context.Background(), "conversation/ann", "answers")
	fmt.Println("answers:", answers.Counters["sent"], err)
	// Output:
	// answering hello
	// answering anybody there?
	// answers: 2 <nil>
}
