package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/mailbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// TestPace: 40 a second, whoever sends, also when the holder changes.
func TestPace(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := boltkv.Open(filepath.Join(dir, "state"), boltkv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		var sent []time.Time
		send := func(context.Context, mailbox.Entry) ([]kv.Write, error) {
			sent = append(sent, time.Now())
			return nil, nil
		}
		for n := range 81 {
			room := mailbox.New(store, "sends", mailbox.Options{PerSecond: 40})
			if err := room.Append(t.Context(), "room/1", fmt.Sprint(n), int64(n), nil); err != nil {
				t.Fatal(err)
			}
			if n < 40 {
				continue
			}
			if err := room.Drain(t.Context(), "room/1", send); err != nil {
				t.Fatal(err)
			}
		}
		if len(sent) != 81 {
			t.Fatalf("%d sent", len(sent))
		}
		if took := sent[80].Sub(sent[0]); took != 2*time.Second {
			t.Errorf("81 sends in %v", took)
		}
		for n := range 81 - 40 {
			if within := sent[n+40].Sub(sent[n]); within < time.Second {
				t.Errorf("41 sends within %v", within)
			}
		}
	})
}

// TestEndless: a box that never gets empty does not keep a worker for ever.
func TestEndless(t *testing.T) {
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	mail := mailbox.New(store, "test", mailbox.Options{})
	n := 0
	more := func(ctx context.Context, _ mailbox.Entry) ([]kv.Write, error) {
		n++
		return nil, mail.Append(ctx, "box", fmt.Sprint(n), int64(n), nil)
	}
	if err := mail.Append(t.Context(), "box", "0", 0, nil); err != nil {
		t.Fatal(err)
	}
	for turn := 1; turn <= 2; turn++ {
		err = mail.Drain(t.Context(), "box", more)
		if _, again := errors.AsType[queue.Later](err); !again || n != turn*mailbox.MaxDrain {
			t.Fatalf("after %d entries: %v", n, err)
		}
	}
}
