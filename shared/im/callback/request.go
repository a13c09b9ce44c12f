package callback

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signer makes correctly signed callbacks, to try an [Endpoint] with.
type Signer struct {
	SDKAppID uint32
	Token    string // "": unsigned
	// ClientIP and OptPlatform fill the query; the defaults are 127.0.0.1 and
	// Web.
	ClientIP, OptPlatform string
	Now                   func() time.Time // nil: time.Now
}

// Request makes the callback that IM would send to target with this body. The
// command is taken from the body's CallbackCommand, or from command if the body
// has none, as with pushes.
func (s Signer) Request(ctx context.Context, target, command string, body []byte) (*http.Request, error) {
	var named struct{ CallbackCommand string }
	if err := json.Unmarshal(body, &named); err != nil {
		return nil, errors.New("callback: the body is not a JSON object")
	}
	if named.CallbackCommand != "" {
		command = named.CallbackCommand
	}
	if command == "" {
		return nil, errors.New("callback: neither the body nor the caller names the command")
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	u.RawQuery = s.query(command)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// query returns the query in IM's own order.
func (s Signer) query(command string) string {
	q := "SdkAppid=" + strconv.FormatUint(uint64(s.SDKAppID), 10) +
		"&CallbackCommand=" + url.QueryEscape(command) + "&contenttype=json" +
		"&ClientIP=" + url.QueryEscape(cmp.Or(s.ClientIP, "127.0.0.1")) +
		"&OptPlatform=" + url.QueryEscape(cmp.Or(s.OptPlatform, "Web"))
	if s.Token == "" {
		return q
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return q + "&" + signature(s.Token, now())
}

// signature is the end of a signed query.
func signature(token string, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	return "Sign=" + Sign(token, t) + "&RequestTime=" + t
}

// signAgain replaces the signature of a query; without a token it stays unsigned.
func signAgain(query, token string, now time.Time) string {
	if token == "" {
		return query
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(part string) bool {
		return strings.HasPrefix(part, "Sign=") || strings.HasPrefix(part, "RequestTime=")
	})
	return strings.Join(append(kept, signature(token, now)), "&")
}
