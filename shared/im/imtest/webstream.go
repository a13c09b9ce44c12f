package imtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// deviceEvent is one event of a stream of several devices.
type deviceEvent struct {
	Token string `json:"token"`
	N     int    `json:"n,omitempty"` // of the device's events, from 1 on
	Event *Event `json:"event,omitempty"`
	Code  int    `json:"code,omitempty"` // the device is not logged in, or no longer; its last event
}

// webDevices streams what several devices are told, device=TOKEN:N for each, N
// being the last event that the caller has. A browser opens at most six
// connections to one host, so a page with many users has one stream for all.
func (s *Server) webDevices(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events := make(chan deviceEvent)
	for _, device := range r.URL.Query()["device"] {
		token, last, _ := strings.Cut(device, ":")
		n, err := strconv.Atoi(last)
		if err != nil {
			refuse(w, http.StatusBadRequest, fail(10004, "device is TOKEN:N, N being the last event known"))
			return
		}
		c, err := s.device(token)
		if err == nil {
			err = c.attach()
		}
		if err != nil {
			go pass(ctx, events, deviceEvent{Token: token, Code: Code(err)})
			continue
		}
		defer c.detach()
		go c.follow(ctx, n, events)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	beats := time.NewTicker(beat)
	defer beats.Stop()
	next := ": here\n\n"
	for {
		if _, err := io.WriteString(w, next); err != nil || out.Flush() != nil {
			return
		}
		select {
		case e := <-events:
			data, err := json.Marshal(e)
			if err != nil {
				panic("imtest: an event does not marshal: " + err.Error())
			}
			next = fmt.Sprintf("data: %s\n\n", data)
		case <-beats.C:
			next = ": here\n\n"
		case <-ctx.Done():
			return
		case <-s.done:
			return
		}
	}
}

// follow passes on what the device is told after event n, until ctx ends.
func (c *Client) follow(ctx context.Context, n int, to chan<- deviceEvent) {
	for {
		entries, first, more := c.events.since(n)
		for i, e := range entries {
			n = first + i
			if !pass(ctx, to, deviceEvent{Token: c.token, N: n, Event: e}) {
				return
			}
		}
		if more == nil {
			pass(ctx, to, deviceEvent{Token: c.token, Code: Code(errLoggedOut)})
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// pass reports whether the event was taken before ctx ended.
func pass(ctx context.Context, to chan<- deviceEvent, e deviceEvent) bool {
	select {
	case to <- e:
		return true
	case <-ctx.Done():
		return false
	}
}
