package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/metric"
)

// MaxIdempotencyKey bounds the header Idempotency-Key, in bytes.
const MaxIdempotencyKey = 128

// Idempotent makes requests with the header Idempotency-Key (IETF draft
// idempotency-key-header) safe to repeat: with the same key, caller, route and
// content they get the same answer byte for byte, marked "Idempotent-Replayed:
// true". It stands behind a [Gate], since keys belong to their callers:
//
//	mux.Handle("POST /mail", gate.Server(api.Idempotent(keeper, s.send)))
//
// A repeat of a request that is still being handled is 409 with Retry-After; another
// request under the same key is 422. Answers that a retry may improve are not kept:
// 408, 409, 415, 425, 429, and 500 and above. Requests without the header are not
// deduplicated. Routes that answer with credentials must not use Idempotent; see
// package idem.
func Idempotent(k *idem.Keeper, h HandlerFunc) HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		key, err := IdempotencyKey(r)
		if err != nil {
			return err
		}
		if key == "" {
			return h(w, r)
		}
		caller := CallerFrom(r.Context())
		if caller == (Caller{}) {
			return errNobody
		}
		body, err := ReadBody(r, MaxBody)
		if err != nil {
			return err
		}
		var first reply
		scope := fmt.Sprintf("%q %q %q", caller.Server, caller.UserID, r.Pattern)
		answer, replayed, err := k.Do(r.Context(), scope, key, contentOf(r, body), func(ctx context.Context) ([]byte, error) {
			r := r.WithContext(ctx)
			r.Body = io.NopCloser(bytes.NewReader(body))
			first.header = make(http.Header)
			h.ServeHTTP(&first, r)
			if first.passing() {
				return nil, errPassing
			}
			return first.encode()
		})
		switch {
		case errors.Is(err, errPassing):
			first.send(w)
			return nil
		case err != nil:
			return err
		case !replayed:
			first.send(w)
			return nil
		}
		again, err := decodeReply(answer)
		if err != nil {
			return err
		}
		metric.Replayed.Add(1)
		w.Header().Set("Idempotent-Replayed", "true")
		again.send(w)
		return nil
	}
}

var errPassing = errors.New("api: an answer that is not kept")

// IdempotencyKey returns the request's header of that name, the caller's own name
// for what it asks; "" without it.
func IdempotencyKey(r *http.Request) (string, error) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return "", nil
	}
	if len(keys) > 1 || !isKey(keys[0]) {
		return "", fault.New(fault.Invalid, "Idempotency-Key is one name of 1 to %d letters, digits and signs", MaxIdempotencyKey)
	}
	return keys[0], nil
}

// RequiredKey is [IdempotencyKey] for a request that makes something: without the
// header it is a fault of code Invalid.
func RequiredKey(r *http.Request) (string, error) {
	key, err := IdempotencyKey(r)
	if err == nil && key == "" {
		err = fault.New(fault.Invalid, "send the header Idempotency-Key with a name of your own for this request, so that it can be repeated")
	}
	return key, err
}

// Keyed refuses requests without the header Idempotency-Key.
func Keyed(h HandlerFunc) HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := RequiredKey(r); err != nil {
			return err
		}
		return h(w, r)
	}
}

// isKey reports whether a key is of visible ASCII and of fair length.
func isKey(key string) bool {
	return key != "" && len(key) <= MaxIdempotencyKey && strings.IndexFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// contentOf is the hash of all that a request asks for.
func contentOf(r *http.Request, body []byte) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s %q\n%s", r.Method, r.URL.RequestURI(), body))
}

// reply is an answer before it is sent. It implements http.ResponseWriter.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (a *reply) Header() http.Header { return a.header }

func (a *reply) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

func (a *reply) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, b...)
	return len(b), nil
}

// passing reports an answer that may be better next time.
func (a *reply) passing() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusUnsupportedMediaType: // about a header, which is not of the content
		return true
	}
	return a.status >= 500
}

func (a *reply) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	a.WriteHeader(http.StatusOK)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// head is the first line of an encoded reply; the body follows as it is.
type head struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
}

func (a *reply) encode() ([]byte, error) {
	a.WriteHeader(http.StatusOK)
	line, err := json.Marshal(head{a.status, a.header})
	if err != nil {
		return nil, err
	}
	return append(append(line, '\n'), a.body...), nil
}

func decodeReply(b []byte) (*reply, error) {
	line, body, _ := bytes.Cut(b, []byte("\n"))
	var h head
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, fmt.Errorf("api: a kept answer does not decode: %w", err)
	}
	return &reply{h.Status, h.Header, body}, nil
}
