package liveroom

import (
	"context"
	"crypto/md5" //nolint:gosec // CSS signs with it
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Media configures the picture and sound of rooms: TRTC, for users with a
// PrivateMapKey, and CSS, by URLs that expire. What is not set is left out of answers.
type Media struct {
	// Signer signs PrivateMapKeys. nil: users get none.
	Signer *usersig.Signer
	// TTL is how long a PrivateMapKey and a URL are valid. A kick does not end them
	// earlier, so TTL bounds how long a kicked user may still watch or push.
	TTL time.Duration

	CallbackKey string // key of the signature of CSS's events; "": no events are accepted
	PushDomain  string
	PushKey     string
	PlayDomain  string
	PlayKey     string // "": the play domain does not check URLs
}

// StreamApp is the first part of a stream's path, CSS's own default.
const StreamApp = "live"

// codes writes bytes as letters and digits.
var codes = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const aliasCheck = 3 // bytes of a hash that tell an alias from other names

// alias is the name of the room's stream: letters and digits only, since CSS takes
// what follows an underscore for a template, and a roomId may have signs that break
// a URL. It names the generation too, so that a push URL of an earlier show starts
// nothing.
func alias(room Room) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(room.Generation)) // after 1970
	b = append(b[2:], room.RoomID...)
	sum := sha256.Sum256(b)
	return codes.EncodeToString(append(sum[:aliasCheck], b...))
}

// roomOf returns the room that a stream's name is an alias of.
func roomOf(name string) (roomID string, generation int64, is bool) {
	const stamp = 6 // bytes of a generation
	b, err := codes.DecodeString(name)
	if err != nil || len(b) <= aliasCheck+stamp {
		return "", 0, false
	}
	sum := sha256.Sum256(b[aliasCheck:])
	if string(sum[:aliasCheck]) != string(b[:aliasCheck]) {
		return "", 0, false
	}
	var wide [8]byte
	copy(wide[2:], b[aliasCheck:])
	return string(b[aliasCheck+stamp:]), int64(binary.BigEndian.Uint64(wide[:])), true
}

// signed returns the query that proves a URL to CSS until it ends.
func signed(key, stream string, ends time.Time) string {
	at := strings.ToUpper(strconv.FormatInt(ends.Unix(), 16))
	return "txSecret=" + md5Hex(key+stream+at) + "&txTime=" + at
}

func md5Hex(text string) string {
	sum := md5.Sum([]byte(text)) //nolint:gosec // CSS signs with it
	return hex.EncodeToString(sum[:])
}

// PlayURLs are the URLs of a room's stream, by protocol.
type PlayURLs struct {
	RTMP string `json:"rtmp"`
	FLV  string `json:"flv"`
	HLS  string `json:"hls"`
}

// Access holds the credentials and URLs by which a user watches a room, or broadcasts
// in it.
type Access struct {
	PrivateMapKey string    `json:"privateMapKey,omitempty"` // for TRTC's strRoomId, which is the roomId
	ExpiresAt     time.Time `json:"expiresAt"`
	PushURL       string    `json:"pushUrl,omitempty"` // of anchors
	PlayURLs      *PlayURLs `json:"playUrls,omitempty"`
}

// The roles in a room's media.
const (
	Anchor   = "anchor"
	Audience = "audience"
)

// Access returns the credentials and URLs for a user in a role. Errors are of the
// codes NotFound, Forbidden for users who were kicked and for anchors who do not run
// the room, RoomClosed, Invalid and Unavailable.
func (r *Rooms) Access(ctx context.Context, caller api.Caller, roomID, role string) (Access, error) {
	if role != Anchor && role != Audience {
		return Access{}, fault.New(fault.Invalid, "role is anchor or audience")
	}
	room, err := r.Get(ctx, roomID)
	if err == nil {
		err = r.admit(ctx, caller, room)
	}
	switch {
	case err != nil:
		return Access{}, err
	case caller.UserID == "":
		return Access{}, fault.New(fault.Forbidden, "only users watch and broadcast: call with a UserSig")
	case role == Anchor && !room.Leads(caller.UserID):
		return Access{}, fault.New(fault.Forbidden, "only the owner and the moderators broadcast in this room")
	case room.Closed, role == Anchor && !room.Open():
		return Access{}, errClosed
	}
	m, stream := r.conf.Media, alias(room)
	ends := r.now().Add(m.TTL).UTC().Truncate(time.Second)
	a := Access{ExpiresAt: ends}
	if m.Signer != nil {
		rights := usersig.Audience
		if role == Anchor {
			rights = usersig.Host
		}
		if a.PrivateMapKey, err = m.Signer.PrivateMapKeyForName(caller.UserID, roomID, rights, m.TTL); err != nil {
			return Access{}, fmt.Errorf("liveroom: %w", err)
		}
	}
	if role == Anchor && m.PushDomain != "" {
		a.PushURL = "rtmp://" + m.PushDomain + "/" + StreamApp + "/" + stream + "?" + signed(m.PushKey, stream, ends)
	}
	if m.PlayDomain != "" {
		query := ""
		if m.PlayKey != "" {
			query = "?" + signed(m.PlayKey, stream, ends)
		}
		path := "://" + m.PlayDomain + "/" + StreamApp + "/" + stream
		a.PlayURLs = &PlayURLs{"rtmp" + path + query, "https" + path + ".flv" + query, "https" + path + ".m3u8" + query}
	}
	return a, nil
}

// stream is what is known of the stream that a room shows.
type stream struct {
	Sequence string `json:"sequence,omitempty"` // of the push that started last
	Since    int64  `json:"since,omitempty"`    // event_time of its start, Unix seconds
	Ended    int64  `json:"ended,omitempty"`    // event_time of its end; 0: it goes on
	Early    string `json:"early,omitempty"`    // a push whose end came before its start
}

// starts takes in that a push has started, and reports whether the stream has: an
// older event never wins, and a push whose end is known does not start any more.
func (st *stream) starts(sequence string, at int64) bool {
	switch {
	case at < st.Since, sequence == st.Sequence && (st.Ended == 0 || at <= st.Ended):
		return false
	case sequence == st.Early && sequence != st.Sequence:
		*st = stream{Sequence: sequence, Since: at, Ended: at}
		return false
	}
	*st = stream{Sequence: sequence, Since: at, Early: st.Early}
	return true
}

// ends takes in that a push has ended, and reports whether the stream has: the end
// of a push that another has replaced is no end.
func (st *stream) ends(sequence string, at int64) bool {
	switch {
	case st.Sequence == "" && st.Since == 0: // the room was set live by hand, or the start was lost
		*st = stream{Sequence: sequence, Ended: at}
		return true
	case sequence != st.Sequence:
		st.Early = sequence
		return false
	case st.Ended != 0, at < st.Since:
		return false
	}
	st.Ended = at
	return true
}

// pause pauses a live room whose stream has ended and not started again.
func (s *seen) pause(sequence string, now time.Time) bool {
	if s.Status != Live || s.Room.Closed || s.Stream.Sequence != sequence || s.Stream.Ended == 0 {
		return false
	}
	s.become(Paused, now)
	return true
}

// cssEvent is what CSS tells of a stream; most of its fields are of no use here.
// stream_param and user_ip are not read, so that no log can hold them.
type cssEvent struct {
	StreamID  string          `json:"stream_id"`
	EventType *int            `json:"event_type"`
	EventTime int64           `json:"event_time"` // Unix seconds
	Sequence  json.RawMessage `json:"sequence"`   // of one push, the same at its start and its end; text or number
	Sign      string          `json:"sign"`
	T         int64           `json:"t"` // when the signature expires, Unix seconds
}

// maxSequence bounds a sequence, in bytes. CSS's are numbers.
const maxSequence = 128

// The types of events that are acted upon. Others are acknowledged.
const (
	streamEnded   = 0
	streamStarted = 1
)

var (
	errUnsigned = fault.New(fault.Forbidden, "the event is not signed with the callback key of this deployment")
	errExpired  = fault.New(fault.Forbidden, "the event's signature has expired")
)

// readEvent reads and verifies a callback of CSS: sign is the hex MD5 of the key
// and t. The signature covers nothing else, so an event is also bounded by what a
// room can become of it.
func (r *Rooms) readEvent(req *http.Request) (e cssEvent, err error) {
	body, err := api.ReadBody(req, api.MaxBody)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fault.New(fault.Invalid, "the body is not an event of CSS")
	}
	want := md5Hex(r.conf.Media.CallbackKey + strconv.FormatInt(e.T, 10))
	switch {
	case r.conf.Media.CallbackKey == "", subtle.ConstantTimeCompare([]byte(want), []byte(e.Sign)) != 1:
		return e, errUnsigned
	case e.T < r.now().Unix():
		slog.WarnContext(req.Context(), "an event of CSS came after its signature expired", "event_type", e.EventType, "late", r.now().Unix()-e.T)
		return e, errExpired
	case e.EventType == nil, len(e.Sequence) > maxSequence:
		return e, fault.New(fault.Invalid, "event_type is missing, or sequence is too long")
	}
	return e, nil
}

// OnStream handles an event of a stream. Events are deduplicated by sequence and
// event_time, and may come twice, late and out of order. An event of a stream that is
// no room's, or of a type without meaning for rooms, is no error: CSS would retry it.
func (r *Rooms) OnStream(ctx context.Context, e cssEvent) error {
	if *e.EventType != streamStarted && *e.EventType != streamEnded {
		return nil
	}
	roomID, generation, aliased := roomOf(e.StreamID)
	if !aliased {
		roomID = e.StreamID
	}
	sequence := sequenceOf(e)
	_, err := r.change(ctx, roomID, func(s *seen) ([]kv.Write, error) {
		if s.Room.Closed || aliased && s.Room.Generation != generation || e.EventTime < s.CreatedAt.Unix() {
			return nil, errNoNews // of an earlier room of this id, or too late
		}
		before := s.Stream
		news := false
		if *e.EventType == streamStarted {
			if news = s.Stream.starts(sequence, e.EventTime); news && (s.Status == Waiting || s.Status == Paused) {
				s.become(Live, r.now())
			}
		} else {
			news = s.Stream.ends(sequence, e.EventTime)
		}
		switch {
		case s.Stream == before:
			return nil, errNoNews
		case !news, *e.EventType == streamStarted, s.Status != Live:
			return nil, nil
		}
		s.Orders++
		write, err := r.later(ctx, s, r.now().Add(r.conf.Grace), task{Stream: sequence, Order: s.Orders})
		return []kv.Write{write}, err
	})
	switch {
	case is(err, fault.NotFound):
		return nil
	case err != nil && !errors.Is(err, errNoNews):
		return err
	case *e.EventType == streamStarted:
		// Also where it says nothing new: CSS repeats what a process died on.
		return r.ask(ctx, doubt{StreamID: e.StreamID, EventType: streamEnded, Sequence: sequence, Round: 1}, time.Unix(e.EventTime, 0).Add(watchEvery))
	}
	return nil
}

// sequenceOf returns an event's sequence, which is text or a number.
func sequenceOf(e cssEvent) string { return strings.Trim(string(e.Sequence), `"`) }

var errNoNews = errors.New("liveroom: the event says nothing new")
