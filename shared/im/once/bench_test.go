package once_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

// accepts is an IM without a network that accepts every message.
type accepts struct{}

func (accepts) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"ActionStatus":"OK","ErrorCode":0,"MsgSeq":1}`))}, nil
}

// What sending once costs beside IM's own time: two commits to a file.
func BenchmarkGroup(b *testing.B) {
	store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	began := time.Now()
	var ticks atomic.Int64 // the client's clock hurries, so that no allowance slows it
	client, err := im.NewClient(im.Config{
		Domain: "im.invalid", SDKAppID: appID, Key: key, Admin: "administrator", Transport: accepts{},
		Now: func() time.Time { return began.Add(time.Duration(ticks.Add(1)) * 10 * time.Millisecond) },
	})
	if err != nil {
		b.Fatal(err)
	}
	s := once.New(store, client, nil)
	var events atomic.Int64
	send := func() {
		m := im.GroupMsg{GroupID: "team", From: "bob", Body: im.Text("hello")}
		if _, err := s.Group(b.Context(), fmt.Sprint("event ", events.Add(1)), m); err != nil {
			b.Error(err)
		}
	}
	b.Run("one after another", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send()
		}
	})
	b.Run("at once", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				send()
			}
		})
	})
}
