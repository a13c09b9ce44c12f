// Package tms has Tencent Cloud's text moderation judge messages (TMS, TextModeration,
// 2020-12-29, document 1124/51860).
//
// The service understands Chinese, English and digits. A text with letters of other
// scripts is not sent, since the service would take time and have no opinion on it.
package tms

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

// MaxText is the longest text that the service takes, in characters; of a longer text
// only the beginning is sent.
const MaxText = 10_000

// Config configures a [Checker].
type Config struct {
	Account tencentcloud.Account
	URL     string // such as https://tms.tencentcloudapi.com
	BizType string // names the policy in the service's console; "" is its default
}

// Checker implements moderation.Checker.
type Checker struct {
	service *tencentcloud.Service
	bizType string
}

// New returns a Checker. New sends no request.
func New(c Config) (*Checker, error) {
	if c.URL == "" {
		return nil, errors.New("tms: the URL of the service is missing")
	}
	service, err := tencentcloud.New(c.Account, tencentcloud.Options{Service: "tms", Version: "2020-12-29", Endpoint: c.URL, Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	return &Checker{service, c.BizType}, nil
}

// Check implements moderation.Checker.
func (c *Checker) Check(ctx context.Context, t moderation.Text) (moderation.Opinion, string, error) {
	if !understood(t.Text) {
		return moderation.NoOpinion, "", nil
	}
	parameters := map[string]any{
		"Content": base64.StdEncoding.EncodeToString([]byte(cut(t.Text))), "DataId": t.ID, "User": map[string]any{"UserId": t.From},
	}
	if c.bizType != "" {
		parameters["BizType"] = c.bizType
	}
	if t.GroupID != "" {
		parameters["SessionId"] = t.GroupID
	}
	var answer struct{ Suggestion, Label string }
	if err := c.service.Call(ctx, "TextModeration", parameters, &answer); err != nil {
		return moderation.NoOpinion, "", err
	}
	switch strings.ToLower(answer.Suggestion) {
	case "pass":
		return moderation.Pass, answer.Label, nil
	case "review":
		return moderation.Suspect, answer.Label, nil
	case "block":
		return moderation.Block, answer.Label, nil
	}
	return moderation.NoOpinion, "", errors.New("tms: the service answers no suggestion that its manual knows")
}

// understood reports whether there is something to read in a text, and nothing
// but what the service reads.
func understood(s string) bool {
	some := false
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Han, r), unicode.Is(unicode.Latin, r), unicode.IsDigit(r):
			some = true
		case unicode.IsLetter(r):
			return false
		}
	}
	return some
}

func cut(s string) string {
	n := 0
	for i := range s {
		if n++; n > MaxText {
			return s[:i]
		}
	}
	return s
}
