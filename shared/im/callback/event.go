package callback

import (
	"cmp"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Event is a decoded callback. The types of this package are the only ones.
// Rules of one callback share its event and must not change it.
type Event interface {
	// Command returns the event's wire name, such as
	// Group.CallbackAfterSendMsg.
	Command() string
	base() *Base
}

// Base is what every event has besides its own fields.
type Base struct {
	CallbackCommand string `json:"CallbackCommand,omitempty"`
	// Query is the part of the callback that is not in its body.
	Query Query `json:"-"`

	raw    []byte   // the body as received
	unread []string // names of our fields whose values could not be read
}

// Query holds the fields of a callback's query, once it is authenticated. ClientIP and
// OptPlatform are not authenticated.
type Query struct {
	SDKAppID    uint32
	Command     string
	ClientIP    string // "" where IM sends none (OnMemberStateChange, pushes)
	OptPlatform string // RESTAPI, Web, Android, iOS, ...: open, and not always spelt alike

	raw string // as received
}

// ByREST reports whether the app's own server caused the callback through the REST
// API, and no client. Like OptPlatform this is not authenticated.
func (q Query) ByREST() bool { return strings.EqualFold(q.OptPlatform, "RESTAPI") }

// parseQuery reads a callback's query. Its error is ErrBadQuery: the query cannot
// be read, or has one of the fields that say who sent what more than once.
func parseQuery(raw string) (q Query, sign, requestTime string, err error) {
	q.raw = raw
	var appID string
	once := [...]struct {
		name  string
		value *string
	}{{"SdkAppid", &appID}, {"CallbackCommand", &q.Command}, {"Sign", &sign}, {"RequestTime", &requestTime}}
	var seen [len(once)]bool
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		if strings.IndexByte(part, ';') >= 0 { // which some readers take for an &
			return Query{}, "", "", ErrBadQuery
		}
		name, value, _ := strings.Cut(part, "=")
		if name, err = url.QueryUnescape(name); err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return Query{}, "", "", ErrBadQuery
		}
		for i, o := range once {
			if name != o.name {
				continue
			}
			if seen[i] {
				return Query{}, "", "", ErrBadQuery
			}
			seen[i], *o.value = true, value
		}
		switch name {
		case "ClientIP":
			q.ClientIP = cmp.Or(q.ClientIP, value)
		case "OptPlatform":
			q.OptPlatform = cmp.Or(q.OptPlatform, value)
		}
	}
	if id, err := strconv.ParseUint(appID, 10, 32); err == nil {
		q.SDKAppID = uint32(id)
	}
	return q, sign, requestTime, nil
}

// Command implements [Event].
func (b *Base) Command() string {
	if b.Query.Command != "" {
		return b.Query.Command
	}
	return b.CallbackCommand // made here, not received
}

func (b *Base) base() *Base { return b }

// Raw returns the body as received, nil for an event that was not. It must not
// be changed.
func (b *Base) Raw() []byte { return b.raw }

// Millis is a time in milliseconds since 1970, which IM writes as a number or,
// in some pages' samples, as text (1047/34374). 0 means that the event carried
// none.
type Millis int64

// UnmarshalJSON accepts both forms.
func (m *Millis) UnmarshalJSON(b []byte) error {
	if string(b) == "null" || string(b) == `""` {
		return nil
	}
	n, err := strconv.ParseInt(number(b), 10, 64)
	if err != nil {
		return errors.New("callback: a time must be a whole number of milliseconds")
	}
	*m = Millis(n)
	return nil
}

// Time returns the time, zero if there is none.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// Seconds is a time in seconds since 1970; 0 means none.
type Seconds int64

// Time returns the time, zero if there is none.
func (s Seconds) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}
