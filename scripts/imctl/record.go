package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
)

const recordHelp = `
Runs a proxy between IM and your endpoint: it forwards every callback, returns the
endpoint's answer, and appends both to FILE as one line of JSON. Signatures and the
path secret are omitted. Bodies are recorded completely, with the texts of users,
unless -without-texts is given; only you can read the file.

  imctl record callbacks.jsonl -to http://127.0.0.1:8080/im -addr 127.0.0.1:8090

Point IM's callback URL, or the emulator's, at the address. End it with Ctrl-C.`

func record(ctx context.Context, t *tool, args []string) error {
	f := t.flags(recordHelp)
	addr := f.String("addr", "127.0.0.1:8090", "`host:port` to listen on")
	to := f.String("to", "http://127.0.0.1:8080/im", "callback `URL` to forward to")
	hide := f.Bool("without-texts", false, "replace the texts of messages, and custom data, by x")
	rest, err := t.parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(rest[0], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	r := &recorder{target: *to, hide: *hide, tape: json.NewEncoder(file), out: t.out}
	r.tape.SetEscapeHTML(false)
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(stopping)
	}()
	fmt.Fprintf(t.out, "ready  callbacks to http://%s/im are passed on to %s\n", listener.Addr(), *to)
	if err = server.Serve(listener); errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(t.out, "%d callbacks recorded\n", r.n)
	return errors.Join(err, file.Close())
}

// recorder passes callbacks on and writes them down.
type recorder struct {
	target string
	hide   bool
	out    io.Writer

	mu   sync.Mutex
	tape *json.Encoder
	n    int
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, callback.MaxBody))
	if err != nil {
		http.Error(w, "the body is too large or was cut", http.StatusBadRequest)
		return
	}
	onward, err := http.NewRequestWithContext(r.Context(), r.Method, rec.target, bytes.NewReader(body))
	if err != nil {
		http.Error(w, "invalid target", http.StatusInternalServerError)
		return
	}
	onward.URL.RawQuery = r.URL.RawQuery
	onward.Header.Set("Content-Type", "application/json")
	at := time.Now()
	a, err := send(onward)
	if err != nil {
		fmt.Fprintln(rec.out, "not passed on:", err)
		http.Error(w, "the endpoint did not answer", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
	rec.keep(r.URL.RawQuery, body, at, a)
}

// keep writes down an exchange that is one of IM's.
func (rec *recorder) keep(rawQuery string, body []byte, at time.Time, a answer) {
	query, command, err := cleanQuery(rawQuery)
	if err != nil || !json.Valid(body) {
		fmt.Fprintln(rec.out, "not recorded: not a callback")
		return
	}
	e := entry{At: at.UTC(), Command: command, Query: query, Body: body, Status: a.status, Millis: float64(a.latency.Microseconds()) / 1000}
	if json.Valid(a.body) {
		e.Answer = a.body
	}
	if rec.hide {
		e.Body, e.Answer = withoutTexts(e.Body), withoutTexts(e.Answer)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if err := rec.tape.Encode(e); err != nil {
		fmt.Fprintln(rec.out, "not recorded:", err)
		return
	}
	rec.n++
	fmt.Fprintf(rec.out, "%s  %s  %.1f ms\n", command, a.verdict(), e.Millis)
}

// texts are the fields that hold what people wrote.
var texts = map[string]bool{
	"Text": true, "Data": true, "Desc": true, "Ext": true, "CloudCustomData": true, "Name": true, "NameCard": true,
	"Introduction": true, "Notification": true, "AddWording": true, "Remark": true, "Value": true, "value": true,
}

// withoutTexts replaces texts by as many x, so that sizes stay as they were.
func withoutTexts(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return raw
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	hidden, err := json.Marshal(hideIn(v))
	if err != nil {
		return nil
	}
	return hidden
}

func hideIn(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if text, is := inner.(string); is && texts[name] {
				v[name] = string(bytes.Repeat([]byte("x"), len(text)))
				continue
			}
			v[name] = hideIn(inner)
		}
	case []any:
		for i := range v {
			v[i] = hideIn(v[i])
		}
	}
	return v
}
