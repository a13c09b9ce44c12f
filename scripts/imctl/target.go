package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// The app that scripts/dev runs.
const devAppID = 1400000000

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// client waits a little longer than IM does.
var client = &http.Client{
	Timeout:       10 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// isLocal reports whether a URL is this machine's, where the published
// development values may stand in for secrets.
func isLocal(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// endpoint is where callbacks are sent, and as whose.
type endpoint struct {
	url    string
	app    uint
	getenv func(string) string
}

func (t *tool) endpointFlags(f *flag.FlagSet) *endpoint {
	e := &endpoint{getenv: t.getenv}
	f.StringVar(&e.url, "url", "http://127.0.0.1:8080/im", "callback `URL` to send to; CALLBACK_TOKEN in the environment signs")
	f.UintVar(&e.app, "app", 0, "SDKAppID; default SDK_APP_ID, on this machine the development app")
	return e
}

// signer returns what signs for the endpoint.
func (e *endpoint) signer() (callback.Signer, error) {
	if u, err := url.Parse(e.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return callback.Signer{}, misuse(fmt.Sprintf("invalid callback URL %q: use https://HOST/im", e.url))
	}
	app, err := appID(e.app, e.url, e.getenv)
	s := callback.Signer{SDKAppID: app, Token: e.getenv("CALLBACK_TOKEN")}
	if isLocal(e.url) {
		s.Token = cmp.Or(s.Token, wiring.DevelopmentToken)
	}
	return s, err
}

// appID is the app that a flag, the environment, or a target on this machine
// names.
func appID(given uint, target string, getenv func(string) string) (uint32, error) {
	text := getenv("SDK_APP_ID")
	switch {
	case given != 0:
		text = strconv.FormatUint(uint64(given), 10)
	case text == "" && isLocal(target):
		return devAppID, nil
	case text == "":
		return 0, errors.New("the app is not given: use -app, or SDK_APP_ID in the environment")
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == 0 {
		return 0, errors.New("an SDKAppID is a number from 1 to 4294967295")
	}
	return uint32(id), nil
}

// answer is an endpoint's answer to a callback.
type answer struct {
	status  int
	body    []byte
	latency time.Duration
}

// verdict is the answer in a word.
func (a answer) verdict() string {
	var im struct {
		ErrorCode *int
		MsgBody   []json.RawMessage
	}
	switch {
	case a.status != http.StatusOK:
		return "status " + strconv.Itoa(a.status)
	case json.Unmarshal(a.body, &im) != nil || im.ErrorCode == nil:
		return "not IM's envelope"
	case *im.ErrorCode != 0:
		return "ErrorCode " + strconv.Itoa(*im.ErrorCode)
	case im.MsgBody != nil:
		return "rewritten"
	}
	return "ok"
}

// send sends a request and reads the answer.
func send(r *http.Request) (answer, error) {
	start := time.Now()
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return answer{resp.StatusCode, body, time.Since(start)}, err
}

// withoutURL keeps the query, which holds a signature, out of an error.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// server is where our own routes are, and the key to them.
type server struct {
	url    string
	getenv func(string) string
}

func (t *tool) serverFlags(f *flag.FlagSet) *server {
	s := &server{getenv: t.getenv}
	f.StringVar(&s.url, "url", "http://127.0.0.1:8080", "`URL` of the bundle, or of the function with the route; API_KEY in the environment opens it")
	return s
}

// call calls one of our own routes, with a body unless that is nil, and decodes
// the answer.
func (s *server) call(ctx context.Context, method, path string, body, into any) error {
	if body == nil {
		return s.ask(ctx, method, path, "", "", nil, into)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return s.ask(ctx, method, path, "", "application/json", b, into)
}

// ask is call with a body of a type, and an Idempotency-Key unless that is empty.
func (s *server) ask(ctx context.Context, method, path, name, contentType string, body []byte, into any) error {
	var sent io.Reader
	if body != nil {
		sent = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(s.url, "/")+path, sent)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	if name != "" {
		r.Header.Set("Idempotency-Key", name)
	}
	key := s.getenv("API_KEY")
	if key == "" && isLocal(s.url) {
		key = wiring.DevelopmentKey
	}
	if key == "" {
		return errors.New("set API_KEY in the environment to a key that API_KEYS names")
	}
	r.Header.Set("Authorization", "Bearer "+key)
	a, err := send(r)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated && a.status != http.StatusAccepted {
		var refused struct {
			Error struct{ Message string }
		}
		_ = json.Unmarshal(a.body, &refused)
		return fmt.Errorf("status %d %s", a.status, refused.Error.Message)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("the answer is not what was expected; is %s the bundle, or the function with this route?", s.url)
	}
	return nil
}
