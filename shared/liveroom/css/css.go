// Package css asks Cloud Streaming Services whether a stream is being pushed
// (DescribeLiveStreamState, 2018-08-01, document 267/20470).
package css

import (
	"context"
	"errors"
	"time"

	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

// Config configures the client.
type Config struct {
	Account tencentcloud.Account
	URL     string // such as https://live.tencentcloudapi.com
	Domain  string // that streams are pushed to
	App     string // first part of their paths
}

// Streams implements liveroom.Streams. It is safe for concurrent use.
type Streams struct {
	service     *tencentcloud.Service
	domain, app string
}

// New returns Streams. New sends no request.
func New(c Config) (*Streams, error) {
	if c.URL == "" || c.Domain == "" || c.App == "" {
		return nil, errors.New("css: URL, domain and app are required")
	}
	service, err := tencentcloud.New(c.Account, tencentcloud.Options{Service: "live", Version: "2018-08-01", Endpoint: c.URL, Timeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	return &Streams{service, c.Domain, c.App}, nil
}

// Active implements liveroom.Streams. A stream that was forbidden is not active.
func (s *Streams) Active(ctx context.Context, name string) (bool, error) {
	var answer struct{ StreamState string }
	err := s.service.Call(ctx, "DescribeLiveStreamState", map[string]any{"AppName": s.app, "DomainName": s.domain, "StreamName": name}, &answer)
	if err != nil {
		return false, err
	}
	switch answer.StreamState {
	case "active":
		return true, nil
	case "inactive", "forbid":
		return false, nil
	}
	return false, errors.New("css: the service answers no state that its manual knows")
}
