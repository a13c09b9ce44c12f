package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/mailbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// What a round leaves at its desk, transcript and rating, has a mailbox of its own
// for each ticket, so that a desk that is away holds up no agent.

// recordKind is the kind of jobs that write something down at the desk.
const recordKind = "ticket.record"

// recording is such a job: the end of a round, or with Rated its rating.
type recording struct {
	TicketID string    `json:"ticketId"`
	GroupID  string    `json:"groupId"`
	UserID   string    `json:"userId"` // the requester
	Made     int       `json:"made,omitempty"`
	Round    int       `json:"round"`
	Ended    time.Time `json:"ended"`
	Rated    *Rating   `json:"rated,omitempty"`
	Part     int       `json:"part,omitempty"` // of the transcript, from the second one on
	Into     string    `json:"into,omitempty"` // the ticket that this one was merged into
}

// desk is the ticket that gets the notes.
func (r recording) desk() string { return cmp.Or(r.Into, r.TicketID) }

// key names a note of the round among those of the ticket that gets it.
func (r recording) key(kind string) string {
	if r.Into != "" {
		kind += "-" + strings.ToLower(r.TicketID)
	}
	return fmt.Sprintf("%s-%d", kind, r.Round)
}

func (r recording) id() string {
	if r.Rated != nil {
		return fmt.Sprintf("rated/%d", r.Round)
	}
	if r.Into != "" {
		return fmt.Sprintf("merged/%d/%d", r.Round, r.Part)
	}
	return fmt.Sprintf("round/%d/%d", r.Round, r.Part)
}

func (r recording) box() string { return "desk/record/" + r.TicketID }

// recordLater makes a job of a recording.
func (t *Tickets) recordLater(ctx context.Context, r recording) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	return t.conf.Jobs.Put(ctx, queue.Job{ID: "record/" + r.TicketID + "/" + r.id(), Kind: recordKind, Lane: queue.Slow, Body: body})
}

// record is the job that carries out a recording: those of a ticket one at a time.
func (t *Tickets) record(ctx context.Context, j queue.Job) error {
	var r recording
	if err := json.Unmarshal(j.Body, &r); err != nil {
		return errors.New("desk: the job holds no recording")
	}
	if err := t.appendRecording(ctx, r, j.Body); err != nil {
		return err
	}
	return t.records.Drain(ctx, r.box(), t.writeDown)
}

func (t *Tickets) appendRecording(ctx context.Context, r recording, body []byte) error {
	return t.records.Append(ctx, r.box(), r.id(), max(r.Ended.UnixMilli(), 0), body)
}

// progress is how far the transcripts of a ticket have come.
type progress struct {
	Made  int    `json:"made,omitempty"` // which making of the group Next counts in
	Next  uint32 `json:"next"`           // first message that is in no transcript yet
	Round int    `json:"round"`          // the last one that is done
	Into  string `json:"into,omitempty"` // the ticket that it was merged into, once that is known

	// Of the transcript that is being made, from its second part on. It is read from its
	// end, as IM reads history, since nobody says where a group's numbers begin.
	Last     uint32   `json:"last,omitempty"`   // its last message
	Cursor   uint32   `json:"cursor,omitempty"` // the last one that is not read yet
	Part     int      `json:"part,omitempty"`
	Files    []string `json:"files,omitempty"` // in the order of what is in them
	Messages int      `json:"messages,omitempty"`

	Refused bool `json:"refused,omitempty"` // the desk took no transcript of the last round
}

const progressItem = "progress"

// Bounds of one part of a transcript, which is made at one go. Our decisions.
const (
	partText     = 1 << 20 // bytes
	partMessages = 4000
)

// writeDown carries out one recording. What it does at the desk and in IM, a
// repeat does again without effect.
func (t *Tickets) writeDown(ctx context.Context, m mailbox.Entry) ([]kv.Write, error) {
	var r recording
	if err := json.Unmarshal(m.Body, &r); err != nil {
		return nil, fmt.Errorf("desk: an entry does not decode: %w", err)
	}
	if r.Rated != nil {
		return nil, t.later(r, t.writeRating(ctx, r))
	}
	var p progress
	cond, err := t.read(ctx, r.box(), progressItem, &p)
	if err != nil {
		return nil, err
	}
	if r.Into != "" && p.Into == "" && p.Round == r.Round && p.Refused {
		p = progress{Made: p.Made, Next: p.Next, Round: r.Round - 1, Into: r.Into} // the other takes what this one did not
	}
	if p.Round >= r.Round {
		return nil, t.toldRecorded(ctx, r, p.Refused && p.Round == r.Round) // it was this, perhaps, that failed
	}
	refused, done, err := t.advance(ctx, r, &p)
	if err != nil {
		return nil, t.later(r, err)
	}
	if done {
		err = t.toldRecorded(ctx, r, refused)
	} else {
		r.Part = p.Part
		var body []byte
		if body, err = json.Marshal(r); err == nil {
			err = t.appendRecording(ctx, r, body) // and this Drain goes on with it
		}
	}
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	return []kv.Write{kv.Put{Key: progressItem, Value: value, Expires: t.now().Add(2 * kept), If: cond}}, nil
}

func (t *Tickets) toldRecorded(ctx context.Context, r recording, refused bool) error {
	return t.enqueue(ctx, entry{Recorded: &recorded{TicketID: r.TicketID, Round: r.Round, Refused: refused, Into: r.Into, At: t.now()}})
}

// givesUp is how long a desk's trouble is waited out before it counts as a job's
// failures, after which an operator looks at it.
const givesUp = 24 * time.Hour

// later puts a recording off whose desk is in trouble: for half as long as it has
// waited, or as the desk asks.
func (t *Tickets) later(r recording, err error) error {
	e, is := errors.AsType[*Error](err)
	age := t.now().Sub(r.Ended)
	if !is || e.Kind != ErrUnavailable && e.Kind != ErrAccess || age > givesUp {
		return err
	}
	pause := max(min(max(age/2, shortestPause), longestPause), e.RetryAfter)
	return fmt.Errorf("%w: %w", err, queue.Later{After: pause})
}

func (t *Tickets) writeRating(ctx context.Context, r recording) error {
	text := fmt.Sprintf("The requester rates this conversation %d of %d.", r.Rated.Rating, BestRating)
	if r.Rated.Comment != "" {
		text += "\n\n" + r.Rated.Comment
	}
	err := t.conf.Desk.AddNote(ctx, r.desk(), Note{
		Key: r.key("survey"), Title: "Survey", Text: text, Rating: r.Rated.Rating, Comment: r.Rated.Comment,
	})
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrRefused) {
		slog.WarnContext(ctx, "the desk takes no rating of a ticket; ours keeps it", "error", err.Error())
		return nil
	}
	return err
}

// advance makes one part of a transcript, and the note when it was the last. A
// desk that takes nothing of the ticket any more has refused it.
func (t *Tickets) advance(ctx context.Context, r recording, p *progress) (refused, done bool, err error) {
	if p.Made != r.Made || p.Next == 0 {
		p.Made, p.Next = r.Made, 1 // another group, whose messages are numbered anew
	}
	if p.Last == 0 { // the first look at this round
		if err := t.askSurvey(ctx, r); err != nil {
			return false, false, err
		}
	}
	part, err := t.readPart(ctx, r, p.Next, p.Cursor)
	if err != nil {
		return false, false, err
	}
	p.Last = max(p.Last, part.newest, p.Next-1)
	if part.back != nil { // he came back while nobody looked
		if err := t.enqueue(ctx, entry{Said: part.back}); err != nil {
			return false, false, err
		}
	}
	p.Messages += part.messages
	done = part.cursor == 0
	n := Note{Key: r.key("transcript"), Title: "Chat transcript"}
	head := fmt.Sprintf("Transcript of the chat with %s, %d messages. Times are UTC.", r.UserID, p.Messages)
	switch {
	case done && p.Part == 0 && utf8.RuneCountInString(head)+2+utf8.RuneCountInString(part.text) <= MaxNote:
		n.Text = head + "\n\n" + part.text
	case part.messages > 0:
		p.Part++
		handle, err := t.conf.Desk.AddFile(ctx, r.desk(), File{
			Key: fmt.Sprintf("%s-%d", n.Key, p.Part), Name: n.Key + "-" + part.from.UTC().Format("20060102-150405") + fmt.Sprintf("-%d.txt", p.Part), Text: part.text,
		})
		if err != nil {
			return t.refusal(ctx, p, r, err)
		}
		p.Files = append([]string{handle}, p.Files...)
		fallthrough
	default:
		n.Text, n.Files = head, p.Files
	}
	p.Cursor = part.cursor
	if !done {
		return false, false, nil
	}
	if p.Messages > 0 || r.Round == 1 { // the first tells even that nobody wrote
		err := t.conf.Desk.AddNote(ctx, r.desk(), n)
		if errors.Is(err, ErrRefused) && p.Messages > 0 {
			err = t.noteInFollowUp(ctx, r, n, err)
		}
		if err != nil && (p.Messages > 0 || !errors.Is(err, ErrRefused)) {
			return t.refusal(ctx, p, r, err)
		}
	}
	*p = progress{Made: p.Made, Next: p.Last + 1, Round: r.Round, Into: r.Into}
	return false, true, nil
}

// mergeTime is how long the event of a merge is waited for, which names the ticket that
// takes the notes. Merging closes a ticket, and either may be told first.
const mergeTime = 5 * time.Minute

// noteInFollowUp adds a note of a ticket that was closed before it was solved, and
// takes none, to an internal ticket that follows it; refused is what the desk said.
// There is one for each round. It returns refused where the ticket was merged, whose
// transcript the other gets.
func (t *Tickets) noteInFollowUp(ctx context.Context, r recording, n Note, refused error) error {
	var tk ticket
	if _, err := t.read(ctx, ticketBox(r.TicketID), ticketItem, &tk); err != nil {
		return err
	}
	age := t.now().Sub(r.Ended)
	switch e, is := errors.AsType[*Error](refused); {
	case r.Into == "" && tk.MergedInto != "":
		return refused
	case r.Into == "" && is && e.Merged && age < mergeTime:
		return queue.Later{After: mergeTime - age}
	}
	key := keyPrefix + digest("transcript", r.TicketID, fmt.Sprint(r.Round))
	id, err := "", error(&Error{Kind: ErrNotFound})
	if age >= forgotten {
		id, err = t.conf.Desk.Find(ctx, key)
	}
	if errors.Is(err, ErrNotFound) {
		id, err = t.conf.Desk.Create(ctx, Ticket{
			Key: key, Subject: cut("Chat transcript: "+tk.Name, MaxSubject), FollowUp: r.desk(), Internal: true,
			Text: "Ticket " + r.TicketID + " was closed before it had the transcript of its chat, which follows.",
		})
	}
	if err != nil {
		return err
	}
	return t.conf.Desk.AddNote(ctx, id, n)
}

// refusal ends a transcript that the desk takes nowhere: its ticket is deleted, or
// closed for good, and a follow-up is refused. What was said is then in the group
// alone, which stays unless the ticket is deleted.
func (t *Tickets) refusal(ctx context.Context, p *progress, r recording, err error) (refused, done bool, _ error) {
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrRefused) {
		return false, false, err
	}
	slog.ErrorContext(ctx, "the desk takes no transcript of a ticket that was closed or deleted before it was solved, nor a follow-up with it", "ticket", r.TicketID, "error", err.Error())
	*p = progress{Made: p.Made, Next: p.Next, Round: r.Round, Into: r.Into, Refused: true}
	return errors.Is(err, ErrRefused), true, nil
}

// part is a piece of a transcript.
type part struct {
	text     string
	messages int
	from     time.Time // of its first message
	newest   uint32    // its last message
	cursor   uint32    // the message before it, 0 if it begins where the transcript does
	back     *said     // the first message of the requester after the end of the round
}

// readPart reads messages from one on backwards, 0 for the newest, down to the floor,
// as IM has them: masked, edited and recalled ones as their readers see them.
func (t *Tickets) readPart(ctx context.Context, r recording, floor, cursor uint32) (p part, err error) {
	var lines []string
	size := 0
	for q := (&im.GroupHistoryQuery{GroupID: r.GroupID, Newest: cursor}); q != nil; {
		page, err := t.conf.IM.GroupHistory(ctx, *q)
		if errors.Is(err, im.CodeGroupGone) {
			break // with all that was said in it
		}
		if err != nil {
			return part{}, err
		}
		ended := page.Next == nil
		for _, m := range page.Messages {
			if m.MsgSeq < floor {
				ended = true
				break
			}
			p.newest = max(p.newest, m.MsgSeq)
			if strings.HasPrefix(m.CloudCustomData, ourMark) {
				continue
			}
			line := lineOf(m)
			lines = append(lines, line)
			size += len(line)
			p.from = time.Unix(m.MsgTime, 0)
			if m.From == r.UserID && p.from.After(r.Ended) {
				p.back = saidBy(r.TicketID, r.Made, m.MsgSeq, p.from, m.Body)
			}
		}
		if q = page.Next; ended {
			break
		}
		if size >= partText || len(lines) >= partMessages {
			p.cursor = q.Newest
			break
		}
	}
	slices.Reverse(lines)
	p.text, p.messages = strings.Join(lines, ""), len(lines)
	return p, nil
}

// lineOf writes a message as one line, its further lines indented.
func lineOf(m im.GroupHistoryMsg) string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "[%s] %s: ", time.Unix(m.MsgTime, 0).UTC().Format("2006-01-02 15:04:05"), m.From)
	switch {
	case m.Placeholder != 0:
		w.WriteString("(recalled)")
	case len(m.Body) == 0:
		w.WriteString("(empty)")
	}
	for i, e := range m.Body {
		if m.Placeholder != 0 {
			break
		}
		if i > 0 {
			w.WriteString(" ")
		}
		w.WriteString(strings.ReplaceAll(describe(e), "\n", "\n    "))
	}
	w.WriteString("\n")
	return w.String()
}

// describe says what an element holds: its text, or what it is with a link.
func describe(e im.Element) string {
	var c struct {
		Text, Desc, FileName, Url, VideoUrl string //nolint:revive // IM's names
		Data                                string
		ImageInfoArray                      []struct {
			Type int
			URL  string
		}
		Latitude, Longitude float64
	}
	if err := json.Unmarshal(e.MsgContent, &c); err != nil {
		return "(unreadable)"
	}
	switch e.MsgType {
	case im.TextElem:
		return c.Text
	case im.ImageElem:
		link := ""
		for _, i := range c.ImageInfoArray {
			if link == "" || i.Type == 1 { // the original
				link = i.URL
			}
		}
		return linked("image", "", link)
	case im.SoundElem:
		return linked("voice message", "", c.Url)
	case im.VideoElem:
		return linked("video", "", c.VideoUrl)
	case im.FileElem:
		return linked("file", c.FileName, c.Url)
	case im.LocationElem:
		return fmt.Sprintf("(location %s %.5f, %.5f)", c.Desc, c.Latitude, c.Longitude)
	case im.FaceElem:
		return "(emoji)"
	case im.CustomElem:
		if c.Desc != "" {
			return "(" + c.Desc + ")"
		}
		return "(custom message)"
	}
	return "(" + strings.TrimSuffix(strings.TrimPrefix(e.MsgType, "TIM"), "Elem") + ")"
}

// linked writes what a medium is and where it is.
func linked(kind, name, link string) string {
	text := "(" + kind
	if name != "" {
		text += " " + name
	}
	if u, err := url.Parse(link); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
		text += " " + link
	}
	return text + ")"
}
