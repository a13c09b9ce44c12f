package imtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"reflect"
	"time"
)

// Message is a message as it was delivered, to one user or to a group.
type Message struct {
	From     string          `json:"from"`
	To       string          `json:"to,omitempty"` // one-to-one
	GroupID  string          `json:"groupId,omitempty"`
	TopicID  string          `json:"topicId,omitempty"`
	Seq      uint32          `json:"seq"`
	Random   uint32          `json:"random"`
	Time     time.Time       `json:"time"`
	Key      string          `json:"key,omitempty"` // MsgKey, one-to-one
	ID       string          `json:"id"`
	Body     json.RawMessage `json:"body"`
	Custom   string          `json:"custom,omitempty"` // CloudCustomData
	Priority Priority        `json:"priority"`
	Online   bool            `json:"online,omitempty"` // not stored
	Recalled bool            `json:"recalled,omitempty"`
	Deleted  bool            `json:"deleted,omitempty"`
	Mentions []string        `json:"mentions,omitempty"`
	ByREST   bool            `json:"byRest,omitempty"`
	// NeedReceipt: the sender requests read receipts. PeerRead: the receiver of a
	// one-to-one message has sent one.
	NeedReceipt bool `json:"needReceipt,omitempty"`
	PeerRead    bool `json:"peerRead,omitempty"`
	// Extensible: other users may add extensions to the message.
	Extensible bool              `json:"extensible,omitempty"`
	Reactions  []Reaction        `json:"reactions,omitempty"`
	Extensions map[string]string `json:"extensions,omitempty"` // by key
	// extensionSeqs has the number of the last write of each key, also of deleted
	// ones; extensionSeq is the last write's, extensionsCleared the last one's that
	// cleared all. They and Extensions are replaced, never changed.
	extensionSeqs                   map[string]int
	extensionSeq, extensionsCleared int
	// Version counts the modifications.
	Version int `json:"version,omitempty"`
	// ClientTime is MsgClientTime: the send's time on the sender's device, in Unix
	// seconds, where the client SDK says it.
	ClientTime int64 `json:"clientTime,omitempty"`
}

// Priority of a group message. Lower ones are dropped first.
type Priority int

// MarshalText returns IM's name of the priority.
func (p Priority) MarshalText() ([]byte, error) {
	return []byte([...]string{Normal: "Normal", High: "High", Low: "Low", Lowest: "Lowest"}[p]), nil
}

// UnmarshalText parses IM's name of a priority; "" is Normal.
func (p *Priority) UnmarshalText(b []byte) error {
	v, ok := priorityNames[string(b)]
	if !ok {
		return errors.New("no such MsgPriority")
	}
	*p = v
	return nil
}

const (
	Normal Priority = iota // the default
	High
	Low
	Lowest
)

var priorityNames = map[string]Priority{"": Normal, "Normal": Normal, "High": High, "Low": Low, "Lowest": Lowest}

// rank orders priorities: 1 is the most important. History shows it
// (1047/34958).
func (p Priority) rank() int {
	return [...]int{Normal: 2, High: 1, Low: 3, Lowest: 4}[p]
}

// maxMessage is the size of body and custom data together, in bytes.
const maxMessage = 12 << 10

// element is the part of a message's element that the emulator looks at.
type element struct {
	MsgType    string
	MsgContent json.RawMessage
}

// text returns the texts of a body, for mentions and the log of a chat.
func text(body json.RawMessage) string {
	var elements []element
	if json.Unmarshal(body, &elements) != nil {
		return ""
	}
	var out []byte
	for _, e := range elements {
		var c struct{ Text string }
		if e.MsgType == "TIMTextElem" && json.Unmarshal(e.MsgContent, &c) == nil {
			out = append(out, c.Text...)
		}
	}
	return string(out)
}

// Text returns the message's text elements, joined.
func (m Message) Text() string { return text(m.Body) }

// codes of a message body that will not do: the one-to-one and the group
// service answer differently.
type bodyCodes struct {
	missing, shape, size int
	strict               bool // media elements need their UUID
}

var (
	c2cBody   = bodyCodes{missing: 90007, shape: 90002, size: 93000}
	groupBody = bodyCodes{missing: 10004, shape: 10004, size: 80002}
)

// strictly returns the codes with the app's strictness.
func (a *App) strictly(codes bodyCodes) bodyCodes {
	codes.strict = a.conf.Strict
	return codes
}

// checkBody checks a MsgBody with its custom data (1047/33527).
func checkBody(raw json.RawMessage, custom string, codes bodyCodes) error {
	var elements []element
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || raw[0] != '[':
		return fail(codes.missing, "MsgBody must be an array")
	case len(raw)+len(custom) > maxMessage:
		return fail(codes.size, "the message is over 12 KB")
	}
	if err := new(reader).read(raw, &elements); err != nil {
		return fail(codes.shape, "MsgBody does not fit: "+err.Error())
	}
	if len(elements) == 0 {
		return fail(codes.missing, "MsgBody is empty")
	}
	customs := 0
	for _, e := range elements {
		check, known := contents[e.MsgType]
		switch {
		case !known:
			return fail(codes.shape, "MsgType is unknown")
		case e.MsgType == "TIMCustomElem":
			customs++
		}
		if err := check(e.MsgContent); err != nil {
			return fail(codes.shape, "MsgContent of a "+e.MsgType+" does not fit: "+err.Error())
		}
		if check := mediaIDs[e.MsgType]; codes.strict && check != nil {
			if err := check(e.MsgContent); err != nil {
				return fail(codes.shape, "MsgContent of a "+e.MsgType+" does not fit: "+err.Error())
			}
		}
	}
	if customs > 1 {
		return fail(codes.shape, "at most one TIMCustomElem")
	}
	return nil
}

// contents checks the MsgContent of each element type that REST may send: types,
// and the required fields.
var contents = map[string]func(json.RawMessage) error{
	"TIMTextElem":      needs[struct{ Text *string }]("Text"),
	"TIMFaceElem":      needs[struct{ Index *int }]("Index"),
	"TIMCustomElem":    needs[struct{ Data, Desc, Ext, Sound *string }](),
	"TIMLocationElem":  needs[struct{ Latitude, Longitude *float64 }]("Latitude", "Longitude"),
	"TIMImageElem":     needs[struct{ UUID *string }](),
	"TIMSoundElem":     needs[struct{ UUID *string }](),
	"TIMFileElem":      needs[struct{ UUID *string }](),
	"TIMVideoFileElem": needs[struct{ VideoUUID *string }](),
	"TIMRelayElem":     needs[struct{ Title *string }]("Title"),
	"TIMStreamElem":    needs[struct{ CompatibleText *string }](),
}

// mediaIDs checks what newer SDKs give every media element and older ones leave
// out, where the app is strict.
var mediaIDs = map[string]func(json.RawMessage) error{
	"TIMImageElem":     needs[struct{ UUID *string }]("UUID"),
	"TIMSoundElem":     needs[struct{ UUID *string }]("UUID"),
	"TIMFileElem":      needs[struct{ UUID *string }]("UUID"),
	"TIMVideoFileElem": needs[struct{ VideoUUID *string }]("VideoUUID"),
}

func needs[T any](names ...string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if len(raw) == 0 {
			return errors.New("it is missing")
		}
		var v T
		if err := new(reader).read(raw, &v); err != nil {
			return err
		}
		for _, name := range names {
			if reflect.ValueOf(v).FieldByName(name).IsNil() {
				return errors.New(name + " is missing")
			}
		}
		return nil
	}
}

// checksum is what a repeated message is recognised by.
func checksum(body json.RawMessage, custom string) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(body), crc32.IEEETable, []byte(custom))
}
