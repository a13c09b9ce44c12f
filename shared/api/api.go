// Package api holds what all of Backchannel's own HTTP routes share: authentication of
// the caller, bounded JSON in, one shape of errors out, and CORS. Package callback
// handles IM's callbacks.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// MaxBody bounds a request's body, in bytes.
const MaxBody = 64 << 10

// HandlerFunc is an http.HandlerFunc that may fail. [WriteError] answers its error. A
// handler that fails must not have written anything.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f(w, r); err != nil {
		WriteError(w, r, err)
	}
}

// Within ends the context of each request after d. Put it around [Idempotent], never
// inside: the lease on an Idempotency-Key lasts a few seconds longer than the
// request's time, so that a repeat may do what a process died at.
func Within(d time.Duration, h HandlerFunc) HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		return h(w, r.WithContext(ctx))
	}
}

// WriteError answers {"error":{"code","message","requestId"}} with the status of the
// error's code. Internal details go to the log only.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	public := fault.Of(err)
	if public.Code.Status() >= 500 {
		slog.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "code", string(public.Code), "error", err.Error())
	}
	if public.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((public.RetryAfter+time.Second-1)/time.Second)))
	}
	type body struct {
		Code      fault.Code `json:"code"`
		Message   string     `json:"message"`
		RequestID string     `json:"requestId"`
	}
	Reply(w, public.Code.Status(), struct {
		Error body `json:"error"`
	}{body{public.Code, public.Message, fault.RequestID(r.Context())}})
}

// Reply writes a JSON answer that no cache may keep.
func Reply(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // nosniff keeps browsers from reading it as HTML
	if err := enc.Encode(v); err != nil {
		panic("api: an answer does not marshal: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// Decode reads the request's body, one JSON object, into v. A body that is too large,
// no JSON, ambiguous, with a field that v does not have, or of the wrong types is a
// fault whose message says what to do. Unlike encoding/json, Decode compares names
// exactly: "userid" is not "userID".
func Decode(r *http.Request, v any) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return fault.New(fault.UnsupportedMedia, "send JSON, with the header Content-Type: application/json")
	}
	body, err := ReadBody(r, MaxBody)
	switch {
	case err != nil:
		return err
	case !utf8.Valid(body):
		return fault.New(fault.Invalid, "the body is not UTF-8 text")
	case !json.Valid(body) || bytes.TrimLeft(body, " \t\r\n")[0] != '{':
		return fault.New(fault.Invalid, "the body is not a JSON object")
	}
	if err := checkNames(body, reflect.TypeOf(v)); err != nil {
		return err
	}
	err = json.Unmarshal(body, v)
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return fault.New(fault.Invalid, "the field %q must be %s", written(reflect.TypeOf(v), wrong.Field), kind(wrong.Type))
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "a field of the body has the wrong form")
	}
	return nil
}

// ReadBody reads the request's body as it came, for what is signed; a body of more
// than most bytes is a fault of code TooLarge.
func ReadBody(r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the body could not be read")
	}
	if int64(len(body)) > most {
		return nil, fault.New(fault.TooLarge, "the body is over %d KiB", most>>10)
	}
	return body, nil
}

// kind names a Go type in JSON's words.
func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a JSON object"
	}
	return "a number in range"
}
