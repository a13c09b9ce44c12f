package bot_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// BenchmarkCallback is what IM waits for: a message to a robot, until it is kept
// for answering, on disk, in turn with a handler that reads the body and answers
// a constant. The difference is three commits of one caller: the job's record,
// and the mailbox's entry.
//
//	go test -run '^$' -bench Callback ./shared/bot
func BenchmarkCallback(b *testing.B) {
	store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	mux := callback.NewMux()
	bot.New(bot.Config{Store: store, Jobs: queue.NewLedger(store, &queuetest.Line{}, nil)}).Register(mux)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: rulestest.AppID, Token: rulestest.Token, Mux: mux})
	if err != nil {
		b.Fatal(err)
	}
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		b.Cleanup(s.Close)
		return s.URL
	}
	ours := serve(endpoint)
	null := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`)
	}))
	ask := func(server string, body []byte) time.Duration {
		r, err := callback.Signer{SDKAppID: rulestest.AppID, Token: rulestest.Token}.Request(b.Context(), server, "", body)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		return time.Since(start)
	}
	var took, nullTook time.Duration
	for n := 0; b.Loop(); n++ {
		body, err := callback.Encode(&callback.BotOnC2CMessage{
			Base: callback.Base{CallbackCommand: "Bot.OnC2CMessage"}, From: fmt.Sprint("user", n%100), To: robot,
			MsgSeq: uint32(n), MsgKey: fmt.Sprint(n, "_1_1"), MsgBody: im.Text("hello"),
		})
		if err != nil {
			b.Fatal(err)
		}
		took += ask(ours, body)
		nullTook += ask(null, body)
	}
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "callback-µs")
	b.ReportMetric(float64(nullTook.Microseconds())/float64(b.N), "null-µs")
	b.ReportMetric(took.Seconds()/nullTook.Seconds(), "x-null")
}
