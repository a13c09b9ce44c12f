package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
)

//go:embed page
var page embed.FS

// room is where the page's buttons send their messages.
const room = "lobby"

// desk serves the page, what it needs, and the bundle behind it.
type desk struct {
	bundle http.Handler
	target string // the bundle's callback URL
	signer callback.Signer
	seq    atomic.Uint32
}

func newDesk(bundle http.Handler, seen *feed, addr string) http.Handler {
	d := &desk{bundle: bundle, target: "http://" + addr + "/im", signer: callback.Signer{SDKAppID: appID, Token: door.DevelopmentToken}}
	d.seq.Store(uint32(time.Now().Unix()))
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", headers(http.FileServerFS(files)))
	mux.Handle("GET /app.js", headers(http.FileServerFS(files)))
	mux.Handle("GET /style.css", headers(http.FileServerFS(files)))
	mux.Handle("GET /dev/callbacks", seen)
	mux.Handle("GET /dev/rooms/{id}/stats", api.HandlerFunc(d.stats))
	mux.Handle("POST /dev/trigger", api.HandlerFunc(d.trigger))
	mux.Handle("/", bundle)
	return mux
}

// headers keep the page to itself: it runs its own script and no other.
func headers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// stats reads a room's counters as a server would, so that the page needs no
// key.
func (d *desk) stats(w http.ResponseWriter, r *http.Request) error {
	r2, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "/rooms/"+url.PathEscape(r.PathValue("id"))+"/stats", nil)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "no room can have this id")
	}
	r2.Header.Set("Authorization", "Bearer "+access.DevelopmentKey)
	d.bundle.ServeHTTP(w, r2)
	return nil
}

// trigger sends what IM would send: the question before a message, or twice
// the news that one was delivered.
func (d *desk) trigger(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		Text      string `json:"text"`
		Delivered bool   `json:"delivered"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	if !asked.Delivered {
		return d.send(r.Context(), w, 1, &callback.GroupBeforeSendMsg{
			Base:    callback.Base{CallbackCommand: "Group.CallbackBeforeSendMsg"},
			GroupID: room, Type: im.AVRoom, From: "alice", Operator: "alice", Random: d.seq.Add(1),
			MsgBody: im.Text(asked.Text), EventTime: callback.Millis(time.Now().UnixMilli()),
		})
	}
	seq := d.seq.Add(1)
	return d.send(r.Context(), w, 2, &callback.GroupAfterSendMsg{
		Base:    callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"},
		GroupID: room, Type: im.AVRoom, From: "alice", Operator: "alice", Random: seq, MsgSeq: seq,
		MsgTime: callback.Seconds(time.Now().Unix()), MsgBody: im.Text("hello"), EventTime: callback.Millis(time.Now().UnixMilli()),
	})
}

func (d *desk) send(ctx context.Context, w http.ResponseWriter, times int, e callback.Event) error {
	body, err := callback.Encode(e)
	if err != nil {
		return err
	}
	var last json.RawMessage
	for range times {
		req, err := d.signer.Request(ctx, d.target, e.Command(), body)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "the bundle did not answer")
		}
		err = json.NewDecoder(resp.Body).Decode(&last)
		if err = closing(err, resp.Body.Close()); err != nil {
			return fmt.Errorf("reading the bundle's answer: %w", err)
		}
	}
	api.Reply(w, http.StatusOK, last)
	return nil
}

func closing(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
