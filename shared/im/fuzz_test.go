package im_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// parrot answers everything with the same bytes.
type parrot []byte

func (p parrot) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(p))}, nil
}

// Whatever comes back, every call ends: with a result, or with an error of this
// package whose text is short.
func FuzzAnswers(f *testing.F) {
	known := fixtures(f)
	for i, r := range rows {
		for _, e := range known[r.command].Cases[r.name] {
			f.Add(i, []byte(e.Answer))
		}
	}
	f.Add(0, []byte(`{"ActionStatus":"OK","ErrorCode":"0"}`))
	f.Add(0, []byte(`{"ActionStatus":"FAIL","ErrorCode":10002,"ErrorInfo":"\u0000\ud800"}`))
	f.Add(0, []byte(`[]`))
	f.Fuzz(func(t *testing.T, i int, answer []byte) {
		r := rows[uint(i)%uint(len(rows))]
		now := newClock()
		client, err := im.NewClient(im.Config{
			Domain: "im.invalid", SDKAppID: appID, Key: key, Admin: admin, Transport: parrot(answer), Now: now.Now, Sleep: now.Sleep,
		})
		if err != nil {
			t.Fatal(err)
		}
		// An answer may say for ever that there is more.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = r.call(ctx, client)
		if err == nil {
			return
		}
		if e, ok := errors.AsType[*im.Error](err); !ok || len(e.Error()) > 500 {
			t.Errorf("%s: %T %v", r.command, err, err)
		}
	})
}
