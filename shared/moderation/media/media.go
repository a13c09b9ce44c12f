// Package media has the pictures, voices, videos and files of messages inspected after
// they were sent, and recalls messages that may not be shown.
//
// A file never delays a message: an inspection takes seconds to minutes, and IM waits
// two seconds. The message is delivered; a job asks the inspector, which answers at
// once or later with a signed request; a message with a blocked file is recalled, or
// its body is replaced by a sentence.
//
// IM modifies nothing in an AVChatRoom (269/74741) and recalls there for an hour only
// (269/12341), in some editions not at all. So a message of a live room is recalled,
// and where IM refuses that, a custom message tells the clients to hide it. A message
// that cannot be recalled, and a file that a person should look at, are entered in the
// moderators' trail.
//
// Every step is idempotent: the message's own identity names its record and its jobs,
// the strictest opinion wins, and a second recall is a no-op. An inspector that never
// answers is asked [Rounds] times in all; then the message stays, and the log says so.
package media

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Kind is the kind of a file, as far as inspectors distinguish kinds.
type Kind string

// The kinds of files that are inspected.
const (
	Image Kind = "image"
	Audio Kind = "audio"
	Video Kind = "video"
)

// File is one file of a message.
type File struct {
	// ID names the file to the inspector: at most 64 bytes of a-z, 0-9 and -.
	ID   string
	Kind Kind
	URL  string
	From string // UserID of the sender
}

// ErrUnfit is an inspector's error for a file that it can never judge: deleted, too
// large, or of an unknown format.
var ErrUnfit = errors.New("media: the file cannot be inspected")

// Inspector inspects files.
type Inspector interface {
	// Inspect asks for an opinion on a file. NoOpinion means that the opinion comes to
	// Result. Inspect may be called more than once for a file. ErrUnfit is final; any
	// other error is retried.
	Inspect(ctx context.Context, f File) (moderation.Opinion, error)
	// Result reads the request that the inspector's service sends to our route: the
	// file's ID and the opinion on the file. Result fails for a body that is not the
	// service's, and returns NoOpinion for a request without an opinion.
	Result(header http.Header, body []byte) (id string, o moderation.Opinion, err error)
}

// Messages is the part of IM's REST API that media uses; [*im.Client] implements it.
type Messages interface {
	RecallGroupMsgs(ctx context.Context, groupID, topicID, reason string, seqs []uint32) ([]im.Recall, error)
	WithdrawMsg(ctx context.Context, from, to, msgKey string) error
	ModifyGroupMsg(ctx context.Context, groupID, topicID string, seq uint32, m im.Modification) error
	ModifyC2CMsg(ctx context.Context, from, to, msgKey string, m im.Modification) error
	MadeAnew(ctx context.Context, groupID string, since time.Time) (bool, error)
}

// Sender sends a message to a group once, however often it is called with the same
// event; [*once.Sender] implements it.
type Sender interface {
	Group(ctx context.Context, event string, m im.GroupMsg) (im.GroupSent, error)
}

const (
	// Patience is how long an inspector that answers later may take before the job
	// asks again.
	Patience = 30 * time.Minute
	// Rounds is how often the job asks an inspector about a file in all.
	Rounds = 3

	// recordLife is longer than all rounds and the retries of a job take.
	recordLife = 7 * 24 * time.Hour
)

// Config configures [Media].
type Config struct {
	Store     kv.Store
	Jobs      *queue.Ledger
	Inspector Inspector
	IM        Messages
	Sends     Sender
	// Notifier is the UserID that tells the clients of a live room to hide a message.
	// The account must exist; the app's admin works.
	Notifier string
	// Replacement is the text that takes the place of a message with a blocked
	// file; "" recalls the message instead. Where IM does not recall, the message
	// is replaced by DefaultReplacement. Messages of AVChatRooms are never
	// replaced.
	Replacement string
	Now         func() time.Time // nil for time.Now
	Log         *slog.Logger     // nil: slog.Default
}

// DefaultReplacement replaces a message that cannot be recalled.
const DefaultReplacement = "This message was removed."

// Media is the rule.
type Media struct {
	c     Config
	trail *trail.Trail
}

// New returns the rule and registers the handlers of its jobs.
func New(c Config) *Media {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	m := &Media{c, trail.New(c.Store)}
	c.Jobs.Handle("media.look", m.look)
	c.Jobs.Handle("media.opinion", m.opinion)
	return m
}

// Register adds the rule's callbacks: both after-callbacks of a sent message.
func (m *Media) Register(mux *callback.Mux) {
	callback.After(mux, "media", func(ctx context.Context, e *callback.GroupAfterSendMsg) error {
		return m.sent(ctx, message{
			GroupID: e.GroupID, Type: e.Type, TopicID: e.TopicID, MsgSeq: e.MsgSeq, Random: e.Random, Time: int64(e.MsgTime), From: e.From,
		}, e.MsgBody)
	})
	callback.After(mux, "media", func(ctx context.Context, e *callback.C2CAfterSendMsg) error {
		if e.SendMsgResult != 0 {
			return nil // it never arrived
		}
		return m.sent(ctx, message{From: e.From, To: e.To, MsgKey: e.MsgKey}, e.MsgBody)
	})
}

// Routes adds POST /moderation/results, for the inspector's service alone.
func (m *Media) Routes(mux *http.ServeMux) {
	mux.Handle("POST /moderation/results", api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		body, err := api.ReadBody(r, maxResult)
		if err != nil {
			return err
		}
		id, o, err := m.c.Inspector.Result(r.Header, body)
		if err != nil {
			return err
		}
		if o != moderation.NoOpinion {
			if err := m.c.Jobs.Put(r.Context(), opinionJob(id, o)); err != nil {
				return err
			}
		}
		api.Reply(w, http.StatusOK, struct{}{})
		return nil
	}))
}

// maxResult bounds a result, in bytes: that of a long video lists all its parts.
const maxResult = 1 << 20

// message is the record of a message with files, and the body of its job.
type message struct {
	GroupID string `json:"groupId,omitempty"`

	Type    im.GroupType `json:"type,omitempty"` // of the group
	TopicID string       `json:"topicId,omitempty"`
	MsgSeq  uint32       `json:"msgSeq,omitempty"`
	Random  uint32       `json:"random,omitempty"` // with Time, tells it from one of a group made anew
	Time    int64        `json:"time,omitempty"`   // Unix seconds when it was sent; 0: unknown
	From    string       `json:"from"`
	To      string       `json:"to,omitempty"` // one-to-one
	MsgKey  string       `json:"msgKey,omitempty"`
	Files   []file       `json:"files"`
	Removed bool         `json:"removed,omitempty"` // taken back, or beyond reach
	Round   int          `json:"round,omitempty"`   // of asking; of the job

	Since time.Time `json:"since,omitzero"` // when it was first looked at
}

type file struct {
	Kind    Kind               `json:"kind"`
	URL     string             `json:"url"`
	Opinion moderation.Opinion `json:"opinion,omitempty"`
	Asked   int                `json:"asked,omitempty"` // the last round it was asked in
}

// id names the message, by what IM tells it by.
func (m message) id() string {
	name, _ := json.Marshal([]any{m.GroupID, m.TopicID, m.MsgSeq, m.From, m.To, m.MsgKey, m.Random, m.Time})
	sum := sha256.Sum256(name)
	return hex.EncodeToString(sum[:16])
}

// sent puts a job for a message that has files.
func (m *Media) sent(ctx context.Context, msg message, body im.MsgBody) error {
	if msg.Files = files(body); len(msg.Files) == 0 {
		return nil
	}
	return m.c.Jobs.Put(ctx, lookJob(msg, 1, time.Time{}))
}

func lookJob(msg message, round int, at time.Time) queue.Job {
	msg.Round = round
	body, err := json.Marshal(msg)
	if err != nil {
		panic(err) // strings and numbers
	}
	return queue.Job{ID: fmt.Sprintf("media/%s/%d", msg.id(), round), Kind: "media.look", Lane: queue.Slow, NotBefore: at, Body: body}
}

func opinionJob(id string, o moderation.Opinion) queue.Job {
	body, err := json.Marshal(opinion{id, o})
	if err != nil {
		panic(err) // strings and numbers
	}
	return queue.Job{ID: fmt.Sprintf("media/%s/opinion/%d", id, o), Kind: "media.opinion", Lane: queue.Slow, Body: body}
}

type opinion struct {
	File    string             `json:"file"`
	Opinion moderation.Opinion `json:"opinion"`
}

// maxFiles bounds what is looked at in one message; IM's 12 KB hold fewer with
// URLs as it writes them.
const maxFiles = 32

// files returns those of a message that can be looked at. What is sent by clients
// too old to say where it lies has no URL and is passed over.
func files(body im.MsgBody) []file {
	var list []file
	add := func(k Kind, url string) {
		if url != "" && len(list) < maxFiles {
			list = append(list, file{Kind: k, URL: url})
		}
	}
	for _, e := range body {
		var c struct {
			ImageInfoArray []struct {
				Type int
				URL  string
			}
			URL      string `json:"Url"`
			VideoURL string `json:"VideoUrl"`
			FileName string
		}
		if json.Unmarshal(e.MsgContent, &c) != nil {
			continue
		}
		switch e.MsgType {
		case im.ImageElem:
			if len(c.ImageInfoArray) > 0 { // its sizes show the same picture
				add(Image, c.ImageInfoArray[0].URL)
			}
		case im.SoundElem:
			add(Audio, c.URL)
		case im.VideoElem:
			add(Video, c.VideoURL)
		case im.FileElem:
			if k := byName(c.FileName); k != "" {
				add(k, c.URL)
			}
		}
	}
	return list
}

// byName returns the kind that a file's name tells, "" for none that is looked
// at.
func byName(name string) Kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".heic":
		return Image
	case ".mp3", ".m4a", ".wav", ".aac", ".amr", ".ogg", ".flac", ".wma":
		return Audio
	case ".mp4", ".mov", ".avi", ".mkv", ".flv", ".webm", ".wmv", ".m4v", ".3gp":
		return Video
	}
	return ""
}

// look asks the inspector about the files without an opinion, and does what the
// answers say.
func (m *Media) look(ctx context.Context, j queue.Job) error {
	var given message
	if err := json.Unmarshal(j.Body, &given); err != nil {
		return err
	}
	round := given.Round
	msg, err := m.change(ctx, given, func(*message) bool { return false })
	if err != nil {
		return err
	}
	for i, f := range msg.Files {
		if f.Opinion != moderation.NoOpinion || f.Asked >= round {
			continue
		}
		o, err := m.c.Inspector.Inspect(ctx, File{ID: fileID(msg.id(), i), Kind: f.Kind, URL: f.URL, From: msg.From})
		if errors.Is(err, ErrUnfit) {
			m.c.Log.WarnContext(ctx, "file not inspected", "message", msg.id(), "reason", err.Error())
			o, err = moderation.Pass, nil
		}
		if err != nil {
			return err
		}
		if msg, err = m.change(ctx, given, func(msg *message) bool {
			msg.Files[i].Asked = max(msg.Files[i].Asked, round)
			msg.Files[i].Opinion = max(msg.Files[i].Opinion, o)
			return true
		}); err != nil {
			return err
		}
	}
	return m.act(ctx, msg, round)
}

// opinion takes what the inspector sent later.
func (m *Media) opinion(ctx context.Context, j queue.Job) error {
	var told opinion
	if err := json.Unmarshal(j.Body, &told); err != nil {
		return err
	}
	id, number, _ := strings.Cut(told.File, "-")
	i, err := strconv.Atoi(number)
	item, storeErr := m.c.Store.Get(ctx, partition(id), recordKey)
	var msg message
	switch {
	case errors.Is(storeErr, kv.ErrNotFound) || err != nil:
		m.c.Log.WarnContext(ctx, "verdict on an unknown file ignored")
		return nil
	case storeErr != nil:
		return storeErr
	}
	if err := json.Unmarshal(item.Value, &msg); err != nil {
		return err
	}
	if i < 0 || i >= len(msg.Files) {
		return nil
	}
	msg, err = m.change(ctx, msg, func(msg *message) bool {
		msg.Files[i].Opinion = max(msg.Files[i].Opinion, told.Opinion)
		return true
	})
	if err != nil {
		return err
	}
	return m.act(ctx, msg, Rounds)
}

// act takes the message back if it has to go, and otherwise sees to it that the
// inspector is asked again in time.
func (m *Media) act(ctx context.Context, msg message, round int) error {
	worst, open := moderation.NoOpinion, false
	for _, f := range msg.Files {
		worst = max(worst, f.Opinion)
		open = open || f.Opinion == moderation.NoOpinion
	}
	switch {
	case msg.Removed:
		return nil
	case worst == moderation.Block:
		if err := m.remove(ctx, msg); err != nil {
			return err
		}
		_, err := m.change(ctx, msg, func(msg *message) bool { msg.Removed = true; return true })
		return err
	case open && round < Rounds:
		return m.c.Jobs.Put(ctx, lookJob(msg, round+1, m.c.Now().Add(Patience)))
	case open:
		m.c.Log.WarnContext(ctx, "inspector gave no verdict; the message stays", "message", msg.id())
		return m.tell(ctx, msg, "file not inspected")
	case worst == moderation.Suspect:
		return m.tell(ctx, msg, "file to be looked at")
	}
	return nil
}

// remove takes the message back. One that is gone already is done, also with its
// group: in another that has the id now, its MsgSeq is somebody else's message.
func (m *Media) remove(ctx context.Context, msg message) error {
	if msg.GroupID != "" && msg.Time != 0 {
		anew, err := m.c.IM.MadeAnew(ctx, msg.GroupID, time.Unix(msg.Time, 0))
		if err != nil || anew {
			return err
		}
	}
	var refusal error
	for _, way := range m.ways(msg) {
		err := way(ctx, msg)
		if err == nil || !beyond(err) {
			return err
		}
		refusal = err
	}
	m.c.Log.ErrorContext(ctx, "message with a blocked file cannot be recalled", "message", msg.id(), "error", refusal.Error())
	return m.tell(ctx, msg, "blocked file not removed")
}

// ways lists how a message may be taken back, the next where IM refuses the one
// before for good.
func (m *Media) ways(msg message) []func(context.Context, message) error {
	switch {
	case msg.Type == im.AVRoom:
		return []func(context.Context, message) error{m.recall, m.hide}
	case m.c.Replacement != "":
		return []func(context.Context, message) error{m.replace, m.recall}
	}
	return []func(context.Context, message) error{m.recall, m.replace}
}

// tell adds a finding to the trail, once: its time is that of the message's
// record.
func (m *Media) tell(ctx context.Context, msg message, what string) error {
	note := fmt.Sprintf("message from %s to %s", msg.From, msg.To)
	if msg.GroupID != "" {
		note = fmt.Sprintf("message %d of group %s", msg.MsgSeq, cmp.Or(msg.TopicID, msg.GroupID))
	}
	return m.trail.Add(ctx, trail.Entry{ID: "media/" + msg.id() + "/" + what, At: msg.Since, What: what, UserID: msg.From, Note: note})
}

func (m *Media) recall(ctx context.Context, msg message) error {
	if msg.GroupID == "" {
		return notThere(m.c.IM.WithdrawMsg(ctx, msg.From, msg.To, msg.MsgKey))
	}
	recalls, err := m.c.IM.RecallGroupMsgs(ctx, msg.GroupID, msg.TopicID, "", []uint32{msg.MsgSeq})
	for _, r := range recalls {
		if err == nil && r.Code != 0 {
			err = r.Code
		}
	}
	return notThere(err)
}

func (m *Media) replace(ctx context.Context, msg message) error {
	by := im.Modification{Body: im.Text(cmp.Or(m.c.Replacement, DefaultReplacement))}
	if msg.GroupID == "" {
		return notThere(m.c.IM.ModifyC2CMsg(ctx, msg.From, msg.To, msg.MsgKey, by))
	}
	return notThere(m.c.IM.ModifyGroupMsg(ctx, msg.GroupID, msg.TopicID, msg.MsgSeq, by))
}

// hide tells the clients of a live room to hide the message.
func (m *Media) hide(ctx context.Context, msg message) error {
	data := fmt.Sprintf(`{"businessID":"backchannel","event":"hide","data":{"msgSeqs":[%d]}}`, msg.MsgSeq)
	_, err := m.c.Sends.Group(ctx, "media/"+msg.id()+"/hide", im.GroupMsg{
		GroupID: msg.GroupID, From: m.c.Notifier, Priority: im.High, Body: im.Custom(data, "", ""),
	})
	return notThere(err)
}

// notThere takes a message that is gone for one that was taken back: by an
// earlier try, by its sender, or with its group.
func notThere(err error) error {
	for _, gone := range []im.Code{im.CodeNoMessage, im.CodeGroupGone, im.CodeC2CNoMessage, im.CodeC2CRecalled} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

// beyond reports whether IM refuses for good, such as recalling in some kinds of
// groups, or a retry of a send whose outcome nobody knows would show it twice.
func beyond(err error) bool {
	if errors.Is(err, once.ErrUnknown) {
		return true
	}
	for _, class := range []im.Class{im.ClassGroup, im.ClassC2C, im.ClassRequest, im.ClassConfiguration} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

func fileID(message string, i int) string { return message + "-" + strconv.Itoa(i) }

func partition(id string) string { return "media/" + id }

const recordKey = "message"

// change commits a change of the message's record and returns how it is then.
// Where there is no record yet, it begins as first.
func (m *Media) change(ctx context.Context, first message, f func(*message) bool) (message, error) {
	for {
		msg, put := first, kv.Put{Key: recordKey, If: kv.Absent(), Expires: m.c.Now().Add(recordLife)}
		msg.Since = m.c.Now().UTC()
		item, err := m.c.Store.Get(ctx, partition(first.id()), recordKey)
		fresh := errors.Is(err, kv.ErrNotFound)
		switch {
		case fresh:
		case err != nil:
			return msg, err
		default:
			msg, put.If = message{}, kv.Rev(item.Rev)
			if err := json.Unmarshal(item.Value, &msg); err != nil {
				return msg, err
			}
		}
		if !f(&msg) && !fresh {
			return msg, nil
		}
		if put.Value, err = json.Marshal(msg); err != nil {
			return msg, err
		}
		if err := m.c.Store.Commit(ctx, partition(first.id()), kv.NewOp("media"), put); !errors.Is(err, kv.ErrConflict) {
			return msg, err
		}
	}
}
