package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Ticket is a conversation that a person takes over.
type Ticket struct {
	Key     string // idempotency key: the same one opens the same ticket
	UserID  string // who needs help
	Subject string
	Text    string // summary and transcript
}

// HandOver opens tickets for people to answer.
type HandOver interface {
	// Ready reports whether tickets can be opened.
	Ready() bool
	// Open opens a ticket, once for each key, and returns the ticket's id and its
	// group.
	Open(ctx context.Context, t Ticket) (ticketID, groupID string, err error)
	// Over reports whether a ticket is solved, closed or gone.
	Over(ctx context.Context, ticketID string) (bool, error)
	// IsGroup reports, by the GroupID alone, whether a group may be a ticket's. It
	// works where Ready is false, too, since the program that gets the callbacks is
	// not always the program that answers.
	IsGroup(groupID string) bool
}

// people reports whether there is somebody to hand over to.
func (b *Bots) people() bool { return b.c.HandOver != nil && b.c.HandOver.Ready() }

// HandOverTool is the name of the tool that calls a person.
const HandOverTool = "hand_over"

// handed is what is known of a conversation that a person has taken over. While it
// is there, the robot says nothing in the conversation.
type handed struct {
	TicketID string    `json:"ticketId"`
	GroupID  string    `json:"groupId"`
	UserID   string    `json:"userId"` // who is helped
	At       time.Time `json:"at"`
	Returned bool      `json:"returned,omitempty"` // by somebody who said so
	Words    []Turn    `json:"words,omitempty"`    // what people said since
	Seqs     []uint32  `json:"seqs,omitempty"`     // of the ticket's messages among them

	rev string
}

const (
	// handedLife is longer than tickets stay open.
	handedLife = 90 * 24 * time.Hour
	// maxWords bounds what is kept of what people said, in tokens, and maxSeqs the
	// numbers by which a repeated callback is known.
	maxWords = 1500
	maxSeqs  = 200
)

func handedKey(robot string) string { return "handed/" + robot }

// handedOver returns whether a person has the conversation with a robot, nil for
// none.
func (b *Bots) handedOver(ctx context.Context, box, robot string) (*handed, error) {
	item, err := b.c.Store.Get(ctx, box, handedKey(robot))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h := &handed{rev: item.Rev}
	if err := json.Unmarshal(item.Value, h); err != nil {
		return nil, fmt.Errorf("bot: a stored hand-over does not decode: %w", err)
	}
	return h, nil
}

func (b *Bots) putHanded(robot string, h *handed) (kv.Put, error) {
	is := kv.Absent()
	if h.rev != "" {
		is = kv.Rev(h.rev)
	}
	value, err := json.Marshal(h)
	return kv.Put{Key: handedKey(robot), Value: value, If: is, Expires: b.c.Now().Add(handedLife)}, err
}

// say keeps what people said, as much as the model is told later.
func (h *handed) say(t Turn) {
	if t.Text == "" {
		return
	}
	t.Text = im.CutText(t.Text, 2000)
	h.Words = append(h.Words, t)
	for tokens := 0; ; {
		tokens = 0
		for _, w := range h.Words {
			tokens += Tokens(w.Text)
		}
		if tokens <= maxWords || len(h.Words) == 1 {
			return
		}
		h.Words = h.Words[1:]
	}
}

// Marks that show a model which part of the history was a person's. They are no
// sentences that a robot could take for a promise of its own.
const (
	humanBegan = "[A human colleague took over here.]"
	humanEnded = "[The human colleague is done. The robot answers from here on.]"
)

// history is a conversation with what people said in it since a person took over.
func (h *handed) history(before []Turn) []Turn {
	turns := append(slices.Clone(before), Turn{Role: Assistant, Text: humanBegan})
	turns = append(turns, h.Words...)
	turns = append(turns, Turn{Role: Assistant, Text: humanEnded})
	// Models want their turns and the users' to alternate.
	var out []Turn
	for _, t := range turns {
		if n := len(out); n > 0 && out[n-1].Role == t.Role && len(t.Calls) == 0 && t.Role != ToolRole {
			out[n-1].Text += "\n" + t.Text
		} else {
			out = append(out, t)
		}
	}
	return out
}

// handOver is the tool that calls a person.
func (d *draft) handOver() Tool {
	return Tool{
		ToolSpec: ToolSpec{
			Name:        HandOverTool,
			Description: "Hands the conversation over to a human colleague. Call it when the user asks for a person, or when you cannot help.",
			Parameters:  json.RawMessage(`{"type":"object","properties":{"summary":{"type":"string","maxLength":2000,"description":"what the user needs, for the colleague"}},"required":["summary"]}`),
		},
		Deadline: 30 * time.Second,
		Run: func(ctx context.Context, c ToolCall) (string, error) {
			var in struct{ Summary string }
			if err := json.Unmarshal(c.Arguments, &in); err != nil {
				return "", err
			}
			if err := d.callPerson(ctx, in.Summary); err != nil {
				return "", err
			}
			return "A colleague was called.", nil
		},
	}
}

// callPerson opens the ticket of this conversation, and has the robot be silent from
// here on. It may be repeated: the message that caused it names the ticket.
func (d *draft) callPerson(ctx context.Context, summary string) error {
	t := Ticket{Key: "bot/" + d.m.id(), UserID: d.m.From, Subject: d.subject(ctx, summary), Text: transcript(summary, d.before, d.m)}
	ticketID, groupID, err := d.c.HandOver.Open(ctx, t)
	if err != nil {
		return err
	}
	d.handed = &handed{TicketID: ticketID, GroupID: groupID, UserID: d.m.From, At: d.c.Now()}
	return nil
}

// subject returns the first line of the summary if moderation lets it be shown, otherwise
// the first line of the user's message. The ticket's group is named after the subject.
func (d *draft) subject(ctx context.Context, summary string) string {
	first := func(text string) string {
		line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		return line
	}
	line := first(summary)
	if line != "" {
		o, err := d.judge(ctx, d.m.Robot, d.m.From, line)
		if line = o.text; err != nil || !o.ok {
			line = ""
		}
	}
	if line == "" {
		line = first(d.m.Text)
	}
	return im.CutText(line, 200)
}

// maxTranscript bounds a ticket's text, in bytes.
const maxTranscript = 24 << 10

// transcript is what the person reads first.
func transcript(summary string, before []Turn, m message) string {
	var lines []string
	for _, t := range before {
		who := "Robot"
		if t.Role == User {
			who = "User"
		}
		lines = append(lines, who+": "+t.Text)
	}
	lines = append(lines, "User: "+m.turn().Text)
	size := 0
	from := len(lines)
	for from > 0 && size+len(lines[from-1]) < maxTranscript-4000 {
		from--
		size += len(lines[from]) + 1
	}
	out := "Transcript of the conversation with the robot " + m.Robot + ":\n\n" + strings.Join(lines[from:], "\n")
	if summary = strings.TrimSpace(summary); summary != "" {
		out = "Summary: " + summary + "\n\n" + out
	}
	return im.CutText(out, maxTranscript)
}

// silent reports whether a person has the conversation, and otherwise whether a
// person had it until now. It keeps what the user says meanwhile.
func (b *Bots) silent(ctx context.Context, m message) (h *handed, silent bool, err error) {
	if !b.people() {
		return nil, false, nil
	}
	if h, err = b.handedOver(ctx, m.box(), m.Robot); err != nil || h == nil {
		return nil, false, err
	}
	if h.Returned || slices.ContainsFunc(b.c.Return, func(w string) bool { return strings.EqualFold(w, m.Text) }) {
		return h, false, nil
	}
	over, err := b.c.HandOver.Over(ctx, h.TicketID)
	return h, !over, err
}

// link says which conversation a ticket's group belongs to.
type link struct {
	Box   string `json:"box"`
	Robot string `json:"robot"`
}

func linkPartition(groupID string) string { return "bot/ticket/" + named(groupID) }

// linkGroup notes the conversation of a ticket's group, which stands in another
// partition.
func (b *Bots) linkGroup(ctx context.Context, m message, groupID string) error {
	value, err := json.Marshal(link{m.box(), m.Robot})
	if err != nil {
		return err
	}
	err = b.c.Store.Commit(ctx, linkPartition(groupID), "link/"+m.id(), kv.Put{Key: "link", Value: value, If: kv.Absent(), Expires: b.c.Now().Add(handedLife)})
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

// word is what somebody said in a ticket's group: the body of a job.
type word struct {
	GroupID string `json:"groupId"`
	From    string `json:"from"`
	MsgSeq  uint32 `json:"msgSeq"`
	Text    string `json:"text"`
}

// heardPerson keeps what is said in the group of a ticket, for the robot to know once
// it answers again.
func (b *Bots) heardPerson(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	if b.c.Jobs == nil || e.OnlineOnlyFlag != 0 {
		return nil
	}
	if im.IsRobot(e.From) || e.From == im.NotFoundSender || slices.Contains(b.c.Staff, e.From) {
		return nil
	}
	text := strings.TrimSpace(im.CutText(e.MsgBody.PlainText(), 2000))
	if text == "" {
		return nil
	}
	if _, err := b.c.Store.Get(ctx, linkPartition(e.GroupID), "link"); errors.Is(err, kv.ErrNotFound) {
		return nil // a ticket of somebody else's
	} else if err != nil {
		return err
	}
	body, err := json.Marshal(word{e.GroupID, e.From, e.MsgSeq, text})
	if err != nil {
		return err
	}
	id := "bot/word/" + named(e.GroupID, e.MsgSeq, e.MsgTime)
	return b.c.Jobs.Put(ctx, queue.Job{ID: id, Kind: "bot.word", Lane: queue.Fast, Body: body})
}

// keepWord is the job of a word. Its MsgSeq says whether it was kept already.
func (b *Bots) keepWord(ctx context.Context, j queue.Job) error {
	var w word
	if err := json.Unmarshal(j.Body, &w); err != nil {
		return err
	}
	item, err := b.c.Store.Get(ctx, linkPartition(w.GroupID), "link")
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var l link
	if err := json.Unmarshal(item.Value, &l); err != nil {
		return err
	}
	for {
		h, err := b.handedOver(ctx, l.Box, l.Robot)
		if err != nil || h == nil || h.GroupID != w.GroupID || slices.Contains(h.Seqs, w.MsgSeq) {
			return err
		}
		h.Seqs = append(h.Seqs, w.MsgSeq)
		h.Seqs = h.Seqs[max(0, len(h.Seqs)-maxSeqs):]
		if slices.ContainsFunc(b.c.Return, func(r string) bool { return strings.EqualFold(r, w.Text) }) {
			h.Returned = true
		} else if w.From == h.UserID {
			h.say(Turn{Role: User, Text: w.Text})
		} else {
			h.say(Turn{Role: Assistant, Text: fmt.Sprintf("[The human colleague %s says:] %s", w.From, w.Text)})
		}
		put, err := b.putHanded(l.Robot, h)
		if err != nil {
			return err
		}
		if err := b.c.Store.Commit(ctx, l.Box, kv.NewOp("word"), put); !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
}
