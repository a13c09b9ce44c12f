package callback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Event is a decoded callback. The types of this package are the only ones.
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

	raw []byte // the body as received
}

// Query holds the fields of a callback's query, once it is authenticated.
// Neither the signature nor anything else covers ClientIP and OptPlatform.
type Query struct {
	SDKAppID    uint32
	Command     string
	ClientIP    string // "" where IM sends none (OnMemberStateChange, pushes)
	OptPlatform string // RESTAPI, Web, Android, iOS, ...: open, and not always spelt alike
}

// Command implements [Event].
func (b *Base) Command() string {
	if b.CallbackCommand != "" {
		return b.CallbackCommand
	}
	return b.Query.Command
}

func (b *Base) base() *Base { return b }

// Raw returns the body as received. It must not be changed.
func (b *Base) Raw() []byte { return b.raw }

// Millis is a time in milliseconds, which IM writes as a number or, in some
// pages' samples, as text (1047/34374). 0 means that the event carried none.
type Millis int64

// UnmarshalJSON accepts both forms.
func (m *Millis) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) || bytes.Equal(b, []byte(`""`)) {
		return nil
	}
	n, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 64)
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

// ErrDuplicateField: the body names a field twice, so that two readers of it
// could see two different things.
var ErrDuplicateField = errors.New("callback: a field occurs twice")

// Decode reads the body of a callback whose command is known to be command. An
// unknown command becomes an [Unknown].
func Decode(command string, body []byte) (Event, error) {
	e := newEvent(command)
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("callback: %s does not decode: %w", shown(command), err)
	}
	e.base().raw = body
	return e, nil
}

// Encode writes an event. What was received and has not been changed since
// comes out as it came in, unknown fields included; changed fields replace what
// they were; new ones follow at the end.
func Encode(e Event) ([]byte, error) {
	raw := e.base().raw
	now, err := marshalled(e)
	if err != nil || raw == nil {
		if err != nil {
			return nil, err
		}
		return now.join(), nil
	}
	received := newEvent(e.Command())
	if err := json.Unmarshal(raw, received); err != nil {
		return nil, err
	}
	before, err := marshalled(received)
	if err != nil {
		return nil, err
	}
	out, err := splitObject(raw)
	if err != nil {
		return nil, err
	}
	kept := out[:0]
	for _, f := range out {
		is, was := now.find(f.name), before.find(f.name)
		switch {
		case is == nil && was != nil: // known and emptied since
		case is == nil || was != nil && bytes.Equal(is.value, was.value):
			kept = append(kept, f)
		default:
			kept = append(kept, field{f.name, f.quoted, is.value})
		}
	}
	for _, f := range now {
		if kept.find(f.name) == nil && before.find(f.name) == nil {
			kept = append(kept, f)
		}
	}
	return kept.join(), nil
}

func marshalled(e Event) (fields, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return splitObject(b)
}

// Unknown is a callback whose command this package does not know, or whose
// body nobody has documented: name and raw body.
type Unknown struct{ Base }

func (*Unknown) happened() {}
